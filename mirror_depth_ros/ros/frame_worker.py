"""The thread that turns the cameras' newest images into messages, for those who subscribe."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.context import Context
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.depth.image_decoding import decode_image
from mirror_depth_ros.ros.camera_motion import CameraMotion
from mirror_depth_ros.ros.camera_stream import CameraStream
from mirror_depth_ros.ros.messages import load_cv_bridge
from mirror_depth_ros.ros.outputs import Frame
from mirror_depth_ros.ros.parameter_server import ParameterServer
from mirror_depth_ros.ros.process import describe_error

if TYPE_CHECKING:  # at run time PyTorch is imported with the model, not before
    from mirror_depth_ros.inference.estimator import DepthEstimator

#: Of the thread.
WORKER_NAME = 'depth_worker'

_ERROR_PERIOD_S = 5.0


class _Waiting(NamedTuple):
    """A camera's newest image."""

    message: Image | CompressedImage
    #: When it came, of the monotonic clock [s].
    since_s: float


class FrameWorker:
    """Estimates depth in a thread of its own, always of the newest image of each camera.

    An image that comes while the thread is busy waits, until a newer one of its camera replaces
    it. What waits when the thread is free goes through the model as one batch: before a camera's
    turn comes, no other has had more than one. An image with which something is wrong costs none
    of the others its depth. With ``max_rate_hz`` a camera's next turn comes no sooner than that.
    """

    def __init__(
        self,
        *,
        estimator: DepthEstimator,
        settings: ParameterServer,
        clock: Clock,
        context: Context,
        motion: CameraMotion | None = None,
        is_paused: bool = False,
    ) -> None:
        """Start the thread. From here to :meth:`stop` it alone uses the estimator.

        :param clock: the one that stamps are compared with.
        :param motion: of the cameras, where the parameter ``temporal_filter`` asks for it.
        :param is_paused: see :attr:`is_paused`.
        """
        #: Whether images are left alone until this is set to False.
        self.is_paused = is_paused
        self._estimator = estimator
        self._settings = settings
        self._clock = clock
        self._context = context
        self._motion = motion
        #: Cameras of which an image was processed, and what their 16-bit values were taken for.
        self._announced: dict[CameraStream, str] = {}
        self._changed = threading.Condition()
        self._waiting: dict[CameraStream, _Waiting] = {}
        #: When work on each camera's latest image began, of the monotonic clock [s].
        self._began_s: dict[CameraStream, float] = {}
        self._is_stopping = self._is_abandoned = False
        # A daemon: an image that takes for ever cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=WORKER_NAME, daemon=True)
        self._thread.start()

    def put(self, camera: CameraStream, message: Image | CompressedImage) -> None:
        """Take an image; it is worked on unless a newer one of its camera comes first."""
        camera.note_arrival(message)
        with self._changed:
            if self.is_paused or self._is_stopping:
                return
            before = self._waiting.get(camera)
            self._waiting[camera] = _Waiting(message, since_s=time.monotonic())
            self._changed.notify()
        if before is None:
            return
        could_have_had_a_turn = before.since_s >= self._due_s(camera)
        camera.measurements.count('dropped' if could_have_had_a_turn else 'left_out')

    def stop(self, *, timeout_s: float) -> bool:
        """Finish the images at hand and end the thread, or give up waiting for it.

        Images that wait are forgotten. Of those that were given up, nothing is published.

        :returns: whether the thread ended within the time.
        """
        with self._changed:
            self._is_stopping, self._waiting = True, {}
            self._changed.notify()
        self._thread.join(timeout_s)
        self._is_abandoned = self.is_at_work
        return not self._is_abandoned

    @property
    def is_at_work(self) -> bool:
        """Whether the thread still has the estimator."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while self._process_newest():
            pass  # in a function of its own, so that no image is kept while the next is awaited
        # An executor may still know a subscription, whose callback leads here.
        del self._estimator

    def _process_newest(self) -> bool:
        """Wait for images and publish what is wanted of them, who has waited longest first.

        :returns: whether to go on, which does not depend on what is wrong with an image.
        """
        frames = self._take_due()
        began_s = time.monotonic()
        for camera in frames:
            camera.measurements.begin()
        read: dict[CameraStream, Frame] = {}
        for camera, frame in frames.items():
            with self._skipping_on_error(camera, frame):
                if not camera.wants_images:
                    camera.measurements.count('ignored')
                    continue
                self._began_s[camera] = began_s
                with timed('decode', frame):
                    frame.rgb = decode_image(
                        frame.message, levels=camera.levels, load_bridge=load_cv_bridge
                    )
                with timed('calibrate', frame):
                    frame.calibration = camera.calibrations.find(
                        frame.header,
                        frame.size,
                        rectified=frame.parameters.rectified,
                        hfov_deg=frame.parameters.hfov_deg,
                    )
                read[camera] = frame
        for camera, frame in self._estimate(read).items():
            if self._is_abandoned:
                break
            with self._skipping_on_error(camera, frame):
                self._publish(camera, frame)
        return not self._is_stopping

    def _take_due(self) -> dict[CameraStream, Frame]:
        """Wait for images whose cameras may have a turn and take them; none when stopping."""
        with self._changed:
            while not self._is_stopping:
                now_s = time.monotonic()
                due_s = {camera: self._due_s(camera) for camera in self._waiting}
                if due := [camera for camera in due_s if due_s[camera] <= now_s]:
                    parameters = self._settings.values
                    return {
                        camera: Frame(self._waiting.pop(camera).message, parameters, camera.name)
                        for camera in due
                    }
                first_s = min(due_s.values(), default=math.inf)
                self._changed.wait(min(first_s - now_s, threading.TIMEOUT_MAX))
            return {}

    def _due_s(self, camera: CameraStream) -> float:
        """Return when a camera's next turn may come, of the monotonic clock [s]."""
        max_rate_hz = self._settings.values.max_rate_hz
        if not max_rate_hz or camera not in self._began_s or camera.scale.wants_image:
            return 0.0
        return self._began_s[camera] + 1 / max_rate_hz

    def _estimate(self, frames: Mapping[CameraStream, Frame]) -> Mapping[CameraStream, Frame]:
        """Add the depth of each image; return those that the model does not fail on."""
        if not frames:
            return {}
        try:
            with timed('estimate', *frames.values()):
                rgb = [frame.rgb for frame in frames.values()]
                focal_px = [frame.calibration.camera.focal_px for frame in frames.values()]
                estimates = self._estimator.estimate_batch(
                    rgb, focal_px, with_confidence=self._wants_confidence(frames)
                )
                for frame, estimate in zip(frames.values(), estimates, strict=True):
                    frame.estimated, frame.confidence, frame.strangeness = estimate
        except Exception as error:
            if len(frames) > 1:
                # Whose image it was shows when each is alone, and the others have their depth.
                alone = [self._estimate({camera: frame}) for camera, frame in frames.items()]
                return {camera: frame for part in alone for camera, frame in part.items()}
            for camera, frame in frames.items():
                self._skip(camera, frame, error)
            return {}
        return frames

    def _wants_confidence(self, frames: Mapping[CameraStream, Frame]) -> bool:
        """Return whether something is made of confidence, and the model has it."""
        if self._motion is not None and self._estimator.has_confidence:
            return True  # the temporal filter weighs depth by it
        wanting = [c for c, frame in frames.items() if c.wants_confidence(frame.parameters)]
        if wanting and not self._estimator.has_confidence:
            wanting[0].logger.warning(
                'the model has no confidence: min_confidence and cloud_confidence change nothing',
                once=True,
            )
        return bool(wanting) and self._estimator.has_confidence

    def _publish(self, camera: CameraStream, frame: Frame) -> None:
        with timed('publish', frame):
            is_steadied = frame.parameters.temporal_filter != 'off'
            frame.filter(self._steadied(camera, frame) if is_steadied else frame.estimated)
            comes_late = self._estimator.has_confidence and frame.confidence is None
            for publisher in camera.wanted_outputs():
                if comes_late and publisher.output.uses_confidence(frame.parameters):
                    continue  # its first subscriber came since, and gets the next image's
                publisher.publish(publisher.encode(frame))
        camera.scale.take(frame.estimated, frame.calibration.camera, frame.header)
        camera.measurements.process(
            frame.durations,
            stamp_ns=Time.from_msg(frame.header.stamp).nanoseconds,
            clock_ns=self._clock.now().nanoseconds,
            strangeness=frame.strangeness,
        )
        self._announce(camera, frame)

    def _steadied(self, camera: CameraStream, frame: Frame) -> NDArray[np.float32]:
        """Return an image's depth, fused with that of the camera's last ones.

        Before it is scaled and marked: marks are to fit what is published.
        """
        pose = None if self._motion is None else self._motion.find_pose(frame.header)
        return camera.temporal_filter.update(
            frame.estimated,
            frame.rgb,
            camera=frame.calibration.camera,
            stamp_s=1e-9 * Time.from_msg(frame.header.stamp).nanoseconds,
            pose=pose,
            confidence=frame.confidence,
            scale=frame.parameters.depth_scale,
        )

    def _announce(self, camera: CameraStream, frame: Frame) -> None:
        """Log what a camera's first image was, and what 16-bit images were taken for."""
        known, levels = self._announced.get(camera), camera.levels.description
        self._announced[camera] = levels
        if known is None:
            (width, height), message = frame.size, frame.message
            form = message.encoding if isinstance(message, Image) else message.format
            elapsed_ms = 1e3 * sum(frame.durations.values())
            camera.logger.info(f'first image: {width} x {height}, {form}, {elapsed_ms:.0f} ms')
        if levels and levels != known:
            camera.logger.info(f'values of the 16-bit images fill {levels}')

    @contextmanager
    def _skipping_on_error(self, camera: CameraStream, frame: Frame) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._skip(camera, frame, error)

    def _skip(self, camera: CameraStream, frame: Frame, error: Exception) -> None:
        """Record and log that an image came to nothing."""
        if self._is_abandoned or not self._context.ok():
            return  # the process is ending: nothing can be published or logged any more
        reason = describe_error(error)
        camera.measurements.skip(stage=frame.stage, reason=reason)
        camera.logger.error(f'image skipped: {reason}', throttle_duration_sec=_ERROR_PERIOD_S)


@contextmanager
def timed(stage: str, *frames: Frame) -> Iterator[None]:
    """Time a stage that images go through together; where it raises, they say which one it was."""
    for frame in frames:
        frame.stage = stage
    started_s = time.perf_counter()
    yield
    elapsed_s = time.perf_counter() - started_s
    for frame in frames:
        frame.durations[stage] = elapsed_s
