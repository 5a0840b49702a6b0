"""The field's depth metrics for one image, and their mean over images, as pure arrays.

Definitions: Eigen et al., "Depth Map Prediction from a Single Image using a Multi-Scale Deep
Network" (2014), with the clamping and validity rules of the BTS and AdaBins evaluations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

#: Truth of less than this is none [m].
MIN_DEPTH = 1e-3
#: Names of all metrics, in the order tables show them.
METRIC_NAMES = (
    'abs_rel',
    'sq_rel',
    'rmse',
    'rmse_log',
    'log10',
    'silog',
    'delta1',
    'delta2',
    'delta3',
)


def depth_metrics(
    prediction: NDArray[np.floating],
    truth: NDArray[np.floating],
    *,
    max_depth: float,
    min_depth: float = MIN_DEPTH,
    mask: NDArray[np.bool_] | None = None,
    median_scaling: bool = False,
) -> dict[str, float]:
    """Return the metrics of one depth map.

    The prediction is clamped to ``[min_depth, max_depth]`` (infinity becomes the largest, NaN the
    smallest depth); pixels count where ``min_depth < truth < max_depth`` and ``mask`` holds.

    :param prediction: metres along Z, ``[H, W]``.
    :param truth: metres along Z, ``[H, W]``; 0, NaN and infinity mean no truth.
    :param max_depth: cap [m]; 10 for NYU, 80 for KITTI.
    :param mask: further restriction such as a crop, ``[H, W]``.
    :param median_scaling: first multiply the prediction by median(truth) / median(prediction).
    :raises ValueError: if shapes differ or no pixel is valid.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f'got a prediction of shape {prediction.shape}, expected {truth.shape} as the truth '
            'has; resize the prediction first'
        )
    valid = counted_pixels(truth, max_depth=max_depth, min_depth=min_depth, mask=mask)
    p = np.nan_to_num(prediction[valid].astype(np.float64), nan=min_depth, posinf=max_depth)
    g = truth[valid].astype(np.float64)
    if median_scaling:
        p *= np.median(g) / max(float(np.median(p)), min_depth)
    p = p.clip(min_depth, max_depth)

    d = np.log(p) - np.log(g)
    ratio = np.maximum(p / g, g / p)
    return {
        'abs_rel': float(np.mean(np.abs(p - g) / g)),
        'sq_rel': float(np.mean((p - g) ** 2 / g)),
        'rmse': float(np.sqrt(np.mean((p - g) ** 2))),
        'rmse_log': float(np.sqrt(np.mean(d**2))),
        'log10': float(np.mean(np.abs(d)) / np.log(10)),
        'silog': float(100 * np.std(d)),  # std^2 = mean d^2 - (mean d)^2
        'delta1': float(np.mean(ratio < 1.25)),
        'delta2': float(np.mean(ratio < 1.25**2)),
        'delta3': float(np.mean(ratio < 1.25**3)),
    }


def counted_pixels(
    truth: NDArray[np.floating],
    *,
    max_depth: float,
    min_depth: float = MIN_DEPTH,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Return where ``min_depth < truth < max_depth`` and ``mask`` holds, ``[H, W]``.

    :param truth: metres along Z, ``[H, W]``; 0, NaN and infinity mean no truth.
    :raises ValueError: if that is nowhere.
    """
    counted = (truth > min_depth) & (truth < max_depth)
    if mask is not None:
        counted &= mask
    if not counted.any():
        known = truth[np.isfinite(truth) & (truth > 0)]
        extent = f'{known.min():.4g} to {known.max():.4g} m' if known.size else 'no depth at all'
        raise ValueError(
            f'got no pixel with {min_depth} < truth < {max_depth} m where it counts, in a truth '
            f'of {extent}, expected at least one; check the unit and the scale of the ground truth'
        )
    return counted


def mean_metrics(per_image: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Average metrics over images, each image counting the same; all have the same ones.

    :raises ValueError: if there is no image.
    """
    rows = list(per_image)
    if not rows:
        raise ValueError('got no images, expected at least one; check the data set')
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
