"""One image on its way from message to outputs, and what is done to its depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mirror_depth_ros.depth.filters import apply_range, filter_depth
from mirror_depth_ros.inference.process_tuning import gc_paused
from mirror_depth_ros.ros.camera_info import Calibration
from mirror_depth_ros.ros.diagnostics.statistics import Stopwatch
from mirror_depth_ros.ros.parameters import DepthParameters

if TYPE_CHECKING:  # at run time PyTorch is imported with the model, not before
    from mirror_depth_ros.inference.estimator import DepthEstimator

# Height and width of what most cameras send [pixels].
_USUAL_IMAGE = (480, 640)


@dataclass(eq=False)
class Frame:
    """One image and what has been made of it: each step of its path adds its part."""

    message: Image | CompressedImage
    #: The parameters of when its work began: a change meanwhile is for the next image.
    parameters: DepthParameters
    #: Times the steps; where one raises, it says which one did.
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    #: Decoded: uint8 ``[H, W, 3]``.
    rgb: NDArray[np.uint8] = field(init=False)
    #: Calibrated: of the camera at the image's size.
    calibration: Calibration = field(init=False)
    #: Estimated: metres along Z, ``[H, W]``, as the model has them, of any range and not scaled.
    estimated: NDArray[np.float32] = field(init=False)
    #: Estimated, where that is asked for: how sure the depth is, 0 to 1, ``[H, W]``.
    confidence: NDArray[np.float32] | None = None
    #: Filtered: metres along Z, ``[H, W]``, scaled, NaN between surfaces and where it is doubtful,
    #: marked as in REP-117.
    ranged: NDArray[np.float32] = field(init=False)
    #: The same, out of range as the parameter ``out_of_range`` says.
    depth: NDArray[np.float32] = field(init=False)

    @property
    def header(self) -> Header:
        """The image's own header."""
        return self.message.header


def load_estimator(
    model: str, *, device: str, precision: str, clip_weights: str | None, backend: str
) -> DepthEstimator:
    """Load the estimator, which goes on with less where memory runs out.

    :raises ValueError: or OSError, saying what to do.
    """
    with gc_paused():
        from mirror_depth_ros.inference.estimator import DepthEstimator

    return DepthEstimator.load(
        model,
        device=device,
        precision=precision,
        clip_weights=clip_weights,
        backend=backend,
        degrade_on_oom=True,
    )


def warm_up(estimator: DepthEstimator) -> None:
    """Let a GPU load and choose its kernels now, not when the first image waits for them."""
    if str(estimator.device) == 'cpu':
        return  # where the first image takes hardly longer than the next
    height, width = _USUAL_IMAGE
    estimator.estimate(np.zeros((height, width, 3), np.uint8), float(width))


def publishable(
    estimated: NDArray[np.float32],
    parameters: DepthParameters,
    confidence: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a model's depth as it is published, scaled, without flying and doubtful pixels.

    :param estimated: metres along Z, ``[H, W]``.
    :param confidence: 0 to 1, ``[H, W]``; None where it is not known.
    :returns: the same, ``[H, W]``, with what is out of range marked as in REP-117, and as the
        parameter ``out_of_range`` says.
    """
    low, high = parameters.min_range, parameters.max_range
    ranged = filter_depth(
        estimated,
        scale=parameters.depth_scale,
        min_range=low,
        max_range=high,
        edge_filter=parameters.edge_filter,
        confidence=confidence,
        min_confidence=parameters.min_confidence,
    )
    how = parameters.out_of_range
    if how == 'inf':
        return ranged, ranged
    return ranged, apply_range(ranged, min_range=low, max_range=high, out_of_range=how)
