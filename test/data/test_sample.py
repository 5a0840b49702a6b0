from __future__ import annotations

import re

import numpy as np
import pytest

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import CameraModel

CAMERA = CameraModel.from_fov(7, 5, 60.0)
RGB = np.zeros((5, 7, 3), np.uint8)


def test_a_sample_may_lack_truth():
    assert DepthSample(RGB, None, CAMERA, 'a').depth is None


@pytest.mark.parametrize(
    ('rgb', 'depth', 'message'),
    [
        (RGB.transpose(1, 0, 2), None, 'got uint8 (7, 5, 3) as the image of a, expected uint8 (5'),
        (RGB.astype(np.float32), None, 'got float32 (5, 7, 3) as the image of a'),
        (RGB, np.zeros((7, 5), np.float32), 'got float32 (7, 5) as the depth of a, expected'),
        (RGB, np.zeros((5, 7), np.uint16), 'got uint16 (5, 7) as the depth of a'),
    ],
)
def test_arrays_that_do_not_fit_the_camera_are_refused(rgb, depth, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DepthSample(rgb, depth, CAMERA, 'a')
