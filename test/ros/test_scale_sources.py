"""The true scale by a lidar or a range sensor, of single images and over real DDS."""

from __future__ import annotations

import re
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rcl_interfaces.srv import GetParameters
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import LaserScan, PointCloud2, Range
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.messages import points_message
from mirror_depth_ros.ros.parameters import parameter_specs
from mirror_depth_ros.ros.scale_sources import SENSORS, SensorSource

CAMERA = CameraModel(81, 61, fx=60.0, fy=58.0, cx=41.0, cy=29.0)
OPTICAL = 'camera_optical_frame'
# The model takes a wall for 1.86 m away that is 3 m away: it needs 1 / 0.62 = 1.6129.
WALL, SHORT = 3.0, 0.62
ESTIMATED = np.full((61, 81), SHORT * WALL, np.float32)
# A sensor (x forward, y left, z up) 0.2 m below the camera (x right, y down, z forward): turned
# by a third about (1, -1, 1), which takes x to z, y to -x and z to -y.
MOUNTING = Transform(translation=Vector3(y=0.2), rotation=Quaternion(x=0.5, y=-0.5, z=0.5, w=0.5))


def header(seconds: float, frame_id: str = OPTICAL) -> Header:
    whole, rest = divmod(round(seconds * 10**9), 10**9)
    return Header(stamp=Time(sec=whole, nanosec=rest), frame_id=frame_id)


def scan(seconds: float, distance: float = WALL, frame_id: str = 'laser') -> LaserScan:
    """Return a scan of a wall straight ahead, one ray each 0.02 rad."""
    angles = -0.6 + 0.02 * np.arange(61)
    return LaserScan(
        header=header(seconds, frame_id),
        angle_min=-0.6,
        angle_increment=0.02,
        range_min=0.1,
        range_max=12.0,
        ranges=(distance / np.cos(angles)).astype(np.float32).tolist(),
    )


def cloud(seconds: float, distance: float = WALL, frame_id: str = OPTICAL) -> PointCloud2:
    """Return a cloud of a wall before the camera, in its own frame."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 21), np.linspace(-0.4, 0.4, 15))
    points = distance * np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    return points_message(header(seconds, frame_id), points.astype(np.float32))


def echo(seconds: float, distance: float = WALL) -> Range:
    return Range(
        header=header(seconds, 'sonar'),
        field_of_view=0.2,
        min_range=0.1,
        max_range=5.0,
        range=distance,
    )


class TransformError(Exception):
    """Stands in for tf2_ros.TransformException."""


class Buffer:
    """Stands in for tf2_ros.Buffer: what is known of frames at any time after second 5."""

    def __init__(self) -> None:
        self.known = {(OPTICAL, 'laser'): MOUNTING, (OPTICAL, 'sonar'): MOUNTING}

    def lookup_transform(self, target: str, source: str, time: object) -> TransformStamped:
        if time.nanoseconds < 5 * 10**9 or (target, source) not in self.known:
            raise TransformError(f'"{source}" is not known')
        return TransformStamped(transform=self.known[target, source])


@pytest.fixture
def listeners(monkeypatch) -> list[SimpleNamespace]:
    """Let a stand-in for tf2_ros be installed; return who listens to TF."""
    listening: list[SimpleNamespace] = []

    def listen(buffer, node):
        listener = SimpleNamespace(unregister=lambda: listening.remove(listener))
        listening.append(listener)
        return listener

    module = SimpleNamespace(
        Buffer=Buffer, TransformListener=listen, TransformException=TransformError
    )
    monkeypatch.setitem(sys.modules, 'tf2_ros', module)
    return listening


@pytest.fixture
def make_source(make_node):
    """Return what makes a source that has got messages already."""
    sources = []

    def make(kind, *messages):
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        sources.append(SensorSource(kind, make_node(), clock=clock))
        for message in messages:
            sources[-1]._keep(message)
        return sources[-1]

    yield make
    for source in sources:
        source.destroy()


# Single images


def test_the_parameter_names_the_sensors():
    assert parameter_specs()['scale_source'].choices == ('ground', *SENSORS)


@pytest.mark.usefixtures('listeners')
@pytest.mark.parametrize(('kind', 'message'), [('scan', scan(10.0)), ('range', echo(10.0))])
def test_a_sensor_of_a_frame_of_its_own_is_moved_into_the_camera_by_tf(make_source, kind, message):
    source = make_source(kind, message)
    assert source.factor(ESTIMATED, CAMERA, header(10.1)) == pytest.approx(1 / SHORT, rel=1e-5)


@pytest.mark.usefixtures('listeners')
def test_only_what_the_sensor_sees_counts(make_source):
    # The lidar's plane, 0.2 m below the camera, is row 29 + 58 * 0.2 / 3 = 32.9 of the picture.
    estimated = np.full_like(ESTIMATED, 0.1)
    estimated[33] = 2.0
    factor = make_source('scan', scan(10.0)).factor(estimated, CAMERA, header(10.0))
    assert factor == pytest.approx(1.5, rel=1e-5)


def test_a_cloud_in_the_frame_of_the_image_needs_no_tf(make_source):
    source = make_source('cloud', cloud(10.0))
    assert source.factor(ESTIMATED, CAMERA, header(10.1)) == pytest.approx(1 / SHORT, rel=1e-5)


def test_without_tf2_frames_that_differ_are_refused(make_source, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    source = make_source('scan', scan(10.0))
    reason = (
        r"got the frames 'laser' and 'camera_optical_frame' and no tf2_ros, expected the package "
        r'that knows .* between them; install ros-\$ROS_DISTRO-tf2-ros-py'
    )
    with pytest.raises(ValueError, match=reason):
        source.factor(ESTIMATED, CAMERA, header(10.0))


@pytest.mark.usefixtures('listeners')
@pytest.mark.parametrize(('seconds', 'frame_id'), [(10.0, 'lidar'), (4.0, 'laser')])
def test_a_transform_that_tf_does_not_know_is_refused(make_source, seconds, frame_id):
    source = make_source('scan', scan(seconds, frame_id=frame_id))
    reason = (
        rf"got no transform from '{frame_id}' to 'camera_optical_frame', expected it in TF "
        rf'\("{frame_id}" is not known\); publish it'
    )
    with pytest.raises(ValueError, match=reason):
        source.factor(ESTIMATED, CAMERA, header(seconds))


def test_the_message_nearest_in_time_counts(make_source):
    # 0.1 s before and 0.05 s after the image; and one that is far newer.
    source = make_source('cloud', cloud(10.0, 2.0), cloud(10.15, 4.0), cloud(11.0, 5.0))
    assert source.factor(ESTIMATED, CAMERA, header(10.1)) == pytest.approx(4.0 / 1.86, rel=1e-5)


def test_of_a_fast_sensor_some_messages_are_kept(make_source):
    fast = [echo(10.0 + 0.01 * i) for i in range(400)]
    source = make_source('range', *fast)
    stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in source._kept]
    assert len(stamps) == 40
    assert np.diff(stamps).min() > 0.05
    assert stamps[-1] - stamps[0] >= 2.0


def test_a_message_too_far_in_time_is_refused(make_source):
    source = make_source('cloud', cloud(10.0))
    assert source.factor(ESTIMATED, CAMERA, header(10.39)) > 0
    reason = (
        r'got a cloud on /cloud with a stamp 0\.41 s off that of the image, expected one within '
        r'0\.4 s; see that it comes at 2\.5 Hz or more, and that one clock stamps both'
    )
    for seconds in (9.59, 10.41):
        with pytest.raises(ValueError, match=reason):
            source.factor(ESTIMATED, CAMERA, header(seconds))


def test_a_sensor_that_looks_elsewhere_is_refused_with_its_frames(make_source):
    # In an optical frame, the plane of a scan is upright beside the camera.
    source = make_source('scan', scan(10.0, frame_id=OPTICAL))
    reason = (
        r'got 0 measured pixels in view, expected at least 20; .* \(/scan, frame '
        r"'camera_optical_frame', for images in 'camera_optical_frame'\)"
    )
    with pytest.raises(ValueError, match=reason):
        source.factor(ESTIMATED, CAMERA, header(10.0))


# Over DDS


@pytest.fixture
def make_bench(make_camera_bench, monkeypatch):
    """Return what makes a bench with a sensor on a topic, which sends the same each 0.05 s."""
    monkeypatch.setattr('mirror_depth_ros.ros.scale_calibration._INTERVAL_S', 0.0)
    monkeypatch.setattr('mirror_depth_ros.ros.scale_calibration._SENSOR_PATIENCE_S', 3.0)

    def make(source, topic='', make_message=None, **options):
        bench = make_camera_bench(
            CAMERA, lambda rgb, focal_px: ESTIMATED, scale_source=source, **options
        )
        bench.wait_active()
        bench.stream()
        if make_message is not None:
            publisher = bench.user.create_publisher(type(make_message(0.0)), topic, 5)
            bench.user.create_timer(0.05, lambda: publisher.publish(make_message(time.time())))
        return bench

    return make


def calibrate(bench):
    """Call the service; return its answer and the scale that is set then."""
    response = bench.call(Trigger, 'calibrate_scale', Trigger.Request())
    request = GetParameters.Request(names=['depth_scale'])
    (value,) = bench.call(GetParameters, 'get_parameters', request).values
    return response, value.double_value


def subscribed(bench):
    return {s.topic for s in bench.node.subscriptions}


def test_a_scan_gives_the_scale_without_a_height(make_bench, listeners):
    bench = make_bench('scan', '/front/scan', scan, arguments=['-r', 'scan:=/front/scan'])
    assert '/front/scan' not in subscribed(bench)
    response, factor = calibrate(bench)
    assert response.success, response.message
    assert response.message == (
        'depth_scale is now 1.6129, from the scan in 10 of 10 images, spread 0.0 %; to keep it, '
        'write it into the parameter file'
    )
    assert factor == 1.6129
    # Nobody listens to lidar or TF any more, and it can be measured again.
    assert '/front/scan' not in subscribed(bench)
    assert listeners == []
    assert calibrate(bench)[0].success


def test_a_cloud_in_the_frame_of_the_images_gives_the_scale(make_bench):
    bench = make_bench('cloud', '/cloud', cloud)
    response, factor = calibrate(bench)
    assert response.message.startswith('depth_scale is now 1.6129, from the cloud in 10 of 10 im')
    assert factor == 1.6129


def test_no_message_is_a_refusal_within_seconds(make_bench):
    bench = make_bench('range')
    started = time.monotonic()
    response, factor = calibrate(bench)
    assert (response.success, factor) == (False, 1.0)
    assert response.message == (
        'got depth of 0 of 10 images; got no range on /range, where nobody publishes; start the '
        'sensor, or remap it: -r range:=TOPIC'
    )
    assert 3.0 < time.monotonic() - started < 15.0
    assert '/range' not in subscribed(bench)


def test_another_type_on_the_topic_is_a_refusal(make_bench, ros_domain_id):
    other = rclpy.Context()  # Fast DDS lets one participant know but one type of a topic
    rclpy.init(context=other, domain_id=ros_domain_id)
    node = Node('lidar', context=other)
    node.create_publisher(PointCloud2, '/scan', 5)
    try:
        response, _ = calibrate(make_bench('scan'))
    finally:
        node.destroy_node()
        rclpy.shutdown(context=other)
    assert response.message == (
        'got depth of 0 of 10 images; got no scan on /scan: sensor_msgs/msg/PointCloud2 is '
        'published there, expected sensor_msgs/msg/LaserScan; choose another scale_source, or '
        'remap it: -r scan:=TOPIC'
    )


def test_a_topic_that_cannot_be_subscribed_to_is_a_refusal_and_the_node_goes_on(make_bench):
    # Its own images, as something else; where the middleware allows it, no scan comes.
    bench = make_bench('scan', arguments=['-r', 'scan:=/image'])
    response, factor = calibrate(bench)
    assert (response.success, factor) == (False, 1.0)
    reason = r'got no subscription to /image \(RCLError: Failed to create|got no scan on /image'
    assert re.search(reason, response.message), response.message


def test_images_without_a_factor_are_a_refusal_with_the_reason(make_bench):
    bench = make_bench('cloud', '/cloud', lambda seconds: cloud(seconds - 60.0))
    response, factor = calibrate(bench)
    assert (response.success, factor) == (False, 1.0)
    assert response.message.startswith(
        'got the cloud in 0 of 10 images, expected it in half of them or more; the latest without '
        'it: got a cloud on /cloud with a stamp 60.'
    )


def test_an_absurd_factor_is_refused_with_what_to_check(make_bench):
    bench = make_bench('cloud', '/cloud', lambda seconds: cloud(seconds, 0.03))
    response, _ = calibrate(bench)
    assert response.message == (
        'got a factor of 0.0161, expected 0.1 to 10.0; check the unit of /cloud and the transform '
        'from its frame'
    )
