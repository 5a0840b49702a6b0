"""Things that stand in rooms, in their real sizes.

Every builder takes a random generator, a place on the floor and a yaw, and returns a
:class:`Thing`. Sizes are metres; natural spread comes from the generator.
"""

from __future__ import annotations

import numpy as np

from mirror_depth_ros.scenes.assembly import Assembly, cloth, wood
from mirror_depth_ros.scenes.palette import COLOURS, pick_colour, shade
from mirror_depth_ros.scenes.solids import Shape, Surface, Texture, Thing, Vector


def _legs(a: Assembly, size: Vector, thickness: float, surface: Surface) -> None:
    """Four legs under a slab of the given length, width and height."""
    dx, dy = size[0] / 2 - thickness, size[1] / 2 - thickness
    for x, y in ((dx, dy), (dx, -dy), (-dx, dy), (-dx, -dy)):
        a.add(Shape.BOX, (x, y, size[2] / 2), (thickness, thickness, size[2]), surface)


def _trinket(rng: np.random.Generator, a: Assembly, x: float, y: float, z: float) -> None:
    """A box, a mug or a ball."""
    surface = Surface(pick_colour(rng)[1])
    size = rng.uniform(0.07, 0.22)
    shape = Shape(rng.choice([Shape.BOX, Shape.CYLINDER, Shape.ELLIPSOID]))
    height = size * rng.uniform(0.3, 1.3) if shape != Shape.ELLIPSOID else size
    a.add(shape, (x, y, z + height / 2), (size, size, height), surface)


def table(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A table about 0.75 m high, often with something on it."""
    a, surface = Assembly(x, y, yaw), wood(rng)
    length, width = rng.uniform(0.7, 1.1), rng.uniform(0.9, 1.9)
    height = rng.normal(0.75, 0.02)
    a.add(Shape.BOX, (0, 0, height - 0.02), (length, width, 0.04), surface)
    _legs(a, (length, width, height - 0.04), 0.06, surface)
    for _ in range(rng.integers(0, 4)):
        _trinket(rng, a, rng.uniform(-0.3, 0.3) * length, rng.uniform(-0.4, 0.4) * width, height)
    return a.build('table', 'brown')


def desk(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A desk of 0.73 m with a monitor and a keyboard, its back to the wall."""
    a, surface = Assembly(x, y, yaw), wood(rng)
    width, height = rng.uniform(1.0, 1.6), rng.normal(0.73, 0.02)
    a.add(Shape.BOX, (0, 0, height - 0.015), (0.7, width, 0.03), surface)
    for side in (-1, 1):
        a.add(Shape.BOX, (0, side * (width / 2 - 0.02), height / 2), (0.65, 0.04, height), surface)
    black, y_screen = Surface(COLOURS['black']), rng.uniform(-0.2, 0.2) * width
    inches = rng.uniform(0.5, 0.65)
    a.add(Shape.BOX, (-0.18, y_screen, height + 0.05), (0.12, 0.12, 0.1), black)
    a.add(Shape.BOX, (-0.18, y_screen, height + 0.27), (0.04, inches, 0.34), black)
    a.add(Shape.BOX, (0.12, y_screen, height + 0.01), (0.15, 0.44, 0.02), black)
    return a.build('desk', 'brown')


def chair(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A chair: seat at 0.45 m, back to 0.9 m."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    surface, seat = cloth(rng, colour), rng.normal(0.45, 0.015)
    width = rng.uniform(0.4, 0.5)
    a.add(Shape.BOX, (0, 0, seat - 0.02), (width, width, 0.05), surface)
    a.add(Shape.BOX, (-width / 2, 0, seat + 0.22), (0.04, width, 0.45), surface)
    _legs(a, (width, width, seat - 0.04), 0.04, wood(rng))
    return a.build('chair', name)


def sofa(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A sofa with cushions: seat at 0.42 m, back to 0.85 m."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    surface, width = cloth(rng, colour), rng.uniform(1.3, 2.3)
    seat, back = rng.normal(0.42, 0.02), rng.normal(0.85, 0.04)
    a.add(Shape.BOX, (0, 0, seat / 2), (0.85, width, seat), surface)
    a.add(Shape.BOX, (-0.35, 0, back / 2), (0.2, width, back), surface)
    for side in (-1, 1):
        a.add(Shape.BOX, (0, side * width / 2, 0.3), (0.85, 0.18, 0.6), surface)
    for _ in range(rng.integers(0, 3)):
        cushion = (-0.15, rng.uniform(-0.35, 0.35) * width, seat + 0.18)
        a.add(Shape.ELLIPSOID, cushion, (0.18, 0.42, 0.4), cloth(rng, pick_colour(rng)[1]))
    return a.build('sofa', name)


def bed(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A bed 2.0 m long with a headboard, its head to the wall."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    width, top = float(rng.choice([0.9, 1.4, 1.6])), rng.normal(0.5, 0.03)
    surface = wood(rng)
    a.add(Shape.BOX, (0, 0, 0.14), (2.05, width + 0.06, 0.28), surface)
    a.add(Shape.BOX, (0.1, 0, (top + 0.28) / 2), (1.8, width, top - 0.28), cloth(rng, colour))
    a.add(Shape.BOX, (-1.0, 0, 0.48), (0.06, width + 0.06, 0.96), surface)
    for side in (-1, 1) if width > 1.0 else (0,):
        pillow = (-0.78, side * width / 4, top + 0.05)
        a.add(Shape.ELLIPSOID, pillow, (0.4, 0.6, 0.2), Surface((0.75, 0.75, 0.73)))
    return a.build('bed', name)


def shelf(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """An open shelf against a wall, with books and other things on its boards."""
    a, surface = Assembly(x, y, yaw), wood(rng)
    depth, width, height = rng.uniform(0.25, 0.4), rng.uniform(0.7, 1.4), rng.uniform(1.2, 2.1)
    a.add(Shape.BOX, (-depth / 2, 0, height / 2), (0.02, width, height), surface)
    for side in (-1, 1):
        a.add(Shape.BOX, (0, side * width / 2, height / 2), (depth, 0.03, height), surface)
    boards = int(rng.integers(3, 6))
    for i, z in enumerate(np.linspace(0.08, height, boards).tolist()):
        a.add(Shape.BOX, (0, 0, z), (depth, width, 0.03), surface)
        if i == boards - 1:
            break
        if rng.random() < 0.5:
            _books(rng, a, width, z + 0.015)
        else:
            _trinket(rng, a, 0.0, rng.uniform(-0.35, 0.35) * width, z + 0.015)
    return a.build('shelf', 'brown')


def _books(rng: np.random.Generator, a: Assembly, width: float, z: float) -> None:
    """A row of books, a few volumes of one binding after another."""
    y = -0.45 * width
    while y < 0.3 * width:
        run, tall = rng.uniform(0.08, 0.25), rng.uniform(0.2, 0.28)
        spine = pick_colour(rng)[1]
        dark = (spine[0] * 0.5, spine[1] * 0.5, spine[2] * 0.5)
        surface = Surface(spine, dark, Texture.STRIPES, rng.uniform(0.03, 0.06))
        a.add(Shape.BOX, (0.02, y + run / 2, z + tall / 2), (0.18, run, tall), surface)
        y += run + rng.choice([0.0, 0.1])


def cabinet(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A closed box with doors and handles: cupboard, fridge or drawers."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng, ('white', 'grey', 'brown', 'beige', 'black'))
    depth, width, height = rng.uniform(0.4, 0.65), rng.uniform(0.5, 1.3), rng.uniform(0.6, 2.0)
    a.add(Shape.BOX, (0, 0, height / 2), (depth, width, height), Surface(colour, period=0.6))
    dark = Surface((colour[0] * 0.3, colour[1] * 0.3, colour[2] * 0.3))
    a.add(Shape.BOX, (depth / 2, 0, height / 2), (0.004, 0.012, height * 0.96), dark)
    for side in (-1, 1):
        handle = (depth / 2 + 0.015, side * 0.06, height * 0.55)
        a.add(Shape.BOX, handle, (0.03, 0.02, 0.14), Surface((0.5, 0.5, 0.5)))
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
    """A plant in a pot, of a few clumps of leaves."""
    a = Assembly(x, y, yaw)
    pot, height = rng.uniform(0.25, 0.4), rng.uniform(0.5, 1.4)
    a.add(Shape.CYLINDER, (0, 0, pot / 2), (pot, pot, pot), Surface(pick_colour(rng)[1]))
    leaves = Surface(shade(rng, COLOURS['green'], 0.4), (0.02, 0.1, 0.03), Texture.GRASS, 0.3)
    a.add(Shape.CYLINDER, (0, 0, pot + height / 4), (0.04, 0.04, height / 2), leaves)
    for _ in range(rng.integers(1, 4)):
        centre = (*rng.uniform(-0.12, 0.12, 2).tolist(), pot + height * rng.uniform(0.4, 0.7))
        size = (*rng.uniform(0.3, 0.55, 2).tolist(), height * rng.uniform(0.4, 0.7))
        a.add(Shape.ELLIPSOID, centre, size, leaves)
    return a.build('plant', 'green')


def rug(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A rug on the floor."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    texture = Texture(rng.choice([Texture.CLOTH, Texture.STRIPES, Texture.NOISE]))
    surface = Surface(colour, shade(rng, pick_colour(rng)[1]), texture, rng.uniform(0.1, 0.3))
    size = (rng.uniform(1.2, 2.0), rng.uniform(1.6, 3.0), 0.02)
    a.add(Shape.BOX, (0, 0, 0.008), size, surface)
    return a.build('rug', name)
