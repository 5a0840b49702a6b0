"""What the depth node publishes: one row per topic, each made only when somebody subscribes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from mirror_depth_ros.depth.compressed_depth import compress_metres, compress_millimetres
from mirror_depth_ros.depth.nav_points import nav_points
from mirror_depth_ros.depth.preview import compress_picture
from mirror_depth_ros.ros import messages
from mirror_depth_ros.ros.camera_info import info_for_image
from mirror_depth_ros.ros.messages import MessageMemory
from mirror_depth_ros.ros.pipeline import Frame


@dataclass(frozen=True)
class Output:
    """A topic of the depth node, for each of its cameras."""

    #: Where the camera has no name.
    topic: str
    message_type: type[Any]
    #: Makes the message of a frame, in memory that the topic's last one had.
    encode: Callable[[Frame, MessageMemory], Any]

    @property
    def type_name(self) -> str:
        """The message's type: ``sensor_msgs/Image``."""
        return f'{self.message_type.__module__.partition(".")[0]}/{self.message_type.__name__}'


def _camera_info(frame: Frame, _: MessageMemory) -> CameraInfo:
    height, width = frame.depth.shape
    return info_for_image(frame.calibration.info, frame.header, width, height)


def _compressed_depth(frame: Frame, _: MessageMemory) -> CompressedImage:
    data = compress_metres(frame.depth, max_depth=frame.parameters.max_range)
    return messages.compressed_message(frame.header, '32FC1; compressedDepth png', data)


def _compressed_millimetres(frame: Frame, _: MessageMemory) -> CompressedImage:
    data = compress_millimetres(frame.depth)
    return messages.compressed_message(frame.header, '16UC1; compressedDepth png', data)


def _compressed_preview(frame: Frame, _: MessageMemory) -> CompressedImage:
    data = compress_picture(frame.preview)
    return messages.compressed_message(frame.header, 'rgb8; jpeg compressed bgr8', data)


def _points(frame: Frame, memory: MessageMemory) -> PointCloud2:
    step = frame.parameters.cloud_decimation
    kept = slice(None, None, step), slice(None, None, step)
    rays = frame.calibration.camera.rays[kept]
    return messages.cloud_message(frame.header, frame.depth[kept], rays, frame.rgb[kept], memory)


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
    Output('~/depth/preview', Image, lambda f, m: messages.rgb_message(f.header, f.preview, m)),
    Output('~/points', PointCloud2, _points),
    Output('~/nav_points', PointCloud2, _nav_points),
    # Named and packed as by image_transport, whose subscribers find them beside the
    # images; last, as they take longest and robots steer by the others.
    Output('~/depth/image/compressedDepth', CompressedImage, _compressed_depth),
    Output('~/depth/image_raw/compressedDepth', CompressedImage, _compressed_millimetres),
    Output('~/depth/preview/compressed', CompressedImage, _compressed_preview),
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
