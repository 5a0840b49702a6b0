"""What stands in a room: tables, chairs, things at walls, racks, people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from research.scenes.layout import Layout, Rectangle, wall_place
from research.scenes.mesh import Material, Mesh, box
from research.scenes.room_kinds import RoomKind


def rugs(layout: Layout, floor: Rectangle) -> None:
    """Lay rugs on the floor."""
    if layout.rng.random() < 0.35:
        found = layout.pick(layout.library.role('rug'))
        if found is not None:
            x, y = layout.rng.uniform(
                (floor[0] + 1, floor[1] + 1), (max(floor[2] - 1, 1.01), max(floor[3] - 1, 1.01))
            )
            layout.put(found, (x, y, 0.002), layout.any_yaw())


def tables(layout: Layout, kind: RoomKind, floor: Rectangle) -> None:
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


def _chairs(
    layout: Layout, low: NDArray[np.float64], high: NDArray[np.float64], floor: Rectangle
) -> None:
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


def on_floor(layout: Layout, kind: RoomKind, floor: Rectangle) -> None:
    """Stand things about on the floor."""
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


def racks(layout: Layout, floor: Rectangle, height: float) -> None:
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
