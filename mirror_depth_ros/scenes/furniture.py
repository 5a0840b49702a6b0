"""Things that stand in rooms and streets, in their real sizes.

Every builder takes a random generator and a place on the ground and returns a :class:`Thing`.
Sizes are metres; natural spread comes from the generator.
"""

from __future__ import annotations

import math

import numpy as np

from mirror_depth_ros.scenes.palette import COLOURS, SKINS, WOODS, pick_colour, shade
from mirror_depth_ros.scenes.solids import Shape, Solid, Surface, Texture, Thing, Vector


class Assembly:
    """Collects solids given in a thing's own frame: x to its front, origin on the ground."""

    def __init__(self, x: float, y: float, yaw: float) -> None:
        self._x, self._y, self._yaw = x, y, yaw
        self._solids: list[Solid] = []

    def add(self, shape: Shape, centre: Vector, size: Vector, surface: Surface) -> None:
        """Add a solid by its centre and full size in the thing's frame [m]."""
        c, s = math.cos(self._yaw), math.sin(self._yaw)
        x, y, z = centre
        world = (self._x + c * x - s * y, self._y + s * x + c * y, z)
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        self._solids.append(Solid(shape, world, half, surface, self._yaw))

    def build(self, name: str, colour: str = '') -> Thing:
        """Return the finished thing."""
        return Thing(name, colour, tuple(self._solids))


def _wood(rng: np.random.Generator) -> Surface:
    base = WOODS[rng.integers(len(WOODS))]
    dark = (base[0] * 0.55, base[1] * 0.5, base[2] * 0.5)
    return Surface(shade(rng, base), dark, Texture.WOOD, rng.uniform(0.3, 0.8))


def _cloth(rng: np.random.Generator, colour: Vector) -> Surface:
    texture = Texture(rng.choice([Texture.PLAIN, Texture.NOISE, Texture.STRIPES]))
    second = (colour[0] * 0.6, colour[1] * 0.6, colour[2] * 0.6)
    return Surface(colour, second, texture, rng.uniform(0.05, 0.3))


def _legs(a: Assembly, size: Vector, thickness: float, surface: Surface) -> None:
    """Four legs under a slab of the given length, width and height."""
    dx, dy = size[0] / 2 - thickness, size[1] / 2 - thickness
    for x, y in ((dx, dy), (dx, -dy), (-dx, dy), (-dx, -dy)):
        a.add(Shape.BOX, (x, y, size[2] / 2), (thickness, thickness, size[2]), surface)


def table(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A table about 0.75 m high, often with something on it."""
    a, wood = Assembly(x, y, yaw), _wood(rng)
    length, width = rng.uniform(0.7, 1.1), rng.uniform(0.9, 1.9)
    height = rng.normal(0.75, 0.02)
    a.add(Shape.BOX, (0, 0, height - 0.02), (length, width, 0.04), wood)
    _legs(a, (length, width, height - 0.04), 0.06, wood)
    for _ in range(rng.integers(0, 4)):
        _trinket(rng, a, rng.uniform(-0.3, 0.3) * length, rng.uniform(-0.4, 0.4) * width, height)
    return a.build('table', 'brown')


def _trinket(rng: np.random.Generator, a: Assembly, x: float, y: float, z: float) -> None:
    """A book, a mug or a ball."""
    _, colour = pick_colour(rng)
    surface = Surface(colour, texture=Texture.PLAIN)
    size = rng.uniform(0.07, 0.22)
    shape = Shape(rng.choice([Shape.BOX, Shape.CYLINDER, Shape.ELLIPSOID]))
    height = size * rng.uniform(0.3, 1.3) if shape != Shape.ELLIPSOID else size
    a.add(shape, (x, y, z + height / 2), (size, size, height), surface)


def chair(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A chair: seat at 0.45 m, back to 0.9 m."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    surface, seat = _cloth(rng, colour), rng.normal(0.45, 0.015)
    width = rng.uniform(0.4, 0.5)
    a.add(Shape.BOX, (0, 0, seat - 0.02), (width, width, 0.05), surface)
    a.add(Shape.BOX, (-width / 2, 0, seat + 0.22), (0.04, width, 0.45), surface)
    _legs(a, (width, width, seat - 0.04), 0.04, _wood(rng))
    return a.build('chair', name)


def sofa(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A sofa: seat at 0.42 m, back to 0.85 m."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    cloth, width = _cloth(rng, colour), rng.uniform(1.3, 2.3)
    seat, back = rng.normal(0.42, 0.02), rng.normal(0.85, 0.04)
    a.add(Shape.BOX, (0, 0, seat / 2), (0.85, width, seat), cloth)
    a.add(Shape.BOX, (-0.35, 0, back / 2), (0.2, width, back), cloth)
    for side in (-1, 1):
        a.add(Shape.BOX, (0, side * width / 2, 0.3), (0.85, 0.18, 0.6), cloth)
    return a.build('sofa', name)


def shelf(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """An open shelf against a wall, with things on its boards."""
    a, wood = Assembly(x, y, yaw), _wood(rng)
    depth, width, height = rng.uniform(0.25, 0.4), rng.uniform(0.7, 1.4), rng.uniform(1.2, 2.1)
    a.add(Shape.BOX, (-depth / 2, 0, height / 2), (0.02, width, height), wood)
    for side in (-1, 1):
        a.add(Shape.BOX, (0, side * width / 2, height / 2), (depth, 0.03, height), wood)
    boards = int(rng.integers(3, 6))
    for z in np.linspace(0.08, height, boards):
        a.add(Shape.BOX, (0, 0, float(z)), (depth, width, 0.03), wood)
    for z in np.linspace(0.08, height, boards)[:-1]:
        _trinket(rng, a, 0.0, rng.uniform(-0.35, 0.35) * width, float(z) + 0.015)
    return a.build('shelf', 'brown')


def cabinet(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A closed box: cupboard, fridge or drawers."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng, ('white', 'grey', 'brown', 'beige', 'black'))
    depth, width, height = rng.uniform(0.4, 0.65), rng.uniform(0.5, 1.3), rng.uniform(0.6, 2.0)
    a.add(Shape.BOX, (0, 0, height / 2), (depth, width, height), Surface(colour, period=0.6))
    return a.build('cabinet', name)


def cardboard_box(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A box on the floor."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    size = rng.uniform(0.2, 0.6, 3).tolist()
    surface = Surface(colour, shade(rng, colour, 0.5), Texture.PLAIN, 0.4)
    a.add(Shape.BOX, (0, 0, size[2] / 2), (size[0], size[1], size[2]), surface)
    return a.build('box', name)


def lamp(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A standing lamp."""
    a = Assembly(x, y, yaw)
    height = rng.uniform(1.3, 1.8)
    metal = Surface(COLOURS['black'])
    a.add(Shape.CYLINDER, (0, 0, height / 2), (0.03, 0.03, height), metal)
    a.add(Shape.CYLINDER, (0, 0, 0.015), (0.3, 0.3, 0.03), metal)
    a.add(Shape.CYLINDER, (0, 0, height), (0.35, 0.35, 0.3), Surface((0.95, 0.9, 0.75)))
    return a.build('lamp', 'white')


def plant(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A plant in a pot."""
    a = Assembly(x, y, yaw)
    pot, height = rng.uniform(0.25, 0.4), rng.uniform(0.5, 1.4)
    a.add(Shape.CYLINDER, (0, 0, pot / 2), (pot, pot, pot), Surface(pick_colour(rng)[1]))
    leaves = Surface(shade(rng, COLOURS['green'], 0.4), (0.02, 0.1, 0.03), Texture.NOISE, 0.3)
    a.add(Shape.CYLINDER, (0, 0, pot + height / 4), (0.04, 0.04, height / 2), leaves)
    a.add(Shape.ELLIPSOID, (0, 0, pot + height * 0.6), (0.5, 0.5, height * 0.8), leaves)
    return a.build('plant', 'green')


def person(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A standing person of 1.5 to 1.9 m."""
    a = Assembly(x, y, yaw)
    height = float(np.clip(rng.normal(1.70, 0.09), 1.5, 1.9))
    skin = Surface(shade(rng, SKINS[rng.integers(len(SKINS))]))
    name, shirt_colour = pick_colour(rng)
    shirt, trousers = _cloth(rng, shirt_colour), Surface(pick_colour(rng)[1])
    leg, torso, head = 0.47 * height, 0.35 * height, 0.125 * height
    for side in (-1, 1):
        step = rng.uniform(-0.12, 0.12)
        a.add(Shape.CYLINDER, (step, side * 0.1, leg / 2), (0.16, 0.15, leg), trousers)
        a.add(Shape.ELLIPSOID, (step, side * 0.25, leg + 0.1), (0.11, 0.1, 0.65), shirt)
    a.add(Shape.ELLIPSOID, (0, 0, leg + torso / 2), (0.28, 0.44, torso * 1.25), shirt)
    a.add(Shape.ELLIPSOID, (0, 0, height - head), (0.19, 0.16, 2 * head), skin)
    return a.build('person', name)


def car(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A car about 4.5 m long, or a van."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    paint, glass = Surface(colour, period=2.0), Surface((0.03, 0.04, 0.05), period=2.0)
    is_van = rng.random() < 0.25
    length = rng.normal(5.2 if is_van else 4.4, 0.25)
    width = rng.normal(1.95 if is_van else 1.8, 0.05)
    height = rng.normal(2.1 if is_van else 1.5, 0.07)
    body = height * (0.95 if is_van else 0.6)
    a.add(Shape.BOX, (0, 0, (body + 0.25) / 2), (length, width, body - 0.25), paint)
    if is_van:
        a.add(Shape.BOX, (length / 2, 0, body * 0.72), (0.06, width * 0.9, body * 0.35), glass)
    else:
        cabin = (-0.05 * length, 0.0, (body + height) / 2)
        a.add(Shape.BOX, cabin, (0.5 * length, width * 0.85, height - body), glass)
        a.add(Shape.BOX, (cabin[0], 0, height), (0.45 * length, width * 0.82, 0.06), paint)
    tyre = Surface((0.02, 0.02, 0.02))
    for fx in (-0.31, 0.31):
        for side in (-1, 1):
            wheel = (fx * length, side * (width / 2 - 0.1), 0.32)
            a.add(Shape.ELLIPSOID, wheel, (0.64, 0.26, 0.64), tyre)
    return a.build('van' if is_van else 'car', name)


def tree(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A tree of 4 to 9 m."""
    a, height = Assembly(x, y, yaw), rng.uniform(4.0, 9.0)
    trunk = rng.uniform(0.2, 0.5)
    bark = Surface((0.12, 0.08, 0.05), (0.05, 0.03, 0.02), Texture.NOISE, 0.4)
    leaves = Surface(shade(rng, COLOURS['green'], 0.4), (0.02, 0.09, 0.02), Texture.NOISE, 1.5)
    a.add(Shape.CYLINDER, (0, 0, height * 0.3), (trunk, trunk, height * 0.6), bark)
    crown = rng.uniform(0.4, 0.65) * height
    a.add(Shape.ELLIPSOID, (0, 0, height * 0.68), (crown, crown, height * 0.65), leaves)
    return a.build('tree', 'green')


def pole(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A street lamp's pole, or a sign on a shorter one."""
    a = Assembly(x, y, yaw)
    grey = Surface(shade(rng, COLOURS['grey']))
    if rng.random() < 0.5:
        height = rng.uniform(5.0, 8.0)
        a.add(Shape.CYLINDER, (0, 0, height / 2), (0.16, 0.16, height), grey)
        a.add(Shape.BOX, (0.5, 0, height), (1.2, 0.15, 0.1), grey)
        return a.build('pole', 'grey')
    name, colour = pick_colour(rng, ('red', 'blue', 'yellow', 'white'))
    a.add(Shape.CYLINDER, (0, 0, 1.15), (0.07, 0.07, 2.3), grey)
    a.add(Shape.BOX, (0.05, 0, 2.3), (0.03, 0.6, 0.6), Surface(colour))
    return a.build('sign', name)
