"""Tapped CLIP features and a condition in, one number per pixel out.

The layout follows CLIPSeg (Lueddecke and Ecker, 2022) as CLIP2Depth uses it: every tap is
projected to a small width and summed with what came before, the condition modulates the features
(FiLM), one transformer block mixes them, and transposed convolutions go back to pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Expansion(nn.Module):
    """Patches back to pixels: two transposed convolutions with a ReLU between them.

    Kernel and stride are equal, so no two outputs overlap and each convolution is a matrix product
    per position. Computed like that, with one reordering at the end, it takes half the time to
    predict and a quarter to train on a CPU.
    """

    def __init__(self, width: int, patch_size: int, outputs: int = 1) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(width, width // 2, kernel_size=4, stride=4)
        second = patch_size // 4
        self.second = nn.ConvTranspose2d(width // 2, outputs, kernel_size=second, stride=second)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, outputs, patch_size h, patch_size w]`` for ``[B, width, h, w]``."""
        batch, _, height, width = x.shape
        side, outer = self.first.stride[0], self.second.stride[0]
        x = x.permute(0, 2, 3, 1)  # [B, h, w, width]
        x = _expand(x, self.first).relu()  # [B, h, w, 4, 4, inner]
        x = _expand(x, self.second)  # [B, h, w, 4, 4, s, s, outputs]
        x = x.permute(0, 7, 1, 3, 5, 2, 4, 6)  # [B, outputs, h, 4, s, w, 4, s]
        return x.reshape(batch, -1, height * side * outer, width * side * outer)


def _expand(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """Apply a transposed convolution to channels-last ``[..., C]``, giving ``[..., k, k, C']``."""
    channels, out_channels, rows, columns = layer.weight.shape
    weight = layer.weight.permute(0, 2, 3, 1).reshape(channels, -1)
    x = (x @ weight).unflatten(-1, (rows, columns, out_channels))
    return x if layer.bias is None else x + layer.bias


class PatchPositions(nn.Module):
    """Where a patch lies in the image, as an embedding.

    Fourier features of the offset from the image's centre, in units of half the trained size, so
    that any grid has its positions and the trained one spans -1 to 1. A pixel's canonical depth on
    the floor depends on that offset and not on the field of view (the focal length cancels).
    """

    _OCTAVES = 4

    def __init__(self, width: int, trained_grid: tuple[int, int]) -> None:
        super().__init__()
        self._trained_grid = trained_grid
        self.linear = nn.Linear(2 + 4 * self._OCTAVES, width)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """Return ``[N, width]`` for a grid of N patches."""
        device = self.linear.weight.device
        axes = [
            (2 * torch.arange(n, device=device) + 1 - n) / trained
            for n, trained in zip(grid, self._trained_grid)
        ]
        offset = torch.cartesian_prod(*axes)  # [N, 2]
        angles = torch.cat([math.pi * 2**k * offset for k in range(self._OCTAVES)], dim=1)
        return self.linear(torch.cat([offset, angles.sin(), angles.cos()], dim=1))


class DecoderBlock(nn.TransformerEncoderLayer):
    """PyTorch's transformer block; while training, attention in plain products.

    On a CPU the backward pass of the fused attention takes more than twice as long as that of the
    products it is made of, and was most of a training step.
    """

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__(width, heads, mlp_width, dropout=0.0, batch_first=True)

    def _sa_block(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        # Asked for its weights, the attention takes the plain path.
        return self.self_attn(x, x, x, need_weights=self.training, average_attn_weights=False)[0]


class Decoder(nn.Module):
    """Features of several taps to a number or more per pixel."""

    def __init__(
        self,
        *,
        taps: int,
        feature_dim: int,
        width: int,
        heads: int,
        mlp_width: int,
        patch_size: int,
        film_every_tap: bool,
        blocks_per_tap: int = 1,
        trained_grid: tuple[int, int] | None = None,
        outputs: int = 1,
    ) -> None:
        """Build the decoder for ``taps`` feature maps of ``feature_dim`` channels.

        :param patch_size: side of a patch [pixels]; two transposed convolutions undo it.
        :param film_every_tap: modulate after every tap rather than only after the first.
        :param trained_grid: rows and columns of patches while training, to tell the blocks where
            each patch lies; None leaves that to CLIP's own positional embeddings.
        :param outputs: numbers per pixel.
        :raises ValueError: for a patch size that is not a multiple of 4.
        """
        super().__init__()
        if patch_size % 4 or patch_size < 8:
            raise ValueError(
                f'got a patch size of {patch_size}, expected a multiple of 4 from 8 up'
            )
        self.film_every_tap = film_every_tap
        self.projections = nn.ModuleList(nn.Linear(feature_dim, width) for _ in range(taps))
        self.positions = None if trained_grid is None else PatchPositions(width, trained_grid)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(DecoderBlock(width, heads, mlp_width) for _ in range(blocks_per_tap)))
            for _ in range(taps)
        )
        self.convolution = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.expansion = Expansion(width, patch_size, outputs)
        #: How many numbers the condition scales and shifts.
        self.film_width = width

    def forward(
        self, features: Sequence[Tensor], scale: Tensor, shift: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """Return ``[B, outputs, H, W]``.

        :param features: ``[B, N, C]`` per tap, in the order they are to be taken in.
        :param scale: FiLM scale, ``[width]``.
        :param shift: FiLM shift, ``[width]``.
        :param grid: rows and columns of patches, N in all.
        """
        x: Tensor | None = None
        for i, (tap, project) in enumerate(zip(features, self.projections, strict=True)):
            projected = project(tap)
            if self.positions is not None:
                projected = projected + self.positions(grid)
            x = projected if x is None else x + projected
            if i == 0 or self.film_every_tap:
                x = scale * x + shift
            x = self.blocks[i](x)  # [B, N, width]
        assert x is not None  # there is at least one tap
        x = x.transpose(1, 2).unflatten(2, grid)  # [B, width, h, w]
        return self.expansion(self.convolution(x).relu())  # [B, outputs, H, W]
