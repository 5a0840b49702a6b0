"""Where depth is wrong: by distance, and by the place in the picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.metrics import MIN_DEPTH, counted_pixels
from mirror_depth_ros.depth.preview import colorize_bias, colorize_relative_error, side_by_side

#: Rows and columns of the cells that a picture is divided into; thirds of both are whole.
GRID = (24, 30)
#: The first band of distance ends at twice this [m], each other one at twice where it begins; the
#: last has no end.
NEAREST_M = 0.125
_BANDS = 12
_ROWS, _COLUMNS = ('top', 'middle', 'bottom'), ('left', 'centre', 'right')
# Of a cell in the picture [pixels].
_CELL_PX = 20
#: What is summed of every pixel: 1, |p - g| / g, ln p/g, and whether max(p/g, g/p) < 1.25.
_SUMS = 4


@dataclass(frozen=True)
class Part:
    """Errors of some pixels, each counting the same."""

    #: What they have in common, such as ``1 to 2 m`` or ``top left``.
    name: str
    #: Of all pixels with truth, how many they are.
    fraction: float
    abs_rel: float
    #: How much too far their depth is on average (too near: below 0), as a part of the truth: the
    #: mean of the logarithm of their ratio, turned back into a ratio.
    bias: float
    delta1: float


class Breakdown:
    """Sums of the errors of many images, by distance and by place."""

    def __init__(self) -> None:
        self._by_band = np.zeros((_SUMS, _BANDS))
        self._by_cell = np.zeros((_SUMS, *GRID))

    def add(
        self,
        prediction: NDArray[np.floating],
        truth: NDArray[np.floating],
        *,
        max_depth: float,
        mask: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count an image; the pixels that count are those of :func:`.depth_metrics`.

        :param prediction: metres along Z, ``[H, W]``, and so is ``truth``.
        :param max_depth: farthest truth that counts [m].
        :param mask: further restriction such as a crop, ``[H, W]``.
        """
        counted = counted_pixels(truth, max_depth=max_depth, mask=mask)
        rows, columns = np.nonzero(counted)
        g = truth[counted].astype(np.float64)
        p = np.nan_to_num(prediction[counted].astype(np.float64), nan=0.0, posinf=max_depth)
        p = p.clip(MIN_DEPTH, max_depth)
        ratio = p / g
        values = [
            np.ones_like(g),
            np.abs(ratio - 1),
            np.log(ratio),
            np.maximum(ratio, 1 / ratio) < 1.25,
        ]
        band = np.log2(g / NEAREST_M).astype(int).clip(0, _BANDS - 1)
        height, width = truth.shape
        cell = rows * GRID[0] // height * GRID[1] + columns * GRID[1] // width
        for i, value in enumerate(values):
            self._by_band[i] += np.bincount(band, value, _BANDS)
            self._by_cell[i] += np.bincount(cell, value, GRID[0] * GRID[1]).reshape(GRID)

    def bands(self) -> list[Part]:
        """Return the errors by true distance, near to far; bands without truth are left out."""
        edges = [NEAREST_M * 2**i for i in range(_BANDS + 1)]
        names = [f'{a:.3g} to {b:.3g} m' for a, b in pairwise(edges)]
        names[0], names[-1] = f'up to {edges[1]:.3g} m', f'from {edges[-2]:.3g} m'
        return self._parts(names, self._by_band)

    def places(self) -> list[Part]:
        """Return the errors by ninths of the picture, row by row; those without truth left out."""
        names = [f'{row} {column}' for row in _ROWS for column in _COLUMNS]
        rows, columns = GRID[0] // 3, GRID[1] // 3
        ninths = self._by_cell.reshape(_SUMS, 3, rows, 3, columns).sum(axis=(2, 4))
        return self._parts(names, ninths.reshape(_SUMS, 9))

    def to_dict(self) -> dict[str, list[dict[str, object]]]:
        """Return plain values, as JSON holds them."""
        parts = {'by_distance': self.bands(), 'by_place': self.places()}
        return {name: [asdict(part) for part in some] for name, some in parts.items()}

    def picture(self) -> NDArray[np.uint8]:
        """Return bias and error of each place in colours, side by side, ``[H, W, 3]``."""
        count, error, log_ratio, _ = self._by_cell
        with np.errstate(invalid='ignore'):
            panels = {
                'too near: blue, too far: red (half, twice)': colorize_bias(log_ratio / count),
                'Abs Rel (blue: 0, red: 0.5)': colorize_relative_error(error / count),
            }
        size = (_CELL_PX * GRID[1], _CELL_PX * GRID[0])
        return side_by_side(
            [
                (label, np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST)))
                for label, cells in panels.items()
            ]
        )

    def _parts(self, names: list[str], sums: NDArray[np.float64]) -> list[Part]:
        whole = sums[0].sum()
        return [
            Part(
                name,
                count / whole,
                error / count,
                float(np.expm1(log_ratio / count)),
                hits / count,
            )
            for name, (count, error, log_ratio, hits) in zip(names, sums.T.tolist())
            if count
        ]
