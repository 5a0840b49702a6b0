"""The thread that turns the newest image into messages, for those who subscribe to them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rclpy.clock import Clock
from rclpy.context import Context
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.publisher import Publisher
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.ros.camera_info import CalibrationTracker
from mirror_depth_ros.ros.decoding import decoder_name
from mirror_depth_ros.ros.mailbox import Worker
from mirror_depth_ros.ros.measurements import Measurements, Stopwatch
from mirror_depth_ros.ros.outputs import Output
from mirror_depth_ros.ros.parameters import ParameterServer
from mirror_depth_ros.ros.pipeline import DepthFrame, Estimator, make_frame
from mirror_depth_ros.ros.scale_calibration import ScaleCalibration

_ERROR_PERIOD_S = 5.0


class FrameWorker:
    """Estimates depth in a thread of its own, always of the newest image."""

    def __init__(
        self,
        *,
        estimator: Estimator,
        outputs: Sequence[tuple[Output, Publisher]],
        calibrations: CalibrationTracker,
        settings: ParameterServer,
        measurements: Measurements,
        scale: ScaleCalibration,
        clock: Clock,
        logger: RcutilsLogger,
        context: Context,
    ) -> None:
        """Start the thread. From here to :meth:`stop` it alone uses the estimator.

        :param measurements: gets to know what becomes of every image.
        :param scale: gets the depth of every image that it wants.
        :param clock: the one that stamps are compared with.
        """
        self._estimator = estimator
        self._outputs = outputs
        self._calibrations = calibrations
        self._settings = settings
        self._measurements = measurements
        self._scale = scale
        self._clock = clock
        self._logger = logger
        self._context = context
        self._is_first = True
        self._worker: Worker[Image | CompressedImage] = Worker(self._process, name='depth_worker')

    def put(self, message: Image | CompressedImage) -> None:
        """Hand over an image; it is worked on unless a newer one comes first."""
        if self._worker.mailbox.put(message):
            self._measurements.drop(time.monotonic())

    def stop(self, *, timeout_s: float | None = None) -> None:
        """Finish the image at hand and end the thread, or give up waiting for it."""
        self._worker.stop(timeout_s=timeout_s)

    def _process(self, message: Image | CompressedImage) -> None:
        """Publish what is wanted of an image; whatever is wrong with it, the next has its turn."""
        stopwatch = Stopwatch()
        self._measurements.begin(time.monotonic())
        try:
            is_wanted = self._scale.wants_image or self._wanted_outputs()
            if self._calibrations.is_empty or not is_wanted:
                self._measurements.ignore()
                return
            frame = make_frame(
                message,
                estimator=self._estimator,
                calibrations=self._calibrations,
                parameters=self._settings.values,
                stopwatch=stopwatch,
            )
            stopwatch.start('publish')
            for output, publisher in self._wanted_outputs():
                publisher.publish(output.encode(frame, self._settings.values))
            stopwatch.stop()
            self._scale.take(frame.estimated, frame.calibration.camera)
        except Exception as error:
            if not self._context.ok():
                return  # the process is ending: nothing can be published or logged any more
            reason = describe_error(error)
            self._measurements.skip(time.monotonic(), stage=stopwatch.stage, reason=reason)
            self._logger.error(f'image skipped: {reason}', throttle_duration_sec=_ERROR_PERIOD_S)
            return
        self._measurements.process(
            time.monotonic(),
            stopwatch.durations,
            stamp_ns=Time.from_msg(message.header.stamp).nanoseconds,
            clock_ns=self._clock.now().nanoseconds,
        )
        if self._is_first:
            self._is_first = False
            self._announce(frame, message)

    def _wanted_outputs(self) -> list[tuple[Output, Publisher]]:
        return [(o, p) for o, p in self._outputs if p.get_subscription_count() > 0]

    def _announce(self, frame: DepthFrame, message: Image | CompressedImage) -> None:
        """Log what the first image was."""
        height, width = frame.depth.shape
        if isinstance(message, Image):
            form = f'{message.encoding} read by {decoder_name()}'
        else:
            form = message.format
        elapsed_ms = 1e3 * self._measurements.counts.working_s
        self._logger.info(f'first image: {width} x {height}, {form}, {elapsed_ms:.0f} ms')


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
