"""Networks that the built-in model is compared with, on a small CLIP with random weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

pytest.importorskip('embreex', reason='only the laboratory needs it: pip install embreex trimesh')
pytest.importorskip('trimesh', reason='only the laboratory needs it: pip install embreex trimesh')

from mirror_depth_ros.model.conv_encoder import make_image_encoder
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from research.builtin.image_tower import PlaceEmbeddings
from research.builtin.variant_networks import (
    DepthClip,
    ImageConditioned,
    LearnedPrompts,
    LinearProbe,
    MeanMap,
    without_condition,
)

MakeClip = Callable[[], Any]

SIZE, GRID = (64, 96), (2, 3)


@torch.no_grad()
def test_the_mean_of_all_places_is_the_images_embedding(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    clip = make_clip()
    places = PlaceEmbeddings(clip)
    expected = clip.encode_image(images)
    encoder = make_image_encoder(clip, config.taps)
    encoder.image_mean.zero_()
    encoder.image_std.fill_(1.0)  # open_clip leaves it to who prepares the images
    embeddings = places(encoder(images)[-1])
    assert embeddings.shape == (2, 6, 8)
    torch.testing.assert_close(embeddings.mean(dim=1), expected)


@torch.no_grad()
def test_every_image_has_its_own_condition(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    network = ImageConditioned(config, make_clip()).eval()
    for layer in (network.film.scale, network.film.shift):
        layer.weight.normal_()
    focal = torch.tensor([40.0, 80.0])
    together = network(images, focal)
    alone = torch.cat([network(images[i : i + 1], focal[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert network.fold() is network
    before = network.to_token.weight.clone()
    network.to_token.weight.mul_(-5.0)
    assert not torch.allclose(network(images, focal), together)
    network.to_token.weight.copy_(before)
    torch.testing.assert_close(network(images, focal), together)


@torch.no_grad()
def test_a_condition_that_says_nothing_changes_nothing(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    conditioned = ImageConditioned(config, make_clip()).eval()
    constant = without_condition(config, make_clip()).eval()
    conditioned.film.load_state_dict(constant.film.state_dict())
    weights = {
        name.replace('.block.', '.'): tensor
        for name, tensor in conditioned.decoder.state_dict().items()
    }
    constant.decoder.load_state_dict(weights)
    focal = torch.tensor([50.0, 50.0])
    torch.testing.assert_close(conditioned(images, focal), constant(images, focal))
    for part in (constant.mirror, constant.film):
        assert not [p for p in part.parameters() if p.requires_grad]


@torch.no_grad()
def test_a_linear_probe_puts_pixels_where_their_place_is(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    probe = LinearProbe(config, make_clip()).eval()
    numbers = torch.linspace(0.0, 1.0, 32 * 32)
    probe.linear[-1].bias.copy_(numbers)
    depth = probe.decode(probe.image_encoder(images), GRID)
    assert depth.shape == (2, 1, *SIZE)
    torch.testing.assert_close(depth[1, 0, 32:, 64:].log(), numbers.view(32, 32))


@torch.no_grad()
def test_a_mean_map_is_the_same_for_every_picture(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    network = MeanMap(config, make_clip()).eval()
    depth = network(images, torch.tensor([50.0, 100.0]))
    torch.testing.assert_close(depth[0], torch.full((1, *SIZE), 2.0))
    torch.testing.assert_close(depth[1], torch.full((1, *SIZE), 4.0))  # twice the focal length


def test_learned_prompts_learn_words_depths_and_sharpness(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    network = LearnedPrompts(config, make_clip()).train()
    depth = network.decode(network.image_encoder(images), GRID)
    assert depth.shape == (2, 1, *SIZE)
    low, high = depth.detach().aminmax()
    assert config.min_depth <= float(low) <= float(high) <= config.max_depth
    depth.log().sum().backward()
    learned = {name for name, p in network.named_parameters() if p.grad is not None}
    assert learned == {'shared', 'words', 'log_depths', 'log_scale'}


@torch.no_grad()
def test_depthclip_takes_the_depth_of_the_sentence_that_fits(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    words = [f'word{i}' for i in range(16)]
    network = DepthClip(config, make_clip(), words).eval()
    places = network.embeddings(network.image_encoder(images)[-1])
    network.features.copy_(-places[0, 0])
    network.features[3].copy_(places[0, 0] / places[0, 0].norm())
    network.scale.fill_(1e4)
    metres = DepthClip.SENTENCES[3][0]
    depth = network.decode(network.image_encoder(images[:1]), GRID)
    assert math.isclose(float(depth[0, 0, 0, 0]), metres, rel_tol=1e-4)
    assert not [p for p in network.parameters() if p.requires_grad]
