"""What the depth node publishes: one row per topic, each made only when somebody subscribes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from mirror_depth_ros.depth.nav_points import nav_points
from mirror_depth_ros.depth.preview import colorize_depth
from mirror_depth_ros.ros import messages
from mirror_depth_ros.ros.camera_info import info_for_image
from mirror_depth_ros.ros.messages import MessageMemory
from mirror_depth_ros.ros.observations import OutputFacts
from mirror_depth_ros.ros.parameters import DepthParameters
from mirror_depth_ros.ros.pipeline import DepthFrame
from mirror_depth_ros.ros.qos_events import QosRefusals


@dataclass(frozen=True)
class Output:
    """A topic of the depth node, for each of its cameras."""

    #: Where the camera has no name.
    topic: str
    message_type: type[Any]
    #: Makes the message of a frame, in memory that the topic's last one had.
    encode: Callable[[DepthFrame, DepthParameters, MessageMemory], Any]


def _depth(frame: DepthFrame, _: DepthParameters, memory: MessageMemory) -> Image:
    return messages.depth_message(frame.header, frame.depth, memory)


def _depth_raw(frame: DepthFrame, _: DepthParameters, memory: MessageMemory) -> Image:
    return messages.depth_millimetres_message(frame.header, frame.depth, memory)


def _camera_info(frame: DepthFrame, _: DepthParameters, __: MessageMemory) -> CameraInfo:
    height, width = frame.depth.shape
    return info_for_image(frame.calibration.info, frame.header, width, height)


def _preview(frame: DepthFrame, parameters: DepthParameters, memory: MessageMemory) -> Image:
    picture = colorize_depth(
        frame.depth,
        min_depth=parameters.preview_min_depth,
        max_depth=parameters.preview_max_depth,
    )
    return messages.rgb_message(frame.header, picture, memory)


def _points(frame: DepthFrame, _: DepthParameters, memory: MessageMemory) -> PointCloud2:
    rays = frame.calibration.camera.rays
    return messages.cloud_message(frame.header, frame.depth, rays, frame.rgb, memory)


def _nav_points(frame: DepthFrame, parameters: DepthParameters, _: MessageMemory) -> PointCloud2:
    points = nav_points(
        frame.ranged,
        frame.calibration.camera.rays,
        decimation=parameters.nav_decimation,
        clear_range=parameters.nav_clear_range,
        edge_filter=0.0,  # the frame's depth has been through it
    )
    return messages.points_message(frame.header, points)


#: All topics. CameraInfo stands before the image it belongs to, for those who pair the two.
OUTPUTS = (
    Output('~/depth/camera_info', CameraInfo, _camera_info),
    Output('~/depth/image', Image, _depth),
    Output('~/depth/image_raw', Image, _depth_raw),
    Output('~/depth/preview', Image, _preview),
    Output('~/points', PointCloud2, _points),
    Output('~/nav_points', PointCloud2, _nav_points),
)


def observe_output(node: Node, publisher: Publisher, refusals: QosRefusals) -> OutputFacts:
    """Return whom an output reaches and whom it does not."""
    topic, n_subscribers = publisher.topic_name, publisher.get_subscription_count()
    policy = refusals.policies.get(topic, '')
    # Of those who are there, some may have come after the one that was refused has gone.
    n_there = node.count_subscribers(topic) if policy else n_subscribers
    return OutputFacts(topic, n_subscribers, max(n_there - n_subscribers, 0), policy)
