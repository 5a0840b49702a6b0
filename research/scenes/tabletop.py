"""Close range: table tops and desks, bins and shelves, with a room around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from research.scenes.assembly import Scene, SceneBuilder
from research.scenes.catalogue import Entry
from research.scenes.furniture import along_walls, carton, on_walls, rack
from research.scenes.layout import Layout, Rectangle
from research.scenes.library import Library
from research.scenes.mesh import Material, box
from research.scenes.room import doors_and_windows, light_room, shell
from research.scenes.room_kinds import ROOMS

#: Where a camera may look, ``[3]`` [m] each, and what the place is called.
Place = tuple[Sequence[Sequence[float] | NDArray[np.float64]], str]

_DESK_THINGS = (
    r'imac|ibook|laptop|keyboard|phone|book|cup|mug|pen|lamp$|stapler|printer|newspaper|tablet'
    r'|glasses|camera|calendar|scissors|ruler|glass|bottle|tape|remote|speaker|headphones|letter'
)


@dataclass(frozen=True)
class CloseScene:
    """A scene with the places worth looking at from near."""

    scene: Scene
    targets: NDArray[np.float64]  # [K, 3]
    floor: Rectangle
    height: float


def make_close(library: Library, rng: np.random.Generator) -> CloseScene:
    """Return a table, bins, or shelves in a room."""
    layout = Layout(SceneBuilder(), library, rng, budget=180_000)
    w, l = rng.uniform(2.2, 6, 2)  # noqa: E741
    h = float(rng.uniform(2.3, 3))
    kind = ROOMS[int(rng.choice([0, 1, 3, 9]))]
    shell(layout, kind, w, l, h)
    doors_and_windows(layout, w, l, h)
    choice = rng.choice(4, p=(0.5, 0.2, 0.2, 0.1))
    targets, place = (_table, _bins, _shelf, _floor)[choice](layout, w, l)
    along_walls(layout, kind, w, l)
    on_walls(layout, w, l)
    sky = light_room(layout, w, l, h)
    return CloseScene(layout.builder.build(sky, place), np.array(targets), (0, 0, w, l), h)


def _things(layout: Layout) -> list[Entry]:
    """Return small things of one sort, such as lie together."""
    library, rng = layout.library, layout.rng
    small = library.role('small')
    sort = rng.random()
    if sort < 0.3:
        return [e for e in library.named(_DESK_THINGS) if max(e.size) < 0.65 and e.elevation == 0]
    if sort < 0.5:
        return [e for e in small if e.category == 'Kitchen']
    if sort < 0.6:
        return [e for e in small if e.category in ('Miscellaneous', 'Office')]
    return small


def _table(layout: Layout, w: float, l: float) -> Place:  # noqa: E741
    rng = layout.rng
    found = layout.pick(layout.library.role('table')) if rng.random() < 0.75 else None
    x, y = float(rng.uniform(0.3, 0.7) * w), float(rng.uniform(0.3, 0.7) * l)
    yaw = layout.any_yaw()
    things = _things(layout)
    if found is not None and found[1].top is not None:
        thing = layout.put(found, (x, y, 0), yaw)
        layout.taken.append((*thing.low[:2], *thing.high[:2]))
        mesh, top = found[1], float(np.nanpercentile(found[1].top, 70))
        layout.lay_on(mesh, (x, y, 0), yaw, things, int(rng.integers(4, 40)))
        name = found[0].word
    else:  # a plain board, of any material
        material, metres = layout.covering(('planks', 'plaster', 'tiles', 'concrete', 'carpet'))
        top = float(rng.uniform(0.4, 1.1))
        a, b = float(rng.uniform(0.3, 1.1)), float(rng.uniform(0.25, 0.6))
        layout.builder.add(
            box((-a, -b, top - 0.03), (a, b, top), material, metres=metres * 0.4),
            (x, y, 0),
            yaw=yaw,
            name='table',
        )
        leg = Material(tuple(float(c) for c in rng.uniform(0.02, 0.6, 3)))
        for px in (-a, a - 0.05):
            for py in (-b, b - 0.05):
                layout.builder.add(
                    box((px, py, 0), (px + 0.05, py + 0.05, top - 0.03), leg),
                    (x, y, 0),
                    yaw=yaw,
                    name='table',
                )
        layout.taken.append((x - a, y - a, x + a, y + a))
        _strew(layout, things, (x, y, top), yaw, a * 0.9, b * 0.9, int(rng.integers(3, 30)))
        name, thing = 'table', layout.builder.things[-1]
    reach = (
        0.35 * np.minimum(thing.high - thing.low, 1.6)
        if found is not None
        else np.array([0.5, 0.3, 0])
    )
    _papers(layout, (x, y, top), yaw)
    targets = [
        (x + rng.uniform(-reach[0], reach[0]), y + rng.uniform(-reach[1], reach[1]), top + 0.05)
        for _ in range(8)
    ]
    return targets, f'{name} top'


def _papers(layout: Layout, centre: tuple[float, float, float], yaw: float) -> None:
    """Add sheets of paper and closed books, which no library has enough of."""
    rng = layout.rng
    for _ in range(rng.poisson(1.5)):
        x, y = rng.uniform(-0.35, 0.35, 2)
        thick = 0.001 if rng.random() < 0.5 else float(rng.uniform(0.008, 0.05))
        tone = rng.uniform(0.6, 0.9, 3) if thick < 0.002 else rng.uniform(0.02, 0.8, 3)
        mesh = box(
            (-0.105, -0.148, 0), (0.105, 0.148, thick), Material(tuple(float(c) for c in tone))
        )
        layout.builder.add(
            mesh,
            (centre[0] + x, centre[1] + y, centre[2] + 0.001),
            yaw=float(rng.uniform(0, 6.3)),
            scale=float(rng.uniform(0.6, 1.1)),
            name='paper' if thick < 0.002 else 'book',
        )


def _strew(
    layout: Layout,
    things: list[Entry],
    centre: tuple[float, float, float],
    yaw: float,
    a: float,
    b: float,
    count: int,
    *,
    touching: bool = False,
) -> None:
    """Lay things on a rectangle of half sides ``a`` and ``b``, a few of them boxes."""
    rng = layout.rng
    laid: list[tuple[float, float, float]] = []
    c, s = np.cos(yaw), np.sin(yaw)
    for _ in range(count):
        found = layout.pick(things)
        if found is None:
            return
        radius = float(np.hypot(*found[1].size[:2])) / 2
        if rng.random() < 0.2:
            mesh = carton(rng, rng.uniform((0.05, 0.05, 0.02), (0.25, 0.2, 0.2)))
            radius = float(np.hypot(*mesh.size[:2])) / 2
        else:
            mesh = None
        if radius > min(a, b):
            continue
        x, y = (
            float(rng.uniform(radius - a, a - radius)),
            float(rng.uniform(radius - b, b - radius)),
        )
        share = 0.55 if touching else 0.9
        if any(np.hypot(x - p, y - q) < share * (radius + r) for p, q, r in laid):
            continue
        laid.append((x, y, radius))
        spot = (centre[0] + c * x - s * y, centre[1] + s * x + c * y, centre[2] + 0.001)
        if mesh is None:
            layout.put(found, spot, float(rng.uniform(0, 6.3)))
        else:
            layout.builder.add(mesh, spot, yaw=float(rng.uniform(0, 6.3)), name='box')


def _bins(layout: Layout, w: float, l: float) -> Place:  # noqa: E741
    """Open boxes with things in them, side by side, on the floor or raised."""
    rng = layout.rng
    level = float(rng.choice([0.0, rng.uniform(0.3, 1.0)]))
    a, b, deep = (
        float(rng.uniform(0.15, 0.4)),
        float(rng.uniform(0.12, 0.3)),
        float(rng.uniform(0.08, 0.4)),
    )
    thick = float(rng.uniform(0.005, 0.025))
    x, y = w / 2, l / 2
    colour = rng.uniform(0.02, 0.8, 3)
    if rng.random() < 0.3:
        colour = np.array([0.45, 0.3, 0.17])
    material = Material(tuple(float(c) for c in colour), shine=float(rng.uniform(0, 0.2)))
    if level > 0:
        stand, metres = layout.covering(('planks', 'concrete', 'plaster'))
        layout.builder.add(
            box(
                (x - 3 * a - 0.1, y - b - 0.2, level - 0.05),
                (x + 3 * a + 0.1, y + b + 0.2, level),
                stand,
                metres=metres,
            ),
            name='table',
        )
    layout.taken.append((x - 3.2 * a, y - b - 0.2, x + 3.2 * a, y + b + 0.2))
    targets = []
    for column in (-1, 0, 1):
        if column and rng.random() < 0.4:
            continue
        cx = x + column * (2 * a + 2 * thick + 0.02)
        walls = [
            ((-a - thick, -b - thick, 0), (a + thick, b + thick, thick)),
            ((-a - thick, -b - thick, 0), (a + thick, -b, deep)),
            ((-a - thick, b, 0), (a + thick, b + thick, deep)),
            ((-a - thick, -b, 0), (-a, b, deep)),
            ((a, -b, 0), (a + thick, b, deep)),
        ]
        for low, high in walls:
            layout.builder.add(box(low, high, material), (cx, y, level), name='bin')
        _strew(
            layout,
            _things(layout),
            (cx, y, level + thick),
            0.0,
            a,
            b,
            int(rng.integers(2, 25)),
            touching=True,
        )
        targets.append((cx, y, level + deep * 0.3))
    return targets, 'bin'


def _shelf(layout: Layout, w: float, l: float) -> Place:  # noqa: E741
    rng = layout.rng
    length, depth, height = (
        float(rng.uniform(0.8, 2)),
        float(rng.uniform(0.25, 0.6)),
        float(rng.uniform(1, 2)),
    )
    yaw = float(rng.integers(4) * np.pi / 2)
    x, y = w / 2, l / 2
    layout.taken.append((x - 1, y - 1, x + 1, y + 1))
    rack(layout, (x, y), yaw, min(length, min(w, l) - 0.4), depth, height)
    front = np.array([np.sin(yaw), -np.cos(yaw), 0]) * depth * 0.3
    targets = [np.array([x, y, z]) + front for z in np.arange(0.3, height, 0.25)]
    return targets, 'shelf'


def _floor(layout: Layout, w: float, l: float) -> Place:  # noqa: E741
    rng = layout.rng
    x, y = w / 2, l / 2
    things = _things(layout) + layout.library.role('floor')
    _strew(
        layout,
        things,
        (x, y, 0),
        0.0,
        min(1.2, w / 2 - 0.1),
        min(1.2, l / 2 - 0.1),
        int(rng.integers(4, 20)),
    )
    targets = [(x + rng.uniform(-0.6, 0.6), y + rng.uniform(-0.6, 0.6), 0.05) for _ in range(6)]
    return targets, 'floor'
