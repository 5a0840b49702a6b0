"""The assembled network: the paper's numbers, folding, canonical depth, what trains."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch

from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig


def parameter_count(module: torch.nn.Module) -> int:
    """Return how many numbers of a module are trained."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.fixture
def config(tiny_network: dict[str, Any]) -> MirrorDepthConfig:
    return MirrorDepthConfig(**tiny_network)


def test_the_papers_configuration_trains_1_16_million_parameters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    network = MirrorDepth.from_config(MirrorDepthConfig())
    # mirror 64 * 512; projections 3 * (768 * 64 + 64); FiLM 2 * (512 * 64 + 64);
    # blocks 3 * 281,152; head 36,928 + 32,800 + 513
    expected = 32_768 + 147_648 + 65_664 + 843_456 + 70_241
    assert parameter_count(network) == expected == 1_159_777


@pytest.mark.parametrize('film', ['deepest', 'every'])
def test_folding_changes_nothing(config: MirrorDepthConfig, film: str) -> None:
    network = MirrorDepth.from_config(replace(config, film=film)).eval()
    # mirror 6 x 16; FiLM 2 x (24 x 16 + 16)
    assert parameter_count(network) - parameter_count(network.decoder) == 96 + 800
    images, focal = torch.rand(2, 3, 32, 80), torch.tensor([40.0, 90.0])
    with torch.no_grad():
        unfolded = network(images, focal)
        folded = network.fold()(images, focal)
    assert network.is_folded
    assert not [
        name for name, _ in network.named_parameters() if 'mirror' in name or 'text' in name
    ]
    torch.testing.assert_close(folded, unfolded, atol=1e-5, rtol=0)


def test_a_variant_may_have_another_condition(config: MirrorDepthConfig) -> None:
    class Unconditional(MirrorDepth):
        def condition(self) -> tuple[torch.Tensor, torch.Tensor]:
            width = self.decoder.film_width
            return torch.full((width,), 3.0), torch.zeros(width)

    network = Unconditional.from_config(config)
    images, focal = torch.rand(1, 3, 48, 64), torch.tensor([40.0])
    unfolded = network(images, focal)
    unfolded.log().mean().backward()
    assert network.mirror.embeddings.grad is None
    with torch.no_grad():
        torch.testing.assert_close(network.fold()(images, focal), unfolded, atol=1e-5, rtol=0)
    assert torch.equal(network.film_scale, torch.full((16,), 3.0))


def test_depth_is_proportional_to_the_focal_length(config: MirrorDepthConfig) -> None:
    network = MirrorDepth.from_config(config).eval()
    images = torch.rand(1, 3, 48, 64).expand(2, -1, -1, -1)
    with torch.no_grad():
        depth = network(images, torch.tensor([50.0, 125.0]))
    assert depth.shape == (2, 1, 48, 64)
    torch.testing.assert_close(depth[1], depth[0] * 2.5)


@pytest.mark.parametrize('output', ['softplus', 'log'])
def test_canonical_depth_stays_in_range(config: MirrorDepthConfig, output: str) -> None:
    changes = {'output': output, 'min_depth': 0.5, 'max_depth': 4.0}
    network = MirrorDepth.from_config(MirrorDepthConfig(**{**config.to_dict(), **changes}))
    for bias in (-200.0, 0.0, 200.0):
        torch.nn.init.constant_(network.decoder.expansion.second.bias, bias)
        depth = network(torch.rand(1, 3, 16, 48), torch.tensor([50.0]))
        assert depth.isfinite().all()
        assert depth.min() >= 0.5
        assert depth.max() <= 4.0


def test_log_output_is_the_geometric_mean_in_the_middle(config: MirrorDepthConfig) -> None:
    changes = {'output': 'log', 'min_depth': 0.25, 'max_depth': 16.0}
    network = MirrorDepth.from_config(MirrorDepthConfig(**{**config.to_dict(), **changes}))
    torch.nn.init.zeros_(network.decoder.expansion.second.weight)
    torch.nn.init.zeros_(network.decoder.expansion.second.bias)
    depth = network(torch.rand(1, 3, 16, 16), torch.tensor([50.0]))
    torch.testing.assert_close(depth, torch.full_like(depth, 2.0))  # sqrt(0.25 * 16)


def test_only_mirror_film_and_decoder_learn(config: MirrorDepthConfig) -> None:
    network = MirrorDepth.from_config(config).train()
    before = {name: p.clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.rand(1, 3, 32, 48), torch.tensor([50.0])).log().square().mean().backward()
    optimizer.step()
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert 'mirror.embeddings' in moved  # gradients came through the frozen text encoder
    assert {name.partition('.')[0] for name in moved} == {'mirror', 'film', 'decoder'}


def test_refuses_sizes_that_patches_do_not_divide(config: MirrorDepthConfig) -> None:
    network = MirrorDepth.from_config(config)
    with pytest.raises(ValueError, match='got images of 33 x 48, expected multiples of the patch'):
        network(torch.rand(1, 3, 33, 48), torch.tensor([50.0]))


def test_refuses_a_mirror_longer_than_the_text_encoder(config: MirrorDepthConfig) -> None:
    long = MirrorDepthConfig(**{**config.to_dict(), 'mirror_tokens': 11})
    with pytest.raises(ValueError, match='got mirror_tokens=11, expected at most 10'):
        MirrorDepth.from_config(long)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'film': 'twice'}, "got film='twice', expected one of deepest, every"),
        ({'output': 'exp'}, "got output='exp', expected one of softplus, log"),
        ({'heads': 0}, 'got heads=0, expected an integer from 1 to 64'),
        ({'mlp_width': True}, 'got mlp_width=True, expected an integer from 1 to 16384'),
        ({'width': 10**9, 'heads': 1}, 'got width=1000000000, expected an integer from 1 to 1024'),
        ({'blocks_per_tap': 0}, 'got blocks_per_tap=0, expected an integer from 1 to 16'),
        ({'width': 30, 'heads': 4}, 'expected an even width that the heads divide'),
        ({'min_depth': 5.0, 'max_depth': 5.0}, 'expected min_depth < max_depth'),
        ({'reference_focal_px': float('nan')}, 'got reference_focal_px=nan'),
        ({'max_depth': True}, 'got max_depth=True, expected metres from 0.0001 to 100000'),
        ({'max_depth': float('inf')}, 'got max_depth=inf, expected metres'),
        # The ratio of such depths would overflow.
        ({'min_depth': 5e-324}, 'got min_depth=5e-324, expected metres'),
        ({'confidence': 1}, 'got confidence=1, expected true or false'),
        ({'taps': (True, 6)}, r'got taps\[0\]=True, expected an integer'),
        ({'taps': ()}, r'got taps=\(\), expected a list of 1 to 64'),
        ({'input_size': (0, 64)}, r'got input_size\[0\]=0, expected an integer from 1 to 4096'),
        ({'input_size': (64, 9999)}, r'got input_size\[1\]=9999, expected an integer from 1'),
    ],
)
def test_configuration_refuses_nonsense(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MirrorDepthConfig(**changes)  # type: ignore[arg-type]


def test_configuration_survives_json_and_refuses_other_versions() -> None:
    config = MirrorDepthConfig(film='every', input_size=(96, 128))
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in config.to_dict().items()}
    assert MirrorDepthConfig.from_dict(values) == config
    with pytest.raises(ValueError, match='the file is of another version'):
        MirrorDepthConfig.from_dict({**values, 'colour': 'red'})
    for name, value in {'min_depth': 'near', 'taps': ['a'], 'clip': 3, 'heads': 2.5}.items():
        with pytest.raises(ValueError, match=rf'got {name}(\[0\])?=.*, expected'):
            MirrorDepthConfig.from_dict({**values, name: value})
