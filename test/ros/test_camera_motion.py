"""Where a camera is, by odometry and TF, and what the node makes of it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import (
    Point,
    Pose,
    PoseWithCovariance,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.poses import pose_matrix
from mirror_depth_ros.ros.camera_motion import CameraMotion

CAMERA = CameraModel(65, 49, 60.0, 60.0, 32.0, 24.0)
OPTICAL = 'camera_optical_frame'
# The optical frame (x right, y down, z forward) in a base that looks along x (REP-103), 0.2 m up.
MOUNTING = Transform(translation=Vector3(z=0.2), rotation=Quaternion(x=-0.5, y=0.5, z=-0.5, w=0.5))
AS_MATRIX = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0.2], [0, 0, 0, 1.0]])


def header(seconds: float, frame_id: str) -> Header:
    whole, rest = divmod(round(seconds * 10**9), 10**9)
    return Header(stamp=Time(sec=whole, nanosec=rest), frame_id=frame_id)


def odometry_fields(seconds: float, x: float, child_frame_id: str) -> dict:
    """Return what a ``nav_msgs/Odometry`` has of a base that went straight ahead."""
    pose = PoseWithCovariance(pose=Pose(position=Point(x=x), orientation=Quaternion(w=1.0)))
    return {
        'header': header(seconds, 'odom'),
        'child_frame_id': child_frame_id,
        'pose': pose,
    }


def tell(motion: CameraMotion, seconds: float, x: float, child_frame_id: str = OPTICAL) -> None:
    """Hand over odometry, for which nav_msgs need not be installed."""
    motion._take(SimpleNamespace(**odometry_fields(seconds, x, child_frame_id)))


def test_the_mounting_is_the_matrix_that_tests_compare_with() -> None:
    shift, turn = MOUNTING.translation, MOUNTING.rotation
    matrix = pose_matrix((shift.x, shift.y, shift.z), (turn.x, turn.y, turn.z, turn.w))
    np.testing.assert_allclose(matrix, AS_MATRIX, atol=1e-12)


@pytest.fixture
def motion(make_node):
    motion = CameraMotion(make_node(), odom_frame='odom')
    yield motion
    motion.destroy()


def test_odometry_of_the_camera_itself_is_its_pose_at_the_time_of_the_image(motion) -> None:
    tell(motion, 10.0, 1.0)
    assert motion.find_pose(header(10.1, OPTICAL)) is None  # late
    tell(motion, 10.2, 2.0)
    pose = motion.find_pose(header(10.1, OPTICAL))
    np.testing.assert_allclose(pose, [[1, 0, 0, 1.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_odometry_of_a_base_needs_to_know_where_the_camera_is(motion) -> None:
    tell(motion, 10.0, 1.0, 'base_link')
    for _ in range(29):
        assert motion.find_pose(header(10.0, OPTICAL)) is None
        assert motion.lack == ''  # TF needs a moment
    assert motion.find_pose(header(10.0, OPTICAL)) is None
    assert f'no pose of {OPTICAL} at the time of the last 30 images' in motion.lack
    assert f'TF does not know {OPTICAL} on base_link' in motion.lack
    assert f'publish TF from odom to {OPTICAL}, or odometry on /odom and TF from' in motion.lack
    tell(motion, 10.5, 1.0)
    assert motion.find_pose(header(10.5, OPTICAL)) is not None
    assert motion.lack == ''


def test_what_is_no_rotation_is_ignored_and_said(motion, capfd) -> None:
    fields = odometry_fields(10.0, 1.0, OPTICAL)
    fields['pose'].pose.orientation = Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)
    motion._take(SimpleNamespace(**fields))
    assert motion.find_pose(header(10.0, OPTICAL)) is None
    assert 'odometry ignored: got the translation' in capfd.readouterr().err


def flickering() -> object:
    """Return an estimate of 2 m, with a dent to 2.2 m in every second image."""
    dented = np.full((49, 65), 2.0, np.float32)
    dented[10:30, 10:40] = 2.2
    maps = [np.full((49, 65), 2.0, np.float32), dented]
    count = iter(range(10**6))
    return lambda rgb, focal_px: maps[next(count) % 2].copy()


def second_depth(bench) -> np.ndarray:
    """Return the depth that the node publishes of the second image."""
    received = bench.collect('depth/image', Image)
    for i in (1, 2):
        bench.send()
        bench.wait(lambda i=i: len(received) == i)
    return np.frombuffer(received[1].data, np.float32).reshape(49, 65)


@pytest.mark.parametrize('mode', ['off', 'scale', 'motion'])
def test_the_node_steadies_what_it_publishes(make_camera_bench, mode: str) -> None:
    bench = make_camera_bench(CAMERA, flickering(), temporal_filter=mode, edge_filter=0.0)
    bench.wait_active()
    assert (bench.node._motion is None) == (mode != 'motion')
    if mode == 'motion':
        now_s = time.time()
        for step in range(300):
            tell(bench.node._motion, now_s + 0.4 * step, 0.0)
    depth = second_depth(bench)
    # As in test/depth/test_temporal_filter.py; of a still picture, the scale is that of most.
    expected = {'off': 2.2, 'scale': 2.2, 'motion': 2.10017}[mode]
    np.testing.assert_allclose(depth[15:25, 15:35], expected, rtol=1e-4)
    np.testing.assert_allclose(depth[40:], 2.0, rtol=1e-5)


def test_what_is_fused_is_weighed_by_confidence(make_camera_bench) -> None:
    confidence = np.ones((49, 65), np.float32)
    bench = make_camera_bench(
        CAMERA, flickering(), confidence=confidence, temporal_filter='motion'
    )
    bench.wait_active()
    second_depth(bench)
    assert bench.asked == [True, True]


@pytest.mark.parametrize('mode', ['scale', 'motion'])
def test_without_poses_the_node_smooths_the_scale(make_camera_bench, mode: str) -> None:
    scales = iter([2.0, 2.4])
    bench = make_camera_bench(
        CAMERA,
        lambda rgb, focal_px: np.full((49, 65), next(scales), np.float32),
        temporal_filter=mode,
        depth_scale=0.5,
    )
    bench.wait_active()
    np.testing.assert_allclose(second_depth(bench), 0.5 * np.sqrt(2.0 * 2.4), rtol=1e-5)


def test_a_node_that_is_deactivated_listens_to_nothing(make_camera_bench) -> None:
    bench = make_camera_bench(CAMERA, flickering(), temporal_filter='motion')
    bench.wait_active()
    node = bench.node
    subscribed = {node.resolve_topic_name(s.topic) for s in node.subscriptions}
    node.trigger_deactivate()
    bench.wait(lambda: node._motion is None)
    left = {node.resolve_topic_name(s.topic) for s in node.subscriptions}
    assert not left & {'/odom', '/tf', '/tf_static'}
    pytest.importorskip('nav_msgs', reason='odometry needs nav_msgs')
    assert '/odom' in subscribed


def test_odometry_is_heard(make_camera_bench) -> None:
    messages = pytest.importorskip('nav_msgs.msg', reason='odometry needs nav_msgs')
    bench = make_camera_bench(
        CAMERA,
        flickering(),
        arguments=['-r', 'odom:=/wheels/odom'],
        temporal_filter='motion',
        edge_filter=0.0,
    )
    bench.wait_active()
    publisher = bench.user.create_publisher(messages.Odometry, '/wheels/odom', 10)
    bench.wait(lambda: publisher.get_subscription_count() == 1)
    now_s = time.time()
    for step in range(40):
        fields = odometry_fields(now_s + 0.4 * step, 0.0, OPTICAL)
        publisher.publish(messages.Odometry(**fields))
        time.sleep(0.005)
    bench.wait(lambda: bench.node._motion.find_pose(header(now_s + 15.0, OPTICAL)) is not None)
    np.testing.assert_allclose(second_depth(bench)[15:25, 15:35], 2.10017, rtol=1e-4)


def transform(seconds: float, parent: str, child: str, content: Transform) -> TransformStamped:
    return TransformStamped(
        header=header(seconds, parent), child_frame_id=child, transform=content
    )


def test_tf_moves_the_camera_with_its_base(motion) -> None:
    pytest.importorskip('tf2_ros', reason='TF needs tf2_ros')
    buffer = motion._transforms.buffer
    buffer.set_transform_static(transform(0, 'base_link', OPTICAL, MOUNTING), 'test')
    for seconds, x in ((10.0, 1.0), (10.2, 2.0)):
        moved = Transform(translation=Vector3(x=x), rotation=Quaternion(w=1.0))
        buffer.set_transform(transform(seconds, 'odom', 'base_link', moved), 'test')
    pose = motion.find_pose(header(10.1, OPTICAL))
    shifted = AS_MATRIX + np.array([[0, 0, 0, 1.5]] + 3 * [[0] * 4])
    np.testing.assert_allclose(pose, shifted, atol=1e-9)
    tell(motion, 10.0, 7.0)
    tell(motion, 10.4, 7.0)
    assert motion.find_pose(header(10.3, OPTICAL)) is None  # TF is late, and is not replaced


def test_odometry_of_a_base_is_moved_to_its_camera_by_tf(motion) -> None:
    pytest.importorskip('tf2_ros', reason='TF needs tf2_ros')
    motion._transforms.buffer.set_transform_static(
        transform(0, 'base_link', OPTICAL, MOUNTING), 'test'
    )
    tell(motion, 10.0, 3.0, 'base_link')
    shifted = AS_MATRIX + np.array([[0, 0, 0, 3.0]] + 3 * [[0] * 4])
    np.testing.assert_allclose(motion.find_pose(header(10.0, OPTICAL)), shifted, atol=1e-9)
