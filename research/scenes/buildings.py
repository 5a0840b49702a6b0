"""Fronts of buildings with windows, doors, ledges and balconies that stand out or in."""

from __future__ import annotations

import numpy as np

from research.scenes.layout import Layout
from research.scenes.mesh import Material, Mesh, box, joined

_GLASS_COLOURS = ((0.02, 0.03, 0.04), (0.1, 0.13, 0.16), (0.25, 0.3, 0.35), (0.05, 0.05, 0.05))


def building_row(layout: Layout, side: int, distance: float, length: float) -> None:
    """Line one side of a street along x with buildings, a gap here and there.

    :param side: 1 = at +y, -1 = at -y.
    :param distance: of the fronts from the middle of the road [m].
    """
    rng = layout.rng
    x = -length * 0.8
    low = rng.random() < 0.4
    while x < length * 1.5:
        width = float(rng.uniform(6, 28))
        if rng.random() < 0.15:
            x += width * 0.7
            continue
        mesh = front(layout, width, int(rng.integers(1, 3 if low else 7)))
        near = distance + float(rng.exponential(0.6))
        layout.builder.add(
            mesh, (x + width / 2, side * near, 0), yaw=0.0 if side > 0 else np.pi, name='building'
        )
        _wall_or_fence(layout, x + width, side * near, side)
        x += width + (float(rng.uniform(1, 8)) if rng.random() < 0.3 else 0.0)


def front(layout: Layout, width: float, floors: int) -> Mesh:
    """Return a building, its front on y = 0 towards -y, ``width`` along x [m]."""
    rng = layout.rng
    wall, metres = layout.covering(('plaster', 'plaster', 'brick', 'concrete'))
    storey = float(rng.uniform(2.8, 4.2))
    height = storey * floors + float(rng.uniform(0.2, 1.2))
    deep = float(rng.uniform(0.08, 0.35))
    glass = Material(
        tuple(float(c) for c in _GLASS_COLOURS[int(rng.integers(4))]),
        shine=float(rng.uniform(0.3, 1)),
    )
    a = width / 2
    # The glass is one plane; walls stand before it, with holes where windows are.
    parts = [
        box((-a, deep, 0), (a, 10, height), glass),
        box((-a, 0.01, height - 0.05), (a, 10, height + 0.02), wall, metres=metres),
    ]
    if rng.random() < 0.15:  # a windowless hall
        parts.append(box((-a, 0, 0), (a, deep, height), wall, metres=metres))
    else:
        parts += _pierced(rng, a, floors, storey, height, deep, wall, metres)
    if rng.random() < 0.4:
        roof = Material(tuple(float(c) for c in rng.uniform(0.05, 0.4, 3)))
        parts.append(box((-a, -0.4, height), (a, 10, height + float(rng.uniform(0.2, 0.6))), roof))
    return joined(parts)


def _pierced(
    rng: np.random.Generator,
    a: float,
    floors: int,
    storey: float,
    height: float,
    deep: float,
    wall: Material,
    metres: float,
) -> list[Mesh]:
    """Return piers, parapets, a door on the ground floor and perhaps balconies."""
    bay = float(rng.uniform(1.6, 4))
    count = max(1, int(2 * a / bay))
    bay = 2 * a / count
    pier = bay * float(rng.uniform(0.25, 0.7))
    sill, head = float(rng.uniform(0.3, 1.1)), float(rng.uniform(0.3, 0.7))
    shop = bool(rng.random() < 0.4)
    parts = []
    for i in range(count + 1):
        middle = -a + i * bay
        low, high = max(-a, middle - pier / 2), min(a, middle + pier / 2)
        parts.append(box((low, 0, 0), (high, deep, height), wall, metres=metres))
    for floor in range(floors + 1):
        low = storey * floor - head if floor else 0.0
        high = min(storey * floor + sill, height) if floor < floors else height
        if floor == 0 and shop:
            high = 0.25
        parts.append(box((-a, 0.002, max(low, 0)), (a, deep, high), wall, metres=metres))
    frame = Material(tuple(float(c) for c in np.full(3, rng.uniform(0.1, 0.9))))
    door = Material(tuple(float(c) for c in rng.uniform(0.02, 0.5, 3)), shine=0.2)
    for _ in range(int(rng.integers(1, 3))):
        x = -a + bay * (int(rng.integers(count)) + 0.5)
        half = min(0.5 if rng.random() < 0.7 else 1.4, bay / 2)
        parts.append(box((x - half, deep * 0.5, 0), (x + half, deep + 0.01, 2.2), door))
    if rng.random() < 0.3:
        for floor in range(1, floors):
            for i in range(count):
                if rng.random() < 0.6:
                    x, z = -a + bay * (i + 0.5), storey * floor
                    w = bay * 0.42
                    parts.append(box((x - w, -1, z - 0.12), (x + w, 0, z), frame))
                    parts.append(box((x - w, -1, z + 0.9), (x + w, -0.95, z + 1), frame))
                    for bar in np.linspace(-w, w - 0.03, 6):
                        parts.append(
                            box((x + bar, -0.98, z), (x + bar + 0.03, -0.95, z + 0.95), frame)
                        )
    if shop and rng.random() < 0.7:
        colour = Material(tuple(float(c) for c in rng.uniform(0.02, 0.8, 3)))
        parts.append(
            box((-a + 0.3, -0.12, storey - head), (a - 0.3, 0, storey - head + 0.55), colour)
        )
    return parts


def _wall_or_fence(layout: Layout, x: float, y: float, side: int) -> None:
    rng = layout.rng
    if rng.random() > 0.25:
        return
    material, metres = layout.covering(('brick', 'concrete', 'planks'))
    high = float(rng.uniform(0.6, 2.4))
    layout.builder.add(
        box(
            (x, min(y, y + side * 0.2), 0),
            (x + 9, max(y, y + side * 0.2), high),
            material,
            metres=metres,
        ),
        name='wall',
    )
