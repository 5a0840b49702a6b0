"""The thread that turns the cameras' newest images into messages, for those who subscribe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.context import Context
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.inference.interfaces import Estimator
from mirror_depth_ros.ros.camera_stream import CameraStream
from mirror_depth_ros.ros.decoding import decoder_name
from mirror_depth_ros.ros.mailbox import Worker
from mirror_depth_ros.ros.measurements import Stopwatch
from mirror_depth_ros.ros.parameters import DepthParameters, ParameterServer
from mirror_depth_ros.ros.pipeline import CameraImage, DepthFrame, make_frame, read_image

#: Of the thread.
WORKER_NAME = 'depth_worker'

_ERROR_PERIOD_S = 5.0


@dataclass(eq=False)
class _Job:
    """One camera's image in a batch."""

    camera: CameraStream
    message: Image | CompressedImage
    #: The parameters of when its work began: a change meanwhile is for the next image.
    values: DepthParameters
    stopwatch: Stopwatch = field(default_factory=Stopwatch)


class FrameWorker:
    """Estimates depth in a thread of its own, always of the newest image of each camera.

    What waits when the thread is free goes through the model as one batch: before a camera's turn
    comes, no other has had more than one. An image with which something is wrong costs none of the
    others its depth.
    """

    def __init__(
        self, *, estimator: Estimator, settings: ParameterServer, clock: Clock, context: Context
    ) -> None:
        """Start the thread. From here to :meth:`stop` it alone uses the estimator.

        :param clock: the one that stamps are compared with.
        """
        self._estimator = estimator
        self._settings = settings
        self._clock = clock
        self._context = context
        self._announced: set[CameraStream] = set()
        self._is_abandoned = False
        self._worker: Worker[CameraStream, Image | CompressedImage] = Worker(
            self._process, name=WORKER_NAME
        )

    def put(self, camera: CameraStream, message: Image | CompressedImage) -> None:
        """Hand over an image; it is worked on unless a newer one of its camera comes first."""
        if self._worker.mailbox.put(camera, message):
            camera.measurements.drop(time.monotonic())

    def stop(self, *, timeout_s: float) -> bool:
        """Finish the images at hand and end the thread, or give up waiting for it.

        Of images that were given up, nothing is published.

        :returns: whether the thread ended within the time.
        """
        self._is_abandoned = not self._worker.stop(timeout_s=timeout_s)
        return not self._is_abandoned

    @property
    def is_at_work(self) -> bool:
        """Whether the thread still has the estimator."""
        return self._worker.is_alive

    def _process(self, messages: dict[CameraStream, Image | CompressedImage]) -> None:
        """Publish what is wanted of the images; whatever is wrong, the next have their turn."""
        values = self._settings.values
        jobs = [_Job(camera, message, values) for camera, message in messages.items()]
        for job in jobs:
            job.camera.measurements.begin(time.monotonic())
        images: dict[_Job, CameraImage] = {}
        for job in jobs:
            with self._skipping_on_error(job):
                if job.camera.wants_images:
                    images[job] = self._read(job)
                else:
                    job.camera.measurements.ignore()
        for job, depth in self._estimate(images).items():
            if self._is_abandoned:
                return
            with self._skipping_on_error(job):
                self._publish(job, images[job], depth)

    def _read(self, job: _Job) -> CameraImage:
        levels = job.camera.levels
        taken_for = levels.description
        image = read_image(
            job.message,
            calibrations=job.camera.calibrations,
            levels=levels,
            rectified=job.values.rectified,
            hfov_deg=job.values.hfov_deg,
            stopwatch=job.stopwatch,
        )
        job.stopwatch.stop()
        if levels.description != taken_for:
            job.camera.logger.info(f'values of the 16-bit images fill {levels.description}')
        return image

    def _estimate(self, images: Mapping[_Job, CameraImage]) -> dict[_Job, NDArray[np.float32]]:
        """Return the depth of each image that the model does not fail on."""
        if not images:
            return {}
        for job in images:
            job.stopwatch.start('estimate')
        try:
            batch = self._estimator.estimate_batch(
                [image.rgb for image in images.values()],
                [image.calibration.camera.focal_px for image in images.values()],
            )
            depths = dict(zip(images, batch, strict=True))
        except Exception as error:
            if len(images) > 1:
                # Whose image it was shows when each is alone, and the others have their depth.
                alone = [self._estimate({job: image}) for job, image in images.items()]
                return {job: depth for depths in alone for job, depth in depths.items()}
            for job in images:
                self._skip(job, error)
            return {}
        for job in images:
            job.stopwatch.stop()
        return depths

    def _publish(self, job: _Job, image: CameraImage, depth: NDArray[np.float32]) -> None:
        camera = job.camera
        job.stopwatch.start('publish')
        frame = make_frame(image, depth, job.values)
        for output, publisher, memory in camera.wanted_outputs():
            publisher.publish(output.encode(frame, job.values, memory))
        job.stopwatch.stop()
        camera.scale.take(frame.estimated, frame.calibration.camera)
        camera.measurements.process(
            time.monotonic(),
            job.stopwatch.durations,
            stamp_ns=Time.from_msg(frame.header.stamp).nanoseconds,
            clock_ns=self._clock.now().nanoseconds,
        )
        if camera not in self._announced:
            self._announced.add(camera)
            _announce(job, frame)

    @contextmanager
    def _skipping_on_error(self, job: _Job) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._skip(job, error)

    def _skip(self, job: _Job, error: Exception) -> None:
        """Record and log that an image came to nothing."""
        if self._is_abandoned or not self._context.ok():
            return  # the process is ending: nothing can be published or logged any more
        reason = describe_error(error)
        job.camera.measurements.skip(time.monotonic(), stage=job.stopwatch.stage, reason=reason)
        job.camera.logger.error(f'image skipped: {reason}', throttle_duration_sec=_ERROR_PERIOD_S)


def _announce(job: _Job, frame: DepthFrame) -> None:
    """Log what a camera's first image was."""
    height, width = frame.depth.shape
    if isinstance(job.message, Image):
        form = f'{job.message.encoding} read by {decoder_name()}'
    else:
        form = job.message.format
    elapsed_ms = 1e3 * job.camera.measurements.counts.working_s
    job.camera.logger.info(f'first image: {width} x {height}, {form}, {elapsed_ms:.0f} ms')


def describe_error(error: Exception) -> str:
    """Return an error's text; for one not written for users, its kind and a remedy if known."""
    if isinstance(error, (ValueError, OSError)):
        return str(error)
    if isinstance(error, ImportError):
        return (
            f'{error} (with {sys.executable}); install the requirements for that interpreter, or '
            'name another one in the launch argument python'
        )
    return f'{type(error).__name__}: {error}'
