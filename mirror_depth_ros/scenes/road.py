"""Streets with traffic."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mirror_depth_ros.scenes import roadside
from mirror_depth_ros.scenes.palette import COLOURS, shade
from mirror_depth_ros.scenes.people import cyclist, person
from mirror_depth_ros.scenes.solids import (
    Light,
    Pose,
    Scene,
    Shape,
    Solid,
    Surface,
    Texture,
    Thing,
    Vector,
)

#: Nothing stands nearer to the camera than this [m].
CLEARANCE = 1.2
_AHEAD = 110.0
_BEHIND = -8.0
# What stands beside the road by its surroundings; each entry is as likely as any other.
_BESIDE = {
    'buildings': (roadside.pole, roadside.sign, roadside.tree, roadside.hedge),
    'trees': (roadside.tree, roadside.tree, roadside.tree, roadside.pole, roadside.sign),
    'fields': (roadside.pole, roadside.sign, roadside.hedge, roadside.tree),
}


def make_road(seed: int) -> Scene:
    """Build a straight street with lanes, kerbs, buildings, trees and traffic, camera on it."""
    rng = np.random.default_rng(seed)
    lane = rng.uniform(3.0, 3.7)
    lanes = int(rng.integers(2, 5))
    half = lane * lanes / 2
    things = _ground(rng, lane, lanes, half)
    pose = _camera_pose(rng, half)
    density = rng.uniform(0.3, 1.0)
    things += _traffic(rng, lane, lanes, half, density, pose)
    side_word, sides = _sides(rng, half)
    things += sides
    elevation, azimuth = math.radians(rng.uniform(20, 70)), rng.uniform(0, 2 * math.pi)
    sun = (
        math.cos(elevation) * math.cos(azimuth),
        math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
    )
    sky: Vector = ((0.35, 0.55, 0.95), (0.75, 0.8, 0.85), (0.95, 0.8, 0.65))[rng.integers(3)]
    return Scene(
        kind='outdoor',
        seed=seed,
        things=tuple(things),
        light=Light(sun, is_sun=True, ambient=rng.uniform(0.35, 0.75), gain=1.2),
        pose=pose,
        hfov_deg=rng.uniform(50.0, 100.0),
        clearance=CLEARANCE,
        sky=shade(rng, sky),
        summary=f'{"wide" if lanes > 2 else "narrow"} road with {side_word}',
    )


def _ground(rng: np.random.Generator, lane: float, lanes: int, half: float) -> list[Thing]:
    asphalt = shade(rng, (0.10, 0.10, 0.105), 0.5)
    dark = (asphalt[0] * 0.6, asphalt[1] * 0.6, asphalt[2] * 0.6)
    road = Solid(
        Shape.BOX,
        (0.0, 0.0, -0.5),
        (600.0, half, 0.5),
        Surface(asphalt, dark, Texture.ASPHALT, 2.0),
    )
    verge_name, verge = (
        ('grass', COLOURS['green']) if rng.random() < 0.5 else ('', (0.3, 0.3, 0.29))
    )
    texture, period = (Texture.GRASS, 1.0) if verge_name else (Texture.TILES, 0.6)
    verge_surface = Surface(shade(rng, verge), shade(rng, verge, 0.6), texture, period)
    # The verge lies a kerb's height above the road and goes on to the horizon.
    kerb = rng.normal(0.12, 0.01)
    verges = []
    stones = Surface((0.4, 0.4, 0.39), (0.25, 0.25, 0.25), Texture.TILES, 1.0)
    for side in (-1, 1):
        centre = (0.0, side * (half + 300.0), kerb - 0.5)
        verges.append(Solid(Shape.BOX, centre, (600.0, 300.0, 0.5), verge_surface))
        stone = (0.0, side * (half + 0.07), kerb - 0.2)
        verges.append(Solid(Shape.BOX, stone, (600.0, 0.075, 0.201), stones))
    paint = Surface((0.75, 0.75, 0.72))
    marks = []
    for i in range(1, lanes):
        y = i * lane - half
        for k in range(9):
            marks.append(Solid(Shape.BOX, (6.0 * k, y, 0.0), (1.5, 0.07, 0.004), paint))
    return [
        Thing('road', 'grey', (road,)),
        Thing(verge_name or 'pavement', '', tuple(verges)),
        Thing('road', 'white', tuple(marks)),
    ]


def _camera_pose(rng: np.random.Generator, half: float) -> Pose:
    return Pose(
        position=(0.0, rng.uniform(-0.9, 0.9) * half, rng.uniform(0.5, 2.2)),
        yaw=rng.normal(0.0, 0.35),
        pitch=math.radians(float(np.clip(rng.normal(-2.0, 4.0), -15.0, 10.0))),
        roll=math.radians(float(np.clip(rng.normal(0.0, 1.5), -5.0, 5.0))),
    )


def _traffic(
    rng: np.random.Generator, lane: float, lanes: int, half: float, density: float, pose: Pose
) -> list[Thing]:
    things = []
    for i in range(lanes):
        y = (i + 0.5) * lane - half
        x = rng.uniform(4.0, 15.0)
        while x < 70.0:
            if rng.random() < density * 0.6:
                jitter = rng.normal(0.0, 0.15)
                yaw = math.pi * (i < lanes / 2) + rng.normal(0.0, 0.03)
                things.append(roadside.vehicle(rng, x + 2.5, y + jitter, yaw))
            x += rng.uniform(6.5, 20.0)
    for _ in range(int(rng.integers(2, 9))):
        x, y = rng.uniform(2.5, 30.0), rng.uniform(-1.0, 1.0) * (half + 2.5)
        near_camera = math.hypot(x, y - pose.position[1]) < CLEARANCE + 0.5
        if near_camera:
            continue
        if abs(y) > half or rng.random() < 0.3:
            things.append(person(rng, x, y, rng.uniform(-math.pi, math.pi)))
        elif rng.random() < 0.5:
            things.append(cyclist(rng, x, y, math.pi * (y < 0) + rng.normal(0.0, 0.1)))
    return things


def _sides(rng: np.random.Generator, half: float) -> tuple[str, list[Thing]]:
    """Return what lines the street, and a caption's word for it."""
    word = str(rng.choice(['buildings', 'buildings', 'trees', 'fields']))
    things = []
    for side in (-1, 1):
        if word == 'buildings':
            things += _buildings(rng, side, half + rng.uniform(2.5, 7.0))
        x = rng.uniform(_BEHIND, 6.0)
        while x < 80.0:
            y = side * (half + rng.uniform(0.6, 1.6))
            build = _BESIDE[word][rng.integers(len(_BESIDE[word]))]
            if abs(x) > 2.0:
                far = build in (roadside.tree, roadside.hedge)
                things.append(build(rng, x, y + side if far else y, 0.0))
            x += rng.uniform(4.0, 13.0)
    return word, things


def _buildings(rng: np.random.Generator, side: int, front: float) -> list[Thing]:
    things, x = [], _BEHIND
    while x < _AHEAD:
        house = roadside.building(rng, x, side * front, -side * math.pi / 2)
        length = 2 * house.solids[0].half_size[1]
        # Its middle is known only once its width is.
        things.append(_moved(house, length / 2))
        x += length + rng.choice([0.0, 0.0, rng.uniform(2.0, 12.0)])
    return things


def _moved(thing: Thing, along: float) -> Thing:
    """Return the thing moved along the road [m]."""
    solids = (replace(s, centre=(s.centre[0] + along, *s.centre[1:])) for s in thing.solids)
    return replace(thing, solids=tuple(solids))
