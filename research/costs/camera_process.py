"""A camera of frames encoded beforehand: one on demand, or many at a rate."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Empty, Float64, Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.evaluation.benchmark import HFOV_DEG, random_image
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.messages import image_message
from mirror_depth_ros.ros.parameter_server import declare
from mirror_depth_ros.ros.parameters import fixed_parameter
from mirror_depth_ros.ros.process import run_node

_FRAMES = 4


@dataclass(frozen=True)
class CameraParameters:
    """Those of the camera."""

    width: int = fixed_parameter(640, 'width of the images [pixels]', (16, 8192))
    height: int = fixed_parameter(480, 'height of the images [pixels]', (16, 8192))


class BenchmarkCamera(Node):
    """Publishes an image for each ``next``, or at the ``rate`` last heard of; 0 Hz stops it."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__('benchmark_camera', **node_options)
        parameters = declare(self, CameraParameters)
        width, height = parameters.width, parameters.height
        self._header = Header(frame_id='camera_optical_frame')
        camera = CameraModel.from_fov(width, height, HFOV_DEG)
        self._info = info_from_camera(camera, self._header)
        self._images = cycle(
            image_message(self._header, 'rgb8', random_image(height, width, seed))
            for seed in range(_FRAMES)
        )
        self._timer: Timer | None = None
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._image_publisher = self.create_publisher(Image, 'image', qos)
        self._info_publisher = self.create_publisher(CameraInfo, 'camera_info', qos)
        self.create_subscription(Empty, 'next', lambda _: self._publish(), qos)
        self.create_subscription(Float64, 'rate', self._on_rate, qos)

    def _publish(self) -> None:
        image = next(self._images)
        stamp = self.get_clock().now().to_msg()
        self._info.header.stamp = image.header.stamp = stamp
        self._info_publisher.publish(self._info)
        self._image_publisher.publish(image)

    def _on_rate(self, rate: Float64) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if rate.data > 0:
            self._timer = self.create_timer(1 / rate.data, self._publish)


def main() -> int:
    """Run the camera until it is interrupted; return the process's exit code."""
    return run_node(BenchmarkCamera, sys.argv, name='benchmark_camera')


if __name__ == '__main__':
    sys.exit(main())
