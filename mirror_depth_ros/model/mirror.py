"""The mirror: a learnable prompt in CLIP's own embedding space, and FiLM, which it acts by.

Where a human would write "how far is this location from the camera?", a matrix of token embeddings
is learned that no word maps to (Kim et al., "CLIP Can Understand Depth").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Mirror(nn.Module):
    """Token embeddings ``[tokens, width]`` that replace those of a sentence."""

    def __init__(self, tokens: int, width: int) -> None:
        """Start from the distribution of CLIP's own token embeddings (normal, std 0.02)."""
        super().__init__()
        self.embeddings = nn.Parameter(0.02 * torch.randn(tokens, width))

    def forward(self) -> Tensor:
        """Return the prompt, ``[tokens, width]``."""
        return self.embeddings


class Film(nn.Module):
    """Two linear maps from the condition vector to a scale and a shift per feature.

    Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer" (2018).
    """

    def __init__(self, condition_dim: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Linear(condition_dim, width)
        self.shift = nn.Linear(condition_dim, width)
        nn.init.ones_(self.scale.bias)  # starts near the identity

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift, ``[width]`` each, for a condition ``[condition_dim]``."""
        return self.scale(condition), self.shift(condition)
