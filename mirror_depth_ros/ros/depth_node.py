"""The depth node: cameras in, depth images and point clouds out. Wiring only.

Each :class:`~mirror_depth_ros.ros.camera_stream.CameraStream` leaves its newest image in a
mailbox; a worker thread takes what is there through :mod:`~mirror_depth_ros.ros.pipeline` and
publishes the :mod:`~mirror_depth_ros.ros.outputs` that somebody subscribes to. A slow model
therefore drops old images in place of queueing them.
"""

from __future__ import annotations

import sys
import time
from typing import Any, cast

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool

from mirror_depth_ros.memory_fallback import FrugalEstimator, free_caches
from mirror_depth_ros.ros.camera_stream import CameraStream
from mirror_depth_ros.ros.decoding import decoder_name
from mirror_depth_ros.ros.depth_node_help import parse_arguments
from mirror_depth_ros.ros.diagnostics import Diagnostics
from mirror_depth_ros.ros.frame_worker import FrameWorker, describe_error
from mirror_depth_ros.ros.memory import gpu_bytes, resident_bytes
from mirror_depth_ros.ros.observations import NodeFacts
from mirror_depth_ros.ros.orderly_lifecycle import OrderlyLifecycleNode
from mirror_depth_ros.ros.parameters import ParameterServer
from mirror_depth_ros.ros.pipeline import EstimatorLoader, load_estimator
from mirror_depth_ros.ros.process import run_node

# How long the process waits for the images at hand when it ends; ros2 launch waits 5 s.
_EXIT_TIMEOUT_S = 2.0


class DepthNode(OrderlyLifecycleNode):
    """A lifecycle node that turns the images of cameras into metric depth."""

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
        self._estimator: FrugalEstimator | None = None
        #: One without a name, unless the parameter names them; none until the parameters are read.
        self.cameras: tuple[CameraStream, ...] = ()
        self._worker: FrameWorker | None = None
        self._enabled = True
        self._failure = ''
        # Not the node's clock: with use_sim_time that stands still until a simulator runs.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._settings = ParameterServer(self, is_configured=lambda: self.state != 'unconfigured')
        self.cameras = tuple(
            CameraStream(
                self,
                name,
                settings=self._settings,
                observe_node=self._observe,
                on_image=self._on_image,
                clock=self._steady_clock,
            )
            for name in self._settings.values.cameras or ('',)
        )
        self._diagnostics = Diagnostics(
            self, self.cameras, self._observe, clock=self._steady_clock
        )
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
            self._estimator = FrugalEstimator(
                self._load_estimator(
                    values.model,
                    device=values.device,
                    precision=values.precision,
                    clip_weights=values.clip_weights or None,
                    backend=values.backend,
                )
            )
            for camera in self.cameras:
                camera.create_outputs()
            decoder_name()  # now, not when the first image waits for it
        except Exception as error:  # whatever is wrong: the node stays, to be tried again
            self._release()
            return self._fail('configure', error)
        self._failure = ''
        self.get_logger().info(
            f'model {values.model} on {self._estimator.device} in {self._estimator.precision} '
            f'by {self._estimator.backend}, loaded in {time.monotonic() - started:.1f} s'
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen to the cameras."""
        result = super().on_activate(state)
        try:
            self._worker = FrameWorker(
                estimator=cast(FrugalEstimator, self._estimator),  # inactive means configured
                settings=self._settings,
                clock=self.get_clock(),
                context=self.context,
            )
            for camera in self.cameras:
                camera.listen()
        except Exception as error:
            self._stop()
            return self._fail('activate', error)
        self._failure = ''
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
        self._diagnostics.stop()
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
        if self.state != 'unconfigured':
            return  # a manager was faster, and goes on
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _fail(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        """Say why a transition cannot be made; the node stays as it is, to be asked again."""
        self._failure = (
            f'not {transition}d: {describe_error(error)}. When that is mended: '
            f'ros2 lifecycle set {self.get_fully_qualified_name()} {transition}'
        )
        self.get_logger().error(self._failure)
        return TransitionCallbackReturn.FAILURE

    # Topics

    def _on_image(self, camera: CameraStream, message: Image | CompressedImage) -> None:
        if self._worker is not None and self._enabled:
            self._worker.put(camera, message)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success = True
        response.message = f'{"resumed" if self._enabled else "paused"}; the node is {self.state}'
        return response

    def _observe(self) -> NodeFacts:
        """Return what the diagnostics judge, beside the cameras."""
        values, estimator = self._settings.values, self._estimator
        device = '' if estimator is None else str(estimator.device)
        return NodeFacts(
            node=self.get_fully_qualified_name(),
            state=self.state,
            failure=self._failure,
            enabled=self._enabled,
            model=values.model,
            device_wanted=values.device,
            device=device,
            precision='' if estimator is None else estimator.precision,
            backend='' if estimator is None else estimator.backend,
            shrunk='' if estimator is None else estimator.notice,
            resident_bytes=resident_bytes(),
            gpu_bytes=gpu_bytes(device),
        )

    # Ending

    def _stop(self, *, timeout_s: float | None = None) -> None:
        """End what on_activate began, as far as it came."""
        for camera in self.cameras:
            camera.stop_listening()
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        worker.stop(timeout_s=timeout_s)
        if not self.context.ok():
            return  # the process is ending: nothing can be logged any more
        for camera in self.cameras:
            camera.log_counts()

    def _release(self) -> None:
        """Undo on_configure, as far as it came."""
        for camera in self.cameras:
            camera.destroy_outputs()
        self._estimator = None
        free_caches()
        self._failure = ''


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the process's exit code."""
    arguments = sys.argv if arguments is None else arguments
    parse_arguments(arguments)
    return run_node(DepthNode, arguments, name='depth_node')


if __name__ == '__main__':
    sys.exit(main())
