"""Convolutional towers of a frozen CLIP against open_clip's own forward passes."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch

from mirror_depth_ros.model.clip import FrozenImageEncoder
from mirror_depth_ros.model.clip_loading import load_clip
from mirror_depth_ros.model.conv_encoder import FrozenConvEncoder, make_image_encoder

TEXT = {'width': 16, 'heads': 2, 'layers': 1, 'context_length': 8, 'vocab_size': 20}


def timm_tower(name: str) -> dict[str, Any]:
    return {
        'timm_model_name': name,
        'timm_model_pretrained': False,
        'timm_pool': 'avg',
        'timm_proj': 'linear',
        'image_size': 64,
    }


RN50 = {'layers': (1, 1, 1, 1), 'width': 16, 'image_size': 64}
TOWERS = {
    'efficientnet': (timm_tower('tf_efficientnet_lite0'), (1, 2, 3, 4), (24, 40, 112, 320)),
    'convnext': (timm_tower('convnext_atto'), (0, 1, 2, 3), (40, 80, 160, 320)),
    'rn50': (RN50, (1, 2, 3, 4), (64, 128, 256, 512)),
}


def make_clip(vision: dict[str, Any]) -> open_clip.CLIP:
    torch.manual_seed(0)
    clip = open_clip.CLIP(8, vision, TEXT).eval()
    for module in clip.modules():  # statistics as after a training, not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return clip


@pytest.mark.parametrize('kind', TOWERS)
def test_taps_equal_open_clips_intermediates(kind: str) -> None:
    vision, taps, channels = TOWERS[kind]
    clip = make_clip(vision)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    clip.visual.image_mean, clip.visual.image_std = mean, std
    images = torch.rand(2, 3, 64, 96)
    normalised = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        # Before the encoder takes the tower over and drops what it does not need.
        expected = clip.visual.forward_intermediates(
            normalised, indices=list(taps), intermediates_only=True
        )['image_intermediates']
        encoder = make_image_encoder(clip, taps)
        got = encoder(images)
    assert isinstance(encoder, FrozenConvEncoder)
    assert encoder.patch_size == 32
    assert encoder.channels == channels
    shapes = [(c, 64 // s, 96 // s) for c, s in zip(channels, (4, 8, 16, 32), strict=True)]
    assert encoder.tap_shapes(64, 96) == shapes
    for tap, want, shape in zip(got, expected, shapes, strict=True):
        assert tap.shape == (2, *shape)
        torch.testing.assert_close(tap, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('kind', TOWERS)
def test_nothing_of_a_tower_ever_learns(kind: str) -> None:
    encoder = FrozenConvEncoder(make_clip(TOWERS[kind][0]), TOWERS[kind][1])
    before = encoder.fingerprint()
    torch.nn.ModuleList([encoder]).train()
    assert not any(module.training for module in encoder.modules())
    encoder(torch.rand(1, 3, 64, 64))  # batch norms would move their statistics
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.fingerprint() == before


def test_the_fingerprint_tells_towers_apart() -> None:
    first, second = (FrozenConvEncoder(make_clip(RN50), (1, 2)) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    second.visual.bn1.running_mean[0] += 1e-3
    assert first.fingerprint() != second.fingerprint()


def test_the_last_tap_decides_what_sides_are_multiples_of() -> None:
    assert FrozenConvEncoder(make_clip(RN50), (1, 2)).patch_size == 8


def test_a_vit_keeps_its_own_encoder(tiny_clip: str) -> None:
    assert isinstance(make_image_encoder(load_clip(tiny_clip), (0, 2)), FrozenImageEncoder)


@pytest.mark.parametrize('taps', [(), (2, 1), (5,), (-1,)])
def test_refuses_stages_that_a_tower_does_not_have(taps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='expected ascending stage numbers between 0 and 4'):
        FrozenConvEncoder(make_clip(RN50), taps)


def test_refuses_two_stages_of_one_resolution() -> None:
    with pytest.raises(ValueError, match=r'strides \(4, 4\), expected each at a coarser one'):
        FrozenConvEncoder(make_clip(RN50), (0, 1))


def test_refuses_towers_without_stages() -> None:
    clip = torch.nn.Module()
    clip.visual = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match='type Linear, expected a ViT of open_clip, a conv'):
        make_image_encoder(clip, (0,))
