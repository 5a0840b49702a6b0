"""The true scale that several images agree on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.parameters import parameter_specs
from mirror_depth_ros.ros.scale_sources import ScaleSource

#: Images that are measured.
N_IMAGES = 10
#: Largest spread of a scale that is worth having.
MAX_SPREAD = 0.1


@dataclass(frozen=True)
class MeasuredScale:
    """What depth must be multiplied by."""

    #: What it was found by, for people.
    source: str
    #: The median of the images' own.
    factor: float
    #: Width of the middle half of them, as a share of the factor.
    spread: float
    #: How many images had a factor, and how many there were.
    n_used: int
    n_images: int


class ScaleMeasurement:
    """Collects the scales of images, one after the other."""

    def __init__(self, source: ScaleSource, *, n_images: int = N_IMAGES) -> None:
        """Begin.

        :param source: finds the factor of each image.
        :param n_images: how many images to take.
        """
        self.n_images = n_images
        #: How many have been taken.
        self.n_taken = 0
        self.source = source
        self._scales: list[float] = []
        self._lack = ''

    @property
    def is_complete(self) -> bool:
        """Whether no more images are needed."""
        return self.n_taken >= self.n_images

    def add(self, depth: NDArray[np.float32], camera: CameraModel, header: Header) -> bool:
        """Find the factor of one more image.

        :param depth: metres along Z as the model has them, not scaled, ``[H, W]``.
        :param camera: the camera of that size.
        :param header: the image's stamp, and the camera's optical frame.
        :returns: whether that was the last one.
        """
        try:
            self._scales.append(self.source.factor(depth, camera, header))
        except ValueError as error:
            self._lack = str(error)
        self.n_taken += 1
        return self.is_complete

    def conclude(self) -> MeasuredScale:
        """Return what the images agree on.

        :raises ValueError: if fewer than half of them have a factor, if they do not agree, or on
            a scale that is none.
        """
        source, n_used = self.source, len(self._scales)
        if 2 * n_used < self.n_taken:
            raise ValueError(
                f'got {source.name} in {n_used} of {self.n_taken} images, expected it in half of '
                f'them or more; the latest without it: {self._lack}'
            )
        lower, factor, upper = map(float, np.percentile(self._scales, [25, 50, 75]))
        spread = (upper - lower) / factor
        low, high = parameter_specs()['depth_scale'].limits or (0.0, np.inf)
        if not low <= factor <= high:
            raise ValueError(
                f'got a factor of {factor:.3g}, expected {low} to {high}; check {source.suspects}'
            )
        if spread > MAX_SPREAD:
            raise ValueError(
                f'got factors from {min(self._scales):.3g} to {max(self._scales):.3g}, of which '
                f'the middle half spreads over {100 * spread:.0f} %, expected at most '
                f'{100 * MAX_SPREAD:.0f} %; {source.advice}'
            )
        return MeasuredScale(source.name, factor, spread, n_used, self.n_taken)
