import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.ros.camera_info import (
    CalibrationTracker,
    camera_from_info,
    info_for_image,
    info_from_camera,
)

D = (-0.3, 0.1, 0.001, -0.002, 0.0)
HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id='camera_optical_frame')


def stereo_info(**fields):
    """A calibrated right camera of 640 x 480 pixels."""
    info = CameraInfo(width=640, height=480, distortion_model='plumb_bob', d=list(D), **fields)
    info.k = [500.0, 0.0, 322.0, 0.0, 510.0, 238.0, 0.0, 0.0, 1.0]
    info.r = [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [480.0, 0.0, 320.0, -48.0, 0.0, 480.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def intrinsics(camera):
    return camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy


def test_raw_images_are_described_by_k_and_d():
    camera = camera_from_info(stereo_info(), rectified=False)
    assert intrinsics(camera) == (640, 480, 500.0, 510.0, 322.0, 238.0)
    assert (camera.distortion_model, camera.distortion) == ('plumb_bob', D)


def test_rectified_images_are_described_by_p():
    camera = camera_from_info(stereo_info(), rectified=True)
    assert intrinsics(camera) == (640, 480, 480.0, 480.0, 320.0, 240.0)
    assert (camera.distortion_model, camera.distortion) == ('', ())


def test_roi_and_binning_follow_image_geometry():
    info = stereo_info(binning_x=2, binning_y=3)
    info.roi = RegionOfInterest(x_offset=100, y_offset=30, width=400, height=300)
    # (322 - 100) / 2, (238 - 30) / 3; 500 / 2, 510 / 3; 400 / 2 x 300 / 3 pixels
    expected = (200, 100, 250.0, 170.0, 111.0, 208 / 3)
    assert intrinsics(camera_from_info(info, rectified=False)) == pytest.approx(expected)


def test_a_resized_image_keeps_its_outer_edges():
    camera = camera_from_info(stereo_info(), rectified=False, size=(320, 240))
    # (322 + 0.5) / 2 - 0.5, (238 + 0.5) / 2 - 0.5
    assert intrinsics(camera) == pytest.approx((320, 240, 250.0, 255.0, 160.75, 118.75))


@pytest.mark.parametrize('size', [(427, 320), (213, 160), (64, 48)])
def test_sizes_rounded_by_a_resizer_count_as_the_same_aspect(size):
    camera = camera_from_info(stereo_info(), rectified=False, size=size)
    assert (camera.width, camera.height) == size


@pytest.mark.parametrize('size', [(640, 470), (630, 480), (480, 640), (640, 360)])
def test_another_aspect_is_refused(size):
    with pytest.raises(ValueError, match=f'got an image of {size[0]} x {size[1]} pixels and a C'):
        camera_from_info(stereo_info(), rectified=False, size=size)


@pytest.mark.parametrize('rectified', [False, True])
def test_an_uncalibrated_camera_is_refused(rectified):
    info = CameraInfo(width=640, height=480)
    with pytest.raises(ValueError, match=r'K is all zero, expected intrinsics.*calibrate'):
        camera_from_info(info, rectified=rectified)


def test_rectified_images_without_p_are_refused():
    info = stereo_info()
    info.p = [0.0] * 12
    with pytest.raises(
        ValueError, match=r'P has focal lengths 0.*set parameter rectified to false'
    ):
        camera_from_info(info, rectified=True)


def test_a_roi_outside_the_image_is_refused():
    info = stereo_info(roi=RegionOfInterest(x_offset=600, width=100, height=480))
    with pytest.raises(ValueError, match=r'got a region of interest of 100 x 480 pixels at \(600'):
        camera_from_info(info, rectified=False)


def test_zero_coefficients_need_no_distortion_model():
    info = stereo_info()
    info.distortion_model, info.d = '', [0.0] * 5
    assert camera_from_info(info, rectified=False).distortion == ()


@pytest.mark.parametrize('d', [[], [0.0] * 4])
def test_a_fisheye_lens_with_zero_coefficients_is_no_pinhole(d):
    info = stereo_info()
    info.distortion_model, info.d = 'equidistant', d
    info.k = [400.0, 0.0, 320.0, 0.0, 400.0, 240.0, 0.0, 0.0, 1.0]
    camera = camera_from_info(info, rectified=False)
    # 200 pixels right of the principal point: 200 / 400 = 0.5 rad; a pinhole would say 0.5.
    assert camera.rays[240, 520] == pytest.approx((np.tan(0.5), 0.0), abs=1e-5)
    result = info_for_image(info, HEADER, 640, 480)
    assert result.distortion_model == 'equidistant'
    assert camera_from_info(result, rectified=False) == camera
    assert camera_from_info(info_from_camera(camera, HEADER), rectified=False) == camera


@pytest.mark.parametrize('rectified', [False, True])
def test_the_info_for_a_resized_image_describes_the_same_camera(rectified):
    info = stereo_info(binning_x=2, binning_y=2)
    info.roi = RegionOfInterest(x_offset=40, y_offset=80, width=400, height=300)
    result = info_for_image(info, HEADER, 100, 75)
    assert result.header == HEADER
    assert (result.width, result.height) == (100, 75)
    assert (result.binning_x, result.binning_y, result.roi) == (0, 0, RegionOfInterest())
    expected = camera_from_info(info, rectified=rectified, size=(100, 75))
    assert camera_from_info(result, rectified=rectified) == expected


def test_the_info_for_an_image_keeps_distortion_rotation_and_baseline():
    info = stereo_info()
    result = info_for_image(info, HEADER, 320, 240)
    assert (result.distortion_model, tuple(result.d)) == ('plumb_bob', D)
    np.testing.assert_array_equal(result.r, info.r)
    assert result.p[3] == -24.0  # -f b with half the f: -48 / 2


def test_the_info_for_an_image_fills_in_what_a_driver_leaves_out():
    info = stereo_info()
    info.p, info.r = [0.0] * 12, [0.0] * 9
    result = info_for_image(info, HEADER, 640, 480)
    np.testing.assert_array_equal(np.reshape(result.p, (3, 4))[:, :3], np.reshape(info.k, (3, 3)))
    np.testing.assert_array_equal(result.r, np.eye(3).ravel())


def test_rectified_images_need_no_lens_model_that_is_known():
    info = stereo_info()
    info.distortion_model, info.d = 'double_sphere', [0.5, -0.2]
    result = info_for_image(info, HEADER, 320, 240)
    assert (result.distortion_model, list(result.d)) == ('double_sphere', [0.5, -0.2])
    assert (result.k[0], result.p[0], result.p[3]) == (250.0, 240.0, -24.0)  # all halved
    assert camera_from_info(result, rectified=True).fx == 240.0
    with pytest.raises(ValueError, match="got distortion model 'double_sphere', expected one of"):
        camera_from_info(info, rectified=False)


def test_a_projection_without_focal_lengths_counts_as_absent():
    info = stereo_info()
    info.p = [0.0] * 10 + [1.0, 0.0]
    result = info_for_image(info, HEADER, 640, 480)
    np.testing.assert_array_equal(np.reshape(result.p, (3, 4))[:, :3], np.reshape(info.k, (3, 3)))
    with pytest.raises(
        ValueError, match=r'got a CameraInfo whose P has focal lengths 0.0 and 0.0'
    ):
        camera_from_info(info, rectified=True)


def test_the_info_of_a_camera_leads_back_to_it():
    camera = CameraModel(31, 21, 20.0, 21.0, 15.5, 9.5, 'equidistant', (0.1, 0.0, 0.0, 0.0))
    info = info_from_camera(camera, HEADER)
    assert info.header == HEADER
    assert camera_from_info(info, rectified=False) == camera
    assert camera_from_info(info, rectified=True).matrix == pytest.approx(camera.matrix)


def find(tracker, sec=0, size=(640, 480), rectified=False):
    return tracker.find(Header(stamp=Time(sec=sec)), *size, rectified=rectified)


def test_an_image_gets_the_info_of_its_stamp_or_the_latest():
    tracker = CalibrationTracker(capacity=2)
    assert tracker.is_empty
    with pytest.raises(ValueError, match='got an image before any CameraInfo'):
        find(tracker)
    for sec in (1, 2, 3):
        tracker.add(stereo_info(header=Header(stamp=Time(sec=sec))))
    assert not tracker.is_empty
    assert find(tracker, sec=2).info.header.stamp.sec == 2
    assert find(tracker, sec=1).info.header.stamp.sec == 3  # forgotten: capacity 2
    assert find(tracker, sec=9).info.header.stamp.sec == 3


def test_the_camera_is_the_same_object_until_the_calibration_changes():
    tracker = CalibrationTracker()
    tracker.add(stereo_info(header=Header(stamp=Time(sec=1))))
    tracker.add(stereo_info(header=Header(stamp=Time(sec=2))))
    camera = find(tracker, sec=1).camera
    assert find(tracker, sec=2).camera is camera
    assert find(tracker, size=(320, 240)).camera.width == 320
    assert find(tracker, rectified=True).camera.fx == 480.0
    zoomed = stereo_info()
    zoomed.k[0] = 600.0
    tracker.add(zoomed)
    assert find(tracker, sec=9).camera.fx == 600.0
