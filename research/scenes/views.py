"""Where cameras are put: people's, robots', drones', cars' and hands' views."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from research.scenes.assembly import Scene
from research.scenes.camera import View
from research.scenes.layout import Rectangle

# Rays of the trial picture by which a view is judged: rows, columns.
_TRIAL = (12, 16)
_TRIES = 30


def hfov(rng: np.random.Generator, low: float = 30, high: float = 100) -> float:
    """Return a horizontal field of view, log-uniform [degrees]."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def roll(rng: np.random.Generator) -> float:
    """Return a roll: mostly level, at times not [rad]."""
    return float(np.radians(rng.normal(0, 2.5) if rng.random() < 0.85 else rng.uniform(-15, 15)))


def room_view(scene: Scene, floor: Rectangle, height: float, rng: np.random.Generator) -> View:
    """Return a view in a room that is not blocked: of a robot, a person or a drone."""

    def propose() -> View:
        kind = rng.choice(3, p=(0.4, 0.45, 0.15))
        level = (rng.uniform(0.1, 0.5), rng.uniform(1.0, 1.8), rng.uniform(0.5, height - 0.2))[
            kind
        ]
        pitch = (rng.normal(-4, 10), rng.normal(-16, 15), rng.uniform(-65, 15))[kind]
        x, y = (float(rng.uniform(floor[i] + 0.12, floor[i + 2] - 0.12)) for i in (0, 1))
        centre = np.array([(floor[0] + floor[2]) / 2 - x, (floor[1] + floor[3]) / 2 - y])
        yaw = np.arctan2(centre[1], centre[0]) + rng.normal(0, 0.9)
        return View(
            np.array([x, y, min(level, height - 0.15)]),
            float(yaw),
            float(np.radians(np.clip(pitch, -65, 20))),
            roll(rng),
            hfov(rng),
        )

    return _first_open(scene, propose, rng)


def aimed_view(
    scene: Scene, target: np.ndarray, floor: Rectangle, height: float, rng: np.random.Generator
) -> View:
    """Return a view of a place from 0.3 to 1.5 m, from above or aslant."""

    def propose() -> View:
        distance = float(np.exp(rng.uniform(np.log(0.3), np.log(1.6))))
        rise = np.radians(np.clip(rng.normal(42, 20), 5, 88))
        around = rng.uniform(0, 2 * np.pi)
        way = np.array(
            [np.cos(around) * np.cos(rise), np.sin(around) * np.cos(rise), np.sin(rise)]
        )
        position = target + way * distance + rng.normal(0, 0.02, 3)
        low, high = (floor[0], floor[1], 0.05), (floor[2], floor[3], height - 0.1)
        position = np.clip(position, np.add(low, 0.08), np.subtract(high, 0.05))
        look = target + rng.normal(0, 0.12, 3) * distance - position
        look /= np.linalg.norm(look)
        return View(
            position,
            float(np.arctan2(look[1], look[0])),
            float(np.arcsin(look[2])),
            roll(rng),
            hfov(rng, 32, 90),
        )

    return _first_open(scene, propose, rng, nearest=0.13)


def _first_open(
    scene: Scene,
    propose: Callable[[], View],
    rng: np.random.Generator,
    *,
    nearest: float = 0.2,
) -> View:
    """Return the first proposal that sees more than what is just before it."""
    best, best_score = None, -1.0
    for _ in range(_TRIES):
        view = propose()
        if _inside(scene, view.position):
            continue
        depth = trial_depth(scene, view)
        crowd = float((depth < nearest).mean())
        middle = float(np.median(depth))
        # A single flat wall teaches little: most views should hold different depths.
        spread = float(np.subtract(*np.log(np.percentile(np.minimum(depth, 200), (85, 15)))))
        if crowd < 0.01 and middle > nearest * 1.8 and spread > rng.uniform(0.15, 0.8):
            return view
        score = spread - 5 * crowd
        if score > best_score or best is None:
            best, best_score = view, score
    return best if best is not None else propose()


def _inside(scene: Scene, position: np.ndarray) -> bool:
    """Tell whether a place is within the bounds of a piece of furniture, tables excepted."""
    return any(
        thing.model
        and 'table' not in thing.name
        and 'desk' not in thing.name
        and bool((position > thing.low - 0.03).all() and (position < thing.high + 0.03).all())
        for thing in scene.things
    )


def trial_depth(scene: Scene, view: View) -> np.ndarray:
    """Return depth along a coarse grid of rays, infinity for sky, ``[N]``."""
    rows, columns = _TRIAL
    row, column = (grid.ravel().astype(np.float64) for grid in np.mgrid[:rows, :columns])
    rays = view.rays(column, row, rows, columns)
    origins = np.broadcast_to(np.float32(view.position), rays.shape)
    hits = scene.caster.first(origins, rays)
    return np.where(hits.face >= 0, hits.t, np.inf)
