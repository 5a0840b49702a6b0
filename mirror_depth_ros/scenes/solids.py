"""What a scene is made of: solids, lights and a place for the camera.

World frame as in REP-103: x forward, y left, z up, in metres; the floor or road is ``z = 0``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]


class Shape(IntEnum):
    """Shapes that fill ``[-1, 1]^3`` before they are scaled, turned and moved."""

    BOX = 0
    ELLIPSOID = 1
    #: Round around the local z axis.
    CYLINDER = 2
    #: A box seen from inside: the walls, floor and ceiling of a room.
    SHELL = 3


class Texture(IntEnum):
    """Procedural surface patterns, in metres on the surface."""

    PLAIN = 0
    NOISE = 1
    TILES = 2
    BRICK = 3
    STRIPES = 4
    WOOD = 5
    WINDOWS = 6
    PLANKS = 7
    CLOTH = 8
    GRASS = 9
    ASPHALT = 10


@dataclass(frozen=True)
class Surface:
    """How a solid looks."""

    #: Linear RGB in 0..1.
    colour: Vector
    #: The pattern's second colour: joints, stripes, panes.
    second_colour: Vector = (0.5, 0.5, 0.5)
    texture: Texture = Texture.PLAIN
    #: Size of one repeat of the pattern [m].
    period: float = 0.3


@dataclass(frozen=True)
class Solid:
    """One shape with its size, place and surface."""

    shape: Shape
    #: Centre in the world [m].
    centre: Vector
    #: Half extents along the local axes [m].
    half_size: Vector
    surface: Surface
    #: Rotation about the vertical [rad].
    yaw: float = 0.0

    @property
    def rotation(self) -> NDArray[np.float64]:
        """Local axes as columns in the world, ``[3, 3]``."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Thing:
    """An object people have a word for: several solids that belong together."""

    #: What it is, in a caption's words: ``table``, ``person``, ``car``.
    name: str
    #: Colour in a caption's words, ``''`` when it has no telling one.
    colour: str
    solids: tuple[Solid, ...]


@dataclass(frozen=True)
class Light:
    """One lamp (with a position) or the sun (a direction), plus light from everywhere."""

    #: Position of a lamp [m], or direction towards the sun where ``is_sun``.
    position: Vector
    is_sun: bool
    #: Share of the light that comes from everywhere, 0..1.
    ambient: float
    #: Overall strength.
    gain: float


@dataclass(frozen=True)
class Pose:
    """A camera's place and direction in the world."""

    position: Vector
    #: About the vertical, 0 looks along x, positive to the left [rad].
    yaw: float
    #: Positive looks up [rad].
    pitch: float = 0.0
    #: Positive turns the camera clockwise [rad].
    roll: float = 0.0

    @property
    def rotation(self) -> NDArray[np.float64]:
        """Optical axes (x right, y down, z forward) as columns in the world, ``[3, 3]``."""
        cy, sy = math.cos(self.yaw), math.sin(self.yaw)
        cp, sp = math.cos(self.pitch), math.sin(self.pitch)
        forward = np.array([cy * cp, sy * cp, sp])
        right = np.array([sy, -cy, 0.0])
        down = np.cross(forward, right)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        return np.stack([cr * right + sr * down, cr * down - sr * right, forward], axis=1)


@dataclass(frozen=True)
class Scene:
    """A whole world, and where a camera may stand in it."""

    #: ``indoor`` or ``outdoor``.
    kind: str
    seed: int
    things: tuple[Thing, ...]
    light: Light
    #: Where the camera stands; nothing else is within :attr:`clearance` of it.
    pose: Pose
    hfov_deg: float
    #: Free radius around the camera [m].
    clearance: float
    #: The sky's colour, seen where no solid is.
    sky: Vector = (0.6, 0.75, 0.95)
    #: Words about the whole, for captions: ``small room with white walls``.
    summary: str = ''
    solids: tuple[Solid, ...] = field(init=False)
    #: Index into :attr:`things` for each entry of :attr:`solids`.
    thing_of_solid: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        pairs = [(i, solid) for i, thing in enumerate(self.things) for solid in thing.solids]
        object.__setattr__(self, 'solids', tuple(solid for _, solid in pairs))
        object.__setattr__(self, 'thing_of_solid', tuple(i for i, _ in pairs))
