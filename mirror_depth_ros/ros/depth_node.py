"""The depth node: an image topic in, depth images and point clouds out. Wiring only.

The subscription leaves the newest image in a mailbox; a worker thread takes it from there through
:mod:`~mirror_depth_ros.ros.pipeline` and publishes the :mod:`~mirror_depth_ros.ros.outputs` that
somebody subscribes to. A slow model therefore drops old images in place of queueing them.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, cast

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool

from mirror_depth_ros.ros.camera_info import CalibrationTracker
from mirror_depth_ros.ros.frame_worker import FrameWorker, describe_error
from mirror_depth_ros.ros.outputs import OUTPUTS, Output
from mirror_depth_ros.ros.parameters import ParameterServer, parameter_specs
from mirror_depth_ros.ros.pipeline import Estimator, EstimatorLoader, load_estimator
from mirror_depth_ros.ros.process import own_arguments, run_node

# Of images only the newest counts; of calibrations those of the last few images.
_IMAGE_DEPTH, _CAMERA_INFO_DEPTH = 1, 10
# Few, as clouds are large.
_OUTPUT_DEPTH = 5
_HINT_PERIOD_S = 10.0
# How long the process waits for the image at hand when it ends.
_EXIT_TIMEOUT_S = 5.0


class DepthNode(LifecycleNode):
    """A lifecycle node that turns a camera's images into metric depth."""

    def __init__(
        self, *, load_estimator: EstimatorLoader = load_estimator, **node_options: Any
    ) -> None:
        """Create the node, unconfigured; with ``autostart`` it goes on by itself when spun.

        :param load_estimator: what loads the model on configuring.
        :param node_options: passed on to :class:`rclpy.node.Node`.
        :raises ValueError: for a parameter that is not allowed.
        """
        super().__init__('mirror_depth', **node_options)
        self._load_estimator = load_estimator
        self._estimator: Estimator | None = None
        self._calibrations = CalibrationTracker()
        self._outputs: list[tuple[Output, Publisher]] = []
        self._inputs: dict[str, Subscription] = {}
        self._worker: FrameWorker | None = None
        self._n_images = 0
        self._enabled = True
        # Not the node's clock: with use_sim_time that stands still until a simulator runs.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._hint_timer = self.create_timer(_HINT_PERIOD_S, self._hint, clock=self._steady_clock)
        self._hint_timer.cancel()
        self._settings = ParameterServer(self)
        self.create_service(SetBool, '~/enable', self._on_enable)
        if self._settings.values.autostart:
            self._start_timer = self.create_timer(0.0, self._autostart, clock=self._steady_clock)

    @property
    def state(self) -> str:
        """The label of the lifecycle state: ``unconfigured``, ``inactive``, ``active``, ..."""
        return self._state_machine.current_state[1]

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and make the publishers."""
        values = self._settings.values
        started = time.monotonic()
        try:
            self._estimator = self._load_estimator(
                values.model,
                device=values.device,
                precision=values.precision,
                clip_weights=values.clip_weights or None,
            )
            self._outputs = [(output, self._create_output(output)) for output in OUTPUTS]
        except Exception as error:  # whatever is wrong: the node stays, to be tried again
            self._release()
            self.get_logger().error(
                f'not configured: {describe_error(error)}. When that is mended: '
                f'ros2 lifecycle set {self.get_fully_qualified_name()} configure'
            )
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(
            f'model {values.model} on {self._estimator.device} in {self._estimator.precision}, '
            f'loaded in {time.monotonic() - started:.1f} s'
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen to the camera."""
        self._n_images = 0
        self._calibrations = CalibrationTracker()
        result = super().on_activate(state)
        try:
            self._worker = FrameWorker(
                estimator=cast(Estimator, self._estimator),  # inactive means configured
                outputs=self._outputs,
                calibrations=self._calibrations,
                settings=self._settings,
                logger=self.get_logger(),
                context=self.context,
            )
            self._subscribe()
        except Exception as error:
            self._stop()
            self.get_logger().error(f'not activated: {describe_error(error)}')
            return TransitionCallbackReturn.FAILURE
        self._hint_timer.reset()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and finish the image at hand."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model's memory."""
        result = super().on_cleanup(state)
        self._release()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything; the state is final."""
        self._stop()
        result = super().on_shutdown(state)
        self._release()
        return result

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after a transition that raised."""
        self._stop()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Stop the worker, then destroy the node."""
        self._stop(timeout_s=_EXIT_TIMEOUT_S)
        super().destroy_node()

    def _autostart(self) -> None:
        self._start_timer.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # Topics

    def _create_output(self, output: Output) -> Publisher:
        return self.create_lifecycle_publisher(
            output.message_type,
            output.topic,
            # RELIABLE serves subscribers of either kind. Made anew each time: overrides change it.
            QoSProfile(depth=_OUTPUT_DEPTH, reliability=ReliabilityPolicy.RELIABLE),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _subscribe(self) -> None:
        compressed = self._settings.values.image_transport == 'compressed'
        image_type = CompressedImage if compressed else Image
        # An executor serves what waits in the order of creation: the calibration goes first.
        for name, message_type, topic, callback, depth in (
            ('camera_info', CameraInfo, 'camera_info', self._on_camera_info, _CAMERA_INFO_DEPTH),
            ('image', image_type, self._image_topic, self._on_image, _IMAGE_DEPTH),
        ):
            qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)
            options = QoSOverridingOptions.with_default_policies()
            self._inputs[name] = self.create_subscription(
                message_type, topic, callback, qos, qos_overriding_options=options
            )
        topics = ' and '.join(self._inputs[name].topic_name for name in ('image', 'camera_info'))
        self.get_logger().info(f'listening to {topics}')

    @property
    def _image_topic(self) -> str:
        """The image topic. A remapping of ``image`` holds for ``image/compressed`` too."""
        if self._settings.values.image_transport == 'raw':
            return 'image'
        topic = self.resolve_topic_name('image')
        return topic if topic.endswith('/compressed') else f'{topic}/compressed'

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._calibrations.add(message)

    def _take_waiting_calibrations(self) -> None:
        """Take all that have come: an executor serves but one before the image of its turn."""
        handle = self._inputs['camera_info'].handle
        with handle:
            while taken := handle.take_message(CameraInfo, False):
                self._calibrations.add(taken[0])

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._n_images += 1
        if self._worker is not None and self._enabled:
            self._take_waiting_calibrations()
            self._worker.put(message)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success = True
        response.message = f'{"resumed" if self._enabled else "paused"}; the node is {self.state}'
        return response

    def _hint(self) -> None:
        """Say what is missing, as long as no image or no calibration has ever come."""
        is_missing = {'image': self._n_images == 0, 'camera_info': self._calibrations.is_empty}
        if not any(is_missing.values()):
            self._hint_timer.cancel()
        for name, subscription in self._inputs.items():
            if not is_missing[name]:
                continue
            topic = subscription.topic_name
            count = self.count_publishers(topic)
            reason = (
                f'{count} publishing there, so compare QoS and type: ros2 topic info -v {topic}'
                if count
                else 'nobody publishes there; remap image and camera_info to the camera'
            )
            self.get_logger().warning(f'waiting for {topic}: {reason}')

    # Ending

    def _stop(self, *, timeout_s: float | None = None) -> None:
        """End what on_activate began, as far as it came."""
        self._hint_timer.cancel()
        while self._inputs:
            self.destroy_subscription(self._inputs.popitem()[1])
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        worker.stop(timeout_s=timeout_s)
        if not self.context.ok():
            return  # the process is ending: nothing can be logged any more
        done = worker.statistics
        self.get_logger().info(
            f'stopped: {self._n_images} images, {done.processed} processed in '
            f'{1e3 * done.working_s / max(done.processed, 1):.0f} ms each, {worker.dropped} '
            f'dropped for newer ones, {done.skipped} skipped'
        )

    def _release(self) -> None:
        """Undo on_configure, as far as it came."""
        while self._outputs:
            self.destroy_lifecycle_publisher(self._outputs.pop()[1])
        self._estimator = None


def _parse(arguments: list[str]) -> None:
    """Answer ``--help`` and refuse what is no argument of ROS."""
    names = [f'  {name}: {spec.description}' for name, spec in parameter_specs().items()]
    argparse.ArgumentParser(
        prog='depth_node',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='%(prog)s [--help] [--ros-args -r image:=TOPIC -r camera_info:=TOPIC -p NAME:=V]',
        description='Metric depth and point clouds from a calibrated RGB camera.',
        epilog='parameters:\n' + '\n'.join(names),
    ).parse_args(own_arguments(arguments, name='depth_node'))


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the process's exit code."""
    arguments = sys.argv if arguments is None else arguments
    _parse(arguments)
    return run_node(DepthNode, arguments, name='depth_node')


if __name__ == '__main__':
    sys.exit(main())
