"""One image on its way from message to outputs, and what is done to its depth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mirror_depth_ros.depth.filters import apply_range, filter_depth
from mirror_depth_ros.depth.preview import colorize_depth
from mirror_depth_ros.inference.process_tuning import gc_paused
from mirror_depth_ros.ros.camera_info import Calibration
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
    #: Name of its camera; empty for the only one of a node.
    camera_name: str = ''
    #: The stage that began last, and the durations of those that have ended [s].
    stage: str = ''
    durations: dict[str, float] = field(default_factory=dict)
    #: Decoded: uint8 ``[H, W, 3]``.
    rgb: NDArray[np.uint8] = field(init=False)
    #: Calibrated: of the camera at the image's size.
    calibration: Calibration = field(init=False)
    #: Estimated: metres along Z, ``[H, W]``, as the model has them, of any range and not scaled.
    estimated: NDArray[np.float32] = field(init=False)
    #: Estimated, where that is asked for: how sure the depth is, 0 to 1, ``[H, W]``.
    confidence: NDArray[np.float32] | None = None
    #: Estimated, of models that know it: above 1 for an image unlike those of the training.
    strangeness: float | None = None
    #: Filtered: metres along Z, ``[H, W]``, scaled, NaN between surfaces and where it is doubtful,
    #: marked as in REP-117.
    ranged: NDArray[np.float32] = field(init=False)
    #: The same, out of range as the parameter ``out_of_range`` says.
    depth: NDArray[np.float32] = field(init=False)

    @property
    def header(self) -> Header:
        """The image's own header; where the parameter ``frame_id`` names a frame, in that."""
        header, frame_id = self.message.header, self.parameters.frame_id
        if not frame_id:
            return header
        frame_id = frame_id.replace('{camera}', self.camera_name or 'camera')
        return Header(stamp=header.stamp, frame_id=frame_id)

    @cached_property
    def preview(self) -> NDArray[np.uint8]:
        """Its depth in colours, RGB ``[H, W, 3]``; made once for all outputs that show it."""
        return colorize_depth(
            self.depth,
            min_depth=self.parameters.preview_min_depth,
            max_depth=self.parameters.preview_max_depth,
        )


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
