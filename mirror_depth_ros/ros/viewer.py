"""A subscriber that shows in Rerun what a depth node sees, answers and says of itself.

Run by ``mirror_depth view``.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image

from mirror_depth_ros.depth.camera_info import camera_from_info
from mirror_depth_ros.depth.image_decoding import decode_image
from mirror_depth_ros.evaluation.viewer import DATA_PORT, WEB_PORT, DepthViewer
from mirror_depth_ros.ros.messages import depth_array
from mirror_depth_ros.ros.process import own_arguments, run_node

# Images that wait for their depth: three seconds of a camera of 30 Hz.
_WAITING = 90


class Viewer(Node):
    """Puts image, depth and camera of one stamp together, and shows them."""

    def __init__(self, viewer: DepthViewer, *, node: str, **node_options: Any) -> None:
        """Subscribe.

        :param viewer: where all is shown.
        :param node: name of the depth node, with its namespace.
        """
        super().__init__('viewer', **node_options)
        self._viewer, self._node = viewer, node
        #: What has come, by its stamp.
        self._parts: dict[int, dict[str, Any]] = {}
        latest = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        for part, kind, topic in (
            ('image', Image, 'image'),
            ('info', CameraInfo, f'{node}/depth/camera_info'),
            ('depth', Image, f'{node}/depth/image'),
        ):
            self.create_subscription(kind, topic, partial(self._take, part), latest)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._show_health, 10)

    def _take(self, part: str, message: Any) -> None:
        """Keep a message until the others of its stamp are here."""
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        parts = self._parts.setdefault(stamp_ns, {})
        parts[part] = message
        if len(parts) == 3:
            self._show(stamp_ns, **self._parts.pop(stamp_ns))
        elif len(self._parts) > _WAITING:
            del self._parts[next(iter(self._parts))]

    def _show(self, stamp_ns: int, image: Image, info: CameraInfo, depth: Image) -> None:
        try:
            metres = depth_array(depth)
            camera = camera_from_info(
                info, rectified=False, size=(metres.shape[1], metres.shape[0])
            )
            rgb = decode_image(image)
        except ValueError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        if rgb.shape[:2] != metres.shape:
            rgb = cv2.resize(rgb, metres.shape[::-1])
        self._viewer.log(stamp_ns / 1e9, rgb, metres, camera)

    def _show_health(self, message: DiagnosticArray) -> None:
        stamp_s = Time.from_msg(message.header.stamp).nanoseconds / 1e9
        for status in message.status:
            if status.name.startswith(self._node.strip('/')):
                level = int.from_bytes(status.level, 'little')
                self._viewer.log_health(stamp_s, status.name, level, status.message)


def main(arguments: list[str] | None = None) -> int:
    """Show until stopped."""
    arguments = sys.argv if arguments is None else arguments
    parser = argparse.ArgumentParser(prog='viewer', description=__doc__)
    parser.add_argument('--node', default='/mirror_depth')
    parser.add_argument('--save', type=Path)
    parser.add_argument('--window', action='store_true')
    parser.add_argument('--ports', type=int, nargs=2, default=(WEB_PORT, DATA_PORT))
    parser.add_argument('--max-depth', type=float)
    options = parser.parse_args(own_arguments(arguments, name='viewer'))
    try:
        viewer = DepthViewer(max_depth=options.max_depth)
        if options.save is not None:
            viewer.save(options.save)
        elif options.window:
            viewer.open_window()
        else:
            address = viewer.serve(web_port=options.ports[0], data_port=options.ports[1])
            print(f'open {address}', flush=True)
    except (OSError, ValueError) as error:
        print(f'viewer: {error}', file=sys.stderr)
        return 1
    try:
        return run_node(lambda: Viewer(viewer, node=options.node), arguments, name='viewer')
    finally:
        viewer.close()


if __name__ == '__main__':
    sys.exit(main())
