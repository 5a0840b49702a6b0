"""A small convolutional CLIP with random weights, and a network's configuration on it."""

from __future__ import annotations

from collections.abc import Callable

import open_clip
import pytest
import torch

from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig


@pytest.fixture
def make_clip() -> Callable[[], open_clip.CLIP]:
    """Return what makes the same one again: an encoder takes a CLIP apart."""
    from research.builtin.image_tower import fold_norms

    def make() -> open_clip.CLIP:
        torch.manual_seed(0)
        vision = {
            'timm_model_name': 'tf_efficientnet_lite0',
            'timm_model_pretrained': False,
            'timm_pool': 'avg',
            'timm_proj': '',
            'image_size': 64,
        }
        text = {'width': 16, 'heads': 2, 'layers': 1, 'context_length': 12, 'vocab_size': 20}
        clip = open_clip.CLIP(8, vision, text).eval()
        fold_norms(clip.visual.trunk)
        return clip

    return make


@pytest.fixture
def config() -> MirrorDepthConfig:
    return MirrorDepthConfig(
        taps=(1, 2, 3, 4),
        mirror_tokens=5,
        film='every',
        width=16,
        output='log',
        input_size=(64, 96),
        reference_focal_px=50.0,
    )


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(3))
