"""What the parts of the package expect of one another, where they do not import it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Estimator(Protocol):
    """What makes depth of an image: a :class:`.DepthEstimator`."""

    @property
    def device(self) -> object:
        """Where it runs."""

    @property
    def precision(self) -> str:
        """Its number format."""

    @property
    def backend(self) -> str:
        """What computes: torch, onnxruntime or openvino."""

    def estimate(self, rgb: NDArray[np.uint8], focal_px: float) -> NDArray[np.float32]:
        """Return metres along Z, ``[H, W]``, for RGB uint8 ``[H, W, 3]``."""

    def estimate_batch(
        self, images: Sequence[NDArray[np.uint8]], focal_px: Sequence[float]
    ) -> list[NDArray[np.float32]]:
        """Return the same for each of several images, of any sizes, in their order."""


@runtime_checkable
class Shrinkable(Protocol):
    """An estimator that can make do with less memory."""

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size an image is resized to [pixels]."""

    def shrink_input(self) -> None:
        """Take the next smaller input from now on."""
