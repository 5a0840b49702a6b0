"""Means and least squares against numbers that are known beforehand."""

from __future__ import annotations

import numpy as np
import torch
from mirror_depth_ros.data.rendered_scenes import RenderedScenes

from mirror_depth_ros.training.feature_cache import EncodedPicture
from research.baselines.baseline import BaselineConfig
from research.baselines.closed_form import least_squares, mean_log_depth

CONFIG = BaselineConfig('none', (0, 1), (32, 48), 50.0, 0.1, 100.0)


def test_mean_of_rooms_and_roads() -> None:
    depth = np.empty((2, 6, 8), np.float16)
    depth[0], depth[1] = 2.0, np.inf  # sky
    depth[0, :, :4] = 8.0
    scenes = RenderedScenes(
        rgb=np.zeros((2, 6, 8, 3), np.uint8),
        depth=depth,
        focal_px=np.array([25.0, 77.0], np.float32),
        captions=[''] * 2,
        kinds=['indoor', 'outdoor'],
    )
    mean = mean_log_depth(scenes, CONFIG, (3, 4))
    # At the reference focal length 16 m left and 4 m right, and 100 m: mirrored, both sides are
    # the fourth root of 16 x 4 x 100 x 100.
    expected = (16.0 * 4.0 * 100.0 * 100.0) ** 0.25
    torch.testing.assert_close(mean.exp(), torch.full((3, 4), expected))


def test_least_squares_finds_the_map_there_is() -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(256, 10, generator=generator) / 10, torch.linspace(0, 2, 256)
    batches = []
    for _ in range(4):
        features = torch.randn(5, 2, 2, 3, 5, generator=generator)  # two taps of 2 x 3 patches
        focal_px = torch.rand(5, generator=generator) * 60 + 20
        x = torch.cat([features[:, 0], features[:, 1]], dim=-1)
        log_depth = x @ weight.T + bias  # [5, 2, 3, 256]
        patches = log_depth.view(5, 2, 3, 16, 16)
        pixels = torch.cat([torch.cat([*row.unbind(1)], dim=-1) for row in patches.unbind(1)], 1)
        metric = pixels.exp()[:, None] * (focal_px / 50.0).view(-1, 1, 1, 1)
        batches.append(EncodedPicture(features, metric, focal_px))
    found_weight, found_bias = least_squares(batches, CONFIG, 16)
    torch.testing.assert_close(found_weight, weight, atol=2e-3, rtol=0)
    torch.testing.assert_close(found_bias, bias, atol=2e-3, rtol=0)
