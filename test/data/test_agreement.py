"""How well two measurements of the same depth agree."""

from __future__ import annotations

import numpy as np

from mirror_depth_ros.data.agreement import describe_agreement
from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera import CameraModel

H, W = 3, 5
CAMERA = CameraModel(W, H, 4.0, 4.0, 2.0, 1.0)


class Samples(LazySequence[DepthSample]):
    """Depth images by name."""

    def __init__(self, **depths: np.ndarray | None) -> None:
        self._depths = list(depths.items())

    def __len__(self) -> int:
        return len(self._depths)

    def item(self, index: int) -> DepthSample:
        name, depth = self._depths[index]
        return DepthSample(np.zeros((H, W, 3), np.uint8), depth, CAMERA, name)

    def name_of(self, index: int) -> str:
        return self._depths[index][0]


def depth(*values: float) -> np.ndarray:
    """Return an image that begins with these depths and knows no others."""
    image = np.full(H * W, np.nan, np.float32)
    image[: len(values)] = values
    return image.reshape(H, W)


def test_pixels_that_both_know_are_compared() -> None:
    # Ratios 1.0, 1.1 and, in the other image, 1.2 to 2.0: the 10th and 90th percentile of 11 in
    # steps of 0.1 are the second and the last but one.
    one = Samples(a=depth(2.0, 2.2, 5.0), b=depth(*np.arange(1.2, 2.05, 0.1)), c=depth(9.0))
    other = Samples(b=depth(*[1.0] * 9), a=depth(2.0, 2.0, np.nan, 4.0), d=depth(1.0))
    expected = 'median 1.50, 1.10 to 1.90 for 80 % of 11 pixels'
    assert describe_agreement(one[:], other) == expected


def test_without_common_pixels_nothing_is_said() -> None:
    one = Samples(a=depth(2.0), b=depth(1.0), c=None)
    other = Samples(a=depth(np.nan, 2.0), d=depth(1.0), c=depth(1.0))
    assert describe_agreement(one[:], other) is None
    assert describe_agreement([], other) is None
