"""The training loss."""

from __future__ import annotations

import torch
from torch import Tensor


def silog_loss(
    prediction: Tensor,
    truth: Tensor,
    valid: Tensor,
    *,
    alpha: float = 10.0,
    variance_focus: float = 0.85,
) -> Tensor:
    """Return the scale-invariant logarithmic loss over the valid pixels of a batch.

    ``alpha sqrt(mean d^2 - variance_focus (mean d)^2)`` with ``d = ln prediction - ln truth``
    (Eigen et al., 2014, in the form of BTS, Lee et al., 2019).

    :param prediction: positive metres, any shape.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :raises ValueError: if nothing is valid.
    """
    if not valid.any():
        raise ValueError('got a batch without valid depth, expected some; check the ground truth')
    # Ones in place of what is not valid: d is 0 there, and gathering pixels would cost far more.
    d = torch.log(torch.where(valid, prediction, 1.0)) - torch.log(torch.where(valid, truth, 1.0))
    count = valid.sum()
    mean, mean_square = d.sum() / count, (d * d).sum() / count
    # The small constant keeps the square root's gradient finite for a perfect prediction.
    return alpha * torch.sqrt(mean_square - variance_focus * mean**2 + 1e-8)
