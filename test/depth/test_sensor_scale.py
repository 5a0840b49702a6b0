"""Factors and the depth of a range sensor's cone against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.sensor_scale import (
    scale_from_depth,
    scale_from_lidar,
    scale_from_range,
)

H, W = 37, 53
CAMERA = CameraModel(W, H, fx=50.0, fy=52.0, cx=26.0, cy=18.0)
NAN, INF = np.nan, np.inf
# A frame that looks where the camera does: x forward, y left, z up, in x right, y down, z forward.
FORWARD = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def known(values: dict[tuple[int, int], float]) -> np.ndarray:
    """Return depth that is known at some rows and columns."""
    depth = np.full((H, W), NAN, np.float32)
    for place, value in values.items():
        depth[place] = value
    return depth


def test_the_factor_is_the_median_ratio() -> None:
    estimated = np.full((H, W), 2.0, np.float32)
    measured = known({(1, 2): 2.2, (3, 50): 2.4, (30, 7): 2.6, (36, 52): 9.0, (0, 0): 2.0})
    # 1, 1.1, 1.2, 1.3, 4.5
    assert scale_from_depth(estimated, measured, min_points=5) == pytest.approx(1.2, rel=1e-6)


def test_pixels_without_either_depth_do_not_count() -> None:
    estimated = np.full((H, W), 2.0, np.float32)
    estimated[0, :5] = (NAN, INF, -INF, 0.0, -1.0)
    measured = known({(0, i): 8.0 for i in range(5)} | {(1, 0): 3.0, (1, 1): 0.0, (1, 2): -1.0})
    assert scale_from_depth(estimated, measured, min_points=1) == 1.5
    with pytest.raises(ValueError, match=r'got 1 measured pixels in view, expected at least 20;'):
        scale_from_depth(estimated, measured)


def test_the_factor_of_twenty_pixels() -> None:
    estimated = np.full((H, W), 0.5, np.float32)
    measured = known({(i, 2 * i): 0.75 for i in range(20)})
    assert scale_from_depth(estimated, measured) == 1.5


def test_no_pixel_in_view_is_refused_with_what_to_do() -> None:
    reason = (
        r'got 0 measured pixels in view, .* an optical frame has x right, y down and z forward'
    )
    with pytest.raises(ValueError, match=reason):
        scale_from_depth(np.ones((H, W)), known({}), min_points=1)


@pytest.mark.parametrize(('off', 'agrees'), [(1.24, True), (1.26, False)])
def test_ratios_that_do_not_agree_are_refused(off: float, agrees: bool) -> None:
    # Five of each of 1 / off, 1 / off, 1, off and off: their median is 1, and the median of the
    # logarithms' absolute values is log(off), of which log(1.25) is allowed.
    ratios = (1 / off, 1 / off, 1.0, off, off)
    measured = known({(row, 3 * i): 3.0 * r for row in range(5) for i, r in enumerate(ratios)})
    estimated = np.full((H, W), 3.0, np.float32)
    if agrees:
        assert scale_from_depth(estimated, measured) == pytest.approx(1.0)
        return
    reason = (
        r'got 25 measured pixels, half of which .* 1, by a factor of 1\.26 or more, .* 1\.25: no'
    )
    with pytest.raises(ValueError, match=reason):
        scale_from_depth(estimated, measured)


def test_a_quantile_of_the_ratios() -> None:
    estimated = np.full((H, W), 2.0, np.float32)
    measured = known({(0, i): 2.0 + 0.1 * i for i in range(5)})
    # 1, 1.05, 1.1, 1.15, 1.2: nine tenths of the way to the last, 3.6 steps of 0.05.
    factor = scale_from_depth(estimated, measured, min_points=5, quantile=0.9)
    assert factor == pytest.approx(1.18, rel=1e-6)


def test_measurements_of_another_size_are_refused() -> None:
    reason = r'got depth of shape \(37, 52\) and measurements of shape \(37, 53\), expected the'
    with pytest.raises(ValueError, match=reason):
        scale_from_depth(np.ones((H, W - 1)), known({}))


def echo(**fields: float) -> SimpleNamespace:
    message = {'field_of_view': 0.2, 'min_range': 0.2, 'max_range': 4.0, 'range': 2.0}
    return SimpleNamespace(**{**message, 'radiation_type': 1, **fields})


def test_a_scan_gives_the_factor_of_what_it_sees() -> None:
    angles = -0.4 + 0.02 * np.arange(41)
    ranges = (2.0 / np.cos(angles)).astype(np.float32)
    scan = {'angle_min': -0.4, 'angle_increment': 0.02, 'time_increment': 0.0, 'ranges': ranges}
    message = SimpleNamespace(**scan, range_min=0.1, range_max=9.0)
    pose = FORWARD.copy()
    pose[:3, 3] = (0.0, 0.25, 0.1)
    # At a depth of 2.1 m, in row 18 + 52 * 0.25 / 2.1 = 24.2.
    estimated = np.full((H, W), 0.1, np.float32)
    estimated[24] = 1.5
    assert scale_from_lidar(estimated, message, CAMERA, pose) == pytest.approx(1.4, rel=1e-6)


def test_a_cloud_gives_the_factor_of_what_it_sees(make_cloud) -> None:
    points = [(0.1 * i, 0.1 * j, 3.0) for i in range(-6, 7) for j in range(-4, 5)]
    records = np.array(points, [('x', 'f4'), ('y', 'f4'), ('z', 'f4')])
    estimated = np.full((H, W), 2.0, np.float32)
    pose = np.eye(4)
    pose[2, 3] = -0.5
    assert scale_from_lidar(estimated, make_cloud(records), CAMERA, pose) == pytest.approx(1.25)


def test_light_measures_most_of_a_cone_and_an_echo_what_is_nearest() -> None:
    # Eight of the beam's eleven pixels at 2 m, and the 3 of column 25 at 1.7 m: ratios of 1 and
    # 2 / 1.7 = 1.176.
    estimated = np.full((H, W), 2.0, np.float32)
    estimated[:, 25] = 1.7
    light, sound = (echo(field_of_view=0.0, radiation_type=kind) for kind in (1, 0))
    assert scale_from_range(estimated, light, CAMERA, FORWARD) == pytest.approx(1.0)
    assert scale_from_range(estimated, sound, CAMERA, FORWARD) == pytest.approx(2.0 / 1.7)
