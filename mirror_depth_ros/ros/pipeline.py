"""From a camera message to depth and on: what is done to one image, without communication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mirror_depth_ros.depth_range import apply_range
from mirror_depth_ros.image_decoding import decode_compressed
from mirror_depth_ros.interfaces import Estimator
from mirror_depth_ros.ros.camera_info import Calibration, CalibrationTracker
from mirror_depth_ros.ros.decoding import decode_image
from mirror_depth_ros.ros.measurements import Stopwatch
from mirror_depth_ros.ros.parameters import DepthParameters


class EstimatorLoader(Protocol):
    """Loads an estimator."""

    def __call__(
        self, model: str, *, device: str, precision: str, clip_weights: str | None
    ) -> Estimator:
        """Load a model.

        :param clip_weights: where this machine has the CLIP weights; None: where the model says.
        :raises ValueError: or OSError, saying what to do.
        """


@dataclass(frozen=True)
class CameraImage:
    """An image that depth can be made of."""

    #: The image's own header.
    header: Header
    #: uint8 ``[H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: Of the camera at the image's size.
    calibration: Calibration


@dataclass(frozen=True)
class DepthFrame:
    """One image and what was made of it."""

    #: The image's own header.
    header: Header
    #: The image, uint8 ``[H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: Metres along Z, ``[H, W]``, out of range as in REP-117.
    depth: NDArray[np.float32]
    #: Of the camera at the image's size.
    calibration: Calibration


def load_estimator(
    model: str, *, device: str, precision: str, clip_weights: str | None
) -> Estimator:
    """Load the real estimator; PyTorch is imported here, not before."""
    from mirror_depth_ros.estimator import DepthEstimator

    return DepthEstimator.load(
        model, device=device, precision=precision, clip_weights=clip_weights
    )


def read_image(
    message: Image | CompressedImage,
    *,
    calibrations: CalibrationTracker,
    rectified: bool,
    stopwatch: Stopwatch,
) -> CameraImage:
    """Decode an image and find its calibration.

    :param rectified: which of its matrices describe the camera.
    :param stopwatch: times the stages; where something raises, it says which one did.
    :raises ValueError: for a malformed image or a calibration that does not fit it.
    """
    stopwatch.start('decode')
    is_raw = isinstance(message, Image)
    rgb = decode_image(message) if is_raw else decode_compressed(message)
    stopwatch.start('calibrate')
    height, width = rgb.shape[:2]
    calibration = calibrations.find(message.header, width, height, rectified=rectified)
    return CameraImage(message.header, rgb, calibration)


def make_frame(
    image: CameraImage, depth: NDArray[np.float32], parameters: DepthParameters
) -> DepthFrame:
    """Return an image with its depth as it is published.

    :param depth: metres along Z, ``[H, W]``, as the estimator returns it.
    """
    ranged = apply_range(depth, min_range=parameters.min_range, max_range=parameters.max_range)
    return DepthFrame(image.header, image.rgb, ranged, image.calibration)
