"""What tells pictures unlike those of the training, against a Gaussian made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mirror_depth_ros.model.checkpoint import load_checkpoint, save_checkpoint
from mirror_depth_ros.model.familiarity import Familiarity, pool

CHANNELS = 40


def usual(count: int, seed: int, *, offset: float = 0.0) -> torch.Tensor:
    """Pictures that differ in 16 directions by 1, 2, ... 16 and in the 24 others by a tenth."""
    generator = torch.Generator().manual_seed(seed)
    deviations = torch.cat([torch.arange(1.0, 17.0), torch.full((24,), 0.1)])
    return 3.0 + offset + deviations * torch.randn(count, CHANNELS, generator=generator)


@pytest.fixture(scope='module')
def familiarity() -> Familiarity:
    found = Familiarity.fit(usual(4000, 0))
    assert found is not None
    return found


def test_one_in_a_hundred_of_the_training_is_strange(familiarity: Familiarity) -> None:
    assert float((familiarity(usual(4000, 0)) > 1).float().mean()) == pytest.approx(0.01, abs=2e-3)
    assert float((familiarity(usual(4000, 1)) > 1).float().mean()) == pytest.approx(0.01, abs=6e-3)


def test_the_distance_is_mahalanobis(familiarity: Familiarity) -> None:
    # What lies in no direction as for the training: 24 numbers of 0.1, of length 0.49 on average.
    rest = torch.full((24,), 0.1)
    typical = torch.cat([torch.zeros(16), rest])
    one, other = typical.clone(), typical.clone()
    one[15], other[3] = 10 * 16.0, 10 * 4.0  # ten standard deviations each
    distances = familiarity(3.0 + torch.stack([typical, one, other]))
    assert float(distances[0]) < 0.1
    torch.testing.assert_close(distances[1], distances[2], rtol=0.06, atol=0.0)
    expected = 10.0 / (17**0.5 * familiarity.limit)
    torch.testing.assert_close(distances[1], expected, rtol=0.06, atol=0.0)


def test_what_lies_in_no_direction_counts_too(familiarity: Familiarity) -> None:
    off = 3.0 + torch.zeros(1, CHANNELS)
    off[0, 20] = 3.0 + 5.0  # far for a direction that varies by a tenth
    assert float(familiarity(off)) > 2.0


def test_a_few_pictures_of_one_camera_keep_the_directions(familiarity: Familiarity) -> None:
    narrow = usual(6, 2)[:1] + 0.05 * usual(6, 3)
    own = Familiarity.fit(narrow, familiarity)
    assert own is not None
    torch.testing.assert_close(own.directions, familiarity.directions)
    assert bool((own(narrow) < 1).all())
    nearby = usual(6, 2)[:1] + 0.05 * usual(50, 4)
    assert float((own(nearby) < 1).float().mean()) > 0.8
    assert bool((own(usual(50, 5, offset=20.0)) > 1).all())


def test_too_few_pictures_or_the_same_one_tell_nothing(familiarity: Familiarity) -> None:
    assert Familiarity.fit(usual(17, 0)) is None
    one = usual(1, 0)
    assert Familiarity.fit(one.expand(100, -1)) is None
    own = Familiarity.fit(
        one.expand(100, -1), familiarity
    )  # of a training that began with a model
    assert own is not None
    assert float(own(one)) < 1
    assert Familiarity.fit(torch.rand(500, 16)) is None


def test_what_is_not_finite_does_not_count(familiarity: Familiarity) -> None:
    pooled = torch.cat([usual(4000, 0), torch.full((3, CHANNELS), torch.inf)])
    found = Familiarity.fit(pooled)
    assert found is not None
    torch.testing.assert_close(found.limit, familiarity.limit)


def test_features_are_pooled_over_the_picture() -> None:
    maps = torch.arange(2 * 3 * 2 * 4.0).view(2, 3, 2, 4)
    expected = torch.tensor([[3.5, 11.5, 19.5], [27.5, 35.5, 43.5]])
    torch.testing.assert_close(pool(maps), expected)
    torch.testing.assert_close(pool(maps.flatten(2).transpose(1, 2)), expected)


def test_a_checkpoint_keeps_it_and_one_without_says_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    network = load_checkpoint(tiny_model, folded=False)
    images, focal_px = torch.rand(2, 3, 48, 64), torch.tensor([50.0, 60.0])
    assert network.outputs == ('depth',)
    with pytest.raises(ValueError, match='got a network without strangeness, expected one that'):
        network.compute(['strangeness'], images, focal_px)
    pooled = pool(network.image_encoder(torch.rand(40, 3, 48, 64))[-1])
    familiarity = Familiarity.fit(pooled)
    save_checkpoint(network, tmp_path / 'knowing.safetensors', familiarity=familiarity)
    for folded in (True, False):
        loaded = load_checkpoint(tmp_path / 'knowing.safetensors', folded=folded)
        assert loaded.outputs == ('depth', 'strangeness')
        depth, strangeness = loaded.compute(loaded.outputs, images, focal_px)
        torch.testing.assert_close(depth, network(images, focal_px))
        assert familiarity is not None
        expected = familiarity(pool(network.image_encoder(images)[-1]))
        torch.testing.assert_close(strangeness, expected)
    other = Familiarity(7)
    save_checkpoint(network, tmp_path / 'other.safetensors', familiarity=other)
    with pytest.raises(ValueError, match='do not fit its configuration'):
        load_checkpoint(tmp_path / 'other.safetensors')
    save_checkpoint(loaded, tmp_path / 'again.safetensors')  # and a training goes on with it
    again = load_checkpoint(tmp_path / 'again.safetensors')
    assert again.familiarity is not None
    torch.testing.assert_close(again.familiarity.limit, familiarity.limit)
