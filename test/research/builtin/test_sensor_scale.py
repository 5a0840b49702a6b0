"""What is kept of true depth for another sensor, and the factors that follow."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from research.builtin.sensor_scale import echo, factors, scan

H, W = 61, 81
CAMERA = CameraModel(W, H, fx=115.0, fy=115.0, cx=40.0, cy=30.0)


def test_a_scan_is_one_row_with_a_ray_each_degree() -> None:
    truth = np.arange(H * W, dtype=np.float32).reshape(H, W)
    kept = np.isfinite(scan(truth, CAMERA, 0.5))
    # A degree is 115 * 0.01745 = 2.007 pixels.
    assert np.flatnonzero(kept.any(axis=1)).tolist() == [30]
    assert np.flatnonzero(kept[30]).tolist() == list(range(0, 81, 2))


def test_an_echo_is_of_what_is_near_and_light_of_most() -> None:
    truth = np.full((H, W), 4.0, np.float32)
    truth[28:37, 38:43] = 2.0
    sound, light = echo(truth, CAMERA, 0), echo(truth, CAMERA, 1)
    # Within 115 tan(7.5 degrees) = 15.1 pixels there are about 717, of which 45 are near.
    assert sound.range == pytest.approx(2.0, abs=0.01)
    assert light.range == pytest.approx(4.02, abs=0.01)
    assert (light.radiation_type, sound.radiation_type) == (1, 0)


def test_a_cone_without_truth_has_no_factor() -> None:
    truth = np.full((H, W), np.nan, np.float32)
    truth[:10] = 3.0
    with pytest.raises(ValueError, match='got a cone without true depth'):
        echo(truth, CAMERA, 1)
    found = factors(np.full((H, W), 2.0, np.float32), truth, CAMERA)
    assert found == {
        'none': 1.0,
        'cloud': 1.5,
        'scan, in the middle': None,
        'scan, lower': None,
        'range, ultrasound': None,
        'range, light': None,
    }


def test_a_wall_gives_all_sensors_one_factor() -> None:
    found = factors(np.full((H, W), 2.0, np.float32), np.full((H, W), 3.0, np.float32), CAMERA)
    # Of the cone's pixels half are within 5.3 degrees: 3 / cos(5.3 degrees) = 3.013.
    assert found['range, light'] == pytest.approx(1.5064, abs=1e-3)
    assert all(f == pytest.approx(1.5, rel=5e-3) for n, f in found.items() if n != 'none')
