"""Kinds of rooms: how large they are and what stands in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
CHANCES = np.array([18, 15, 12, 10, 5, 13, 5, 8, 6, 12]) / 104
