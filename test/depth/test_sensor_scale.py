"""Factors and the depth of a range sensor's cone against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.sensor_scale import (
    range_depth,
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


def test_a_cone_shows_a_surface_that_faces_the_sensor() -> None:
    pose = FORWARD.copy()
    pose[:3, 3] = (0.1, 0.0, -0.2)
    depth = range_depth(echo(), CAMERA, pose)
    assert depth.dtype == np.float32
    assert depth.shape == (H, W)
    is_known = np.isfinite(depth)
    np.testing.assert_allclose(depth[is_known], 1.8, rtol=1e-6)  # 2 - 0.2
    # Round (0.1, 0, 1.8), at column 26 + 50 * 0.1 / 1.8 = 28.78, within 2 tan(0.1) = 0.2007 m:
    # columns 28.78 +- 5.57, and in column 29 rows 18 +- 5.79.
    assert np.flatnonzero(is_known[18]).tolist() == list(range(24, 35))
    assert np.flatnonzero(is_known[:, 29]).tolist() == list(range(13, 24))
    assert not is_known[23, 24]


def test_a_cone_that_looks_aside() -> None:
    turn = np.radians(20.0)
    pose = FORWARD.copy()
    pose[:3, 0] = (np.sin(turn), 0.0, np.cos(turn))
    depth = range_depth(echo(), CAMERA, pose)
    # Of the ray (0.36, 0): 2 / (0.34202 * 0.36 + 0.93969)
    assert depth[18, 44] == pytest.approx(1.88179, rel=1e-5)
    assert depth[18, 46] < depth[18, 44] < depth[18, 42]


def test_a_beam_shows_in_some_pixels() -> None:
    # Within 2 pixels of a focal length of sqrt(50 * 52) = 50.99: (du / 50)^2 + (dv / 52)^2 <=
    # 0.03922^2 has 5 pixels in column 26 and 3 in those beside it.
    is_known = np.isfinite(range_depth(echo(field_of_view=0.0), CAMERA, FORWARD))
    assert is_known.sum(axis=0)[23:30].tolist() == [0, 0, 3, 5, 3, 0, 0]
    assert np.count_nonzero(is_known) == 11


@pytest.mark.parametrize('axis', [(0.7071, 0.0, 0.7071), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)])
def test_a_cone_whose_middle_is_out_of_view_shows_nothing(axis: tuple[float, ...]) -> None:
    pose = FORWARD.copy()
    pose[:3, 0] = axis
    assert np.isnan(range_depth(echo(field_of_view=1.2), CAMERA, pose)).all()


def test_a_lens_bends_where_the_cone_is() -> None:
    camera = CameraModel(W, H, 50.0, 52.0, 26.0, 18.0, 'plumb_bob', (-0.2, 0.0, 0.0, 0.0, 0.0))
    pose = FORWARD.copy()
    pose[:3, 3] = (0.8, 0.0, 0.0)
    # x / z = 0.4: 0.4 (1 - 0.2 * 0.16) = 0.3872, times 50 is 19.36; without the lens 20.
    columns = np.flatnonzero(np.isfinite(range_depth(echo(field_of_view=0.0), camera, pose)[18]))
    # Around it the picture is smaller: 0.0392 * 50 (1 - 0.6 * 0.16) = 1.8 to either side.
    assert columns.tolist() == [44, 45, 46, 47]


@pytest.mark.parametrize('distance', [INF, -INF, NAN, 0.1, 4.5, 0.0])
def test_what_was_not_measured_is_refused(distance: float) -> None:
    reason = r'got a range of .* m from a sensor of 0\.2 to 4 m, expected one that it can measure'
    with pytest.raises(ValueError, match=reason):
        range_depth(echo(range=distance), CAMERA, FORWARD)


def test_a_sensor_that_only_says_whether_something_is_near_is_refused() -> None:
    with pytest.raises(ValueError, match=r'got a range of 2 m from a sensor of 2 to 2 m'):
        range_depth(echo(min_range=2.0, max_range=2.0), CAMERA, FORWARD)


@pytest.mark.parametrize('angle', [25.0, 1.6, -0.1, NAN])
def test_a_cone_that_is_none_is_refused(angle: float) -> None:
    reason = r'got a field_of_view of .*, expected the whole angle of a cone below pi / 2, in rad'
    with pytest.raises(ValueError, match=reason):
        range_depth(echo(field_of_view=angle), CAMERA, FORWARD)


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
