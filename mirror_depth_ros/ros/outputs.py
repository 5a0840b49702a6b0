"""What the depth node publishes of an image: one row per topic, made when somebody subscribes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from mirror_depth_ros.depth.compressed_depth import compress_metres, compress_millimetres
from mirror_depth_ros.depth.files import depth_to_millimetres
from mirror_depth_ros.depth.filters import apply_range, filter_depth
from mirror_depth_ros.depth.nav_points import nav_points
from mirror_depth_ros.depth.preview import colorize_depth, compress_picture
from mirror_depth_ros.ros import messages
from mirror_depth_ros.ros.adaptive_subscription import PublisherEvents
from mirror_depth_ros.ros.camera_info import Calibration, info_for_image
from mirror_depth_ros.ros.diagnostics.statistics import PublisherStatus
from mirror_depth_ros.ros.messages import MessageMemory
from mirror_depth_ros.ros.parameters import DepthParameters

# Few, as clouds are large.
_DEPTH = 5
#: Published where the model has it.
CONFIDENCE_TOPIC = '~/confidence/image'


@dataclass(eq=False)
class Frame:
    """One image and what has been made of it: each step of its path adds its part."""

    message: Image | CompressedImage
    #: The parameters of when its work began: a change meanwhile is for the next image.
    parameters: DepthParameters
    #: Name of its camera; empty for the only one of a node.
    camera_name: str = ''
    #: The stage that began last, and the durations of those that have ended [s].
    stage: str = ''
    durations: dict[str, float] = field(default_factory=dict)
    #: Decoded: uint8 ``[H, W, 3]``.
    rgb: NDArray[np.uint8] = field(init=False)
    #: Calibrated: of the camera at the image's size.
    calibration: Calibration = field(init=False)
    #: Estimated: metres along Z, ``[H, W]``, as the model has them, of any range and not scaled.
    estimated: NDArray[np.float32] = field(init=False)
    #: Estimated, where that is asked for: how sure the depth is, 0 to 1, ``[H, W]``.
    confidence: NDArray[np.float32] | None = None
    #: Estimated, of models that know it: above 1 for an image unlike those of the training.
    strangeness: float | None = None
    #: Filtered: metres along Z, ``[H, W]``, scaled, NaN between surfaces and where it is doubtful,
    #: marked as in REP-117.
    ranged: NDArray[np.float32] = field(init=False)
    #: The same, out of range as the parameter ``out_of_range`` says.
    depth: NDArray[np.float32] = field(init=False)

    @property
    def header(self) -> Header:
        """The image's own header; where the parameter ``frame_id`` names a frame, in that."""
        header, frame_id = self.message.header, self.parameters.frame_id
        if not frame_id:
            return header
        frame_id = frame_id.replace('{camera}', self.camera_name or 'camera')
        return Header(stamp=header.stamp, frame_id=frame_id)

    def filter(self, depth: NDArray[np.float32]) -> None:
        """Set what is published of a depth: scaled, without flying and doubtful pixels.

        :param depth: metres along Z, ``[H, W]``, as the model has them.
        """
        parameters = self.parameters
        low, high, how = parameters.min_range, parameters.max_range, parameters.out_of_range
        self.ranged = self.depth = filter_depth(
            depth,
            scale=parameters.depth_scale,
            min_range=low,
            max_range=high,
            edge_filter=parameters.edge_filter,
            confidence=self.confidence,
            min_confidence=parameters.min_confidence,
        )
        if how != 'inf':
            self.depth = apply_range(self.ranged, min_range=low, max_range=high, out_of_range=how)

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height [pixels]."""
        height, width = self.rgb.shape[:2]
        return width, height

    @cached_property
    def preview(self) -> NDArray[np.uint8]:
        """Its depth in colours, RGB ``[H, W, 3]``; made once for all outputs that show it."""
        return colorize_depth(
            self.depth,
            min_depth=self.parameters.preview_min_depth,
            max_depth=self.parameters.preview_max_depth,
        )


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
    return info_for_image(frame.calibration.info, frame.header, *frame.size)


def _image(encoding: str, pixels: Callable[[Frame], Any]) -> Callable[[Frame, MessageMemory], Any]:
    return lambda f, memory: messages.image_message(f.header, encoding, pixels(f), memory)


def _compressed(
    data_format: str, data: Callable[[Frame], bytes]
) -> Callable[[Frame, MessageMemory], Any]:
    return lambda f, _: messages.compressed_message(f.header, data_format, data(f))


def _points(frame: Frame, memory: MessageMemory) -> PointCloud2:
    step = frame.parameters.cloud_decimation
    kept = slice(None, None, step), slice(None, None, step)
    confidence = frame.confidence if frame.parameters.cloud_confidence else None
    return messages.cloud_message(
        frame.header,
        frame.depth[kept],
        frame.calibration.camera.rays[kept],
        frame.rgb[kept],
        memory,
        confidence=None if confidence is None else confidence[kept],
    )


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
    Output('~/depth/image', Image, _image('32FC1', lambda f: f.depth)),
    Output('~/depth/image_raw', Image, _image('16UC1', lambda f: depth_to_millimetres(f.depth))),
    Output('~/depth/preview', Image, _image('rgb8', lambda f: f.preview)),
    Output(
        CONFIDENCE_TOPIC,
        Image,
        _image('32FC1', lambda f: f.confidence),  # there is some: see FrameWorker._publish
        uses_confidence=lambda _: True,
    ),
    Output('~/points', PointCloud2, _points, uses_confidence=lambda p: p.cloud_confidence),
    Output('~/nav_points', PointCloud2, _nav_points),
    # Named and packed as by image_transport, whose subscribers find them beside the images; last,
    # as they take longest and robots steer by the others.
    Output(
        '~/depth/image/compressedDepth',
        CompressedImage,
        _compressed(
            '32FC1; compressedDepth png',
            lambda f: compress_metres(f.depth, max_depth=f.parameters.max_range),
        ),
    ),
    Output(
        '~/depth/image_raw/compressedDepth',
        CompressedImage,
        _compressed('16UC1; compressedDepth png', lambda f: compress_millimetres(f.depth)),
    ),
    Output(
        '~/depth/preview/compressed',
        CompressedImage,
        _compressed('rgb8; jpeg compressed bgr8', lambda f: compress_picture(f.preview)),
    ),
)


def private_name(name: str, camera: str) -> str:
    """Return an output or a service of a camera: ``~/front/points``, or ``~/points``.

    :param name: as it is for a camera without a name.
    :param camera: its name; empty for the only one of a node.
    """
    return name.replace('~/', f'~/{camera}/', 1) if camera else name


class OutputPublisher:
    """An output of one camera on its topic, and whom it reaches."""

    def __init__(self, node: LifecycleNode, output: Output, camera: str) -> None:
        """Publish from now on.

        :param camera: its name; empty for the only one of a node.
        """
        memory = MessageMemory()
        self.output = output
        self._node = node
        #: Makes the message of a frame.
        self.encode: Callable[[Frame], Any] = lambda frame: output.encode(frame, memory)
        #: The QoS policy, such as ``reliability``, that kept a subscription apart last.
        self._refused_policy = ''
        self._publisher = node.create_lifecycle_publisher(
            output.message_type,
            private_name(output.topic, camera),
            # RELIABLE serves subscribers of either kind. Made anew each time: overrides change it.
            QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE),
            event_callbacks=PublisherEvents(incompatible_qos=self._note_refusal),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        #: Takes that message.
        self.publish: Callable[[Any], None] = self._publisher.publish

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes."""
        return self._publisher.get_subscription_count() > 0

    def observe(self) -> PublisherStatus:
        """Return whom it reaches and whom it does not."""
        topic, n_reached = self._publisher.topic_name, self._publisher.get_subscription_count()
        # Nothing says that one that was refused has gone, and of those there some may be newer.
        n_there = self._node.count_subscribers(topic) if self._refused_policy else n_reached
        return PublisherStatus(topic, n_reached, max(n_there - n_reached, 0), self._refused_policy)

    def destroy(self) -> None:
        """Publish no more."""
        self._node.destroy_lifecycle_publisher(self._publisher)

    def _note_refusal(self, event: Any) -> None:
        self._refused_policy = qos_policy_name_from_kind(event.last_policy_kind).lower()


#: Topics and services, as ``depth_node --help`` lists them.
INTERFACE = {
    'subscribes to': (
        'image (sensor_msgs/Image) or image/compressed (sensor_msgs/CompressedImage)',
        'camera_info (sensor_msgs/CameraInfo)',
        'odom (nav_msgs/Odometry), /tf and /tf_static (tf2_msgs/TFMessage), with temporal_filter',
        'scan (sensor_msgs/LaserScan), cloud (sensor_msgs/PointCloud2) or range '
        '(sensor_msgs/Range), as scale_source says, while ~/calibrate_scale measures',
    ),
    'publishes': (
        *(f'{output.topic} ({output.type_name})' for output in OUTPUTS),
        '/diagnostics (diagnostic_msgs/DiagnosticArray)',
    ),
    'services': (
        '~/enable (std_srvs/SetBool): pause and resume',
        '~/calibrate_scale (std_srvs/Trigger): find and set depth_scale, by scale_source',
    ),
}
