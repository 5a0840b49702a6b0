"""How well measurements of the same things agree."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.lidar import sparse_depth
from mirror_depth_ros.depth.poses import move_points

Depth = NDArray[np.float32]


def describe_agreement(pairs: Iterable[tuple[Depth, Depth]]) -> str | None:
    """Say how large depths are against others of the same images, pixel by pixel.

    A median other than 1 is a systematic difference, as of a wrong transform or unit; a wide range
    is one of direction or time.

    :param pairs: ``[H, W]`` each [m], NaN where it is not known.
    :returns: None where no pixel has both.
    """
    known = np.concatenate([np.zeros(0, np.float32), *(_ratios(*pair) for pair in pairs)])
    if not len(known):
        return None
    low, middle, high = np.percentile(known, (10, 50, 90))
    return f'median {middle:.2f}, {low:.2f} to {high:.2f} for 80 % of {len(known)} pixels'


def describe_motion(pairs: Iterable[tuple[DepthSample, DepthSample]]) -> str | None:
    """Say how large depths are against those of another image, moved there as poses have it.

    :param pairs: which show the same; those without depth or pose do not count.
    :returns: None where no pixel has both.
    """
    return describe_agreement(
        _moved(*pair)
        for pair in pairs
        if pair[0].name != pair[1].name
        and all(sample.depth is not None and sample.pose is not None for sample in pair)
    )


def _moved(sample: DepthSample, other: DepthSample) -> tuple[Depth, Depth]:
    """Return the depth of a sample as the other's camera would have it, and the other's own."""
    assert sample.depth is not None
    assert other.depth is not None
    is_known = np.isfinite(sample.depth)
    depth = sample.depth[is_known, None]  # [N, 1]
    points = depth * np.column_stack([sample.camera.rays[is_known], np.ones(len(depth))])
    points = points[np.isfinite(points).all(axis=1)]
    to_other = np.linalg.inv(np.asarray(other.pose)) @ sample.pose
    moved = sparse_depth(move_points(points, to_other), other.camera, is_flat=False)
    return moved, other.depth


def _ratios(depth: Depth, other: Depth) -> NDArray[np.float32]:
    """Return the ratio of depths where both are known, ``[N]``."""
    with np.errstate(invalid='ignore'):  # the sky by the sky
        ratio = depth / other
    return ratio[np.isfinite(ratio)]
