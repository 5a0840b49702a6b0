"""Colours with names, so that captions and surfaces agree."""

from __future__ import annotations

import numpy as np

from mirror_depth_ros.scenes.solids import Vector

#: Linear RGB of each colour word.
COLOURS: dict[str, Vector] = {
    'white': (0.80, 0.80, 0.78),
    'grey': (0.35, 0.35, 0.36),
    'black': (0.04, 0.04, 0.045),
    'red': (0.55, 0.06, 0.05),
    'orange': (0.75, 0.28, 0.05),
    'yellow': (0.75, 0.60, 0.10),
    'green': (0.09, 0.33, 0.10),
    'blue': (0.06, 0.14, 0.50),
    'purple': (0.27, 0.08, 0.35),
    'brown': (0.22, 0.11, 0.05),
    'beige': (0.62, 0.52, 0.38),
}

WOODS: tuple[Vector, ...] = ((0.35, 0.19, 0.09), (0.50, 0.33, 0.18), (0.20, 0.10, 0.05))
SKINS: tuple[Vector, ...] = ((0.65, 0.42, 0.32), (0.45, 0.26, 0.17), (0.20, 0.11, 0.07))


def pick_colour(rng: np.random.Generator, names: tuple[str, ...] = ()) -> tuple[str, Vector]:
    """Draw a colour word and a shade of that colour."""
    names = names or tuple(COLOURS)
    name = names[rng.integers(len(names))]
    return name, shade(rng, COLOURS[name])


def shade(rng: np.random.Generator, colour: Vector, spread: float = 0.15) -> Vector:
    """Return the colour a little lighter or darker, and a little off in hue."""
    factor = rng.uniform(1 - spread, 1 + spread)
    hue = rng.uniform(1 - spread / 3, 1 + spread / 3, 3).tolist()
    r, g, b = (min(part * (factor * off), 1.0) for part, off in zip(colour, hue, strict=True))
    return r, g, b
