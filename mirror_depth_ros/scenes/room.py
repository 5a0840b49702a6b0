"""Furnished rooms."""

from __future__ import annotations

import math

import numpy as np

from mirror_depth_ros.scenes import fixtures, furniture
from mirror_depth_ros.scenes.palette import WOODS, pick_colour, shade
from mirror_depth_ros.scenes.people import person
from mirror_depth_ros.scenes.solids import (
    Light,
    Pose,
    Scene,
    Shape,
    Solid,
    Surface,
    Texture,
    Thing,
)

# What may stand anywhere; each entry is as likely as any other.
_FREE_STANDING = (
    furniture.table,
    furniture.table,
    furniture.chair,
    furniture.cardboard_box,
    furniture.plant,
    furniture.lamp,
    person,
    person,
)
# What stands with its back to a wall: from the wall to its middle, and the radius it keeps [m].
_AGAINST_WALL = (
    (furniture.sofa, 0.45, 1.0),
    (furniture.bed, 1.05, 1.2),
    (furniture.desk, 0.4, 0.8),
    (furniture.shelf, 0.25, 0.6),
    (furniture.shelf, 0.25, 0.6),
    (furniture.cabinet, 0.35, 0.6),
    (furniture.cabinet, 0.35, 0.6),
)
# Patterns and their real size [m].
_WALL_PATTERNS = (
    (Texture.PLAIN, 0.5),
    (Texture.PLAIN, 0.5),
    (Texture.NOISE, 1.5),
    (Texture.BRICK, 0.25),
    (Texture.STRIPES, 0.3),
    (Texture.TILES, 0.2),
)
_FLOORS = (
    (Texture.PLANKS, 1.1),
    (Texture.PLANKS, 1.1),
    (Texture.TILES, 0.3),
    (Texture.TILES, 0.5),
    (Texture.CLOTH, 0.1),
    (Texture.NOISE, 0.8),
)

#: Nothing stands nearer to the camera than this [m].
CLEARANCE = 0.6
# Radius of the circle a free-standing thing keeps for itself [m].
_FOOTPRINT = 0.6
# The camera looks at a place at least this far away [m].
_LOOK_AHEAD = 1.8


def make_room(seed: int) -> Scene:
    """Build a room of random size, furnished, with a camera somewhere in it."""
    rng = np.random.default_rng(seed)
    length, width = rng.uniform(2.8, 9.5), rng.uniform(2.5, 6.5)
    height = rng.normal(2.6, 0.15)
    wall_word, things = _walls(rng, length, width, height)
    pose = _camera_pose(rng, length, width)
    things += _furnish(rng, length, width, pose)
    lamp = (rng.uniform(-0.3, 0.3) * length, rng.uniform(-0.3, 0.3) * width, height - 0.25)
    things.append(fixtures.ceiling_lamp(rng, lamp, height))
    area = length * width
    size_word = 'small' if area < 15 else 'large' if area > 35 else 'medium'
    return Scene(
        kind='indoor',
        seed=seed,
        things=tuple(things),
        light=Light(lamp, is_sun=False, ambient=rng.uniform(0.45, 0.75), gain=1.0),
        pose=pose,
        hfov_deg=rng.uniform(50.0, 100.0),
        clearance=CLEARANCE,
        summary=f'{size_word} room with {wall_word} walls',
    )


def _walls(
    rng: np.random.Generator, length: float, width: float, height: float
) -> tuple[str, list[Thing]]:
    wall_word, wall = pick_colour(rng, ('white', 'beige', 'grey', 'green', 'blue', 'yellow'))
    pattern, period = _WALL_PATTERNS[rng.integers(len(_WALL_PATTERNS))]
    shell = Solid(
        Shape.SHELL,
        (0.0, 0.0, height / 2),
        (length / 2, width / 2, height / 2),
        Surface(wall, shade(rng, wall, 0.3), pattern, period * rng.uniform(0.95, 1.05)),
    )
    floor_texture, floor_period = _FLOORS[rng.integers(len(_FLOORS))]
    floor_colour = WOODS[rng.integers(len(WOODS))]
    if floor_texture != Texture.PLANKS:
        floor_colour = pick_colour(rng, ('grey', 'beige', 'brown', 'white', 'red', 'blue'))[1]
    dark = (floor_colour[0] * 0.6, floor_colour[1] * 0.55, floor_colour[2] * 0.55)
    floor_surface = Surface(
        shade(rng, floor_colour),
        dark if floor_texture == Texture.PLANKS else shade(rng, floor_colour, 0.7),
        floor_texture,
        floor_period * rng.uniform(0.95, 1.05),
    )
    # Floor and ceiling are thin slabs just inside the shell.
    slab = (length / 2, width / 2, 0.005)
    floor = Solid(Shape.BOX, (0.0, 0.0, -0.0049), slab, floor_surface)
    ceiling = Solid(Shape.BOX, (0.0, 0.0, height), slab, Surface((0.78, 0.78, 0.76)))
    skirting = Surface(shade(rng, (0.6, 0.58, 0.55), 0.5))
    things = [
        Thing('wall', wall_word, (shell,)),
        Thing('floor', '', (floor,)),
        Thing('ceiling', '', (ceiling,)),
        Thing('skirting', '', tuple(_skirting(length, width, skirting))),
    ]
    taken: list[tuple[float, float, float]] = []
    more = (fixtures.window, fixtures.picture, fixtures.picture, fixtures.door)
    for build in (
        fixtures.door,
        fixtures.window,
        *(more[i] for i in rng.integers(len(more), size=5)),
    ):
        x, y, yaw = _on_wall(rng, length, width)
        if _is_free(x, y, 0.6, taken):
            things.append(build(rng, x, y, yaw))
            taken.append((x, y, 0.6))
    return wall_word, things


def _skirting(length: float, width: float, surface: Surface) -> list[Solid]:
    boards = []
    for side in (-1, 1):
        along_x = (0.0, side * width / 2, 0.05), (length / 2, 0.015, 0.05)
        along_y = (side * length / 2, 0.0, 0.05), (0.015, width / 2, 0.05)
        boards += [Solid(Shape.BOX, c, half, surface) for c, half in (along_x, along_y)]
    return boards


def _on_wall(rng: np.random.Generator, length: float, width: float) -> tuple[float, float, float]:
    """Return a place on a wall and the yaw that faces the room."""
    wall = rng.integers(4)
    along = rng.uniform(-0.35, 0.35)
    if wall < 2:
        side = 2 * wall - 1
        return side * length / 2, along * width, math.pi * (wall == 1)
    side = 2 * wall - 5
    return along * length, side * width / 2, -side * math.pi / 2


def _camera_pose(rng: np.random.Generator, length: float, width: float) -> Pose:
    margin = CLEARANCE + 0.1
    x = rng.uniform(-1, 1) * (length / 2 - margin)
    y = rng.uniform(-1, 1) * (width / 2 - margin)
    # Look at some place in the room that is not right in front.
    target_x, target_y = x, y
    while math.hypot(target_x - x, target_y - y) < _LOOK_AHEAD:
        target_x = rng.uniform(-0.5, 0.5) * length
        target_y = rng.uniform(-0.5, 0.5) * width
    towards = math.atan2(target_y - y, target_x - x) + rng.normal(0.0, 0.2)
    return Pose(
        position=(x, y, rng.uniform(0.4, 1.8)),
        yaw=towards,
        pitch=math.radians(float(np.clip(rng.normal(-4.0, 8.0), -25.0, 15.0))),
        roll=math.radians(float(np.clip(rng.normal(0.0, 2.0), -6.0, 6.0))),
    )


def _furnish(rng: np.random.Generator, length: float, width: float, pose: Pose) -> list[Thing]:
    """Place things without overlap, and away from the camera."""
    taken = [(pose.position[0], pose.position[1], CLEARANCE)]
    things = []
    for _ in range(int(rng.integers(3, 5 + int(length * width / 8)))):
        x, y, yaw = _on_wall(rng, length, width)
        build, inset, radius = _AGAINST_WALL[rng.integers(len(_AGAINST_WALL))]
        x, y = x + inset * math.cos(yaw), y + inset * math.sin(yaw)
        if _is_free(x, y, radius, taken):
            things.append(build(rng, x, y, yaw))
            taken.append((x, y, radius))
    if rng.random() < 0.4:
        x, y = rng.uniform(-0.2, 0.2) * length, rng.uniform(-0.2, 0.2) * width
        things.append(furniture.rug(rng, x, y, rng.choice([0.0, math.pi / 2])))
    wanted = len(things) + int(rng.integers(2, 4 + int(length * width / 6)))
    for _ in range(3 * wanted):
        x = rng.uniform(-1, 1) * (length / 2 - _FOOTPRINT)
        y = rng.uniform(-1, 1) * (width / 2 - _FOOTPRINT)
        if len(things) < wanted and _is_free(x, y, _FOOTPRINT, taken):
            build = _FREE_STANDING[rng.integers(len(_FREE_STANDING))]
            yaw = rng.uniform(-math.pi, math.pi)
            things.append(build(rng, x, y, yaw))
            taken.append((x, y, _FOOTPRINT))
            if build is furniture.table:
                things += _chairs_around(rng, x, y, yaw, taken)
    return things


def _chairs_around(
    rng: np.random.Generator,
    x: float,
    y: float,
    yaw: float,
    taken: list[tuple[float, float, float]],
) -> list[Thing]:
    """Place chairs at the long sides of a table, facing it, where there is room."""
    chairs = []
    for side in (-1, 1):
        away = rng.uniform(0.65, 0.85)
        chair_x, chair_y = x + side * away * math.cos(yaw), y + side * away * math.sin(yaw)
        others = [t for t in taken if t[:2] != (x, y)]
        if rng.random() < 0.6 and _is_free(chair_x, chair_y, 0.35, others):
            turned = yaw + (math.pi if side > 0 else 0.0) + rng.normal(0.0, 0.2)
            chairs.append(furniture.chair(rng, chair_x, chair_y, turned))
    return chairs


def _is_free(x: float, y: float, radius: float, taken: list[tuple[float, float, float]]) -> bool:
    return all(math.hypot(x - tx, y - ty) > radius + tr for tx, ty, tr in taken)
