"""People, walking and on bicycles."""

from __future__ import annotations

import numpy as np

from mirror_depth_ros.scenes.assembly import Assembly, cloth
from mirror_depth_ros.scenes.palette import SKINS, pick_colour, shade
from mirror_depth_ros.scenes.solids import Shape, Surface, Thing


def person(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """A standing person of 1.5 to 1.9 m."""
    a = Assembly(x, y, yaw)
    height = float(np.clip(rng.normal(1.70, 0.09), 1.5, 1.9))
    _, trousers = pick_colour(rng)
    leg = 0.47 * height
    for side in (-1, 1):
        step = rng.uniform(-0.12, 0.12)
        a.add(Shape.CYLINDER, (step, side * 0.1, leg / 2), (0.16, 0.15, leg), Surface(trousers))
        a.add(Shape.BOX, (step + 0.06, side * 0.1, 0.04), (0.27, 0.1, 0.08), Surface((0.05,) * 3))
    return a.build('person', _upper_body(rng, a, 0.0, leg, height))


def cyclist(rng: np.random.Generator, x: float, y: float, yaw: float) -> Thing:
    """Somebody riding a bicycle with wheels of 0.7 m."""
    a = Assembly(x, y, yaw)
    tyre, frame = Surface((0.03, 0.03, 0.03)), Surface(pick_colour(rng)[1])
    for end in (-0.52, 0.52):
        a.add(Shape.ELLIPSOID, (end, 0, 0.35), (0.7, 0.05, 0.7), tyre)
    a.add(Shape.BOX, (0, 0, 0.62), (0.9, 0.04, 0.06), frame)
    a.add(Shape.BOX, (0.45, 0, 0.95), (0.05, 0.5, 0.04), frame)
    _, trousers = pick_colour(rng)
    for side in (-1, 1):
        foot = rng.uniform(-0.1, 0.15)
        a.add(Shape.CYLINDER, (foot, side * 0.12, 0.6), (0.15, 0.14, 0.75), Surface(trousers))
    height = float(np.clip(rng.normal(1.70, 0.09), 1.5, 1.9))
    return a.build('cyclist', _upper_body(rng, a, 0.05, 0.92, height))


def _upper_body(rng: np.random.Generator, a: Assembly, x: float, hip: float, height: float) -> str:
    """Add torso, arms and head of somebody of that height above their hips; return the colour."""
    skin = Surface(shade(rng, SKINS[rng.integers(len(SKINS))]))
    hair = Surface(shade(rng, ((0.03, 0.02, 0.02), (0.2, 0.1, 0.04))[rng.integers(2)]))
    name, colour = pick_colour(rng)
    shirt = cloth(rng, colour)
    torso, head = 0.35 * height, 0.125 * height
    a.add(Shape.ELLIPSOID, (x, 0, hip + torso / 2), (0.28, 0.44, torso * 1.25), shirt)
    for side in (-1, 1):
        forward = x + rng.uniform(-0.12, 0.18)
        a.add(Shape.ELLIPSOID, (forward, side * 0.25, hip + 0.2), (0.12, 0.1, 0.62), shirt)
        a.add(Shape.ELLIPSOID, (forward, side * 0.25, hip - 0.08), (0.1, 0.08, 0.14), skin)
    top = hip + 0.53 * height  # the crown of the head
    a.add(Shape.ELLIPSOID, (x, 0, top - head), (0.19, 0.16, 2 * head), skin)
    a.add(Shape.ELLIPSOID, (x - 0.03, 0, top - 0.7 * head), (0.19, 0.175, 1.3 * head), hair)
    return name
