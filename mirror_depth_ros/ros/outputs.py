"""What the depth node publishes: one row per topic, each made only when somebody subscribes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from mirror_depth_ros.depth.nav_points import nav_points
from mirror_depth_ros.depth.preview import colorize_depth
from mirror_depth_ros.ros import messages
from mirror_depth_ros.ros.camera_info import info_for_image
from mirror_depth_ros.ros.messages import MessageMemory
from mirror_depth_ros.ros.parameters import DepthParameters
from mirror_depth_ros.ros.pipeline import Frame

#: Published where the model has it.
CONFIDENCE_TOPIC = '~/confidence/image'


@dataclass(frozen=True)
class Output:
    """A topic of the depth node, for each of its cameras."""

    #: Where the camera has no name.
    topic: str
    message_type: type[Any]
    #: Makes the message of a frame, in memory that the topic's last one had.
    encode: Callable[[Frame, MessageMemory], Any]
    #: Whether these parameters have it made of confidence.
    uses_confidence: Callable[[DepthParameters], bool] = lambda _: False

    @property
    def type_name(self) -> str:
        """The message's type: ``sensor_msgs/Image``."""
        return f'{self.message_type.__module__.partition(".")[0]}/{self.message_type.__name__}'


def _camera_info(frame: Frame, _: MessageMemory) -> CameraInfo:
    height, width = frame.depth.shape
    return info_for_image(frame.calibration.info, frame.header, width, height)


def _preview(frame: Frame, memory: MessageMemory) -> Image:
    picture = colorize_depth(
        frame.depth,
        min_depth=frame.parameters.preview_min_depth,
        max_depth=frame.parameters.preview_max_depth,
    )
    return messages.rgb_message(frame.header, picture, memory)


def _points(frame: Frame, memory: MessageMemory) -> PointCloud2:
    rays = frame.calibration.camera.rays
    confidence = frame.confidence if frame.parameters.cloud_confidence else None
    return messages.cloud_message(
        frame.header, frame.depth, rays, frame.rgb, memory, confidence=confidence
    )


def _confidence(frame: Frame, memory: MessageMemory) -> Image:
    assert frame.confidence is not None  # see FrameWorker._publish
    return messages.confidence_message(frame.header, frame.confidence, memory)


def _nav_points(frame: Frame, _: MessageMemory) -> PointCloud2:
    points = nav_points(
        frame.ranged,
        frame.calibration.camera.rays,
        decimation=frame.parameters.nav_decimation,
        clear_range=frame.parameters.nav_clear_range,
        edge_filter=0.0,  # the frame's depth has been through it
    )
    return messages.points_message(frame.header, points)


#: All topics. CameraInfo stands before the image it belongs to, for those who pair the two.
OUTPUTS = (
    Output('~/depth/camera_info', CameraInfo, _camera_info),
    Output('~/depth/image', Image, lambda f, m: messages.depth_message(f.header, f.depth, m)),
    Output(
        '~/depth/image_raw',
        Image,
        lambda f, m: messages.depth_millimetres_message(f.header, f.depth, m),
    ),
    Output('~/depth/preview', Image, _preview),
    Output(CONFIDENCE_TOPIC, Image, _confidence, uses_confidence=lambda _: True),
    Output('~/points', PointCloud2, _points, uses_confidence=lambda p: p.cloud_confidence),
    Output('~/nav_points', PointCloud2, _nav_points),
)

#: Topics and services, as ``depth_node --help`` lists them.
INTERFACE = {
    'subscribes to': (
        'image (sensor_msgs/Image) or image/compressed (sensor_msgs/CompressedImage)',
        'camera_info (sensor_msgs/CameraInfo)',
    ),
    'publishes': (
        *(f'{output.topic} ({output.type_name})' for output in OUTPUTS),
        '/diagnostics (diagnostic_msgs/DiagnosticArray)',
    ),
    'services': (
        '~/enable (std_srvs/SetBool): pause and resume',
        '~/calibrate_scale (std_srvs/Trigger): set depth_scale by the known camera_height',
    ),
}
