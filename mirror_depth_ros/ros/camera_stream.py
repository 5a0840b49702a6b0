"""One camera of the depth node: what it sends, what is made of it, and how it fares."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.ros.camera_info import CalibrationTracker
from mirror_depth_ros.ros.inputs import CameraInputs
from mirror_depth_ros.ros.judgement import SILENCE_S
from mirror_depth_ros.ros.measurements import LatestImage, Measurements
from mirror_depth_ros.ros.messages import MessageMemory
from mirror_depth_ros.ros.observations import NodeFacts, Snapshot, private_name
from mirror_depth_ros.ros.outputs import OUTPUTS, Output, observe_output
from mirror_depth_ros.ros.parameters import ParameterServer
from mirror_depth_ros.ros.qos_events import QosRefusals
from mirror_depth_ros.ros.scale_calibration import ScaleCalibration

# Few, as clouds are large.
_OUTPUT_DEPTH = 5


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
        observe_node: Callable[[], NodeFacts],
        on_image: Callable[[CameraStream, Image | CompressedImage], None],
        clock: Clock,
    ) -> None:
        """Create the camera, deaf and mute.

        :param name: stands before its topics: ``NAME/image``, ``~/NAME/points``; empty for the
            only camera of a node, whose topics have no name.
        :param observe_node: returns the facts of now that are not this camera's.
        :param on_image: called with every image, after the calibrations that came before it.
        :param clock: steady; paces what does not wait for images.
        """
        self.name = name
        #: Throttles by camera: one camera's trouble does not hide another's.
        self.logger = node.get_logger().get_child(name) if name else node.get_logger()
        #: Since the last :meth:`listen`.
        self.calibrations = CalibrationTracker()
        self._listening_since_s = time.monotonic()
        self.measurements = Measurements(self._listening_since_s)
        #: What is known of 16-bit images.
        self.levels = GreyLevels()
        self._node = node
        self._settings = settings
        self._on_image = on_image
        self._outputs: list[tuple[Output, Publisher, MessageMemory]] = []
        self._inputs: CameraInputs | None = None
        self._refusals = QosRefusals()
        #: Wants the depth of images while somebody waits for the scale.
        self.scale = ScaleCalibration(
            node,
            settings=settings,
            observe=lambda: self.observe(observe_node()),
            clock=clock,
            service=private_name('~/calibrate_scale', name),
        )

    # Publishing

    def create_outputs(self) -> None:
        """Make the publishers."""
        for output in OUTPUTS:
            self._outputs.append((output, self._create_publisher(output), MessageMemory()))

    def destroy_outputs(self) -> None:
        """Undo :meth:`create_outputs`, as far as it came."""
        while self._outputs:
            self._node.destroy_lifecycle_publisher(self._outputs.pop()[1])

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
        elapsed_s = time.monotonic() - self._listening_since_s
        return values.hfov_deg if not calibrations.is_empty or elapsed_s > SILENCE_S else 0.0

    def wanted_outputs(self) -> list[tuple[Output, Publisher, MessageMemory]]:
        """Return those that somebody subscribes to, each with the memory for its messages."""
        return [output for output in self._outputs if output[1].get_subscription_count() > 0]

    def _create_publisher(self, output: Output) -> Publisher:
        topic = private_name(output.topic, self.name)
        return self._node.create_lifecycle_publisher(
            output.message_type,
            topic,
            # RELIABLE serves subscribers of either kind. Made anew each time: overrides change it.
            QoSProfile(depth=_OUTPUT_DEPTH, reliability=ReliabilityPolicy.RELIABLE),
            event_callbacks=self._refusals.of_publisher(self._node.resolve_topic_name(topic)),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    # Listening

    def listen(self) -> None:
        """Subscribe; what is known of the images begins anew."""
        self.calibrations = CalibrationTracker()
        self._listening_since_s = time.monotonic()
        self.measurements = Measurements(self._listening_since_s)
        self.levels = GreyLevels()
        self._inputs = CameraInputs(
            self._node,
            self.name,
            transport=self._settings.values.image_transport,
            reliability=lambda: self._settings.values.image_reliability,
            calibrations=self.calibrations,
            measurements=self.measurements,
            on_image=self._take_image,
        )
        self.logger.info(f'listening to {" and ".join(self._inputs.topics)}')

    def stop_listening(self) -> None:
        """Undo :meth:`listen`."""
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None

    def log_counts(self) -> None:
        """Log what became of the images since the last :meth:`listen`."""
        counts = self.measurements.counts
        self.logger.info(
            f'stopped: {counts.received} images, {counts.processed} processed in '
            f'{1e3 * counts.working_s / max(counts.processed, 1):.0f} ms each, {counts.dropped} '
            f'dropped for newer ones, {counts.skipped} skipped'
        )

    def _take_image(self, message: Image | CompressedImage) -> None:
        latest = LatestImage(
            stamp_ns=Time.from_msg(message.header.stamp).nanoseconds,
            clock_ns=self._node.get_clock().now().nanoseconds,
            frame_id=message.header.frame_id,
            size=(message.width, message.height) if isinstance(message, Image) else None,
        )
        self.measurements.receive(time.monotonic(), latest)
        self._on_image(self, message)

    # Observing

    def observe(self, facts: NodeFacts) -> Snapshot:
        """Return what the diagnostics judge, with the facts of the node."""
        measured = self.measurements.summarise(time.monotonic())
        image, camera_info = (None, None) if self._inputs is None else self._inputs.observe()
        values, assumed_hfov_deg = self._settings.values, self.assumed_hfov_deg
        size = None if measured.latest is None else measured.latest.size
        return Snapshot(
            **vars(facts),
            camera=self.name,
            image=image,
            camera_info=camera_info,
            has_calibration=not self.calibrations.is_empty,
            assumed_hfov_deg=assumed_hfov_deg,
            calibration_error=''
            if assumed_hfov_deg
            else self.calibrations.find_error(size, rectified=values.rectified),
            outputs=tuple(
                observe_output(self._node, p, self._refusals) for _, p, _ in self._outputs
            ),
            measured=measured,
            grey_levels=self.levels.description,
        )
