"""A camera that plays frames: those that the package brings along, or a folder of photographs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.model.resources import demo_directory
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.messages import image_message
from mirror_depth_ros.ros.parameter_server import declare, parse_arguments, warn_of_unknown
from mirror_depth_ros.ros.parameters import fixed_parameter
from mirror_depth_ros.ros.process import run_node


@dataclass(frozen=True)
class FrameParameters:
    """Which frames are played."""

    images: str = fixed_parameter(
        '', 'folder of frames or photographs; empty: the recording brought'
    )
    fov: float = fixed_parameter(
        0.0, 'field of view of images without meta.json [deg]', (0.0, 179.0)
    )

    def open(self) -> FrameFolder:
        """Open their folder.

        :raises OSError: if there is no such folder.
        :raises ValueError: if it holds no image, or plain ones without a field of view.
        """
        folder = Path(self.images) if self.images else demo_directory()
        return FrameFolder(folder, hfov_deg=self.fov or None)


@dataclass(frozen=True)
class CameraParameters(FrameParameters):
    """Those of the camera."""

    rate_hz: float = fixed_parameter(10.0, 'frames per second', (0.1, 120.0))
    frame_id: str = fixed_parameter('camera_optical_frame', 'frame_id of all messages')
    hold: bool = fixed_parameter(
        False, 'show each frame until depth/camera_info answers it, so that none is missed'
    )


# A frame that the node does not answer within this time is left for the next one.
_HOLD_LIMIT_NS = 10_000_000_000
# A frame that waits for its answer is shown again after this time, for a node that starts later.
_REPEAT_NS = 500_000_000
_COMPLAINT_PERIOD_S = 5.0


class FrameCamera(Node):
    """Publishes ``image``, ``camera_info`` and ``true_depth`` with equal stamps, in a loop.

    Each frame is read when its turn comes: there may be many. One that cannot be read is reported
    once and passed over.

    :raises ValueError: for a folder of which nothing can be read.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__('frame_camera', **node_options)
        parameters = declare(self, CameraParameters)
        warn_of_unknown(self)
        self._hold = parameters.hold
        try:
            self._frames = parameters.open()
        except OSError as error:
            raise ValueError(str(error)) from error
        self._index = 0
        # What is published of the frame, with its header; None: it is not read yet.
        self._outgoing: list[tuple[Publisher, Any]] | None = None
        self._header = Header(frame_id=parameters.frame_id)
        self._shown_since_ns: int | None = None
        self._shown_last_ns = 0
        self._answered = False
        self._complaints: set[str] = set()
        # Reliable serves every subscriber, best effort included.
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        topics = {'true_depth': Image, 'camera_info': CameraInfo, 'image': Image}
        self._publishers_of = {n: self.create_publisher(t, n, qos) for n, t in topics.items()}
        self._prepare()  # refuses a folder of which nothing can be read
        if self._hold:
            self.create_subscription(CameraInfo, 'depth/camera_info', self._on_answer, qos)
        self.create_timer(1.0 / parameters.rate_hz, self._publish_next)
        self.get_logger().info(
            f'publishing {len(self._frames)} frames in a loop at {parameters.rate_hz} Hz'
        )

    def _publish_next(self) -> None:
        now = self.get_clock().now()
        if self._is_overdue(now.nanoseconds):
            self.get_logger().warning(
                f'frame {self._index} got no depth within {_HOLD_LIMIT_NS / 1e9:.0f} s; '
                'going on with the next one'
            )
            self._advance()
        if self._shown_since_ns is not None and now.nanoseconds - self._shown_last_ns < _REPEAT_NS:
            return  # it waits for its answer
        try:
            outgoing = self._prepare()
        except ValueError as error:  # they were there at the start and may come back
            self.get_logger().error(str(error), throttle_duration_sec=_COMPLAINT_PERIOD_S)
            return
        self._header.stamp = now.to_msg()
        for publisher, message in outgoing:
            publisher.publish(message)
        if self._shown_since_ns is None:
            self._shown_since_ns = now.nanoseconds
        self._shown_last_ns = now.nanoseconds
        if not self._hold:
            self._advance()

    def _is_overdue(self, now_ns: int) -> bool:
        if not (self._hold and self._answered) or self._shown_since_ns is None:
            return False  # a node that has not answered yet is still loading its model
        return now_ns - self._shown_since_ns > _HOLD_LIMIT_NS

    def _prepare(self) -> list[tuple[Publisher, Any]]:
        """Return the messages of the current frame, or of the next that can be read.

        They are encoded once, so that publishing them again costs little, and have one header.

        :raises ValueError: if none can be read.
        """
        for _ in range(len(self._frames)):
            if self._outgoing is not None:
                break
            try:
                self._outgoing = self._encode(self._frames[self._index])
            except (OSError, ValueError) as error:
                name = self._frames.names[self._index]
                self._complain_once(f'photograph {name} skipped: {error}')
                self._advance()
        if self._outgoing is None:
            raise ValueError(
                f'got no photograph in {self._frames.root} that can be read, expected at '
                'least one; replace them or choose another folder'
            )
        return self._outgoing

    def _encode(self, sample: DepthSample) -> list[tuple[Publisher, Any]]:
        """Return a frame's messages, the image last: what belongs to it is there when it comes."""
        messages = {
            'camera_info': info_from_camera(sample.camera, self._header),
            'image': image_message(self._header, 'rgb8', sample.rgb),
        }
        if sample.depth is not None:
            messages = {
                'true_depth': image_message(self._header, '32FC1', sample.depth),
                **messages,
            }
        return [(self._publishers_of[name], message) for name, message in messages.items()]

    def _complain_once(self, complaint: str) -> None:
        if complaint not in self._complaints:
            self._complaints.add(complaint)
            self.get_logger().error(complaint)

    def _advance(self) -> None:
        self._index = (self._index + 1) % len(self._frames)
        self._outgoing = None
        self._shown_since_ns = None

    def _on_answer(self, info: CameraInfo) -> None:
        """Go on when the depth of the picture now shown has arrived."""
        self._answered = True
        stamp_ns = Time.from_msg(info.header.stamp).nanoseconds
        if self._shown_since_ns is not None and stamp_ns >= self._shown_since_ns:
            self._advance()


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the process's exit code."""
    arguments = sys.argv if arguments is None else arguments
    purpose = 'Publishes image, camera_info and true_depth of a folder of frames, in a loop.'
    parse_arguments(arguments, name='frame_camera', purpose=purpose, parameters=CameraParameters)
    return run_node(FrameCamera, arguments, name='frame_camera')


if __name__ == '__main__':
    sys.exit(main())
