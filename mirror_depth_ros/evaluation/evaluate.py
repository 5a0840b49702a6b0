"""How far a model's depth is from the truth, over a whole data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.eval_protocols import Protocol
from mirror_depth_ros.depth.metrics import mean_metrics
from mirror_depth_ros.evaluation.breakdown import Breakdown
from mirror_depth_ros.evaluation.misalignment import Misalignment
from mirror_depth_ros.evaluation.result import Score, estimate, score_depth, write_result
from mirror_depth_ros.inference.estimator import DepthEstimator


def evaluate(
    estimator: DepthEstimator,
    samples: Iterable[DepthSample],
    *,
    protocol: Protocol,
    flip: bool = False,
    pictures: Path | None = None,
    breakdown: Breakdown | None = None,
    misalignment: Misalignment | None = None,
) -> Iterator[Score]:
    """Score every image of a data set; none is left out.

    :param protocol: what the network sees of an image, and which pixels count.
    :param flip: average with the prediction of the mirrored image, turned back (as BTS and AdaBins
        are evaluated).
    :param pictures: folder for image, truth, prediction and error side by side.
    :param breakdown: adds up every image's errors by distance and place.
    :param misalignment: tries where the truth fits best.
    :raises ValueError: for an image without any true depth where it counts, or of a size that the
        protocol is not defined for.
    """
    for sample in samples:
        try:
            depth, confidence = _predict(estimator, sample, protocol, flip=flip)
            counts: Any = {'max_depth': protocol.max_depth, 'mask': protocol.mask(*depth.shape)}
            score = score_depth(sample, depth, confidence=confidence, **counts)
            if breakdown is not None and sample.depth is not None:
                breakdown.add(depth, sample.depth, **counts)
            if misalignment is not None and sample.depth is not None:
                misalignment.add(depth, sample.depth, sample.camera.focal_px, **counts)
            if pictures is not None:
                path = pictures / f'{sample.name.replace("/", "_")}.png'
                write_result({'comparison': path}, sample, depth, max_depth=protocol.max_depth)
        except ValueError as error:
            raise ValueError(f'{sample.name}: {error}') from error
        yield score


def _predict(
    estimator: DepthEstimator, sample: DepthSample, protocol: Protocol, *, flip: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return depth and, of models that have it, confidence of what the network sees, in place.

    :returns: ``[H, W]`` each; NaN around what it sees.
    """
    height, width = sample.rgb.shape[:2]
    seen = protocol.input_window(height, width).slices
    rgb = sample.rgb[seen]
    focal_px = sample.camera.focal_px  # a window of an image has the focal length of the whole
    maps = _estimate(estimator, rgb, focal_px)
    if flip:
        mirrored = _estimate(estimator, rgb[:, ::-1], focal_px)
        maps = np.mean([maps, mirrored[..., ::-1]], axis=0, dtype=np.float32)
    whole = np.full((len(maps), height, width), np.nan, np.float32)
    whole[(..., *seen)] = maps
    return whole[0], whole[1] if estimator.has_confidence else None


def _estimate(
    estimator: DepthEstimator, rgb: NDArray[np.uint8], focal_px: float
) -> NDArray[np.float32]:
    """Return depth and, of models that have it, confidence, ``[1 or 2, H, W]``."""
    maps = estimate(estimator, rgb, focal_px, with_confidence=estimator.has_confidence)
    return np.stack([part for part in maps if part is not None])


def summarize_scores(scores: Sequence[Score]) -> dict[str, object]:
    """Return the mean over images, unscaled and median-scaled, and every image's own figures."""
    expected = [s.expected_delta1 for s in scores if s.expected_delta1 is not None]
    return {
        'images': len(scores),
        'metric': mean_metrics(score.metric for score in scores),
        'median_scaled': mean_metrics(score.median_scaled for score in scores),
        'expected_delta1': float(np.mean(expected)) if expected else None,
        'per_image': [asdict(score) for score in scores],
    }
