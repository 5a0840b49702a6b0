"""How well two measurements of the same depth agree."""

from __future__ import annotations

import numpy as np

from mirror_depth_ros.data.agreement import describe_agreement, describe_motion
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import CameraModel

H, W = 3, 5
CAMERA = CameraModel(W, H, 4.0, 4.0, 2.0, 1.0)


def depth(*values: float) -> np.ndarray:
    """Return an image that begins with these depths and knows no others."""
    image = np.full(H * W, np.nan, np.float32)
    image[: len(values)] = values
    return image.reshape(H, W)


def test_pixels_that_both_know_are_compared() -> None:
    # Ratios 1.0, 1.1 and, in the other image, 1.2 to 2.0: the 10th and 90th percentile of 11 in
    # steps of 0.1 are the second and the last but one.
    pairs = [
        (depth(2.0, 2.2, 5.0), depth(2.0, 2.0, np.nan, 4.0)),
        (depth(*np.arange(1.2, 2.05, 0.1)), depth(*[1.0] * 9)),
    ]
    expected = 'median 1.50, 1.10 to 1.90 for 80 % of 11 pixels'
    assert describe_agreement(pairs) == expected


def test_without_common_pixels_nothing_is_said() -> None:
    assert describe_agreement([(depth(2.0), depth(np.nan, 2.0))]) is None
    assert describe_agreement([]) is None


def seen(z: float, metres: float | None) -> DepthSample:
    """Return a wall as a camera sees it that has driven so far ahead."""
    pose = np.eye(4)
    pose[2, 3] = z
    whole = None if metres is None else np.full((H, W), metres, np.float32)
    return DepthSample(np.zeros((H, W, 3), np.uint8), whole, CAMERA, str(z), pose)


def test_depth_moved_by_odometry_is_that_of_the_next_image() -> None:
    # Of 5 x 3 pixels, 3 x 3 are still in view.
    assert describe_motion(
        [(seen(0.0, 4.0), seen(1.0, 3.0)), (seen(1.0, 3.0), seen(2.0, None))]
    ) == ('median 1.00, 1.00 to 1.00 for 80 % of 9 pixels')
    # Odometry has twice the way: what is 4 m away would be 2 m away, and is 3 m.
    assert describe_motion([(seen(0.0, 4.0), seen(2.0, 3.0))]) == (
        'median 0.67, 0.67 to 0.67 for 80 % of 3 pixels'
    )
    assert describe_motion([]) is None
