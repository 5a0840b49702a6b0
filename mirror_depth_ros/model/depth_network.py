"""What all depth networks have in common: that of the mirror, and those it is compared with."""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor, nn

from mirror_depth_ros.model.conv_encoder import ImageEncoder


class NetworkConfig(Protocol):
    """What of a network's configuration estimator and training read."""

    @property
    def clip(self) -> str:
        """open_clip model name."""

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width the network is trained at [pixels]."""

    @property
    def reference_focal_px(self) -> float:
        """Focal length that canonical depth is for, at the network's input [pixels]."""

    @property
    def min_depth(self) -> float:
        """Smallest canonical depth [m]."""

    @property
    def max_depth(self) -> float:
        """Largest canonical depth [m]."""


class DepthNetwork(nn.Module):
    """RGB and focal length in, metric depth out, by way of a frozen CLIP's features."""

    config: NetworkConfig
    image_encoder: ImageEncoder

    @property
    def has_confidence(self) -> bool:
        """Whether it says how sure it is of its depth."""
        return False

    def forward(
        self, images: Tensor, focal_px: Tensor, with_log_scale: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return metric depth and, if asked, how far off it may be.

        :param images: RGB in 0..1, ``[B, 3, H, W]``, H and W multiples of the patch size.
        :param focal_px: focal length at this very size [pixels], ``[B]``.
        :param with_log_scale: of networks that have it, see :attr:`has_confidence`.
        :returns: metres along Z, ``[B, 1, H, W]``; if asked, a pair of that and what
            :func:`.confidence_of` takes, of the same shape.
        :raises ValueError: for a size the patches do not divide, or a scale that it lacks.
        """
        patch = self.image_encoder.patch_size
        height, width = images.shape[-2:]
        if height % patch or width % patch:
            raise ValueError(
                f'got images of {height} x {width}, expected multiples of the patch size {patch}'
            )
        taps = self.image_encoder(images)
        canonical, log_scale = self.predict(taps, (height // patch, width // patch))
        depth = canonical * (focal_px / self.config.reference_focal_px).view(-1, 1, 1, 1)
        if not with_log_scale:
            return depth
        if log_scale is None:
            raise ValueError(
                'got a network without confidence, expected one that was trained with it; ask for '
                'depth alone'
            )
        return depth, log_scale

    def input_size(self, height: int, width: int, *, fraction: float = 1.0) -> tuple[int, int]:
        """Return the size an image is resized to: its aspect, about as many patches as trained.

        :param height: image height [pixels].
        :param width: image width [pixels].
        :param fraction: of those patches to take; fewer cost less memory.
        :returns: height and width [pixels], multiples of the patch size.
        """
        patch = self.image_encoder.patch_size
        trained_height, trained_width = self.config.input_size
        area = fraction * trained_height * trained_width
        scale = math.sqrt(area / (height * width))
        most = max(1, int(area / patch**2))  # patches, even for a strip of an image
        rows = min(max(1, round(height * scale / patch)), most)
        columns = min(max(1, round(width * scale / patch)), most)
        return rows * patch, columns * patch

    def decode(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return canonical depth, that of a camera with the reference focal length.

        A camera with twice the focal length shows the same picture from twice as far (Metric3D,
        Yin et al., 2023), so canonical depth is metric depth times
        ``reference_focal_px / focal_px``.

        :param taps: what the image encoder returns, shallowest first.
        :param grid: rows and columns of patches.
        :returns: metres, ``[B, 1, H, W]``, within the configured range.
        """
        raise NotImplementedError

    def predict(self, taps: list[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Return canonical depth as :meth:`decode`, and how far off it may be.

        :returns: metres, and the logarithm of the scale of a Laplace distribution over log depth,
            which :func:`.laplace_scale` and :func:`.confidence_of` take, ``[B, 1, H, W]`` each;
            None in its place where :attr:`has_confidence` is false.
        """
        return self.decode(taps, grid), None

    def fold(self) -> DepthNetwork:
        """Replace what depends on no image by its value, in place."""
        return self
