"""Publishes images, depth and clouds of the size of a camera, on demand.

Reads one command a line, ``{"kind": "points", "count": 20, "subscribers": 2}``, publishes so many
once the subscribers are there, and answers ``{}``.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.evaluation.benchmark import HFOV_DEG, random_image
from mirror_depth_ros.ros.messages import cloud_message, image_message
from mirror_depth_ros.ros.process import start_ros, startup_errors
from research.costs.taker_process import KINDS

_HEIGHT, _WIDTH = 480, 640
_PERIOD_S = 0.1
_PATIENCE_S = 30.0


class Sender(Node):
    """Publishes each kind of message reliably, as the depth node does."""

    def __init__(self) -> None:
        super().__init__('benchmark_sender')
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._sources = {
            name: self.create_publisher(kind, name, qos) for name, kind in KINDS.items()
        }
        header, rgb = Header(frame_id='camera_optical_frame'), random_image(_HEIGHT, _WIDTH)
        depth = np.full((_HEIGHT, _WIDTH), 2.0, np.float32)
        rays = CameraModel.from_fov(_WIDTH, _HEIGHT, HFOV_DEG).rays
        self._messages = {
            'image': image_message(header, 'rgb8', rgb),
            'depth': image_message(header, '32FC1', depth),
            'points': cloud_message(header, depth, rays, rgb),
        }

    def send(self, kind: str, count: int, subscribers: int) -> None:
        """Publish one kind of message so many times, at 10 Hz.

        :raises TimeoutError: if the subscribers do not come.
        """
        source, message = self._sources[kind], self._messages[kind]
        deadline = time.monotonic() + _PATIENCE_S
        while source.get_subscription_count() < subscribers:
            if time.monotonic() > deadline:
                raise TimeoutError(f'no {subscribers} subscribers came within {_PATIENCE_S:.0f} s')
            time.sleep(0.05)
        time.sleep(0.5)  # they know of this publisher a little later than it of them
        for _ in range(count):
            due_s = time.monotonic() + _PERIOD_S
            message.header.stamp = self.get_clock().now().to_msg()
            source.publish(message)
            time.sleep(max(0.0, due_s - time.monotonic()))


def main() -> int:
    """Answer commands until there are no more; return the process's exit code."""
    with startup_errors('sender'):
        start_ros(sys.argv)
        sender = Sender()
    try:
        for line in sys.stdin:
            sender.send(**json.loads(line))
            print('{}', flush=True)
    except TimeoutError as error:
        print(f'sender: {error}', file=sys.stderr)
        return 1
    finally:
        sender.destroy_node()
        rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
