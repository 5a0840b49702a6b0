"""What a range sensor says of a picture, against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.range_cone import range_cone

H, W = 37, 53
CAMERA = CameraModel(W, H, fx=50.0, fy=52.0, cx=26.0, cy=18.0)
NAN, INF = np.nan, np.inf
# A frame that looks where the camera does: x forward, y left, z up, in x right, y down, z forward.
FORWARD = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def echo(**fields: float) -> SimpleNamespace:
    message = {'field_of_view': 0.2, 'min_range': 0.2, 'max_range': 4.0, 'range': 2.0}
    return SimpleNamespace(**{**message, 'radiation_type': 1, **fields})


def test_a_cone_shows_a_surface_that_faces_the_sensor() -> None:
    pose = FORWARD.copy()
    pose[:3, 3] = (0.1, 0.0, -0.2)
    depth = range_cone(echo(), pose).depth(CAMERA)
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
    depth = range_cone(echo(), pose).depth(CAMERA)
    # Of the ray (0.36, 0): 2 / (0.34202 * 0.36 + 0.93969)
    assert depth[18, 44] == pytest.approx(1.88179, rel=1e-5)
    assert depth[18, 46] < depth[18, 44] < depth[18, 42]


def test_a_beam_shows_in_some_pixels() -> None:
    # Within 2 pixels of a focal length of sqrt(50 * 52) = 50.99: (du / 50)^2 + (dv / 52)^2 <=
    # 0.03922^2 has 5 pixels in column 26 and 3 in those beside it.
    is_known = np.isfinite(range_cone(echo(field_of_view=0.0), FORWARD).depth(CAMERA))
    assert is_known.sum(axis=0)[23:30].tolist() == [0, 0, 3, 5, 3, 0, 0]
    assert np.count_nonzero(is_known) == 11


@pytest.mark.parametrize('axis', [(0.7071, 0.0, 0.7071), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)])
def test_a_cone_whose_middle_is_out_of_view_shows_nothing(axis: tuple[float, ...]) -> None:
    pose = FORWARD.copy()
    pose[:3, 0] = axis
    assert np.isnan(range_cone(echo(field_of_view=1.2), pose).depth(CAMERA)).all()


def test_a_lens_bends_where_the_cone_is() -> None:
    camera = CameraModel(W, H, 50.0, 52.0, 26.0, 18.0, 'plumb_bob', (-0.2, 0.0, 0.0, 0.0, 0.0))
    pose = FORWARD.copy()
    pose[:3, 3] = (0.8, 0.0, 0.0)
    # x / z = 0.4: 0.4 (1 - 0.2 * 0.16) = 0.3872, times 50 is 19.36; without the lens 20.
    columns = np.flatnonzero(
        np.isfinite(range_cone(echo(field_of_view=0.0), pose).depth(camera)[18])
    )
    # Around it the picture is smaller: 0.0392 * 50 (1 - 0.6 * 0.16) = 1.8 to either side.
    assert columns.tolist() == [44, 45, 46, 47]


@pytest.mark.parametrize('distance', [INF, -INF, NAN, 0.1, 4.5, 0.0])
def test_what_was_not_measured_is_refused(distance: float) -> None:
    reason = r'got a range of .* m from a sensor of 0\.2 to 4 m, expected one that it can measure'
    with pytest.raises(ValueError, match=reason):
        range_cone(echo(range=distance), FORWARD)


def test_a_sensor_that_only_says_whether_something_is_near_is_refused() -> None:
    with pytest.raises(ValueError, match=r'got a range of 2 m from a sensor of 2 to 2 m'):
        range_cone(echo(min_range=2.0, max_range=2.0), FORWARD)


@pytest.mark.parametrize('angle', [25.0, 1.6, -0.1, NAN])
def test_a_cone_that_is_none_is_refused(angle: float) -> None:
    reason = r'got a field_of_view of .*, expected the whole angle of a cone below pi / 2, in rad'
    with pytest.raises(ValueError, match=reason):
        range_cone(echo(field_of_view=angle), FORWARD)


def test_the_first_echo_of_ultrasound_is_that_of_the_nearest() -> None:
    assert range_cone(echo(radiation_type=0), FORWARD).quantile == 0.95
    assert range_cone(echo(radiation_type=1), FORWARD).quantile == 0.5
