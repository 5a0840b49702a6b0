"""Things that stand on and beside a road, in their real sizes; builders as for furniture."""

from __future__ import annotations

import numpy as np

from mirror_depth_ros.scenes.assembly import Assembly
from mirror_depth_ros.scenes.palette import COLOURS, pick_colour, shade
from mirror_depth_ros.scenes.solids import Shape, Surface, Texture, Thing

_GLASS = Surface((0.03, 0.04, 0.05), period=2.0)


def vehicle(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A car about 4.5 m long, or a van."""
    return van(rng, x, y, yaw) if rng.random() < 0.25 else car(rng, x, y, yaw)


def car(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A car: about 4.5 m long, 1.8 m wide, 1.5 m high."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    paint = Surface(colour, period=2.0)
    length, width = rng.normal(4.5, 0.25), rng.normal(1.8, 0.05)
    height = rng.normal(1.5, 0.05)
    body = 0.6 * height
    a.add(Shape.BOX, (0, 0, (body + 0.22) / 2), (length, width, body - 0.22), paint)
    back = -0.06 * length
    a.add(
        Shape.BOX,
        (back, 0, (body + height) / 2),
        (0.5 * length, 0.85 * width, height - body),
        _GLASS,
    )
    a.add(Shape.BOX, (back, 0, height), (0.44 * length, 0.82 * width, 0.06), paint)
    for end in (-0.5, 0.0, 0.44):  # pillars
        for side in (-1, 1):
            place = (back + end * 0.5 * length, side * 0.42 * width, (body + height) / 2)
            a.add(Shape.BOX, place, (0.07, 0.05, height - body), paint)
    _lights_and_wheels(a, length, width, body)
    return a.build('car', name)


def van(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A delivery van: about 5.2 m long, 2.1 m high."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng)
    paint = Surface(colour, period=2.0)
    length, width = rng.normal(5.2, 0.25), rng.normal(1.95, 0.05)
    height = rng.normal(2.1, 0.07)
    a.add(
        Shape.BOX,
        (-0.1 * length, 0, (height + 0.25) / 2),
        (0.8 * length, width, height - 0.25),
        paint,
    )
    a.add(Shape.BOX, (0.4 * length, 0, 0.63), (0.2 * length, width, 0.76), paint)
    a.add(Shape.BOX, (0.31 * length, 0, 1.42), (0.06 * length, 0.92 * width, 0.75), _GLASS)
    _lights_and_wheels(a, length, width, 1.0)
    return a.build('van', name)


def _lights_and_wheels(a: Assembly, length: float, width: float, body: float) -> None:
    tyre, rim = Surface((0.02, 0.02, 0.02)), Surface((0.45, 0.45, 0.47))
    for side in (-1, 1):
        for end in (-0.31, 0.31):
            wheel = (end * length, side * (width / 2 - 0.1), 0.32)
            a.add(Shape.ELLIPSOID, wheel, (0.64, 0.26, 0.64), tyre)
            hub = (end * length, side * (width / 2 + 0.02), 0.32)
            a.add(Shape.ELLIPSOID, hub, (0.34, 0.04, 0.34), rim)
        y = side * 0.36 * width
        a.add(Shape.BOX, (length / 2, y, 0.7 * body), (0.03, 0.3, 0.14), Surface((0.9, 0.9, 0.8)))
        a.add(Shape.BOX, (-length / 2, y, 0.7 * body), (0.03, 0.3, 0.14), Surface((0.6, 0, 0)))
    for end in (-1, 1):
        plate = (end * length / 2, 0.0, 0.42)
        a.add(Shape.BOX, plate, (0.03, 0.52, 0.11), Surface((0.8, 0.8, 0.75)))


def tree(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A tree of 4 to 9 m: a trunk and a crown of several clumps."""
    a, height = Assembly(x, y, yaw), rng.uniform(4.0, 9.0)
    trunk = rng.uniform(0.2, 0.5)
    bark = Surface((0.12, 0.08, 0.05), (0.05, 0.03, 0.02), Texture.NOISE, 0.4)
    leaf = shade(rng, COLOURS['green'], 0.4)
    leaves = Surface(leaf, (leaf[0] * 0.2, leaf[1] * 0.25, leaf[2] * 0.2), Texture.GRASS, 1.5)
    a.add(Shape.CYLINDER, (0, 0, height * 0.3), (trunk, trunk, height * 0.6), bark)
    crown = rng.uniform(0.35, 0.55) * height
    for _ in range(rng.integers(2, 5)):
        dx, dy = (rng.uniform(-0.25, 0.25, 2) * crown).tolist()
        size = crown * rng.uniform(0.65, 1.0)
        centre = (dx, dy, height * rng.uniform(0.6, 0.8))
        a.add(Shape.ELLIPSOID, centre, (size, size, size * rng.uniform(0.7, 1.1)), leaves)
    return a.build('tree', 'green')


def pole(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A street lamp on its pole."""
    a, grey = Assembly(x, y, yaw), Surface(shade(rng, COLOURS['grey']))
    height = rng.uniform(5.0, 8.0)
    a.add(Shape.CYLINDER, (0, 0, height / 2), (0.16, 0.16, height), grey)
    a.add(Shape.BOX, (0.5, 0, height), (1.2, 0.15, 0.1), grey)
    return a.build('pole', 'grey')


def sign(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A traffic sign of 0.6 m, square or round, on a pole of 2.3 m."""
    a = Assembly(x, y, yaw)
    name, colour = pick_colour(rng, ('red', 'blue', 'yellow', 'white'))
    a.add(Shape.CYLINDER, (0, 0, 1.15), (0.07, 0.07, 2.3), Surface(shade(rng, COLOURS['grey'])))
    shape = Shape(rng.choice([Shape.BOX, Shape.ELLIPSOID]))
    a.add(shape, (-0.05, 0, 2.3), (0.03, 0.6, 0.6), Surface(colour))
    a.add(Shape.BOX, (-0.07, 0, 2.3), (0.02, 0.34, 0.1), Surface((0.85, 0.85, 0.85)))
    return a.build('sign', name)


def hedge(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A piece of clipped hedge, about 1.2 m high."""
    a = Assembly(x, y, yaw)
    leaf = shade(rng, COLOURS['green'], 0.3)
    leaves = Surface(leaf, (leaf[0] * 0.3, leaf[1] * 0.4, leaf[2] * 0.3), Texture.GRASS, 0.8)
    length, height = rng.uniform(2.0, 7.0), rng.normal(1.2, 0.2)
    a.add(Shape.BOX, (0, 0, height / 2), (length, 0.7, height), leaves)
    return a.build('hedge', 'green')


def building(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A house that fronts towards +x: windows by storeys of about 3 m, a door of 2 m."""
    a = Assembly(x, y, yaw)
    word, colour = pick_colour(rng, ('red', 'beige', 'grey', 'white', 'brown', 'yellow'))
    width, depth = rng.uniform(7.0, 22.0), rng.uniform(8.0, 14.0)
    storey = rng.uniform(2.7, 3.4)
    height = storey * int(rng.choice([3, 5]))  # so that whole storeys lie around the middle
    dark = (colour[0] * 0.8, colour[1] * 0.75, colour[2] * 0.7)
    texture = Texture(rng.choice([Texture.PLAIN, Texture.BRICK]))
    wall = Surface(colour, dark, texture, 0.25)
    a.add(Shape.BOX, (-depth / 2, 0, height / 2), (depth, width, height), wall)
    glass = Surface(colour, (0.05, 0.07, 0.1), Texture.WINDOWS, storey)
    upper = height - storey
    front = (0.02, 0.0, storey + upper / 2)
    a.add(Shape.BOX, front, (0.04, width - 0.6, upper), glass)
    door = rng.uniform(-0.3, 0.3) * width
    a.add(Shape.BOX, (0.03, door, 1.05), (0.06, 1.0, 2.1), Surface(pick_colour(rng)[1]))
    for y_window in np.arange(-0.5 * width + 1.6, 0.5 * width - 1.5, 3.0).tolist():
        if abs(y_window - door) > 1.4:
            a.add(Shape.BOX, (0.03, y_window, 1.5), (0.06, 1.3, 1.2), _GLASS)
    return a.build('building', word)
