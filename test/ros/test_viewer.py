"""The subscriber behind ``mirror_depth view``: what belongs together is shown together."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from mirror_depth_ros.ros.viewer import Viewer


class Seen:
    """Stands where Rerun does."""

    def __init__(self):
        self.frames, self.health = [], []

    def log(self, stamp_s, rgb, depth, camera):
        self.frames.append((stamp_s, rgb, depth, camera))

    def log_health(self, stamp_s, name, level, message):
        self.health.append((name, level, message))


def image(stamp_s, pixels, encoding):
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding)
    message.header.stamp.sec = stamp_s
    message.step = pixels[0].nbytes
    message.data = pixels.tobytes()
    return message


def info(stamp_s, width, height):
    message = CameraInfo(width=width, height=height, distortion_model='plumb_bob')
    message.header.stamp.sec = stamp_s
    message.k = [20.0, 0.0, width / 2, 0.0, 20.0, height / 2, 0.0, 0.0, 1.0]
    message.p = [20.0, 0.0, width / 2, 0.0, 0.0, 20.0, height / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    message.d = [0.0] * 5
    return message


@pytest.fixture
def bench(ros_context):
    """Publishers beside a viewer, and what it showed."""
    seen, source = Seen(), Node('source', context=ros_context)
    viewer = Viewer(seen, node='/mirror_depth', context=ros_context)
    topics = {
        'image': (Image, 'image'),
        'depth': (Image, '/mirror_depth/depth/image'),
        'info': (CameraInfo, '/mirror_depth/depth/camera_info'),
        'health': (DiagnosticArray, '/diagnostics'),
    }
    publishers = {name: source.create_publisher(*topic, 10) for name, topic in topics.items()}
    executor = SingleThreadedExecutor(context=ros_context)
    for node in (source, viewer):
        executor.add_node(node)

    def spin_until(condition):
        deadline = time.monotonic() + 20
        while not condition() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)
        assert condition()

    spin_until(lambda: all(p.get_subscription_count() for p in publishers.values()))
    yield seen, publishers, spin_until
    executor.shutdown()
    for node in (source, viewer):
        node.destroy_node()


@pytest.mark.parametrize('order', [('image', 'info', 'depth'), ('depth', 'image', 'info')])
def test_what_has_one_stamp_is_shown_at_the_depths_size(bench, order):
    seen, publishers, spin_until = bench
    depth = np.linspace(1, 3, 6 * 8, dtype=np.float32).reshape(6, 8)
    messages = {
        'image': image(7, np.full((12, 16, 3), 90, np.uint8), 'rgb8'),
        'info': info(7, 8, 6),
        'depth': image(7, depth, '32FC1'),
    }
    publishers['depth'].publish(image(5, depth + 1, '32FC1'))  # of an image that never came
    for name in order:
        publishers[name].publish(messages[name])
        time.sleep(0.05)
    spin_until(lambda: seen.frames)
    ((stamp_s, rgb, shown, camera),) = seen.frames
    assert stamp_s == 7.0
    np.testing.assert_array_equal(rgb, np.full((6, 8, 3), 90, np.uint8))
    np.testing.assert_array_equal(shown, depth)
    assert (camera.fx, camera.width, camera.height) == (20.0, 8, 6)


def test_only_that_nodes_health_is_shown(bench):
    seen, publishers, spin_until = bench
    statuses = [
        DiagnosticStatus(name='motor: heat', level=b'\x02', message='hot'),
        DiagnosticStatus(name='mirror_depth: images', level=b'\x01', message='no image'),
    ]
    publishers['health'].publish(DiagnosticArray(status=statuses))
    spin_until(lambda: seen.health)
    assert seen.health == [('mirror_depth: images', 1, 'no image')]
