"""Baselines against depths worked out by hand and against CLIP's own passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

from mirror_depth_ros.inference.engines.selection import EngineMaker
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.clip import FrozenImageEncoder, FrozenTextEncoder
from mirror_depth_ros.model.clip_loading import load_clip
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from research.baselines.baseline import Baseline
from research.baselines.prompted import (
    DepthClip,
    DistancePrompts,
    FrozenJointSpace,
    LearnedPrompts,
)
from research.baselines.unprompted import LinearProbe, MeanDepth


def tokenize(sentences: Sequence[str], context_length: int) -> Tensor:
    """Number words by their length, between 38 and 39: the tiny CLIP knows 40 tokens."""
    rows = [[38, *map(len, sentence.split()), 39] for sentence in sentences]
    return torch.tensor([row + [0] * (context_length - len(row)) for row in rows])


PROMPTS = DistancePrompts(
    {1.0: ['a near box', 'a near car'], 4.0: ['a distant car']}, tokenize, 40
)


@pytest.fixture
def config(tiny_network: dict[str, Any]) -> MirrorDepthConfig:
    return MirrorDepthConfig(**tiny_network)


def tokens_of(grid: tuple[int, int], pictures: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(pictures, grid[0] * grid[1], 32, generator=generator) for _ in range(2)]


def test_mean_is_one_map_for_every_picture(config: MirrorDepthConfig, tiny_clip: str) -> None:
    mean = MeanDepth(config, load_clip(tiny_clip))
    rows = torch.linspace(1.0, 3.0, 48)[:, None]
    mean.log_depth.copy_(rows.expand(48, 64).log())
    depth = mean.decode(tokens_of((3, 4)), (3, 4))  # 48 x 64 pixels: as stored
    torch.testing.assert_close(depth, rows.expand(2, 1, 48, 64))
    wide = mean.decode(tokens_of((3, 5)), (3, 5))
    torch.testing.assert_close(wide, rows.expand(2, 1, 48, 80))
    mean.log_depth.fill_(math.log(500.0))
    assert mean.decode(tokens_of((1, 2)), (1, 2)).max() == 100.0  # the configured range


def test_linear_probe_puts_pixels_into_their_patch(
    config: MirrorDepthConfig, tiny_clip: str
) -> None:
    probe = LinearProbe(config, load_clip(tiny_clip))
    with torch.no_grad():
        probe.linear.weight.zero_()
        probe.linear.weight[:, 32] = 1.0  # the second tap's first feature
        probe.linear.bias.copy_(torch.arange(256) / 256)
    taps = [torch.zeros(1, 6, 32), torch.zeros(1, 6, 32)]
    taps[1][0, :, 0] = torch.arange(6) / 10
    depth = probe.decode(taps, (2, 3))[0, 0].detach()
    assert depth.shape == (32, 48)
    # Row 19 is row 3 of the second row of patches, column 37 is column 5 of its third: patch 5.
    assert depth[19, 37].item() == pytest.approx(math.exp(0.5 + (3 * 16 + 5) / 256))
    assert depth[0, 16].item() == pytest.approx(math.exp(0.1))


@pytest.fixture
def one_patch_clip(tiny_clip_config: dict[str, Any]) -> open_clip.CLIP:
    """A CLIP that averages patches, for pictures of one patch: their feature is the patch's."""
    vision = {**tiny_clip_config['vision_cfg'], 'image_size': [16, 16], 'pool_type': 'avg'}
    torch.manual_seed(6)
    return open_clip.CLIP(24, vision, tiny_clip_config['text_cfg']).eval()


def test_a_patch_lies_where_clip_puts_a_picture_of_it(one_patch_clip: open_clip.CLIP) -> None:
    images = torch.rand(3, 3, 16, 16)
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    normalised = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    expected = one_patch_clip.encode_image(normalised, normalize=True)
    (tap,) = FrozenImageEncoder(one_patch_clip, (2,))(images)
    feature = FrozenJointSpace(one_patch_clip)(tap)[:, 0]
    torch.testing.assert_close(feature, expected, atol=1e-5, rtol=1e-5)


def test_image_towers_without_patches_in_the_joint_space() -> None:
    for visual in (
        SimpleNamespace(attn_pool=object(), proj=object()),
        SimpleNamespace(attn_pool=None, proj=None),
    ):
        with pytest.raises(ValueError, match='patches have no place in the joint image-text'):
            FrozenJointSpace(SimpleNamespace(visual=visual))


def test_depthclip_weighs_distances_by_resemblance(
    config: MirrorDepthConfig, tiny_clip: str
) -> None:
    clip = load_clip(tiny_clip)
    depthclip = DepthClip(config, clip, PROMPTS)
    assert depthclip.config.taps == (2,)  # the last block, whatever the model looks at
    taps = [torch.zeros(1, 6, 32), tokens_of((1, 1), 1)[0].expand(1, 6, 32)]
    patch = depthclip.joint_space(taps[1])[0, 0]
    depthclip.features.copy_(torch.stack([patch, -patch]))
    depthclip.scale.fill_(math.log(3) / 2)
    # Cosines 1 and -1: weights of 3 / 4 and 1 / 4 for 1 m and 4 m.
    depth = depthclip.decode(taps, (2, 3))
    torch.testing.assert_close(depth, torch.full((1, 1, 32, 48), 1.75))


def test_depthclip_reads_its_sentences_as_clip_does(
    config: MirrorDepthConfig, tiny_clip: str
) -> None:
    clip = load_clip(tiny_clip)
    features, depths, scale = DepthClip(config, clip, PROMPTS).classes()
    box, near, far = clip.encode_text(
        tokenize(['a near box', 'a near car', 'a distant car'], 10), normalize=True
    )
    torch.testing.assert_close(features[1], far)
    torch.testing.assert_close(features[0], (box + near) / (box + near).norm())
    assert depths.tolist() == [1.0, 4.0]
    # open_clip starts from 1 / 0.07, the paper divides by 0.1
    assert scale.item() == pytest.approx(1 / 0.07 / 0.1)
    assert not any(tensor.requires_grad for tensor in (features, depths, scale))


def test_depthclip_refuses_a_clip_of_other_words(
    config: MirrorDepthConfig, tiny_clip: str
) -> None:
    others = DistancePrompts(PROMPTS.sentences, tokenize, 80)
    with pytest.raises(ValueError, match='vocabulary of 40 words, expected the 80'):
        DepthClip(config, load_clip(tiny_clip), others)


def test_learned_prompts_are_sentences_to_the_text_encoder(
    config: MirrorDepthConfig, tiny_clip: str
) -> None:
    clip = load_clip(tiny_clip)
    prompts = LearnedPrompts(config, clip)
    features, depths, scale = prompts.classes()
    assert features.shape == (16, 24)
    sentence = torch.cat([prompts.context, prompts.depth_words[11:12]])
    expected = FrozenTextEncoder(clip)(sentence)
    torch.testing.assert_close(features[11], expected / expected.norm(), atol=1e-5, rtol=1e-5)
    assert depths[0].item() == pytest.approx(0.1)
    assert depths[1].item() == pytest.approx(0.1 * 1000 ** (1 / 15))  # up to 100 m in 16 bins
    assert scale.item() == pytest.approx(1 / 0.07)


def test_only_prompts_bins_and_temperature_learn(
    config: MirrorDepthConfig, tiny_clip: str
) -> None:
    prompts = LearnedPrompts(config, load_clip(tiny_clip))
    fingerprint = prompts.clip_fingerprint()
    optimizer = torch.optim.AdamW(prompts.parameters(), lr=0.1)
    prompts.decode(tokens_of((3, 4)), (3, 4)).log().mean().backward()
    learning = {name for name, p in prompts.named_parameters() if p.grad is not None}
    assert learning == {'context', 'depth_words', 'log_depths', 'log_scale'} == {*prompts.fitted()}
    assert all(p.grad.abs().sum() > 0 for p in prompts.parameters() if p.grad is not None)
    optimizer.step()
    assert prompts.clip_fingerprint() == fingerprint


def test_folding_learned_prompts_changes_nothing(
    config: MirrorDepthConfig, tiny_clip: str
) -> None:
    prompts, taps = LearnedPrompts(config, load_clip(tiny_clip)), tokens_of((3, 4))
    with torch.no_grad():
        expected = prompts.decode(taps, (3, 4))
        folded = prompts.fold()
        assert folded.text_encoder is None
        torch.testing.assert_close(folded.fold().decode(taps, (3, 4)), expected)


@pytest.mark.parametrize('kind', [MeanDepth, LinearProbe, LearnedPrompts])
def test_the_estimator_serves_baselines(
    config: MirrorDepthConfig, tiny_clip: str, kind: type[Baseline]
) -> None:
    baseline = kind(config, load_clip(tiny_clip))
    image = np.random.default_rng(2).integers(0, 256, (47, 75, 3), np.uint8)
    estimator = DepthEstimator(baseline, EngineMaker(device='cpu', precision='bf16'))
    near, far = estimator.estimate(image, 60.0), estimator.estimate(image, 150.0)
    assert near.shape == (47, 75)
    np.testing.assert_allclose(far, 2.5 * near, rtol=1e-5)
