"""The thread that turns the newest image into messages, for those who subscribe to them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.context import Context
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.ros.camera_info import CalibrationTracker
from mirror_depth_ros.ros.decoding import decoder_name
from mirror_depth_ros.ros.mailbox import Worker
from mirror_depth_ros.ros.outputs import Output
from mirror_depth_ros.ros.parameters import ParameterServer
from mirror_depth_ros.ros.pipeline import DepthFrame, Estimator, make_frame

_ERROR_PERIOD_S = 5.0


@dataclass
class Statistics:
    """What became of the images that the worker was given."""

    processed: int = 0
    #: Not worked on: nobody subscribes, or no CameraInfo has come yet.
    ignored: int = 0
    #: Malformed, or failed otherwise.
    skipped: int = 0
    #: Time spent on those processed [s].
    working_s: float = 0.0


class FrameWorker:
    """Estimates depth in a thread of its own, always of the newest image."""

    def __init__(
        self,
        *,
        estimator: Estimator,
        outputs: Sequence[tuple[Output, Publisher]],
        calibrations: CalibrationTracker,
        settings: ParameterServer,
        logger: RcutilsLogger,
        context: Context,
    ) -> None:
        """Start the thread. From here to :meth:`stop` it alone uses the estimator."""
        self.statistics = Statistics()
        self._estimator = estimator
        self._outputs = outputs
        self._calibrations = calibrations
        self._settings = settings
        self._logger = logger
        self._context = context
        self._worker: Worker[Image | CompressedImage] = Worker(self._process, name='depth_worker')

    @property
    def dropped(self) -> int:
        """How many images were replaced by newer ones before their turn came."""
        return self._worker.mailbox.dropped

    def put(self, message: Image | CompressedImage) -> None:
        """Hand over an image; it is worked on unless a newer one comes first."""
        self._worker.mailbox.put(message)

    def stop(self, *, timeout_s: float | None = None) -> None:
        """Finish the image at hand and end the thread, or give up waiting for it."""
        self._worker.stop(timeout_s=timeout_s)

    def _process(self, message: Image | CompressedImage) -> None:
        """Publish what is wanted of an image; whatever is wrong with it, the next has its turn."""
        started = time.monotonic()
        try:
            if self._calibrations.is_empty or not self._wanted_outputs():
                self.statistics.ignored += 1
                return
            frame = make_frame(
                message,
                estimator=self._estimator,
                calibrations=self._calibrations,
                parameters=self._settings.values,
            )
            for output, publisher in self._wanted_outputs():
                publisher.publish(output.encode(frame, self._settings.values))
        except Exception as error:
            if not self._context.ok():
                return  # the process is ending: nothing can be published or logged any more
            self.statistics.skipped += 1
            self._logger.error(
                f'image skipped: {describe_error(error)}', throttle_duration_sec=_ERROR_PERIOD_S
            )
            return
        self._count(frame, message, time.monotonic() - started)

    def _wanted_outputs(self) -> list[tuple[Output, Publisher]]:
        return [(o, p) for o, p in self._outputs if p.get_subscription_count() > 0]

    def _count(
        self, frame: DepthFrame, message: Image | CompressedImage, elapsed_s: float
    ) -> None:
        self.statistics.processed += 1
        self.statistics.working_s += elapsed_s
        if self.statistics.processed > 1:
            return
        height, width = frame.depth.shape
        if isinstance(message, Image):
            form = f'{message.encoding} read by {decoder_name()}'
        else:
            form = message.format
        self._logger.info(f'first image: {width} x {height}, {form}, {1e3 * elapsed_s:.0f} ms')


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
