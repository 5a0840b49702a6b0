import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.camera_info import camera_from_info
from mirror_depth_ros.ros.camera_info import (
    CalibrationTracker,
    info_for_image,
    info_from_camera,
)

HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id='camera_optical_frame')


@pytest.fixture
def stereo_info(make_info):
    """A maker of real messages of the camera that ``make_info`` describes."""

    def make(**fields):
        fields = vars(make_info(**fields))
        return CameraInfo(**{**fields, 'roi': RegionOfInterest(**vars(fields['roi']))})

    return make


@pytest.mark.parametrize('rectified', [False, True])
def test_real_messages_describe_the_same_camera(make_info, stereo_info, rectified):
    roi = {'x_offset': 40, 'y_offset': 80, 'width': 400, 'height': 300}
    fields = {'binning_x': 2, 'binning_y': 2, 'roi': roi}
    expected = camera_from_info(make_info(**fields), rectified=rectified)
    assert camera_from_info(stereo_info(**fields), rectified=rectified) == expected


def test_an_empty_message_is_an_uncalibrated_camera():
    with pytest.raises(ValueError, match='K is all zero, expected intrinsics'):
        camera_from_info(CameraInfo(width=640, height=480), rectified=False)


@pytest.mark.parametrize('d', [[], [0.0] * 4])
def test_a_fisheye_lens_with_zero_coefficients_stays_one(stereo_info, d):
    info = stereo_info(distortion_model='equidistant', d=d)
    camera = camera_from_info(info, rectified=False)
    result = info_for_image(info, HEADER, 640, 480)
    assert result.distortion_model == 'equidistant'
    assert camera_from_info(result, rectified=False) == camera
    assert camera_from_info(info_from_camera(camera, HEADER), rectified=False) == camera


@pytest.mark.parametrize('rectified', [False, True])
def test_the_info_for_a_resized_image_describes_the_same_camera(stereo_info, rectified):
    roi = {'x_offset': 40, 'y_offset': 80, 'width': 400, 'height': 300}
    info = stereo_info(binning_x=2, binning_y=2, roi=roi)
    result = info_for_image(info, HEADER, 100, 75)
    assert result.header == HEADER
    assert (result.width, result.height) == (100, 75)
    assert (result.binning_x, result.binning_y, result.roi) == (0, 0, RegionOfInterest())
    expected = camera_from_info(info, rectified=rectified, size=(100, 75))
    assert camera_from_info(result, rectified=rectified) == expected


def test_the_info_for_an_image_keeps_distortion_rotation_and_baseline(stereo_info):
    info = stereo_info()
    result = info_for_image(info, HEADER, 320, 240)
    assert (result.distortion_model, result.d) == ('plumb_bob', info.d)
    np.testing.assert_array_equal(result.r, info.r)
    assert result.p[3] == -24.0  # -f b with half the f: -48 / 2


# Some drivers set but the last element of P.
@pytest.mark.parametrize('p', [[0.0] * 12, [0.0] * 10 + [1.0, 0.0]])
def test_the_info_for_an_image_fills_in_what_a_driver_leaves_out(stereo_info, p):
    info = stereo_info(p=p, r=[0.0] * 9)
    result = info_for_image(info, HEADER, 640, 480)
    np.testing.assert_array_equal(np.reshape(result.p, (3, 4))[:, :3], np.reshape(info.k, (3, 3)))
    np.testing.assert_array_equal(result.r, np.eye(3).ravel())


def test_the_info_for_an_image_needs_no_lens_model_that_is_known(stereo_info):
    info = stereo_info(distortion_model='double_sphere', d=[0.5, -0.2])
    result = info_for_image(info, HEADER, 320, 240)
    assert (result.distortion_model, list(result.d)) == ('double_sphere', [0.5, -0.2])
    assert (result.k[0], result.p[0], result.p[3]) == (250.0, 240.0, -24.0)  # all halved
    assert camera_from_info(result, rectified=True).fx == 240.0


def test_the_info_for_a_rectified_image_needs_no_k(stereo_info):
    info = stereo_info(k=[0.0] * 9, distortion_model='', d=[], r=[0.0] * 9)
    result = info_for_image(info, HEADER, 320, 240)
    # Halved: 480 / 2, (320 + 0.5) / 2 - 0.5, (240 + 0.5) / 2 - 0.5; -48 / 2
    k = [240.0, 0.0, 159.75, 0.0, 240.0, 119.75, 0.0, 0.0, 1.0]
    assert list(result.k) == k
    assert list(result.p) == [*k[:3], -24.0, *k[3:6], 0.0, *k[6:], 0.0]
    assert (result.distortion_model, list(result.d)) == ('plumb_bob', [0.0] * 5)
    np.testing.assert_array_equal(result.r, np.eye(3).ravel())


def test_the_info_for_an_image_names_the_lens_as_consumers_know_it(stereo_info):
    d = [0.1, -0.02, 0.003, -0.001]
    result = info_for_image(stereo_info(distortion_model='fisheye', d=[*d, 0.0]), HEADER, 320, 240)
    assert (result.distortion_model, list(result.d)) == ('equidistant', d)


def test_the_info_of_a_camera_leads_back_to_it():
    camera = CameraModel(31, 21, 20.0, 21.0, 15.5, 9.5, 'equidistant', (0.1, 0.0, 0.0, 0.0))
    info = info_from_camera(camera, HEADER)
    assert info.header == HEADER
    assert camera_from_info(info, rectified=False) == camera
    assert camera_from_info(info, rectified=True).matrix == pytest.approx(camera.matrix)


def find(tracker, sec=0, size=(640, 480), rectified=False):
    return tracker.find(Header(stamp=Time(sec=sec)), size, rectified=rectified)


def test_an_image_gets_the_info_of_its_stamp_or_the_latest(stereo_info):
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


def test_the_camera_is_the_same_object_until_the_calibration_changes(stereo_info):
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


def test_a_field_of_view_stands_in_for_a_calibration_that_says_nothing(stereo_info):
    tracker, header = CalibrationTracker(), Header(stamp=Time(sec=7), frame_id='optical')

    def assume(hfov_deg, rectified=False):
        return tracker.find(header, (101, 75), rectified=rectified, hfov_deg=hfov_deg)

    assert tracker.lacks_intrinsics(rectified=False)
    # 101 / 2 / tan(90 deg / 2), and the middle of pixels 0 to 100 and 0 to 74
    expected = [50.5, 0.0, 50.0, 0.0, 50.5, 37.0, 0.0, 0.0, 1.0]
    calibration = assume(90.0)
    assert list(info_for_image(calibration.info, header, 101, 75).k) == pytest.approx(expected)
    assert calibration.info.header == header
    assert calibration.camera.matrix.ravel() == pytest.approx(expected)
    assert assume(90.0).camera is calibration.camera
    assert assume(60.0).camera.fx == pytest.approx(87.4686)  # 50.5 / tan(30 deg)
    with pytest.raises(ValueError, match='got an image before any CameraInfo'):
        assume(0.0)

    empty = {'k': [0.0] * 9, 'distortion_model': '', 'd': []}
    tracker.add(stereo_info(**empty, p=[0.0] * 12))
    assert tracker.lacks_intrinsics(rectified=True)
    assert assume(90.0, rectified=True).camera.fx == pytest.approx(50.5)
    with pytest.raises(ValueError, match=r'K is all zero, .* parameter hfov_deg'):
        assume(0.0)

    tracker.add(stereo_info(**empty, width=101, height=75))
    assert not tracker.lacks_intrinsics(rectified=True)
    assert assume(90.0, rectified=True).camera.fx == 480.0  # P
    assert assume(90.0).camera.fx == pytest.approx(50.5)  # no K

    tracker.add(stereo_info(width=101, height=75))
    assert not tracker.lacks_intrinsics(rectified=False)
    assert assume(90.0).camera.fx == 500.0


def test_a_calibration_that_is_wrong_is_not_replaced_by_a_field_of_view(stereo_info):
    tracker = CalibrationTracker()
    tracker.add(stereo_info(distortion_model='double_sphere'))
    with pytest.raises(ValueError, match='double_sphere'):
        tracker.find(Header(), (640, 480), rectified=False, hfov_deg=70.0)
    tracker.add(stereo_info(p=[0.0] * 12))
    with pytest.raises(ValueError, match='set parameter rectified to false'):
        tracker.find(Header(), (640, 480), rectified=True, hfov_deg=70.0)
