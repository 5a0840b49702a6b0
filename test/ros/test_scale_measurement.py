"""The scale that several images agree on."""

import numpy as np
import pytest
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.scale_measurement import ScaleMeasurement
from mirror_depth_ros.ros.scale_sources import GroundSource

CAMERA = CameraModel(81, 61, fx=60.0, fy=58.0, cx=41.0, cy=29.0)
HEIGHT = 0.5
WALL = np.full((61, 81), 3.0, np.float32)


def floor(height):
    """Depth of level ground below the camera: y = height, so z = height / (y/z)."""
    down = CAMERA.rays[..., 1]
    with np.errstate(divide='ignore'):
        return np.where(down > 0, height / down, np.inf).astype(np.float32)


def measured(depths):
    measurement = ScaleMeasurement(GroundSource(HEIGHT), n_images=len(depths))
    is_last = [measurement.add(depth, CAMERA, Header()) for depth in depths]
    assert is_last == [False] * (len(depths) - 1) + [True]
    return measurement


def test_the_factor_is_the_median_and_the_spread_that_of_the_middle_half():
    # A model that sees the camera HEIGHT / s high needs the factor s.
    depths = [floor(HEIGHT / s) for s in (1.24, 1.2, 0.3, 1.26, 1.25)]
    scale = measured(depths).conclude()
    assert scale.factor == pytest.approx(1.24, rel=1e-3)
    # Of 0.3, 1.2, 1.24, 1.25, 1.26 the quartiles are 1.2 and 1.25: 0.05 / 1.24 apart.
    assert scale.spread == pytest.approx(0.0403, abs=1e-3)
    assert (scale.source, scale.n_used, scale.n_images) == ('the ground', 5, 5)


def test_ground_in_half_of_the_images_is_enough():
    scale = measured([WALL, floor(0.4), WALL, floor(0.4)]).conclude()
    assert scale.factor == pytest.approx(1.25, rel=1e-3)
    assert (scale.n_used, scale.n_images) == (2, 4)


def test_ground_in_fewer_is_refused_with_the_reason_of_the_latest():
    measurement = measured([WALL, floor(0.4), np.full_like(WALL, np.nan), WALL])
    reason = r'got the ground in 1 of 4 images, .* the latest without it: got a plane tilted by 90'
    with pytest.raises(ValueError, match=reason):
        measurement.conclude()


def test_images_that_disagree_are_refused():
    # Quartiles of 0.8, 1, 1.2, 1.4, 1.6: 1 and 1.4, 0.4 / 1.2 = 33 % apart.
    measurement = measured([floor(HEIGHT / s) for s in (0.8, 1.0, 1.2, 1.4, 1.6)])
    reason = r'got factors from 0\.8 to 1\.6, of which the middle half spreads over 33 %, .* 10 %'
    with pytest.raises(ValueError, match=reason):
        measurement.conclude()


@pytest.mark.parametrize(('seen', 'factor'), [(0.04, r'12\.5'), (6.25, r'0\.08')])
def test_a_factor_that_is_none_is_refused(seen, factor):
    reason = rf'got a factor of {factor}, expected 0\.1 to 10\.0; check camera_height \(0\.5 m\)'
    with pytest.raises(ValueError, match=reason):
        measured([floor(seen)] * 3).conclude()
