from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_depth_ros.depth.camera import CameraModel, back_project

PINHOLE = CameraModel(101, 75, fx=80.0, fy=100.0, cx=48.0, cy=39.0)


def test_back_projection_of_a_pinhole_camera_by_hand():
    depth = np.zeros((75, 101), np.float32)
    depth[9, 88] = 2.0
    depth[74, 0] = 5.0
    points = back_project(depth, PINHOLE.rays)
    assert points.shape == (75, 101, 3)
    # x = (88 - 48) / 80 * 2 = 1, y = (9 - 39) / 100 * 2 = -0.6
    np.testing.assert_allclose(points[9, 88], (1.0, -0.6, 2.0), atol=1e-4)
    # x = (0 - 48) / 80 * 5 = -3, y = (74 - 39) / 100 * 5 = 1.75
    np.testing.assert_allclose(points[74, 0], (-3.0, 1.75, 5.0), atol=1e-4)


# For the ray (0.4, -0.3): r^2 = 0.25, r^4 = 0.0625, r^6 = 0.015625, and with p1 = 0.001 and
# p2 = -0.002 the tangential part is dx = 2 p1 x y + p2 (r^2 + 2 x^2) = -0.00024 - 0.00114 and
# dy = p1 (r^2 + 2 y^2) + 2 p2 x y = 0.00043 + 0.00048.
DX, DY = -0.00138, 0.00091
# plumb_bob (k1 k2 p1 p2 k3): 1 - 0.2 * 0.25 + 0.08 * 0.0625 - 0.016 * 0.015625
PLUMB_BOB = 1 - 0.05 + 0.005 - 0.00025
# rational_polynomial (k1 k2 p1 p2 k3 k4 k5 k6):
# (1 + 0.1 * 0.25 + 0.04 * 0.0625 + 0.016 * 0.015625) / (1 + 0.3 * 0.25 + 0.02 * 0.0625 + ...)
RATIONAL = (1 + 0.025 + 0.0025 + 0.00025) / (1 + 0.075 + 0.00125 + 0.000125)
# equidistant (k1 k2 k3 k4): theta = 0.5, theta_d = theta (1 + k1 theta^2 + ... + k4 theta^8);
# the ray lies at tan(0.5) in the direction (0.8, -0.6).
THETA_D = 0.5 * (1 + 0.05 * 0.25 - 0.01 * 0.0625 + 0.002 * 0.015625 - 0.0005 * 0.00390625)
TAN = 0.5463024898


@pytest.mark.parametrize(
    ('model', 'coefficients', 'distorted', 'ray'),
    [
        (
            'plumb_bob',
            (-0.2, 0.08, 0.001, -0.002, -0.016),
            (0.4 * PLUMB_BOB + DX, -0.3 * PLUMB_BOB + DY),
            (0.4, -0.3),
        ),
        (
            'rational_polynomial',
            (0.1, 0.04, 0.001, -0.002, 0.016, 0.3, 0.02, 0.008),
            (0.4 * RATIONAL + DX, -0.3 * RATIONAL + DY),
            (0.4, -0.3),
        ),
        (
            'equidistant',
            (0.05, -0.01, 0.002, -0.0005),
            (0.8 * THETA_D, -0.6 * THETA_D),
            (0.8 * TAN, -0.6 * TAN),
        ),
    ],
)
def test_distorted_rays_by_hand(model, coefficients, distorted, ray):
    # The principal point puts the distorted ray exactly on pixel (90, 5).
    cx, cy = 90 - 100 * distorted[0], 5 - 110 * distorted[1]
    camera = CameraModel(101, 75, 100.0, 110.0, cx, cy, model, coefficients)
    depth = np.full((75, 101), 2.5, np.float32)
    point = (ray[0] * 2.5, ray[1] * 2.5, 2.5)
    np.testing.assert_allclose(back_project(depth, camera.rays)[5, 90], point, atol=1e-4)
    np.testing.assert_allclose(camera.project(np.array([point])), [(90, 5)], atol=1e-6)


def test_zero_coefficients_are_a_pinhole_but_still_a_fisheye():
    for model, count in (('plumb_bob', 5), ('rational_polynomial', 8)):
        camera = CameraModel(101, 75, 80.0, 100.0, 48.0, 39.0, model, (0.0,) * count)
        np.testing.assert_array_equal(camera.rays, PINHOLE.rays)
    fisheye = CameraModel(101, 75, 80.0, 100.0, 48.0, 39.0, 'equidistant', (0.0,) * 4)
    # On the principal row theta is (88 - 48) / 80 = 0.5, and the ray its tangent.
    assert fisheye.rays[39, 88, 0] == pytest.approx(TAN, abs=1e-6)


def test_rays_beyond_the_lens_are_nan():
    # x (1 - 0.4 x^2) has its largest value, 0.6086, at x = sqrt(1 / 1.2) = 0.9129.
    rays = CameraModel(101, 75, 50.0, 50.0, 50.0, 37.0, 'plumb_bob', (-0.4, 0.0, 0.0, 0.0)).rays
    assert np.isfinite(rays[37, 75]).all()  # x' = 0.5
    assert np.isnan(rays[37, 82]).all()  # x' = 0.64
    assert np.nanmax(np.linalg.norm(rays, axis=-1)) < 0.92


def test_rays_beyond_a_fold_are_nan_though_they_project_back():
    # x (1 - x^2 / 2 + x^4 / 10) turns at x = 1 and grows again from x = sqrt(2): x = 1.8 gives
    # x' = 1.8 (1 - 1.62 + 1.04976) = 0.7736, beyond the first fold's 0.6.
    rays = CameraModel(101, 75, 50.0, 50.0, 50.0, 37.0, 'plumb_bob', (-0.5, 0.1, 0.0, 0.0)).rays
    assert np.isnan(rays[37, 89]).all()  # x' = 0.78
    assert np.nanmax(np.linalg.norm(rays, axis=-1)) < 1.01


def test_what_a_lens_never_shows_is_not_in_its_field():
    # The same lens, which folds over at x = 1; behind a camera there is no field.
    lens = CameraModel(101, 75, 50.0, 50.0, 50.0, 37.0, 'plumb_bob', (-0.5, 0.1, 0.0, 0.0))
    points = np.array([(1.8, 0, 2), (0, 2.2, 2), (0, 0, 2), (0, 0, -2), (np.nan, 0, 1), (1, 0, 0)])
    assert lens.is_in_field(points).tolist() == [True, False, True, False, False, False]
    assert PINHOLE.is_in_field(points).tolist() == [True, True, True, False, False, False]


LENSES = st.one_of(
    st.just(('', ())),
    st.tuples(
        st.just('plumb_bob'),
        st.tuples(st.floats(-0.3, 0.1), st.floats(0, 0.1), *[st.floats(-3e-3, 3e-3)] * 2),
    ),
    st.tuples(
        st.just('rational_polynomial'),
        st.tuples(
            st.floats(-0.1, 0.3),
            st.floats(-0.05, 0.05),
            *[st.floats(-3e-3, 3e-3)] * 2,
            *[st.floats(0, 0.05)] * 4,
        ),
    ),
    st.tuples(st.just('equidistant'), st.tuples(*[st.floats(-0.05, 0.05)] * 4)),
)


@settings(deadline=None, max_examples=40)
@given(lens=LENSES, fx=st.floats(40, 200), fy=st.floats(40, 200), z=st.floats(0.1, 50))
def test_every_finite_ray_projects_onto_its_pixel(lens, fx, fy, z):
    camera = CameraModel(41, 29, fx, fy, 18.5, 15.25, *lens)
    points = back_project(np.full((29, 41), z, np.float32), camera.rays)
    u, v = np.meshgrid(np.arange(41), np.arange(29))
    finite = np.isfinite(points).all(axis=-1)
    assert finite[15, 18]
    pixels = camera.project(points[finite])
    np.testing.assert_allclose(pixels, np.column_stack([u[finite], v[finite]]), atol=0.1)


def test_resizing_keeps_the_outer_edges():
    camera = CameraModel(90, 63, fx=120.0, fy=90.0, cx=40.0, cy=31.0).resized(30, 21)
    # cx = (40 + 0.5) / 3 - 0.5 = 13, cy = (31 + 0.5) / 3 - 0.5 = 10
    assert (camera.width, camera.height) == (30, 21)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((40.0, 30.0, 13.0, 10.0))


def test_a_resized_camera_sees_the_same_rays():
    # The centre of pixel (4, 2) of a third of the size is the centre of pixel (13, 7).
    small = PINHOLE.resized(101 // 3 + 1, 25)
    large = small.resized(34 * 3, 75)
    np.testing.assert_allclose(small.rays[2, 4], large.rays[7, 13], atol=1e-6)


def test_cropping_keeps_the_rays():
    np.testing.assert_array_equal(
        PINHOLE.cropped(left=11, top=7, width=51, height=33).rays, PINHOLE.rays[7:40, 11:62]
    )


def test_a_field_of_view_spans_the_outer_pixel_edges():
    camera = CameraModel.from_fov(101, 75, 90.0)
    assert camera.fx == camera.fy == pytest.approx(50.5)  # 101 / 2 / tan(45 deg)
    assert (camera.cx, camera.cy) == (50.0, 37.0)
    assert camera.hfov_deg == pytest.approx(90.0)


def test_one_focal_length_is_the_geometric_mean():
    assert CameraModel(5, 3, fx=80.0, fy=125.0, cx=2.0, cy=1.0).focal_px == pytest.approx(100.0)


def test_back_projection_fills_a_strided_array_and_carries_invalid_depth():
    depth = np.full((75, 101), 2.0, np.float32)
    depth[3, 4], depth[5, 6], depth[39, 48] = np.nan, np.inf, np.inf
    out = np.zeros((75, 101, 4), np.float32)
    assert back_project(depth, PINHOLE.rays, out) is out
    assert np.isnan(out[3, 4, :3]).all()
    assert np.isinf(out[5, 6, :3]).all()
    assert np.isinf(out[39, 48, 2])
    assert (out[..., 3] == 0).all()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'width': 0}, 'got an image of 0 x 75 pixels, expected at least 1 x 1'),
        ({'fx': 0.0}, 'got focal lengths fx=0.0, fy=100.0, expected positive pixels; calibrate'),
        ({'fy': math.nan}, 'got focal lengths fx=80.0, fy=nan'),
        ({'cx': math.inf}, 'got a principal point cx=inf'),
        ({'distortion_model': 'kb8'}, "got distortion model 'kb8', expected one of"),
        (
            {'distortion_model': 'plumb_bob', 'distortion': (0.1,)},
            "got 1 coefficients for 'plumb_bob', expected 0, 4, 5, 8, 12 or 14",
        ),
        (
            {'distortion_model': 'equidistant', 'distortion': (0, 0, math.nan, 0)},
            'expected finite coefficients',
        ),
    ],
)
def test_impossible_cameras_are_refused(change, message):
    values = {'width': 101, 'height': 75, 'fx': 80.0, 'fy': 100.0, 'cx': 48.0, 'cy': 39.0}
    with pytest.raises(ValueError, match=re.escape(message)):
        CameraModel(**{**values, **change})


@pytest.mark.parametrize('hfov_deg', [0.0, 180.0, -5.0, math.nan])
def test_impossible_fields_of_view_are_refused(hfov_deg):
    with pytest.raises(ValueError, match='expected 0 < fov < 180'):
        CameraModel.from_fov(101, 75, hfov_deg)


def test_depth_of_another_size_is_refused():
    with pytest.raises(ValueError, match=re.escape('got depth of shape (101, 75) and rays of')):
        back_project(np.ones((101, 75), np.float32), PINHOLE.rays)


def test_a_lens_sees_as_much_however_the_camera_is_held():
    # 2 atan(400 / f) = 90 degrees
    for width, height in ((800, 601), (601, 800)):
        camera = CameraModel.from_longer_side(width, height, 90.0)
        assert (camera.width, camera.height) == (width, height)
        assert camera.fx == camera.fy == pytest.approx(400.0)
        assert (camera.cx, camera.cy) == ((width - 1) / 2, (height - 1) / 2)
    with pytest.raises(ValueError, match='field of view of 180.0 degrees, expected 0 < fov < 180'):
        CameraModel.from_longer_side(601, 800, 180.0)
