"""The thread that turns the cameras' newest images into messages, for those who subscribe."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.context import Context
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.depth.image_decoding import decode_compressed, decode_image
from mirror_depth_ros.ros.camera_stream import CameraStream
from mirror_depth_ros.ros.messages import load_cv_bridge
from mirror_depth_ros.ros.parameter_server import ParameterServer
from mirror_depth_ros.ros.pipeline import Frame, publishable
from mirror_depth_ros.ros.process import describe_error

if TYPE_CHECKING:  # at run time PyTorch is imported with the model, not before
    from mirror_depth_ros.inference.estimator import DepthEstimator

#: Of the thread.
WORKER_NAME = 'depth_worker'

_ERROR_PERIOD_S = 5.0


class FrameWorker:
    """Estimates depth in a thread of its own, always of the newest image of each camera.

    An image that comes while the thread is busy waits, until a newer one of its camera replaces
    it. What waits when the thread is free goes through the model as one batch: before a camera's
    turn comes, no other has had more than one. An image with which something is wrong costs none
    of the others its depth.
    """

    def __init__(
        self,
        *,
        estimator: DepthEstimator,
        settings: ParameterServer,
        clock: Clock,
        context: Context,
        is_paused: bool = False,
    ) -> None:
        """Start the thread. From here to :meth:`stop` it alone uses the estimator.

        :param clock: the one that stamps are compared with.
        :param is_paused: see :attr:`is_paused`.
        """
        #: Whether images are left alone until this is set to False.
        self.is_paused = is_paused
        self._estimator = estimator
        self._settings = settings
        self._clock = clock
        self._context = context
        self._announced: set[CameraStream] = set()
        self._changed = threading.Condition()
        self._waiting: dict[CameraStream, Image | CompressedImage] = {}
        self._is_stopping = self._is_abandoned = False
        # A daemon: an image that takes for ever cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=WORKER_NAME, daemon=True)
        self._thread.start()

    def put(self, camera: CameraStream, message: Image | CompressedImage) -> None:
        """Hand over an image; it is worked on unless a newer one of its camera comes first."""
        with self._changed:
            if self.is_paused or self._is_stopping:
                return
            replaces = camera in self._waiting
            self._waiting[camera] = message
            self._changed.notify()
        if replaces:
            camera.measurements.drop(time.monotonic())

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

    def _process_newest(self) -> bool:
        """Wait for images and publish what is wanted of them, who has waited longest first.

        :returns: whether to go on, which does not depend on what is wrong with an image.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping or self._waiting)
            messages, self._waiting = self._waiting, {}
        parameters = self._settings.values
        frames = {camera: Frame(message, parameters) for camera, message in messages.items()}
        for camera in frames:
            camera.measurements.begin(time.monotonic())
        wanted: dict[CameraStream, Frame] = {}
        for camera, frame in frames.items():
            with self._skipping_on_error(camera, frame):
                if camera.wants_images:
                    _read(camera, frame)
                    wanted[camera] = frame
                else:
                    camera.measurements.ignore()
        for camera, frame in self._estimate(wanted).items():
            if self._is_abandoned:
                break
            with self._skipping_on_error(camera, frame):
                self._publish(camera, frame)
        return not self._is_stopping

    def _estimate(self, frames: Mapping[CameraStream, Frame]) -> Mapping[CameraStream, Frame]:
        """Add the depth of each image; return those that the model does not fail on."""
        if not frames:
            return {}
        for frame in frames.values():
            frame.stopwatch.start('estimate')
        try:
            for frame, maps in zip(frames.values(), self._estimate_maps(frames), strict=True):
                frame.estimated, frame.confidence = maps
                frame.stopwatch.stop()
        except Exception as error:
            if len(frames) > 1:
                # Whose image it was shows when each is alone, and the others have their depth.
                alone = [self._estimate({camera: frame}) for camera, frame in frames.items()]
                return {camera: frame for part in alone for camera, frame in part.items()}
            for camera, frame in frames.items():
                self._skip(camera, frame, error)
            return {}
        return frames

    def _estimate_maps(
        self, frames: Mapping[CameraStream, Frame]
    ) -> Sequence[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
        """Return depth of each image, and its confidence where something is made of that."""
        inputs = (
            [frame.rgb for frame in frames.values()],
            [frame.calibration.camera.focal_px for frame in frames.values()],
        )
        wanting = [c for c, frame in frames.items() if c.wants_confidence(frame.parameters)]
        if wanting and self._estimator.has_confidence:
            return self._estimator.estimate_batch(*inputs, with_confidence=True)
        if wanting:
            wanting[0].logger.warning(
                'the model has no confidence: min_confidence and cloud_confidence change nothing',
                once=True,
            )
        return [(depth, None) for depth in self._estimator.estimate_batch(*inputs)]

    def _publish(self, camera: CameraStream, frame: Frame) -> None:
        frame.stopwatch.start('publish')
        frame.ranged, frame.depth = publishable(
            frame.estimated, frame.parameters, frame.confidence
        )
        comes_late = self._estimator.has_confidence and frame.confidence is None
        for output, publisher, memory in camera.wanted_outputs():
            if comes_late and output.uses_confidence(frame.parameters):
                continue  # its first subscriber came since, and gets the next image's
            publisher.publish(output.encode(frame, memory))
        frame.stopwatch.stop()
        camera.scale.take(frame.estimated, frame.calibration.camera)
        camera.measurements.process(
            time.monotonic(),
            frame.stopwatch.durations,
            stamp_ns=Time.from_msg(frame.header.stamp).nanoseconds,
            clock_ns=self._clock.now().nanoseconds,
        )
        if camera not in self._announced:
            self._announced.add(camera)
            _announce(camera, frame)

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
        camera.measurements.skip(time.monotonic(), stage=frame.stopwatch.stage, reason=reason)
        camera.logger.error(f'image skipped: {reason}', throttle_duration_sec=_ERROR_PERIOD_S)


def _read(camera: CameraStream, frame: Frame) -> None:
    """Add the picture of an image and its calibration.

    :raises ValueError: for a malformed image or a calibration that does not fit it.
    """
    message, parameters, levels = frame.message, frame.parameters, camera.levels
    taken_for = levels.description
    frame.stopwatch.start('decode')
    if isinstance(message, Image):
        frame.rgb = decode_image(message, levels=levels, load_bridge=load_cv_bridge)
    else:
        frame.rgb = decode_compressed(message, levels=levels)
    frame.stopwatch.start('calibrate')
    height, width = frame.rgb.shape[:2]
    frame.calibration = camera.calibrations.find(
        frame.header,
        width,
        height,
        rectified=parameters.rectified,
        hfov_deg=parameters.hfov_deg,
    )
    frame.stopwatch.stop()
    if levels.description != taken_for:
        camera.logger.info(f'values of the 16-bit images fill {levels.description}')


def _announce(camera: CameraStream, frame: Frame) -> None:
    """Log what a camera's first image was."""
    height, width = frame.depth.shape
    message = frame.message
    form = message.encoding if isinstance(message, Image) else message.format
    elapsed_ms = 1e3 * camera.measurements.counts.working_s
    camera.logger.info(f'first image: {width} x {height}, {form}, {elapsed_ms:.0f} ms')
