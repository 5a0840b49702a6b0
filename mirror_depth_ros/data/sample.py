"""The one sample type that every data set yields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel


@dataclass(frozen=True)
class DepthSample:
    """An image, its camera, and its true depth where that is known.

    :raises ValueError: if the sizes or types do not fit together.
    """

    #: RGB uint8, ``[H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: Metres along Z, float32 ``[H, W]``, NaN = no truth, infinity = the sky; None = no truth for
    #: the whole image.
    depth: NDArray[np.float32] | None
    #: The camera that took the image, of the image's size.
    camera: CameraModel
    #: What tells the sample from the others, such as its path below the data set.
    name: str

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        if self.rgb.dtype != np.uint8 or self.rgb.shape != (*size, 3):
            raise ValueError(
                f'got {self.rgb.dtype} {self.rgb.shape} as the image of {self.name}, expected '
                f'uint8 {(*size, 3)} as its camera has; resize one with CameraModel.resized()'
            )
        if self.depth is not None and (self.depth.dtype != np.float32 or self.depth.shape != size):
            raise ValueError(
                f'got {self.depth.dtype} {self.depth.shape} as the depth of {self.name}, expected '
                f'float32 {size} as its image has'
            )
