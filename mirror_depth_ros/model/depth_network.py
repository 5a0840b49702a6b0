"""What all depth networks have in common: that of the mirror, and those it is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from mirror_depth_ros.model.conv_encoder import ImageEncoder
from mirror_depth_ros.model.familiarity import Familiarity, pool

#: Names of what a network gives, see :meth:`DepthNetwork.compute`.
DEPTH, LOG_SCALE, STRANGENESS = 'depth', 'log_scale', 'strangeness'


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

    def __init__(self) -> None:
        super().__init__()
        #: What tells pictures unlike those of the training; None where that is not known.
        self.familiarity: Familiarity | None = None

    @property
    def has_confidence(self) -> bool:
        """Whether it says how sure it is of its depth."""
        return False

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what :meth:`compute` gives."""
        known = (True, self.has_confidence, self.familiarity is not None)
        return tuple(n for n, has in zip((DEPTH, LOG_SCALE, STRANGENESS), known) if has)

    def forward(self, images: Tensor, focal_px: Tensor) -> Tensor:
        """Return metric depth.

        :param images: RGB in 0..1, ``[B, 3, H, W]``, H and W multiples of the patch size.
        :param focal_px: focal length at this very size [pixels], ``[B]``.
        :returns: metres along Z, ``[B, 1, H, W]``.
        :raises ValueError: for a size the patches do not divide.
        """
        return self.compute([DEPTH], images, focal_px)[0]

    def compute(self, names: Sequence[str], images: Tensor, focal_px: Tensor) -> list[Tensor]:
        """Return what is asked for.

        :param names: of :attr:`outputs`. ``depth`` is that of :meth:`forward`; ``log_scale`` is
            what :func:`.confidence_of` takes, of the same shape; ``strangeness``, ``[B]``, is
            above 1 for pictures that are unlike those of the training, see :class:`.Familiarity`.
        :param images: as of :meth:`forward`, and so is ``focal_px``.
        :raises ValueError: for a size the patches do not divide, or what the network lacks.
        """
        missing = [name for name in names if name not in self.outputs]
        if missing:
            raise ValueError(
                f'got a network without {missing[0]}, expected one that was trained with it; ask '
                f'for {", ".join(self.outputs)}'
            )
        patch = self.image_encoder.patch_size
        height, width = images.shape[-2:]
        if height % patch or width % patch:
            raise ValueError(
                f'got images of {height} x {width}, expected multiples of the patch size {patch}'
            )
        taps = self.image_encoder(images)
        canonical, log_scale = self.predict(taps, (height // patch, width // patch))
        depth = canonical * (focal_px / self.config.reference_focal_px).view(-1, 1, 1, 1)
        found = {DEPTH: depth, LOG_SCALE: log_scale}
        if STRANGENESS in names:
            assert self.familiarity is not None
            found[STRANGENESS] = self.familiarity(pool(taps[-1]))
        return [part for name in names if (part := found[name]) is not None]

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
