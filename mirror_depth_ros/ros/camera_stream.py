"""One camera of the depth node: what it sends, what is made of it, and how it fares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rclpy.clock import Clock
from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.temporal_filter import TemporalFilter
from mirror_depth_ros.ros.adaptive_subscription import AdaptiveSubscription, image_topics
from mirror_depth_ros.ros.camera_info import CalibrationTracker
from mirror_depth_ros.ros.diagnostics.health import SILENCE_S, input_name
from mirror_depth_ros.ros.diagnostics.statistics import (
    CameraStatus,
    LatestImage,
    Measurements,
    NodeStatus,
    SubscriptionStatus,
)
from mirror_depth_ros.ros.outputs import CONFIDENCE_TOPIC, OUTPUTS, OutputPublisher, private_name
from mirror_depth_ros.ros.parameter_server import ParameterServer
from mirror_depth_ros.ros.parameters import DepthParameters
from mirror_depth_ros.ros.scale_calibration import ScaleCalibration

# Of images only the newest counts; of calibrations those of the last few images.
_IMAGE_DEPTH, _CAMERA_INFO_DEPTH = 1, 10
# What is published in either transport, as the graph names it.
_IMAGE_TYPES = {'raw': 'sensor_msgs/msg/Image', 'compressed': 'sensor_msgs/msg/CompressedImage'}


class CameraStream:
    """Subscriptions, calibrations, publishers and measurements of one camera.

    Nothing of it is shared with other cameras, so that none can harm another.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        *,
        settings: ParameterServer,
        observe_node: Callable[[], NodeStatus],
        clock: Clock,
    ) -> None:
        """Create the camera, which neither subscribes nor publishes yet.

        :param name: stands before its topics: ``NAME/image``, ``~/NAME/points``; empty for the
            only camera of a node, whose topics have no name.
        :param observe_node: returns the status of now that are not this camera's.
        :param clock: steady; paces what does not wait for images.
        """
        self.name = name
        #: Throttles by camera: one camera's trouble does not hide another's.
        self.logger = node.get_logger().get_child(name) if name else node.get_logger()
        #: Since the last :meth:`listen`.
        self.calibrations = CalibrationTracker()
        self.measurements = Measurements()
        #: What is known of 16-bit images.
        self.levels = GreyLevels()
        #: Has the last depth, if it is used.
        self.temporal_filter = TemporalFilter()
        self._node = node
        self._settings = settings
        self._clock = clock
        self._outputs: list[OutputPublisher] = []
        self._infos: AdaptiveSubscription | None = None
        self._images: AdaptiveSubscription | None = None
        #: Wants the depth of images while somebody waits for the scale.
        self.scale = ScaleCalibration(
            node,
            settings=settings,
            observe=lambda: self.observe(observe_node()),
            clock=clock,
            service=private_name('~/calibrate_scale', name),
        )

    # Publishing

    def create_outputs(self, *, with_confidence: bool) -> None:
        """Make the publishers.

        :param with_confidence: whether there is any to publish.
        """
        for output in OUTPUTS:
            if with_confidence or output.topic != CONFIDENCE_TOPIC:
                self._outputs.append(OutputPublisher(self._node, output, self.name))

    def destroy_outputs(self) -> None:
        """Undo :meth:`create_outputs`, even if it was only partly done."""
        while self._outputs:
            self._outputs.pop().destroy()

    @property
    def wants_images(self) -> bool:
        """Whether depth can be made of images, and whether anybody asks for it."""
        is_asked = self.scale.wants_image or bool(self.wanted_outputs())
        return is_asked and (not self.calibrations.is_empty or bool(self.assumed_hfov_deg))

    @property
    def assumed_hfov_deg(self) -> float:
        """The field of view that is assumed; 0 where none is, as a calibration says it [deg]."""
        values, calibrations = self._settings.values, self.calibrations
        if not values.hfov_deg or not calibrations.lacks_intrinsics(rectified=values.rectified):
            return 0.0
        # For as long as one may still come, nothing is assumed that it would contradict.
        may_come = calibrations.is_empty and self.measurements.elapsed_s <= SILENCE_S
        return 0.0 if may_come else values.hfov_deg

    def wanted_outputs(self) -> list[OutputPublisher]:
        """Return those that somebody subscribes to."""
        return [output for output in self._outputs if output.is_wanted]

    def wants_confidence(self, parameters: DepthParameters) -> bool:
        """Return whether what somebody subscribes to is made of it, with these parameters."""
        return parameters.min_confidence > 0 or any(
            publisher.output.uses_confidence(parameters) for publisher in self.wanted_outputs()
        )

    # Listening

    def listen(self, put: Callable[[CameraStream, Image | CompressedImage], None]) -> None:
        """Subscribe; what is known of the images begins anew.

        :param put: called with every image; it is to call :meth:`note_arrival` first.
        """
        self.calibrations = CalibrationTracker()
        self.measurements = Measurements()
        self.levels = GreyLevels()
        self.temporal_filter = TemporalFilter()
        node, transport = self._node, self._settings.values.image_transport
        # An executor serves what waits in the order of creation: the calibration goes first.
        self._infos = AdaptiveSubscription(
            node,
            CameraInfo,
            [node.resolve_topic_name(input_name(self.name, 'camera_info'))],
            self._take_info,
            clock=self._clock,
            depth=_CAMERA_INFO_DEPTH,
            wants_latched=True,
        )
        self._images = AdaptiveSubscription(
            node,
            Image if transport == 'raw' else CompressedImage,
            image_topics(node, input_name(self.name, 'image'))[transport],
            lambda message: put(self, message),
            clock=self._clock,
            depth=_IMAGE_DEPTH,
            reliability=lambda: self._settings.values.image_reliability,
            on_lost=lambda n_images: self.measurements.count('lost', n_images),
        )
        self.logger.info(f'listening to {self._images.topic} and {self._infos.topic}')

    def stop_listening(self) -> None:
        """Undo :meth:`listen`, even if it was only partly done."""
        for subscription in (self._images, self._infos):
            if subscription is not None:
                subscription.destroy()
        self._images = self._infos = None

    def log_counts(self) -> None:
        """Log what became of the images since the last :meth:`listen`."""
        statistics = self.measurements.summarise()
        counts, working_ms = statistics.counts, 1e3 * statistics.working_s
        self.logger.info(
            f'stopped: {counts["received"]} images, {counts["processed"]} processed in '
            f'{working_ms / max(counts["processed"], 1):.0f} ms each, {counts["dropped"]} '
            f'dropped for newer ones, {counts["skipped"]} skipped'
        )

    def _take_info(self, message: CameraInfo) -> None:
        self.calibrations.add(message)
        self.measurements.announce(Time.from_msg(message.header.stamp).nanoseconds)

    def note_arrival(self, message: Image | CompressedImage) -> None:
        """Count an image, and take the calibrations that came before it."""
        if self._infos is None:
            return  # the node has stopped listening
        self._infos.take_waiting()  # all of them: an executor serves but one before the image
        latest = LatestImage(
            stamp_ns=Time.from_msg(message.header.stamp).nanoseconds,
            clock_ns=self._node.get_clock().now().nanoseconds,
            frame_id=message.header.frame_id,
            size=(message.width, message.height) if isinstance(message, Image) else None,
        )
        self.measurements.receive(latest)

    # Observing

    def observe(self, node: NodeStatus) -> CameraStatus:
        """Return what the health check looks at, with the status of the node."""
        statistics = self.measurements.summarise()
        values, assumed_hfov_deg = self._settings.values, self.assumed_hfov_deg
        size = None if statistics.latest is None else statistics.latest.size
        return CameraStatus(
            node,
            self.name,
            image=self._observe_images(),
            camera_info=None if self._infos is None else self._infos.observe(),
            has_calibration=not self.calibrations.is_empty,
            assumed_hfov_deg=assumed_hfov_deg,
            calibration_error=''
            if assumed_hfov_deg
            else self.calibrations.find_error(size, rectified=values.rectified),
            publishers=tuple(output.observe() for output in self._outputs),
            statistics=statistics,
            grey_levels=self.levels.description,
        )

    def _observe_images(self) -> SubscriptionStatus | None:
        """Return who sends images or, where nobody does, who does in the other transport."""
        if self._images is None:
            return None
        status = self._images.observe()
        if status.n_publishers:
            return status
        other = 'compressed' if status.type_name == _IMAGE_TYPES['raw'] else 'raw'
        for topic in image_topics(self._node, input_name(self.name, 'image'))[other]:
            publishers = self._node.get_publishers_info_by_topic(topic)
            # Types say it, not names.
            if any(info.topic_type == _IMAGE_TYPES[other] for info in publishers):
                return replace(status, alternative=topic)
        return status
