"""Baselines that ask CLIP's text tower nothing: what a place or a patch alone says of depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from research.baselines.baseline import Baseline


class MeanDepth(Baseline):
    """The same map for every picture: the training set's mean.

    The mean is that of the logarithm, which losses and relative errors see: in metres, a few far
    roads would push every near room away.
    """

    #: Rows and columns of the stored map.
    MAP_SIZE = (48, 64)

    log_depth: Tensor

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        super().__init__(config, clip, taps=(0,))  # looks at none, but has to say whose it is
        self.register_buffer('log_depth', torch.zeros(self.MAP_SIZE))

    def canonical_depth(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return the map at the size of the picture, whatever is in it."""
        patch = self.image_encoder.patch_size
        size = (grid[0] * patch, grid[1] * patch)
        log_depth = nn.functional.interpolate(self.log_depth[None, None], size, mode='bilinear')
        return log_depth.exp().expand(len(taps[0]), -1, -1, -1)


class LinearProbe(Baseline):
    """One linear map from a patch's features to the log depth of each of its pixels."""

    def __init__(self, config: MirrorDepthConfig, clip: nn.Module) -> None:
        super().__init__(config, clip)
        features = len(config.taps) * self.image_encoder.width
        self.linear = nn.Linear(features, self.image_encoder.patch_size**2)

    def canonical_depth(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return every patch's pixels, put where the patch lies."""
        log_depth = self.linear(torch.cat(taps, dim=-1))  # [B, N, patch_size^2]
        log_depth = log_depth.transpose(1, 2).unflatten(2, grid)
        return nn.functional.pixel_shuffle(log_depth, self.image_encoder.patch_size).exp()
