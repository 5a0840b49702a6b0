"""Shapes and the order of the decoder, and FiLM against its formula."""

from __future__ import annotations

import pytest
import torch

from mirror_depth_ros.model.decoder import Decoder, Expansion, PatchPositions
from mirror_depth_ros.model.mirror import Film


def make_decoder(**changes: object) -> Decoder:
    options = {
        'taps': 2,
        'feature_dim': 12,
        'width': 8,
        'heads': 2,
        'mlp_width': 16,
        'patch_size': 16,
        'film_every_tap': False,
    }
    return Decoder(**{**options, **changes}).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize('patch_size', [8, 16, 32])
def test_one_logit_per_pixel(patch_size: int) -> None:
    features = [torch.rand(2, 15, 12) for _ in range(2)]
    scale, shift = torch.ones(8), torch.zeros(8)
    logits = make_decoder(patch_size=patch_size)(features, scale, shift, (3, 5))
    assert logits.shape == (2, 1, 3 * patch_size, 5 * patch_size)


@pytest.mark.parametrize('patch_size', [8, 16])
def test_expansion_equals_the_transposed_convolutions(patch_size: int) -> None:
    expansion = Expansion(6, patch_size)
    x = torch.randn(2, 6, 3, 5)
    expected = expansion.second(expansion.first(x).relu())
    torch.testing.assert_close(expansion(x), expected, atol=1e-6, rtol=1e-5)


def test_positions_span_the_trained_grid_and_go_beyond_it() -> None:
    positions = PatchPositions(18, (4, 6))
    with torch.no_grad():
        positions.linear.weight.copy_(torch.eye(18))
        positions.linear.bias.zero_()
    trained = positions((4, 6)).unflatten(0, (4, 6))  # rows first
    # patch centres: +-3/4 of half the height, +-5/6 of half the width
    torch.testing.assert_close(trained[0, 0, :2], torch.tensor([-3 / 4, -5 / 6]))
    torch.testing.assert_close(trained[3, 5, :2], torch.tensor([3 / 4, 5 / 6]))
    assert positions((2, 9))[-1, 1].item() == pytest.approx(
        8 / 6
    )  # a wider image sees farther out


def test_each_tap_has_its_blocks() -> None:
    assert [len(blocks) for blocks in make_decoder(blocks_per_tap=3).blocks] == [3, 3]


def test_film_is_scale_times_features_plus_shift() -> None:
    film = Film(condition_dim=2, width=1)
    with torch.no_grad():
        film.scale.weight.copy_(torch.tensor([[2.0, 0.0]]))
        film.shift.weight.copy_(torch.tensor([[0.0, 3.0]]))
        film.shift.bias.fill_(0.5)
    scale, shift = film(torch.tensor([5.0, 7.0]))
    assert scale.item() == 11.0  # 2 * 5 + 1, the bias starts at one
    assert shift.item() == 21.5  # 3 * 7 + 0.5


@pytest.mark.parametrize('every', [False, True])
def test_condition_enters_where_it_should(every: bool) -> None:
    decoder = make_decoder(film_every_tap=every)
    blind, seen = torch.zeros(1, 6, 12), torch.rand(1, 6, 12)
    # A condition that wipes out everything hides the first tap; the second only with FiLM there.
    zero = torch.zeros(8)
    different = (
        (decoder([blind, seen], zero, zero, (2, 3)) - decoder([blind, blind], zero, zero, (2, 3)))
        .abs()
        .max()
    )
    assert (different.item() == 0.0) is every


def test_refuses_patches_it_cannot_undo() -> None:
    with pytest.raises(ValueError, match='patch size of 14, expected a multiple of 4'):
        make_decoder(patch_size=14)
