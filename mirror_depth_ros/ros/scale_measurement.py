"""The scale of depth, from a camera's height, that several images agree on. Without ROS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.ground_plane import scale_from_ground
from mirror_depth_ros.ros.parameters import parameter_specs

#: Images that are measured.
N_IMAGES = 10
#: Largest spread of a scale that is worth having.
MAX_SPREAD = 0.1


@dataclass(frozen=True)
class MeasuredScale:
    """What depth must be multiplied by."""

    #: The median of the images' own.
    factor: float
    #: Width of the middle half of them, as a share of the factor.
    spread: float
    #: How many images showed the ground, and how many there were.
    n_used: int
    n_images: int


class ScaleMeasurement:
    """Collects the scales of images, one after the other."""

    def __init__(self, camera_height: float, *, n_images: int = N_IMAGES) -> None:
        """Begin.

        :param camera_height: true height of the camera above the ground [m].
        :param n_images: how many images to take.
        """
        self.n_images = n_images
        #: How many have been taken.
        self.n_taken = 0
        self._camera_height = camera_height
        self._scales: list[float] = []
        self._lack = ''

    @property
    def is_complete(self) -> bool:
        """Whether no more images are needed."""
        return self.n_taken >= self.n_images

    def add(self, depth: NDArray[np.float32], camera: CameraModel) -> bool:
        """Find the ground in one more image.

        :param depth: metres along Z as the model has them, not scaled, ``[H, W]``.
        :param camera: the camera of that size.
        :returns: whether that was the last one.
        """
        try:
            # Other draws for each image: of a camera that stands still, too, the spread then says
            # how far the plane can be trusted.
            scale = scale_from_ground(depth, camera, self._camera_height, seed=self.n_taken)
            self._scales.append(scale)
        except ValueError as error:
            self._lack = str(error)
        self.n_taken += 1
        return self.is_complete

    def conclude(self) -> MeasuredScale:
        """Return what the images agree on.

        :raises ValueError: if fewer than half of them show the ground, if they do not agree, or on
            a scale that is none.
        """
        n_used = len(self._scales)
        if 2 * n_used < self.n_taken:
            raise ValueError(
                f'got the ground in {n_used} of {self.n_taken} images, expected it in half of '
                f'them or more; the latest without it: {self._lack}'
            )
        lower, factor, upper = map(float, np.percentile(self._scales, [25, 50, 75]))
        spread = (upper - lower) / factor
        low, high = parameter_specs()['depth_scale'].limits or (0.0, np.inf)
        if not low <= factor <= high:
            raise ValueError(
                f'got a factor of {factor:.3g}, expected {low} to {high}; check camera_height '
                f'({self._camera_height} m) and the focal length in camera_info'
            )
        if spread > MAX_SPREAD:
            raise ValueError(
                f'got factors from {min(self._scales):.3g} to {max(self._scales):.3g}, of which '
                f'the middle half spreads over {100 * spread:.0f} %, expected at most '
                f'{100 * MAX_SPREAD:.0f} %; measure where the ground is open and level'
            )
        return MeasuredScale(factor, spread, n_used, self.n_taken)
