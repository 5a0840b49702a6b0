"""What of a baseline follows from the training set without any search."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from mirror_depth_ros.data.rendered_scenes import RenderedScenes
from rich.progress import track
from torch import Tensor
from torch.nn.functional import interpolate, pixel_unshuffle

from mirror_depth_ros.training.feature_cache import EncodedPicture
from research.baselines.baseline import BaselineConfig

# Of the features' mean square: enough to solve for channels that hardly vary.
_RIDGE = 1e-5


def mean_log_depth(
    scenes: RenderedScenes, config: BaselineConfig, size: tuple[int, int]
) -> Tensor:
    """Return the mean of the scenes' log canonical depth, and of their mirror images'.

    :param size: rows and columns of the map.
    :returns: logarithm of metres, of that size.
    """
    total = torch.zeros(size)
    pairs = zip(scenes.depth, scenes.focal_px, strict=True)
    for depth, focal_px in track(pairs, 'averaging', total=len(scenes)):
        batch = torch.from_numpy(depth.astype('float32'))[None, None]
        log_depth = _log_canonical(batch, torch.tensor([focal_px]), config)
        total += interpolate(log_depth, size, mode='area')[0, 0]
    return (total + total.flip(-1)) / (2 * len(scenes))


def least_squares(
    batches: Iterable[EncodedPicture], config: BaselineConfig, patch_size: int
) -> tuple[Tensor, Tensor]:
    """Return the linear map from patches' features to their pixels' log depth of least error.

    CLIP's features vary along few directions; gradient steps take very long to use the others,
    and a linear probe that is far from its optimum would be no fair comparison.

    :param batches: pictures of one size, truth of the size that the encoder saw.
    :returns: weight ``[patch_size^2, taps C]`` and bias ``[patch_size^2]``.
    """
    squares = products = torch.zeros((), dtype=torch.float64)
    for features, depth, focal_px in batches:
        x = (
            features.float().flatten(2, 3).transpose(1, 2).flatten(2).flatten(0, 1)
        )  # [B tokens, taps C]
        x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
        pixels = pixel_unshuffle(_log_canonical(depth, focal_px, config), patch_size)
        y = pixels.flatten(2).transpose(1, 2).flatten(0, 1)  # [B tokens, patch_size^2]
        squares, products = squares + (x.T @ x).double(), products + (x.T @ y).double()
    ridge = _RIDGE * squares.trace() / len(squares)
    solution = torch.linalg.solve(squares + ridge * torch.eye(len(squares)), products)
    return solution[:-1].T.float(), solution[-1].float()


def _log_canonical(depth: Tensor, focal_px: Tensor, config: BaselineConfig) -> Tensor:
    """Return log canonical depth ``[B, 1, H, W]``, the sky at the far end of the range."""
    canonical = depth * (config.reference_focal_px / focal_px).view(-1, 1, 1, 1)
    return canonical.clamp(config.min_depth, config.max_depth).log()
