"""Whether the truth lies beside the picture: a wrong transform between sensor and camera.

Turned by some degrees, a sensor's points come to lie beside the things that they were measured on.
A model's depth has its edges where the picture has them, whatever its scale, so the points agree
with it best where they belong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.metrics import counted_pixels

#: Moves that are tried, to either side and up and down [degrees].
STEPS_DEG = np.arange(-8.0, 9.0)
# Fewer degrees, or less gain, are found where nothing is wrong, too: up to 8 %, of recordings of
# few pictures. Measured, see docs/training.md.
_LEAST_DEG, _LEAST_GAIN = 2.5, 0.1
_LEAST_FRACTION, _LEAST_IMAGES = 0.75, 3
# Images that are looked at, and points of each: more do not tell more.
_MOST_IMAGES, _MOST_POINTS = 50, 1500
# Points of an image that are too few, and rows too narrow a part of its height: a lidar that
# turns in a plane sees one row, which fits as well elsewhere.
_FEWEST_POINTS, _LEAST_HEIGHT = 40, 0.25


@dataclass(frozen=True)
class Move:
    """What makes the truth fit the predicted depth better."""

    #: Of the points, as the camera sees them [degrees].
    right_deg: float
    down_deg: float
    #: How much smaller the disagreement then is, as a part of what it is now.
    gain: float
    #: Images that were looked at, and the fraction of them that fit better so.
    images: int
    fraction: float

    def describe(self) -> str:
        """Return it as text, with what to look at."""
        ways = (
            (self.right_deg, 'to the right', 'to the left'),
            (self.down_deg, 'down', 'up'),
        )
        moves = [
            f'{abs(degrees):.0f} degrees {there if degrees > 0 else back}'
            for degrees, there, back in ways
            if degrees
        ]
        return (
            f'the truth fits the predicted depth {100 * self.gain:.0f} % better when moved by '
            f'{" and ".join(moves)}: the transform between sensor and camera may be wrong by as '
            'much, or by 10 cm at near things; look at the pictures of --pictures'
        )


class Misalignment:
    """Tries on images where their truth fits best."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        # Of each image, the logarithm of how much larger the disagreement is when moved.
        self._changes: list[NDArray[np.float64]] = []

    def add(
        self,
        prediction: NDArray[np.floating],
        truth: NDArray[np.floating],
        focal_px: float,
        *,
        max_depth: float,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Look at an image, unless many were or its truth does not tell.

        :param prediction: metres along Z, of any scale, ``[H, W]``; NaN where there is none.
        :param truth: metres along Z, ``[H, W]``.
        :param focal_px: focal length of the image [pixels].
        :param max_depth: farthest truth that counts [m].
        :param mask: further restriction such as a crop, ``[H, W]``.
        """
        if len(self._changes) == _MOST_IMAGES:
            return
        height, width = truth.shape
        moves = np.rint(focal_px * np.tan(np.radians(STEPS_DEG))).astype(int)  # [S] [pixels]
        margin = moves[-1]
        rows, columns = np.nonzero(counted_pixels(truth, max_depth=max_depth, mask=mask))
        inside = (rows >= margin) & (rows < height - margin)
        inside &= (columns >= margin) & (columns < width - margin)
        rows, columns = rows[inside], columns[inside]
        if len(rows) < _FEWEST_POINTS or np.ptp(rows) < _LEAST_HEIGHT * height:
            return
        chosen = self._random.permutation(len(rows))[:_MOST_POINTS]
        rows, columns = rows[chosen], columns[chosen]
        with np.errstate(invalid='ignore', divide='ignore'):
            depth = np.log(prediction)
        places = rows[:, None, None] + moves[:, None], columns[:, None, None] + moves
        off = depth[places] - np.log(truth[rows, columns])[:, None, None]  # [N, S, S]: down, right
        off = off[np.isfinite(off).all(axis=(1, 2))]
        if len(off) < _FEWEST_POINTS:
            return
        disagreement = np.abs(off - np.median(off, axis=0)).mean(axis=0).clip(min=1e-9)  # [S, S]
        middle = len(STEPS_DEG) // 2
        self._changes.append(np.log(disagreement / disagreement[middle, middle]))

    def find(self) -> Move | None:
        """Return a move that makes the truth fit clearly better; None where it fits as it is."""
        if len(self._changes) < _LEAST_IMAGES:
            return None
        changes = np.stack(self._changes)  # [B, S, S]
        mean = changes.mean(axis=0)
        i, j = np.unravel_index(mean.argmin(), mean.shape)
        down, right = float(STEPS_DEG[i]), float(STEPS_DEG[j])
        gain, fraction = 1 - math.exp(mean[i, j]), float((changes[:, i, j] < 0).mean())
        if (
            gain < _LEAST_GAIN
            or fraction < _LEAST_FRACTION
            or math.hypot(down, right) < _LEAST_DEG
        ):
            return None
        return Move(right, down, gain, len(changes), fraction)
