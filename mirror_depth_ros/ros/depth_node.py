"""The depth node: cameras in, depth images and point clouds out. Wiring only.

Each :class:`.CameraStream` hands its images to the :class:`.FrameWorker`, whose thread publishes
what somebody subscribes to, always of the newest. A slow model drops old images, in place of
queueing them.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.task import Future
from std_srvs.srv import SetBool

from mirror_depth_ros.inference.process_tuning import (
    free_caches,
    gc_paused,
    gpu_bytes,
    resident_bytes,
)
from mirror_depth_ros.ros.camera_motion import CameraMotion
from mirror_depth_ros.ros.camera_stream import CameraStream
from mirror_depth_ros.ros.diagnostics.statistics import NodeStatus
from mirror_depth_ros.ros.diagnostics.updater import Diagnostics
from mirror_depth_ros.ros.frame_worker import WORKER_NAME, FrameWorker
from mirror_depth_ros.ros.lifecycle_node import OrderlyLifecycleNode, run_in_thread
from mirror_depth_ros.ros.outputs import INTERFACE
from mirror_depth_ros.ros.parameter_server import (
    QOS_PREFIX,
    ParameterServer,
    parse_arguments,
    warn_of_unknown,
)
from mirror_depth_ros.ros.parameters import DepthParameters
from mirror_depth_ros.ros.process import run_node

if TYPE_CHECKING:  # at run time PyTorch is imported with the model, not before
    from mirror_depth_ros.inference.estimator import DepthEstimator

# How long to wait for the images at hand when the node is deactivated: a model that takes longer
# is stuck, and who asked for it waits for an answer.
_STOP_TIMEOUT_S = 5.0
# The same when the process ends; ros2 launch waits 5 s.
_EXIT_TIMEOUT_S = 2.0
_LOADER_NAME = 'model_loader'
# Height and width of what most cameras send [pixels].
_USUAL_IMAGE = (480, 640)


def load_estimator(model: str, **options: Any) -> DepthEstimator:
    """Load an estimator that goes on with less where memory runs out.

    :param options: as of :meth:`.DepthEstimator.load`.
    :raises ValueError: or OSError, saying what to do.
    """
    with gc_paused():
        from mirror_depth_ros.inference.estimator import DepthEstimator

    return DepthEstimator.load(model, degrade_on_oom=True, **options)


def warm_up(estimator: DepthEstimator) -> None:
    """Let a GPU load and choose its kernels now, not when the first image waits for them."""
    if str(estimator.device) == 'cpu':
        return  # where the first image takes hardly longer than the next
    height, width = _USUAL_IMAGE
    estimator.estimate(np.zeros((height, width, 3), np.uint8), float(width))


class DepthNode(OrderlyLifecycleNode):
    """A lifecycle node that turns the images of cameras into metric depth."""

    def __init__(
        self,
        *,
        load_estimator: Callable[..., DepthEstimator] = load_estimator,
        **node_options: Any,
    ) -> None:
        """Create the node, unconfigured; with ``autostart`` it goes on by itself when spun.

        :param load_estimator: what loads the model on configuring.
        :param node_options: passed on to :class:`rclpy.node.Node`.
        :raises ValueError: for a parameter that is not allowed.
        """
        super().__init__('mirror_depth', **node_options)
        self._load_estimator = load_estimator
        self._estimator: DepthEstimator | None = None
        #: One without a name, unless the parameter names them; none until the parameters are read.
        self.cameras: tuple[CameraStream, ...] = ()
        self._worker: FrameWorker | None = None
        self._motion: CameraMotion | None = None
        #: One that did not end in time and may still be at work with the model.
        self._stuck: FrameWorker | None = None
        self._loading: Future | None = None
        self._enabled = True
        # Not the node's clock: with use_sim_time that stands still until a simulator runs.
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._settings = ParameterServer(self, is_configured=lambda: self.state != 'unconfigured')
        self.cameras = tuple(
            CameraStream(
                self,
                name,
                settings=self._settings,
                observe_node=self._observe,
                clock=self._steady_clock,
            )
            for name in self._settings.values.cameras or ('',)
        )
        self._diagnostics = Diagnostics(
            self, self.cameras, self._observe, clock=self._steady_clock
        )
        self.create_service(SetBool, '~/enable', self._on_enable)
        warn_of_unknown(self)
        if self._settings.values.autostart:
            self.start_when_spun(self._steady_clock)

    # Lifecycle

    async def prepare(self) -> None:
        """Load the model in a thread of its own."""
        self.failure = ''
        self._loading = run_in_thread(self._load, node=self, name=_LOADER_NAME)
        with suppress(Exception):  # on_configure gets it
            await self._loading

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take the model, or load it if that has not been done, and make the publishers."""
        loading, self._loading = self._loading, None
        try:
            self._estimator = self._load() if loading is None else loading.result()
            for camera in self.cameras:
                camera.create_outputs(with_confidence=self._estimator.has_confidence)
        except Exception as error:  # whatever is wrong: the node stays, to be tried again
            self._release()
            return self.fail('configure', error)
        self.failure = ''
        return super().on_configure(state)

    def _load(self) -> DepthEstimator:
        """Return the model, ready for the first image."""
        values, started = self._settings.values, time.monotonic()
        estimator = self._load_estimator(
            values.model,
            device=values.device,
            precision=values.precision,
            clip_weights=values.clip_weights or None,
            backend=values.backend,
        )
        warm_up(estimator)
        if self.context.ok():
            self.get_logger().info(
                f'model {values.model} on {estimator.device} in {estimator.precision} by '
                f'{estimator.backend}, loaded in {time.monotonic() - started:.1f} s'
            )
            if not estimator.has_confidence:
                self.get_logger().info(
                    'the model has no confidence: ~/confidence/image is not published'
                )
        return estimator

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and listen to the cameras."""
        result = super().on_activate(state)
        try:
            self._check_model_is_free()
            values = self._settings.values
            if values.temporal_filter == 'motion':
                self._motion = CameraMotion(self, odom_frame=values.odom_frame)
            self._worker = FrameWorker(
                estimator=cast('DepthEstimator', self._estimator),  # inactive means configured
                settings=self._settings,
                clock=self.get_clock(),
                context=self.context,
                motion=self._motion,
                is_paused=not self._enabled,
            )
            for camera in self.cameras:
                camera.listen(self._worker.put)
        except Exception as error:
            self._stop()
            return self.fail('activate', error)
        self.failure = ''
        warn_of_unknown(self, prefix=QOS_PREFIX)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening and finish the image at hand, if the model does so in time."""
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

    def _check_model_is_free(self) -> None:
        """Refuse to give the model to a second thread.

        :raises ValueError: while one has it that did not stop in time.
        """
        if self._stuck is not None and self._stuck.is_at_work:
            raise ValueError(
                'got a model that is still at work on an image from before, expected it to be '
                'free; wait, or clean the node up and configure it, which loads the model anew'
            )
        self._stuck = None

    # Topics

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        if self._worker is not None:
            self._worker.is_paused = not self._enabled
        response.success = True
        response.message = f'{"resumed" if self._enabled else "paused"}; the node is {self.state}'
        return response

    def _observe(self) -> NodeStatus:
        """Return what the health check looks at, beside the cameras."""
        values, estimator = self._settings.values, self._estimator
        device = '' if estimator is None else str(estimator.device)
        own = (self.get_name(), self.get_namespace())
        return NodeStatus(
            name=self.get_fully_qualified_name(),
            state=self.state,
            # Itself is among them, once the graph knows it.
            n_namesakes=max(0, self.get_node_names_and_namespaces().count(own) - 1),
            failure=self.failure,
            enabled=self._enabled,
            model=values.model,
            device_wanted=values.device,
            device=device,
            precision='' if estimator is None else estimator.precision,
            backend='' if estimator is None else estimator.backend,
            shrunk='' if estimator is None else estimator.notice,
            motion_lack='' if self._motion is None else self._motion.lack,
            resident_bytes=resident_bytes(),
            gpu_bytes=gpu_bytes(device),
        )

    # Ending

    def _stop(self, *, timeout_s: float | None = None) -> None:
        """Undo on_activate, even if it was only partly done."""
        timeout_s = _STOP_TIMEOUT_S if timeout_s is None else timeout_s
        for camera in self.cameras:
            camera.stop_listening()
        if self._motion is not None:
            self._motion.destroy()
            self._motion = None
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        if not worker.stop(timeout_s=timeout_s):
            self._stuck = worker
        if not self.context.ok():
            return  # the process is ending: nothing can be logged any more
        if self._stuck is not None:
            self.get_logger().error(
                f'the model is still at work on an image after {timeout_s:g} s and was left to '
                'it: nothing of it will be published; if it never ends, start the node again'
            )
        for camera in self.cameras:
            camera.log_counts()

    def _release(self) -> None:
        """Undo on_configure, even if it was only partly done."""
        for camera in self.cameras:
            camera.destroy_outputs()
        # A thread that is stuck keeps its own, which is freed when it ends.
        self._estimator = self._stuck = None
        free_caches()
        self.failure = ''


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the process's exit code."""
    arguments = sys.argv if arguments is None else arguments
    parse_arguments(
        arguments,
        name='depth_node',
        purpose='Metric depth and point clouds from a calibrated RGB camera.',
        parameters=DepthParameters,
        usage='-r image:=TOPIC -r camera_info:=TOPIC -p NAME:=VALUE',
        interface=INTERFACE,
    )
    code = run_node(DepthNode, arguments, name='depth_node')
    if {thread.name for thread in threading.enumerate()} & {WORKER_NAME, _LOADER_NAME}:
        # The interpreter would stop it midway in the code of a library, which may end in an abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == '__main__':
    sys.exit(main())
