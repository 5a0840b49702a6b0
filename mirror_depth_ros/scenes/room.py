"""Furnished rooms."""

from __future__ import annotations

import math

import numpy as np

from mirror_depth_ros.scenes import furniture
from mirror_depth_ros.scenes.palette import WOODS, pick_colour, shade
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

_FREE_STANDING = (
    furniture.table,
    furniture.chair,
    furniture.chair,
    furniture.cardboard_box,
    furniture.plant,
    furniture.lamp,
    furniture.person,
    furniture.person,
)
_AGAINST_WALL = (furniture.sofa, furniture.shelf, furniture.cabinet)

#: Nothing stands nearer to the camera than this [m].
CLEARANCE = 0.6
# Radius of the circle a free-standing thing keeps for itself [m].
_FOOTPRINT = 0.6


def make_room(seed: int) -> Scene:
    """Build a room of random size, furnished, with a camera somewhere in it."""
    rng = np.random.default_rng(seed)
    length, width = rng.uniform(2.8, 9.5), rng.uniform(2.5, 6.5)
    height = rng.normal(2.6, 0.15)
    wall_word, things = _walls(rng, length, width, height)
    pose = _camera_pose(rng, length, width)
    things += _furnish(rng, length, width, pose)
    lamp = (rng.uniform(-0.3, 0.3) * length, rng.uniform(-0.3, 0.3) * width, height - 0.15)
    area = length * width
    size_word = 'small' if area < 15 else 'large' if area > 35 else 'medium'
    return Scene(
        kind='indoor',
        seed=seed,
        things=tuple(things),
        light=Light(lamp, is_sun=False, ambient=rng.uniform(0.35, 0.7), gain=1.0),
        pose=pose,
        hfov_deg=rng.uniform(50.0, 100.0),
        clearance=CLEARANCE,
        summary=f'{size_word} room with {wall_word} walls',
    )


def _walls(
    rng: np.random.Generator, length: float, width: float, height: float
) -> tuple[str, list[Thing]]:
    wall_word, wall = pick_colour(rng, ('white', 'beige', 'grey', 'green', 'blue', 'yellow'))
    pattern = Texture(rng.choice([Texture.PLAIN, Texture.PLAIN, Texture.BRICK, Texture.STRIPES]))
    near_shade = shade(rng, wall, 0.3)
    period = rng.uniform(0.2, 0.5)
    shell = Solid(
        Shape.SHELL,
        (0.0, 0.0, height / 2),
        (length / 2, width / 2, height / 2),
        Surface(wall, near_shade, pattern, period),
    )
    floor_texture = Texture(rng.choice([Texture.WOOD, Texture.TILES, Texture.NOISE]))
    floor_colour = WOODS[rng.integers(len(WOODS))]
    if floor_texture != Texture.WOOD:
        floor_colour = pick_colour(rng, ('grey', 'beige', 'brown', 'white', 'red', 'blue'))[1]
    floor_surface = Surface(
        shade(rng, floor_colour),
        shade(rng, floor_colour, 0.7),
        floor_texture,
        rng.uniform(0.3, 0.8),
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
    things += [_opening(rng, length, width) for _ in range(rng.integers(1, 5))]
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


def _opening(rng: np.random.Generator, length: float, width: float) -> Thing:
    """Return a window, a door or a picture on a wall, standing out a little."""
    x, y, yaw = _on_wall(rng, length, width)
    a = furniture.Assembly(x, y, yaw)
    name = str(rng.choice(['window', 'door', 'picture']))
    if name == 'door':
        word, colour = pick_colour(rng, ('white', 'brown', 'grey', 'beige'))
        a.add(Shape.BOX, (0, 0, 1.0), (0.06, rng.normal(0.85, 0.04), 2.0), Surface(colour))
        a.add(Shape.ELLIPSOID, (0.06, 0.35, 1.02), (0.06, 0.06, 0.06), Surface((0.5, 0.45, 0.3)))
        return a.build('door', word)
    if name == 'window':
        w, h = rng.uniform(0.8, 1.8), rng.normal(1.2, 0.1)
        frame = Surface((0.8, 0.8, 0.8))
        a.add(Shape.BOX, (0, 0, 1.5), (0.05, w, h), frame)
        pane = Surface((1.0, 1.0, 1.0), (0.6, 0.8, 1.0), Texture.NOISE, 4.0)
        for side in (-1, 1):
            a.add(Shape.BOX, (0.02, side * w / 4, 1.5), (0.03, w * 0.44, h * 0.9), pane)
        return a.build('window', 'white')
    word, colour = pick_colour(rng)
    w, h = rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.8)
    second = pick_colour(rng)[1]
    texture = Texture(rng.choice([Texture.NOISE, Texture.STRIPES, Texture.TILES]))
    a.add(Shape.BOX, (0, 0, 1.55), (0.04, w, h), Surface(colour, second, texture, 0.3))
    return a.build('picture', word)


def _camera_pose(rng: np.random.Generator, length: float, width: float) -> Pose:
    margin = CLEARANCE + 0.1
    x = rng.uniform(-1, 1) * (length / 2 - margin)
    y = rng.uniform(-1, 1) * (width / 2 - margin)
    # Look somewhere into the room rather than at the nearest wall, most of the time.
    towards = math.atan2(-y, -x) + rng.normal(0.0, 1.0)
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
    for _ in range(int(rng.integers(0, 4))):
        x, y, yaw = _on_wall(rng, length, width)
        inset = 0.45
        x, y = x + inset * math.cos(yaw), y + inset * math.sin(yaw)
        if _is_free(x, y, 0.8, taken):
            things.append(_AGAINST_WALL[rng.integers(len(_AGAINST_WALL))](rng, x, y, yaw))
            taken.append((x, y, 0.8))
    wanted = int(rng.integers(2, 4 + int(length * width / 5)))
    for _ in range(3 * wanted):
        x = rng.uniform(-1, 1) * (length / 2 - _FOOTPRINT)
        y = rng.uniform(-1, 1) * (width / 2 - _FOOTPRINT)
        if len(things) < wanted and _is_free(x, y, _FOOTPRINT, taken):
            build = _FREE_STANDING[rng.integers(len(_FREE_STANDING))]
            things.append(build(rng, x, y, rng.uniform(-math.pi, math.pi)))
            taken.append((x, y, _FOOTPRINT))
    return things


def _is_free(x: float, y: float, radius: float, taken: list[tuple[float, float, float]]) -> bool:
    return all(math.hypot(x - tx, y - ty) > radius + tr for tx, ty, tr in taken)
