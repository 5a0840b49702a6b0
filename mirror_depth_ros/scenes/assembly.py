"""Putting things together from solids, and the materials they share."""

from __future__ import annotations

import math

import numpy as np

from mirror_depth_ros.scenes.palette import WOODS, shade
from mirror_depth_ros.scenes.solids import Shape, Solid, Surface, Texture, Thing, Vector


class Assembly:
    """Collects solids given in a thing's own frame: x to its front, origin on the ground."""

    def __init__(self, x: float, y: float, yaw: float) -> None:
        self._x, self._y, self._yaw = x, y, yaw
        self._solids: list[Solid] = []

    def add(
        self, shape: Shape, centre: Vector, size: Vector, surface: Surface, *, yaw: float = 0.0
    ) -> None:
        """Add a solid by its centre and full size in the thing's frame [m].

        :param yaw: turns the solid about its own centre [rad].
        """
        x, y = self.place(centre[0], centre[1])
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        self._solids.append(Solid(shape, (x, y, centre[2]), half, surface, self._yaw + yaw))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the thing's frame lies in the world."""
        c, s = math.cos(self._yaw), math.sin(self._yaw)
        return self._x + c * x - s * y, self._y + s * x + c * y

    def build(self, name: str, colour: str = '') -> Thing:
        """Return the finished thing."""
        return Thing(name, colour, tuple(self._solids))


def wood(rng: np.random.Generator) -> Surface:
    """Wooden furniture: grain in boards about a hand wide."""
    base = WOODS[rng.integers(len(WOODS))]
    dark = (base[0] * 0.55, base[1] * 0.5, base[2] * 0.5)
    return Surface(shade(rng, base), dark, Texture.WOOD, rng.uniform(0.3, 0.8))


def cloth(rng: np.random.Generator, colour: Vector) -> Surface:
    """Woven, striped or plain cloth of a colour."""
    texture = Texture(
        rng.choice([Texture.PLAIN, Texture.CLOTH, Texture.CLOTH, Texture.NOISE, Texture.STRIPES])
    )
    second = (colour[0] * 0.6, colour[1] * 0.6, colour[2] * 0.6)
    return Surface(colour, second, texture, rng.uniform(0.05, 0.3))
