"""The optimiser, learning-rate schedule and averaging that every training here uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def adamw_warmup_cosine(
    parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float, total_steps: int
) -> dict[str, Any]:
    """Return AdamW with 5 % linear warm-up and cosine decay, as Lightning wants it.

    Weight decay spares biases, norms and other vectors.
    """
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {'params': [p for p in trained if p.ndim >= 2], 'weight_decay': weight_decay},
        {'params': [p for p in trained if p.ndim < 2], 'weight_decay': 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=total_steps, pct_start=0.05, cycle_momentum=False
    )
    return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}


def warmed_up_average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
    """Return the next exponential moving average of a weight, as ``AveragedModel`` wants it.

    The average reaches back over a tenth of the steps so far, at most over a thousand: it forgets
    the random start, and is worth looking at from the first hundred steps on.
    """
    decay = min(0.999, (1.0 + float(updates)) / (10.0 + float(updates)))
    return torch.lerp(current, averaged, decay)
