"""What is fixed to the walls and ceiling of a room, in real sizes; builders as for furniture."""

from __future__ import annotations

import numpy as np

from mirror_depth_ros.scenes.assembly import Assembly, cloth
from mirror_depth_ros.scenes.palette import pick_colour
from mirror_depth_ros.scenes.solids import Shape, Surface, Texture, Thing, Vector


def door(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A door 2.0 m high in its frame, with a handle at 1.02 m."""
    a = Assembly(x, y, yaw)
    word, colour = pick_colour(rng, ('white', 'brown', 'grey', 'beige'))
    width = rng.normal(0.85, 0.04)
    frame = Surface((colour[0] * 0.7, colour[1] * 0.7, colour[2] * 0.7))
    a.add(Shape.BOX, (0, 0, 1.03), (0.05, width + 0.14, 2.06), frame)
    a.add(Shape.BOX, (0, 0, 1.0), (0.07, width, 2.0), Surface(colour))
    side = rng.choice([-0.4, 0.4]) * width
    a.add(Shape.BOX, (0.06, side, 1.02), (0.05, 0.13, 0.03), Surface((0.5, 0.45, 0.3)))
    return a.build('door', word)


def window(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A window with two wings and a sill, sometimes with curtains and a radiator."""
    a = Assembly(x, y, yaw)
    w, h = rng.uniform(0.8, 1.8), rng.normal(1.2, 0.1)
    white = Surface((0.8, 0.8, 0.8))
    a.add(Shape.BOX, (0, 0, 1.5), (0.05, w, h), white)
    pane = Surface((1.0, 1.0, 1.0), (0.6, 0.8, 1.0), Texture.NOISE, 4.0)
    for side in (-1, 1):
        a.add(Shape.BOX, (0.02, side * w / 4, 1.5), (0.03, w * 0.44, h * 0.9), pane)
    a.add(Shape.BOX, (0.08, 0, 1.5 - h / 2), (0.16, w + 0.1, 0.04), white)
    if rng.random() < 0.4:
        curtain = cloth(rng, pick_colour(rng)[1])
        for side in (-1, 1):
            a.add(Shape.BOX, (0.12, side * (w / 2 + 0.1), 1.2), (0.08, 0.3, 2.2), curtain)
    if rng.random() < 0.5:
        ribs = Surface((0.75, 0.75, 0.74), (0.4, 0.4, 0.4), Texture.STRIPES, 0.06)
        a.add(Shape.BOX, (0.08, 0, 0.4), (0.1, 0.8 * w, 0.55), ribs)
    return a.build('window', 'white')


def picture(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A framed picture at eye height."""
    a = Assembly(x, y, yaw)
    word, colour = pick_colour(rng)
    w, h = rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.8)
    second = pick_colour(rng)[1]
    texture = Texture(rng.choice([Texture.NOISE, Texture.STRIPES, Texture.TILES]))
    a.add(Shape.BOX, (0, 0, 1.55), (0.03, w + 0.06, h + 0.06), Surface(pick_colour(rng)[1]))
    a.add(Shape.BOX, (0, 0, 1.55), (0.04, w, h), Surface(colour, second, texture, 0.3))
    return a.build('picture', word)


def ceiling_lamp(rng: np.random.Generator, light: Vector, height: float) -> Thing:
    """A lamp around the room's light, hanging from the ceiling."""
    a = Assembly(light[0], light[1], 0.0)
    # The light is below all of it, so that the lamp does not shade the room.
    shape = Shape(rng.choice([Shape.CYLINDER, Shape.BOX]))
    size = (rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.5), 0.12)
    a.add(shape, (0, 0, height - 0.1), size, Surface((0.98, 0.96, 0.9)))
    return a.build('lamp', 'white')
