"""From a camera message to depth and on: what is done to one image, without communication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mirror_depth_ros.depth.depth_range import apply_range
from mirror_depth_ros.depth.flying_pixels import flying_pixels
from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.image_decoding import decode_compressed
from mirror_depth_ros.inference.interfaces import Estimator
from mirror_depth_ros.inference.process_tuning import gc_paused
from mirror_depth_ros.ros.camera_info import Calibration, CalibrationTracker
from mirror_depth_ros.ros.decoding import decode_image
from mirror_depth_ros.ros.measurements import Stopwatch
from mirror_depth_ros.ros.parameters import DepthParameters

# Height and width of what most cameras send [pixels].
_USUAL_IMAGE = (480, 640)


class EstimatorLoader(Protocol):
    """Loads an estimator."""

    def __call__(
        self, model: str, *, device: str, precision: str, clip_weights: str | None, backend: str
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
    #: Metres along Z, ``[H, W]``, as the model has them: of any range and not scaled.
    estimated: NDArray[np.float32]
    #: Metres along Z, ``[H, W]``: scaled, NaN between surfaces, out of range as in REP-117.
    ranged: NDArray[np.float32]
    #: The same, out of range as the parameter ``out_of_range`` says.
    depth: NDArray[np.float32]
    #: Of the camera at the image's size.
    calibration: Calibration


def load_estimator(
    model: str, *, device: str, precision: str, clip_weights: str | None, backend: str
) -> Estimator:
    """Load the real estimator; PyTorch is imported here, not before."""
    with gc_paused():
        from mirror_depth_ros.inference.estimator import DepthEstimator

    return DepthEstimator.load(
        model, device=device, precision=precision, clip_weights=clip_weights, backend=backend
    )


def warm_up(estimator: Estimator) -> None:
    """Let a GPU load and choose its kernels now, not when the first image waits for them."""
    if str(estimator.device) == 'cpu':
        return  # where the first image takes hardly longer than the next
    height, width = _USUAL_IMAGE
    estimator.estimate(np.zeros((height, width, 3), np.uint8), float(width))


def read_image(
    message: Image | CompressedImage,
    *,
    calibrations: CalibrationTracker,
    levels: GreyLevels,
    rectified: bool,
    hfov_deg: float,
    stopwatch: Stopwatch,
) -> CameraImage:
    """Decode an image and find its calibration.

    :param levels: what is known of the camera's 16-bit images.
    :param rectified: which of its matrices describe the camera.
    :param hfov_deg: field of view to assume where nothing is known of the camera; 0: none [deg].
    :param stopwatch: times the stages; where something raises, it says which one did.
    :raises ValueError: for a malformed image or a calibration that does not fit it.
    """
    stopwatch.start('decode')
    decode = decode_image if isinstance(message, Image) else decode_compressed
    rgb = decode(message, levels=levels)
    stopwatch.start('calibrate')
    height, width = rgb.shape[:2]
    calibration = calibrations.find(
        message.header, width, height, rectified=rectified, hfov_deg=hfov_deg
    )
    return CameraImage(message.header, rgb, calibration)


def make_frame(
    image: CameraImage, estimated: NDArray[np.float32], parameters: DepthParameters
) -> DepthFrame:
    """Return an image with its depth as it is published.

    :param estimated: metres along Z, ``[H, W]``, as the model has them.
    """
    ranged = usable_depth(estimated, parameters)
    out_of_range = parameters.out_of_range
    depth = ranged if out_of_range == 'inf' else _marked(ranged, parameters, out_of_range)
    return DepthFrame(image.header, image.rgb, estimated, ranged, depth, image.calibration)


def usable_depth(
    estimated: NDArray[np.float32], parameters: DepthParameters
) -> NDArray[np.float32]:
    """Return a model's depth scaled, without flying pixels, and marked as REP-117 has it.

    :param estimated: metres along Z, ``[H, W]``.
    :returns: a new array ``[H, W]``.
    """
    ranged = _marked(estimated * np.float32(parameters.depth_scale), parameters, 'inf')
    # Of marked depth, in which all that is beyond range is one surface.
    flying = flying_pixels(ranged, edge_filter=parameters.edge_filter)
    np.copyto(ranged, np.nan, where=flying)
    return ranged


def _marked(
    depth: NDArray[np.float32], parameters: DepthParameters, out_of_range: str
) -> NDArray[np.float32]:
    low, high = parameters.min_range, parameters.max_range
    return apply_range(depth, min_range=low, max_range=high, out_of_range=out_of_range)
