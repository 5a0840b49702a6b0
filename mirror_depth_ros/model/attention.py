"""Self-attention that takes a batch no longer than its images one by one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Lengths of a sequence at which plain products take a CPU less time in bf16 than its fused
# attention does (12 heads of 64: 4.1 ms against 5.8 at 485, 10 against 14 at 785); above, what
# lies between them no longer fits into the caches.
_PLAIN_LENGTHS = range(256, 1025)


class SelfAttention(nn.Module):
    """A ``torch.nn.MultiheadAttention`` of one sequence with itself, under its parameters' names.

    PyTorch's own hands its first matrix product the batch and the sequence exchanged. Where the
    weights ask for no gradient, as frozen ones do, a CPU then multiplies position by position,
    with a copy of the weights for each: in bf16, the built-in model took four times as long for
    four images in one batch as for the four one after the other.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        """Share the parameters of an attention over one width, the batch first."""
        super().__init__()
        self.num_heads: int = attention.num_heads
        self.in_proj_weight = attention.in_proj_weight
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """Return ``[B, N, C]`` for the same three times over, called as PyTorch's own is.

        :param need_weights: False; there are none to return.
        :param attn_mask: added to the logits, ``[N, N]``.
        """
        projected = nn.functional.linear(query, self.in_proj_weight, self.in_proj_bias)
        parts = projected.unflatten(-1, (3, self.num_heads, -1))  # [B, N, 3, heads, C / heads]
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # [B, heads, N, C / heads] each
        mixed = _attend(query, key, value, attn_mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Return the values mixed by attention, ``[B, heads, N, D]`` for the same three times over."""
    plain = (
        mask is None
        and query.device.type == 'cpu'
        and query.dtype == torch.bfloat16
        and query.shape[-2] in _PLAIN_LENGTHS
        and not torch.is_grad_enabled()
    )
    if not plain:
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    # Autocast would take the softmax to fp32.
    with torch.autocast('cpu', enabled=False):
        return logits.softmax(dim=-1) @ value
