"""Self-attention against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mirror_depth_ros.model.attention import SelfAttention


@pytest.fixture
def attention() -> nn.MultiheadAttention:
    torch.manual_seed(3)
    attention = nn.MultiheadAttention(15, 3, batch_first=True).eval()
    nn.init.normal_(attention.in_proj_bias)  # zero at first
    return attention


def test_equals_pytorchs(attention: nn.MultiheadAttention) -> None:
    x = torch.randn(4, 7, 15)
    expected = attention(x, x, x, need_weights=False)[0]
    torch.testing.assert_close(SelfAttention(attention)(x, x, x)[0], expected)


def test_a_mask_is_added_to_the_logits(attention: nn.MultiheadAttention) -> None:
    x = torch.randn(2, 7, 15)
    mask = torch.full((7, 7), float('-inf')).triu(1)
    expected = attention(x, x, x, need_weights=False, attn_mask=mask)[0]
    taken = SelfAttention(attention)(x, x, x, need_weights=False, attn_mask=mask)[0]
    torch.testing.assert_close(taken, expected)
    assert not torch.allclose(taken, SelfAttention(attention)(x, x, x)[0])


@pytest.mark.parametrize('n_tokens', [255, 256, 301, 1024, 1025])
def test_in_bf16_products_equal_the_fused_attention(n_tokens: int) -> None:
    torch.manual_seed(4)
    attention = SelfAttention(nn.MultiheadAttention(24, 3, batch_first=True)).eval()
    x = torch.randn(2, n_tokens, 24)
    with torch.inference_mode():
        expected = attention(x, x, x)[0]
        taken = attention.bfloat16()(*[x.bfloat16()] * 3)[0]
        with torch.autocast('cpu', torch.bfloat16):
            cast = attention(x, x, x)[0]
    assert taken.dtype == cast.dtype == torch.bfloat16
    for found in (taken, cast):
        torch.testing.assert_close(found.float(), expected, atol=6e-3, rtol=0.05)


def test_parameters_are_shared_under_their_names(attention: nn.MultiheadAttention) -> None:
    before = dict(attention.named_parameters())
    after = dict(SelfAttention(attention).named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_a_frozen_one_does_not_multiply_each_position_by_itself(
    attention: nn.MultiheadAttention,
) -> None:
    attention.requires_grad_(False)
    x = torch.randn(4, 7, 15)

    def products(module: nn.Module) -> set[str]:
        with torch.inference_mode(), torch.profiler.profile() as profile:
            module(x, x, x, need_weights=False)
        return {event.key for event in profile.key_averages()} & {'aten::addmm', 'aten::bmm'}

    assert 'aten::bmm' in products(attention)  # once that is over, so may be SelfAttention
    assert products(SelfAttention(attention)) == {'aten::addmm'}
