"""Rooms: walls, windows, doors, furniture at walls and free, lamps, people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from research.scenes.assembly import Light, Scene, SceneBuilder, Sky
from research.scenes.layout import Layout, Rectangle
from research.scenes.library import Library
from research.scenes.mesh import Material, Mesh, box, quad
from research.scenes.textures import outside


@dataclass(frozen=True)
class RoomKind:
    """What a sort of room is like."""

    name: str
    #: Ranges of width, length and height [m].
    width: tuple[float, float]
    length: tuple[float, float]
    height: tuple[float, float]
    #: Categories of the catalogue whose furniture stands at its walls.
    categories: tuple[str, ...]
    #: Furniture at the walls, for each metre of wall.
    at_walls: float
    #: Groups of tables with chairs, for each ten square metres.
    tables: float
    #: Things on the floor, for each ten square metres.
    on_floor: float
    people: float
    floors: tuple[str, ...] = ('planks', 'tiles', 'carpet', 'concrete')
    walls: tuple[str, ...] = ('plaster', 'plaster', 'plaster', 'brick', 'concrete', 'tiles')


_HOME = ('Living room', 'Bedroom', 'Office', 'Miscellaneous')
ROOMS = (
    RoomKind('office', (3, 9), (3, 9), (2.4, 3.2), ('Office', 'Living room'), 0.35, 1.3, 1.5, 1.0),
    RoomKind('living room', (3, 7), (3.5, 8), (2.3, 3), _HOME, 0.4, 0.6, 1.5, 0.7),
    RoomKind(
        'bedroom', (2.4, 5), (2.6, 5.5), (2.3, 2.8), ('Bedroom', 'Living room'), 0.4, 0.3, 2.5, 0.3
    ),
    RoomKind('kitchen', (2, 5), (2.5, 6), (2.3, 2.9), ('Kitchen',), 0.9, 0.5, 0.8, 0.4),
    RoomKind(
        'bathroom',
        (1.6, 3.5),
        (2, 4),
        (2.3, 2.8),
        ('Bathroom',),
        0.7,
        0.0,
        1.0,
        0.1,
        ('tiles',),
        ('tiles', 'plaster'),
    ),
    RoomKind(
        'corridor', (1.3, 2.6), (5, 16), (2.3, 3.2), ('Office', 'Living room'), 0.08, 0.0, 0.5, 0.8
    ),
    RoomKind('closet', (1.5, 2.5), (1.5, 3), (2.2, 2.8), _HOME, 0.6, 0.0, 4.0, 0.1),
    RoomKind('hall', (8, 20), (8, 25), (3, 7), ('Living room', 'Office'), 0.12, 0.35, 0.3, 2.5),
    RoomKind(
        'warehouse',
        (10, 30),
        (12, 35),
        (4, 9),
        ('Miscellaneous', 'Office'),
        0.1,
        0.05,
        0.6,
        1.5,
        ('concrete', 'asphalt'),
        ('concrete', 'plaster', 'brick'),
    ),
    RoomKind(
        'laboratory', (5, 10), (5, 12), (2.6, 3.6), ('Office', 'Miscellaneous'), 0.3, 0.9, 1.2, 0.8
    ),
)
_CHANCES = np.array([18, 15, 12, 10, 5, 13, 5, 8, 6, 12]) / 104


@dataclass(frozen=True)
class Room:
    """A furnished room."""

    scene: Scene
    kind: RoomKind
    #: The floor: x0, y0, x1, y1 [m].
    floor: Rectangle
    height: float


def make_room(library: Library, rng: np.random.Generator) -> Room:
    """Return a random room, furnished and lit."""
    kind = ROOMS[int(rng.choice(len(ROOMS), p=_CHANCES))]
    width, length, height = (
        float(rng.uniform(*r)) for r in (kind.width, kind.length, kind.height)
    )
    layout = Layout(SceneBuilder(), library, rng)
    floor = (0.0, 0.0, width, length)
    shell(layout, kind, width, length, height)
    doors_and_windows(layout, width, length, height)
    _rugs(layout, floor)
    if kind.name == 'warehouse' or (kind.name in ('laboratory', 'closet') and rng.random() < 0.5):
        _racks(layout, floor, height)
    _tables(layout, kind, floor)
    along_walls(layout, kind, width, length)
    on_walls(layout, width, length)
    _on_floor(layout, kind, floor)
    people(layout, floor, rng.poisson(kind.people))
    sky = light_room(layout, width, length, height)
    return Room(layout.builder.build(sky, kind.name), kind, floor, height)


def shell(layout: Layout, kind: RoomKind, w: float, long: float, h: float) -> None:
    """Add floor, ceiling, walls, skirting, columns and beams."""
    rng, add = layout.rng, layout.builder.add
    floor, floor_m = layout.covering(kind.floors)
    add(quad((0, 0, 0), (w, 0, 0), (0, long, 0), floor, metres=floor_m), name='floor')
    ceiling, ceiling_m = layout.covering(('plaster', 'panels', 'panels', 'concrete'))
    add(quad((0, long, h), (w, 0, 0), (0, -long, 0), ceiling, metres=ceiling_m), name='ceiling')
    wall, wall_m = layout.covering(kind.walls)
    other = layout.covering(kind.walls) if rng.random() < 0.35 else (wall, wall_m)
    odd = int(rng.integers(4))
    sides = [
        ((0, 0, 0), (w, 0, 0)),
        ((w, 0, 0), (0, long, 0)),
        ((w, long, 0), (-w, 0, 0)),
        ((0, long, 0), (0, -long, 0)),
    ]
    for i, (corner, along) in enumerate(sides):
        material, metres = other if i == odd else (wall, wall_m)
        add(quad(corner, along, (0, 0, h), material, metres=metres), name='wall')
    if rng.random() < 0.6:
        tone = tuple(
            float(c) for c in np.full(3, rng.uniform(0.05, 0.85)) * rng.uniform(0.9, 1, 3)
        )
        s, up = 0.015, float(rng.uniform(0.05, 0.14))
        for low, high in (
            ((0, 0), (w, s)),
            ((0, long - s), (w, long)),
            ((0, 0), (s, long)),
            ((w - s, 0), (w, long)),
        ):
            add(box((*low, 0), (*high, up), Material(tone)), name='skirting')
    if min(w, long) > 5 and rng.random() < 0.5:
        side = float(rng.uniform(0.25, 0.6))
        for x in np.arange(w / 3, w - 1, max(3.5, w / 3)):
            for y in np.arange(long / 3, long - 1, max(4, long / 3)):
                add(box((x, y, 0), (x + side, y + side, h), wall, metres=wall_m), name='column')
                layout.taken.append((x, y, x + side, y + side))
    elif rng.random() < 0.25 and w > 2.4:  # a protruding corner
        a, b = float(rng.uniform(0.3, 0.35 * w)), float(rng.uniform(0.3, 0.35 * long))
        add(box((0, 0, 0), (a, b, h), wall, metres=wall_m), name='wall')
        layout.taken.append((0, 0, a, b))


def wall_place(
    side: int, along: float, w: float, long: float, off: float
) -> tuple[float, float, float]:
    """Return x, y and yaw of something with its back to a wall, ``off`` before it."""
    if side == 0:
        return along, off, np.pi
    if side == 1:
        return w - off, along, -np.pi / 2
    if side == 2:
        return along, long - off, 0.0
    return off, along, np.pi / 2


def doors_and_windows(layout: Layout, w: float, long: float, h: float) -> None:
    """Put doors and windows into the walls."""
    rng, library = layout.rng, layout.library
    placed: list[tuple[int, float, float]] = []
    for role, count in (
        ('door', rng.integers(1, 2 + int(max(w, long) / 5))),
        ('window', rng.integers(0, 2 + int(max(w, long) / 4))),
    ):
        for _ in range(count):
            found = layout.pick(library.role(role))
            side = int(rng.integers(4))
            span = w if side % 2 == 0 else long
            if found is None or found[1].size[0] > span - 0.2 or found[1].size[2] > h - 0.05:
                continue
            entry, mesh = found
            half = float(mesh.size[0]) / 2
            along = float(rng.uniform(half + 0.05, span - half - 0.05))
            if any(s == side and abs(a - along) < half + b for s, a, b in placed):
                continue
            placed.append((side, along, half))
            level = min(max(entry.elevation, 0.0), h - float(mesh.size[2]) - 0.02)
            if role == 'window' and entry.elevation < 0.1 and mesh.size[2] < 1.7:
                level = min(0.9, h - float(mesh.size[2]) - 0.02)
            x, y, yaw = wall_place(side, along, w, long, float(mesh.size[1]) * 0.1)
            layout.put(found, (x, y, level), yaw)
            if role == 'door':
                depth = 0.9
                x, y, _ = wall_place(side, along, w, long, depth / 2)
                half_x, half_y = (half, depth / 2) if side % 2 == 0 else (depth / 2, half)
                layout.taken.append((x - half_x, y - half_y, x + half_x, y + half_y))
            else:
                _pane(layout, side, along, half, level, float(mesh.size[2]), w, long)


def _pane(
    layout: Layout,
    side: int,
    along: float,
    half: float,
    level: float,
    height: float,
    w: float,
    long: float,
) -> None:
    """Add the bright picture of outdoors in a window, and its light."""
    x, y, yaw = wall_place(side, along, w, long, 0.004)
    half, low, high = half * 0.96, level + 0.02 * height, 0.96 * height
    c, s = np.cos(yaw), np.sin(yaw)
    pane = quad(
        (-half, 0, low), (2 * half, 0, 0), (0, 0, high), outside(layout.rng), metres=2 * half
    )
    layout.builder.add(pane, (x, y, 0), yaw=yaw, name='window')
    inward = np.array([s, -c, 0.0])
    strength = layout.rng.uniform(1.0, 5) * half * height
    centre = np.array([x, y, level + height / 2]) + inward * 0.35
    if not layout.builder.lights:
        layout.builder.lights.append(
            Light(centre, strength * np.array([0.9, 0.97, 1.1]), radius=float(min(half, 0.25)))
        )


def _rugs(layout: Layout, floor: Rectangle) -> None:
    if layout.rng.random() < 0.35:
        found = layout.pick(layout.library.role('rug'))
        if found is not None:
            x, y = layout.rng.uniform(
                (floor[0] + 1, floor[1] + 1), (max(floor[2] - 1, 1.01), max(floor[3] - 1, 1.01))
            )
            layout.put(found, (x, y, 0.002), layout.any_yaw())


def _tables(layout: Layout, kind: RoomKind, floor: Rectangle) -> None:
    """Add tables with chairs around them and things on them."""
    rng, library = layout.rng, layout.library
    area = (floor[2] - floor[0]) * (floor[3] - floor[1])
    small = library.role('small')
    for _ in range(rng.poisson(min(1.3 * kind.tables * area / 10, 10))):
        found = layout.pick(library.role('table'))
        if found is None:
            return
        thing = layout.scatter(
            found, (floor[0] + 0.3, floor[1] + 0.3, floor[2] - 0.3, floor[3] - 0.3)
        )
        if thing is None:
            continue
        layout.lay_on(found[1], thing.position, thing.yaw, small, int(rng.integers(0, 9)))
        _chairs(layout, thing.low, thing.high, floor)


def _chairs(layout: Layout, low, high, floor: Rectangle) -> None:
    rng = layout.rng
    found = layout.pick(layout.library.role('seat'))
    if found is None:
        return
    for side in rng.permutation(4)[: int(rng.integers(0, 5))]:
        if rng.random() < 0.15:
            found = layout.pick(layout.library.role('seat')) or found
        depth = float(found[1].size[1])
        off = depth * float(rng.uniform(0.35, 0.7))
        x, y = (low[:2] + high[:2]) / 2 + rng.normal(0, 0.08, 2)
        if side == 0:
            place, yaw = (x, low[1] - off), np.pi
        elif side == 1:
            place, yaw = (high[0] + off, y), -np.pi / 2
        elif side == 2:
            place, yaw = (x, high[1] + off), 0.0
        else:
            place, yaw = (low[0] - off, y), np.pi / 2
        if not (
            floor[0] + 0.3 < place[0] < floor[2] - 0.3
            and floor[1] + 0.3 < place[1] < floor[3] - 0.3
        ):
            continue
        layout.put(found, (*place, 0), yaw + float(rng.normal(0, 0.2)))
        layout.taken.append((place[0] - 0.25, place[1] - 0.25, place[0] + 0.25, place[1] + 0.25))


def along_walls(layout: Layout, kind: RoomKind, w: float, long: float) -> None:
    """Stand furniture with its back to the walls."""
    rng, library = layout.rng, layout.library
    entries = [
        e
        for role in ('wall', 'sofa', 'bed')
        for e in library.role(role)
        if e.category in kind.categories
    ]
    entries += [e for e in library.role('table') if e.category in kind.categories]
    small = library.role('small')
    for _ in range(rng.poisson(min(1.6 * kind.at_walls * 2 * (w + long), 26))):
        found = layout.pick(entries)
        if found is None:
            return
        side = int(rng.integers(4))
        span = w if side % 2 == 0 else long
        width, depth = float(found[1].size[0]), float(found[1].size[1])
        if width > span - 0.1:
            continue
        along = float(rng.uniform(width / 2 + 0.03, span - width / 2 - 0.03))
        x, y, yaw = wall_place(side, along, w, long, depth / 2 + float(rng.uniform(0.02, 0.1)))
        thing = layout.try_put(found, (x, y), yaw, within=(0, 0, w, long), gap=0.0)
        if thing is not None and found[0].top is not None and rng.random() < 0.6:
            layout.lay_on(found[1], (x, y, 0), yaw, small, int(rng.integers(1, 6)))


def on_walls(layout: Layout, w: float, long: float) -> None:
    """Hang things on the walls."""
    rng, library = layout.rng, layout.library
    for _ in range(rng.integers(0, 9)):
        found = layout.pick(library.role('on_wall'))
        if found is None:
            return
        entry, mesh = found
        side = int(rng.integers(4))
        span = w if side % 2 == 0 else long
        half = float(mesh.size[0]) / 2
        if span < 2 * half + 0.2:
            continue
        level = entry.elevation or float(rng.uniform(1.1, 1.8))
        x, y, yaw = wall_place(
            side,
            float(rng.uniform(half + 0.1, span - half - 0.1)),
            w,
            long,
            float(mesh.size[1]) / 2 + 0.003,
        )
        layout.put(found, (x, y, level), yaw)


def _on_floor(layout: Layout, kind: RoomKind, floor: Rectangle) -> None:
    rng, library = layout.rng, layout.library
    area = (floor[2] - floor[0]) * (floor[3] - floor[1])
    entries = library.role('floor')
    loose = (
        library.role('floor')
        + library.role('small')
        + library.role('seat')
        + library.role('animal')
    )
    for _ in range(rng.poisson(min(1.5 * kind.on_floor * area / 10 + 2, 18))):
        layout.scatter(layout.pick(loose if rng.random() < 0.5 else entries), floor)


def people(layout: Layout, floor: Rectangle, count: int) -> None:
    """Let people stand about, a few sit."""
    for _ in range(min(int(count), 6)):
        role = 'standing' if layout.rng.random() < 0.8 else 'sitting'
        found = layout.pick(layout.library.role(role))
        if found is not None:
            layout.scatter(found, floor)


def _racks(layout: Layout, floor: Rectangle, height: float) -> None:
    """Add rows of shelves of boards and posts, with boxes and other things on them."""
    rng = layout.rng
    for _ in range(int(rng.integers(1, 9))):
        length, depth = float(rng.uniform(0.8, 3.2)), float(rng.uniform(0.3, 1.0))
        yaw = float(rng.integers(2) * np.pi / 2)
        sx, sy = (length, depth) if yaw == 0 else (depth, length)
        if floor[2] - floor[0] < sx + 0.2 or floor[3] - floor[1] < sy + 0.2:
            continue
        x = float(rng.uniform(floor[0] + sx / 2, floor[2] - sx / 2))
        y = float(rng.uniform(floor[1] + sy / 2, floor[3] - sy / 2))
        own = (x - sx / 2, y - sy / 2, x + sx / 2, y + sy / 2)
        if layout.free(own):
            layout.taken.append(own)
            rack(layout, (x, y), yaw, length, depth, min(float(rng.uniform(1.2, 4)), height - 0.3))


def rack(
    layout: Layout,
    place: tuple[float, float],
    yaw: float,
    length: float,
    depth: float,
    height: float,
) -> None:
    """Add one shelf of boards with things on every board."""
    rng = layout.rng
    tone = tuple(float(c) for c in rng.uniform(0.03, 0.7, 3) * 0.5 + rng.uniform(0.0, 0.4))
    board, post = Material(tone), Material(tuple(c * 0.7 for c in tone), shine=0.2)
    parts, levels = [], np.arange(0.08, height - 0.1, float(rng.uniform(0.3, 0.6)))
    a, b = length / 2, depth / 2
    for px in (-a, a - 0.04):
        for py in (-b, b - 0.04):
            parts.append(box((px, py, 0), (px + 0.04, py + 0.04, height), post))
    if rng.random() < 0.4:
        parts.append(box((-a, b - 0.01, 0), (a, b, height), board))
    for level in levels:
        parts.append(box((-a, -b, level - 0.02), (a, b, level), board))
    for part in parts:
        layout.builder.add(part, (*place, 0), yaw=yaw, name='shelf')
    entries = [e for e in layout.library.role('small') if e.size[2] < 0.4]
    c, s = np.cos(yaw), np.sin(yaw)
    for level in levels:
        x = -a + 0.05
        while x < a - 0.1 and layout.builder.triangles < layout.budget:
            turn = float(rng.normal(0, 0.15))
            if rng.random() < 0.5:
                size = rng.uniform((0.12, 0.15, 0.08), (0.4, max(depth * 0.8, 0.2), 0.28))
                found, mesh = None, carton(rng, size)
            else:
                found = layout.pick(entries)
                if found is None:
                    return
                mesh = found[1]
            width = float(mesh.size[0])
            if x + width > a - 0.03:
                break
            px, py = (
                x + width / 2,
                float(rng.uniform(-0.3, 0.1)) * max(depth - float(mesh.size[1]), 0),
            )
            spot = (place[0] + c * px - s * py, place[1] + s * px + c * py, float(level))
            if found is None:
                layout.builder.add(mesh, spot, yaw=yaw + turn, name='box')
            else:
                layout.put(found, spot, yaw + turn)
            x += width + float(rng.exponential(0.08)) + 0.01


def carton(rng: np.random.Generator, size: np.ndarray) -> Mesh:
    """Return a box of cardboard, or painted."""
    colour = np.array([0.5, 0.33, 0.18]) if rng.random() < 0.5 else rng.uniform(0.03, 0.8, 3)
    a, b, c = (float(v) for v in size)
    return box((-a / 2, -b / 2, 0), (a / 2, b / 2, c), Material(tuple(float(v) for v in colour)))


def light_room(layout: Layout, w: float, long: float, h: float) -> Sky:
    """Hang lamps and choose how much light comes from everywhere."""
    rng = layout.rng
    warm = np.array([1.0, rng.uniform(0.78, 1.0), rng.uniform(0.55, 1.0)])
    scale = np.sqrt(w * long)
    for _ in range(max(1, 2 - len(layout.builder.lights)) if rng.random() < 0.4 else 1):
        position = np.array(
            [w * rng.uniform(0.15, 0.85), long * rng.uniform(0.15, 0.85), h - 0.25]
        )
        power = rng.uniform(0.3, 1.2) * max(1.5, scale * 0.6 * h / 2.5) ** 2
        layout.builder.lights.append(
            Light(position, power * warm, radius=float(rng.uniform(0.02, 0.2)))
        )
        found = layout.pick(layout.library.role('lamp'))
        if found is not None and rng.random() < 0.7:
            layout.put(
                found,
                (position[0], position[1], h - float(found[1].size[2]) - 0.01),
                layout.any_yaw(),
            )
    ambient = rng.uniform(0.25, 0.9) * (0.5 * warm + 0.5)
    return Sky(
        zenith=np.ones(3),
        horizon=ambient * 1.2,
        above=ambient,
        below=ambient * rng.uniform(0.5, 0.9),
    )
