"""Rooms: floor, walls, windows, doors and light; furniture.py furnishes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from research.scenes.assembly import Light, Scene, SceneBuilder, Sky
from research.scenes.furniture import along_walls, on_floor, on_walls, people, racks, rugs, tables
from research.scenes.layout import Layout, Rectangle, wall_place
from research.scenes.library import Library
from research.scenes.mesh import Material, box, quad
from research.scenes.room_kinds import CHANCES, ROOMS, RoomKind
from research.scenes.textures import outside


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
    kind = ROOMS[int(rng.choice(len(ROOMS), p=CHANCES))]
    width, length, height = (
        float(rng.uniform(*r)) for r in (kind.width, kind.length, kind.height)
    )
    layout = Layout(SceneBuilder(), library, rng)
    floor = (0.0, 0.0, width, length)
    shell(layout, kind, width, length, height)
    doors_and_windows(layout, width, length, height)
    rugs(layout, floor)
    if kind.name == 'warehouse' or (kind.name in ('laboratory', 'closet') and rng.random() < 0.5):
        racks(layout, floor, height)
    tables(layout, kind, floor)
    along_walls(layout, kind, width, length)
    on_walls(layout, width, length)
    on_floor(layout, kind, floor)
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
