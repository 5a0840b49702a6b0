from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.depth.camera_info import camera_from_info


def intrinsics(camera):
    return camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy


def test_raw_images_are_described_by_k_and_d(make_info):
    camera = camera_from_info(make_info(), rectified=False)
    assert intrinsics(camera) == (640, 480, 500.0, 510.0, 322.0, 238.0)
    assert camera.distortion_model == 'plumb_bob'
    assert camera.distortion == (-0.3, 0.1, 0.001, -0.002, 0.0)


def test_rectified_images_are_described_by_p(make_info):
    camera = camera_from_info(make_info(), rectified=True)
    assert intrinsics(camera) == (640, 480, 480.0, 480.0, 320.0, 240.0)
    assert (camera.distortion_model, camera.distortion) == ('', ())


def test_roi_and_binning_follow_image_geometry(make_info):
    roi = {'x_offset': 100, 'y_offset': 30, 'width': 400, 'height': 300}
    info = make_info(binning_x=2, binning_y=3, roi=roi)
    # (322 - 100) / 2, (238 - 30) / 3; 500 / 2, 510 / 3; 400 / 2 x 300 / 3 pixels
    expected = (200, 100, 250.0, 170.0, 111.0, 208 / 3)
    assert intrinsics(camera_from_info(info, rectified=False)) == pytest.approx(expected)


def test_a_resized_image_keeps_its_outer_edges(make_info):
    camera = camera_from_info(make_info(), rectified=False, size=(320, 240))
    # (322 + 0.5) / 2 - 0.5, (238 + 0.5) / 2 - 0.5
    assert intrinsics(camera) == pytest.approx((320, 240, 250.0, 255.0, 160.75, 118.75))


@pytest.mark.parametrize('size', [(427, 320), (213, 160), (64, 48)])
def test_sizes_rounded_by_a_resizer_count_as_the_same_aspect(make_info, size):
    camera = camera_from_info(make_info(), rectified=False, size=size)
    assert (camera.width, camera.height) == size


@pytest.mark.parametrize('size', [(640, 470), (630, 480), (480, 640), (640, 360)])
def test_another_aspect_is_refused(make_info, size):
    with pytest.raises(ValueError, match=f'got an image of {size[0]} x {size[1]} pixels and a C'):
        camera_from_info(make_info(), rectified=False, size=size)


@pytest.mark.parametrize('rectified', [False, True])
def test_an_uncalibrated_camera_is_refused(make_info, rectified):
    info = make_info(distortion_model='', d=[], k=[0.0] * 9, p=[0.0] * 12)
    with pytest.raises(ValueError, match=r'K is all zero, expected intrinsics.*calibrate'):
        camera_from_info(info, rectified=rectified)


# Some drivers set but the last element of P.
@pytest.mark.parametrize('p', [[0.0] * 12, [0.0] * 10 + [1.0, 0.0]])
def test_rectified_images_without_p_are_refused(make_info, p):
    with pytest.raises(
        ValueError,
        match=r'got a CameraInfo whose P has focal lengths 0.0 and 0.0.*set parameter rectified '
        'to false',
    ):
        camera_from_info(make_info(p=p), rectified=True)


def test_a_roi_outside_the_image_is_refused(make_info):
    info = make_info(roi={'x_offset': 600, 'width': 100, 'height': 480})
    with pytest.raises(ValueError, match=r'got a region of interest of 100 x 480 pixels at \(600'):
        camera_from_info(info, rectified=False)


def test_zero_coefficients_need_no_distortion_model(make_info):
    info = make_info(distortion_model='', d=[0.0] * 5)
    assert camera_from_info(info, rectified=False).distortion == ()


@pytest.mark.parametrize('d', [[], [0.0] * 4])
def test_a_fisheye_lens_with_zero_coefficients_is_no_pinhole(make_info, d):
    k = [400.0, 0.0, 320.0, 0.0, 400.0, 240.0, 0.0, 0.0, 1.0]
    camera = camera_from_info(make_info(distortion_model='equidistant', d=d, k=k), rectified=False)
    # 200 pixels right of the principal point: 200 / 400 = 0.5 rad; a pinhole would say 0.5.
    assert camera.rays[240, 520] == pytest.approx((np.tan(0.5), 0.0), abs=1e-5)


def test_only_raw_images_need_a_lens_model_that_is_known(make_info):
    info = make_info(distortion_model='double_sphere', d=[0.5, -0.2])
    assert camera_from_info(info, rectified=True).fx == 480.0
    with pytest.raises(ValueError, match="got distortion model 'double_sphere', expected one of"):
        camera_from_info(info, rectified=False)


@pytest.mark.parametrize(
    ('model', 'd', 'expected'),
    [
        ('plumb_bob', [-0.3, 0.1, 0.001, -0.002, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 4),
        ('radtan', [-0.3, 0.1, 0.001, -0.002, 0.0, 0.0], 4),
        ('rational_polynomial', [-0.3, 0.1, 0.001, -0.002, 0.0], 5),
    ],
)
def test_coefficients_and_names_as_others_write_them(make_info, model, d, expected):
    camera = camera_from_info(make_info(distortion_model=model, d=d), rectified=False)
    assert camera.distortion == (-0.3, 0.1, 0.001, -0.002, 0.0)[:expected]
    usual = camera_from_info(make_info(), rectified=False)
    np.testing.assert_array_equal(camera.rays, usual.rays)


def test_a_fisheye_lens_by_another_name_with_zeros_is_no_pinhole(make_info):
    k = [400.0, 0.0, 320.0, 0.0, 400.0, 240.0, 0.0, 0.0, 1.0]
    for name in ('fisheye', 'Kannala_Brandt4'):
        info = make_info(distortion_model=name, d=[0.0] * 5, k=k)
        ray = camera_from_info(info, rectified=False).rays[240, 520]
        assert ray == pytest.approx((np.tan(0.5), 0.0), abs=1e-5)  # 200 / 400 = 0.5 rad


def test_rectified_images_need_no_k(make_info):
    info = make_info(k=[0.0] * 9, distortion_model='', d=[])
    assert intrinsics(camera_from_info(info, rectified=True)) == (640, 480, 480, 480, 320, 240)
    with pytest.raises(
        ValueError,
        match='K is all zero, expected .*; P is filled in: if the images are rectified, set param',
    ):
        camera_from_info(info, rectified=False)
