"""The decoder for convolutional towers: their stages, deepest first, to numbers per pixel.

As in the paper's decoder, each tap is projected to a small width and added to what came before,
and the condition modulates the features (FiLM). Here every tap has twice the resolution of the one
before, so what came before is enlarged first, and widths shrink as the resolution grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mirror_depth_ros.model.decoder import PatchPositions

# Width of each level as a part of the deepest's: cost grows with its square and with the pixels.
_FRACTIONS = (1.0, 0.75, 0.5, 0.25)


def level_widths(width: int, levels: int) -> list[int]:
    """Return the widths of the levels, deepest first; what has no fraction gets the smallest."""
    fractions = [*_FRACTIONS, *[_FRACTIONS[-1]] * levels][:levels]
    return [max(1, int(width * fraction)) for fraction in fractions]


class Standardisation(nn.Module):
    """Each channel of a tap as its distance from the usual, in standard deviations.

    Stages of a tower differ by tens in scale; what they usually hold is measured once, when a
    training begins, and stays.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer('mean', torch.zeros(channels, 1, 1))
        self.register_buffer('deviation', torch.ones(channels, 1, 1))

    @property
    def is_measured(self) -> bool:
        """Whether :meth:`measure` was called, now or before the weights were saved."""
        return bool((self.deviation != 1).any())

    def measure(self, tap: Tensor) -> None:
        """Take a batch of taps, ``[B, C, h, w]``, for what is usual."""
        self.mean.copy_(tap.float().mean(dim=(0, 2, 3)).view(-1, 1, 1))
        self.deviation.copy_(
            tap.float().std(dim=(0, 2, 3), correction=0).clamp(min=1e-3).view(-1, 1, 1)
        )

    def forward(self, tap: Tensor) -> Tensor:
        """Return ``[B, C, h, w]`` for the same."""
        return (tap - self.mean) / self.deviation


class DepthwiseBlock(nn.Module):
    """A residual block: a depthwise convolution, then each position by itself.

    That of ConvNeXt (Liu et al., 2022) without its norm, which costs more than it brings here: the
    last layer starts at zero, so a block starts as the identity.
    """

    def __init__(self, width: int, kernel: int, expansion: int = 2) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.expand = nn.Conv2d(width, expansion * width, 1)
        self.reduce = nn.Conv2d(expansion * width, width, 1)
        for parameter in self.reduce.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, width, h, w]`` for the same."""
        return x + self.reduce(self.expand(self.depthwise(x)).relu())


class PyramidDecoder(nn.Module):
    """Maps of falling resolution to ``outputs`` numbers per pixel."""

    def __init__(
        self,
        *,
        channels: Sequence[int],
        strides: Sequence[int],
        width: int,
        film_every_tap: bool,
        blocks_per_tap: int,
        trained_grid: tuple[int, int] | None,
        outputs: int,
    ) -> None:
        """Build the decoder.

        :param channels: of each tap, shallowest first as the tower gives them.
        :param strides: of each tap [pixels], each twice the one before.
        :param width: of the deepest level, see :func:`level_widths`.
        :param film_every_tap: modulate every level rather than only the deepest.
        :param trained_grid: rows and columns of the deepest tap while training, to tell the
            decoder where a place lies; None leaves that to the tower's features.
        :raises ValueError: for strides that do not double.
        """
        super().__init__()
        if any(b != 2 * a for a, b in pairwise(strides)):
            raise ValueError(
                f'got taps at strides {tuple(strides)}, expected each twice the one before; '
                'choose neighbouring stages'
            )
        self.widths = level_widths(width, len(channels))
        self.film_every_tap = film_every_tap
        self.standardisations = nn.ModuleList(Standardisation(c) for c in reversed(channels))
        self.projections = nn.ModuleList(
            nn.Conv2d(c, w, 1) for c, w in zip(reversed(channels), self.widths)
        )
        self.enlargements = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(self.widths))
        self.positions = None if trained_grid is None else PatchPositions(width, trained_grid)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(DepthwiseBlock(w, 7 if i < 2 else 5) for _ in range(blocks_per_tap)))
            for i, w in enumerate(self.widths)
        )
        last, stride = self.widths[-1], strides[0]
        self.convolution = nn.Conv2d(last, last, 3, padding=1)
        self.expansion = nn.ConvTranspose2d(last, outputs, kernel_size=stride, stride=stride)

    @property
    def film_width(self) -> int:
        """How many numbers the condition scales and shifts."""
        return sum(self.widths) if self.film_every_tap else self.widths[0]

    def measure(self, features: Sequence[Tensor]) -> None:
        """Take a batch of taps, deepest first, for the usual ones, unless that was done before."""
        for standardise, tap in zip(self.standardisations, features):
            if isinstance(standardise, Standardisation) and not standardise.is_measured:
                standardise.measure(tap)

    def forward(
        self, features: Sequence[Tensor], scale: Tensor, shift: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """Return ``[B, outputs, H, W]``.

        :param features: ``[B, C, h, w]`` per tap, deepest first.
        :param scale: FiLM scale, ``[film_width]``.
        :param shift: FiLM shift, ``[film_width]``.
        :param grid: rows and columns of the deepest tap.
        """
        filmed = self.widths if self.film_every_tap else self.widths[:1]
        scales, shifts = scale.split(filmed), shift.split(filmed)
        x: Tensor | None = None
        for i, (tap, project) in enumerate(zip(features, self.projections, strict=True)):
            level = project(self.standardisations[i](tap))
            if x is None:
                if self.positions is not None:
                    level = level + self.positions(grid).T.unflatten(1, grid)
                x = level
            else:
                x = level + _double(self.enlargements[i - 1](x))
            if i < len(filmed):
                x = scales[i].view(-1, 1, 1) * x + shifts[i].view(-1, 1, 1)
            x = self.blocks[i](x)
        assert x is not None  # there is at least one tap
        return self.expansion(self.convolution(x).relu())  # [B, outputs, H, W]


def _double(x: Tensor) -> Tensor:
    """Return a map of twice the resolution."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode='bilinear', align_corners=False)
