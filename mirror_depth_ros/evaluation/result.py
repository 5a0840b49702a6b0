"""What is kept of one image's depth: files, and its metrics where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import back_project
from mirror_depth_ros.depth.files import (
    make_folder,
    write_confidence_png,
    write_depth_png,
    write_ply,
    write_rgb_png,
)
from mirror_depth_ros.depth.metrics import counted_pixels, depth_metrics
from mirror_depth_ros.depth.preview import colorize_depth, comparison

if TYPE_CHECKING:  # at run time whoever has an estimator has imported PyTorch
    from mirror_depth_ros.inference.estimator import DepthEstimator


@dataclass(frozen=True)
class Score:
    """The metrics of one image."""

    name: str
    #: As predicted.
    metric: dict[str, float]
    #: After the prediction is scaled to the truth's median: the shape alone.
    median_scaled: dict[str, float]
    #: The delta1 that the model expects where the truth counts; None of models without confidence.
    expected_delta1: float | None = None


def estimate(
    estimator: DepthEstimator,
    rgb: NDArray[np.uint8],
    focal_px: float,
    *,
    with_confidence: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return an image's depth [m] and, if asked, its confidence, ``[H, W]`` each."""
    if with_confidence:
        return estimator.estimate(rgb, focal_px, with_confidence=True)
    return estimator.estimate(rgb, focal_px), None


def score_depth(
    sample: DepthSample,
    depth: NDArray[np.floating],
    *,
    max_depth: float,
    mask: NDArray[np.bool_] | None = None,
    confidence: NDArray[np.floating] | None = None,
) -> Score:
    """Compare depth with a sample's truth.

    :param depth: metres along Z, ``[H, W]``.
    :param max_depth: farthest truth that counts [m].
    :param mask: further restriction such as a crop, ``[H, W]``.
    :param confidence: how sure the depth is, 0 to 1, ``[H, W]``; None where it is not known.
    :raises ValueError: without any truth that counts.
    """
    if sample.depth is None:
        raise ValueError(
            'got no true depth, expected it for every image, such as a depth.png beside it; '
            'leave the image out, or use mirror_depth predict'
        )
    plain, scaled = (
        depth_metrics(
            depth, sample.depth, max_depth=max_depth, mask=mask, median_scaling=by_median
        )
        for by_median in (False, True)
    )
    if confidence is None:
        return Score(sample.name, plain, scaled)
    counted = counted_pixels(sample.depth, max_depth=max_depth, mask=mask)
    # The mean of the probabilities that each pixel's depth is within a factor of 1.25.
    return Score(sample.name, plain, scaled, float(confidence[counted].mean(dtype=np.float64)))


def write_result(
    paths: Mapping[str, Path],
    sample: DepthSample,
    depth: NDArray[np.float32],
    *,
    max_depth: float,
    preview: NDArray[np.uint8] | None = None,
    cloud: tuple[NDArray[np.float32], NDArray[np.uint8]] | None = None,
    panel_height: int = 240,
    confidence: NDArray[np.float32] | None = None,
) -> Score | None:
    """Write what is wanted of an image's depth, and measure it.

    :param paths: where ``depth`` and ``truth`` (PNG of 16-bit millimetres), ``confidence`` (PNG of
        8 bits), ``cloud`` (PLY), ``image``, ``preview`` and ``comparison`` (PNG) go; what has no
        path is not written.
    :param depth: metres along Z, ``[H, W]``.
    :param max_depth: where previews, clouds and metrics end [m]; depth images hold everything.
    :param preview: RGB uint8 ``[H, W, 3]`` as somebody else made it; None: made here.
    :param cloud: points [m] and colours, ``[H, W, 3]`` each, likewise.
    :param panel_height: of image, truth, prediction and error in the comparison [pixels].
    :param confidence: how sure the depth is, 0 to 1, ``[H, W]``, where there is a path for it.
    :returns: None where there is no truth within ``max_depth``.
    :raises OSError: if a file cannot be written; the message names it.
    """
    for path in paths.values():
        make_folder(path.parent)
    if 'image' in paths:
        write_rgb_png(paths['image'], sample.rgb)
    if 'depth' in paths:
        write_depth_png(paths['depth'], depth)
    if 'truth' in paths and sample.depth is not None:
        write_depth_png(paths['truth'], sample.depth)
    if 'confidence' in paths and confidence is not None:
        write_confidence_png(paths['confidence'], confidence)
    if 'preview' in paths:
        picture = colorize_depth(depth, max_depth=max_depth) if preview is None else preview
        write_rgb_png(paths['preview'], picture)
    if 'comparison' in paths:
        panels = comparison(
            sample.rgb, depth, sample.depth, max_depth=max_depth, height=panel_height
        )
        write_rgb_png(paths['comparison'], panels)
    if 'cloud' in paths:
        if cloud is None:
            near = np.where(depth <= max_depth, depth, np.float32(np.nan))
            cloud = back_project(near, sample.camera.rays), sample.rgb
        write_ply(paths['cloud'], *cloud)
    # A truth may begin beyond the range, as a street's does with the limit of rooms.
    if sample.depth is None or not ((sample.depth > 1e-3) & (sample.depth < max_depth)).any():
        return None
    return score_depth(sample, depth, max_depth=max_depth)
