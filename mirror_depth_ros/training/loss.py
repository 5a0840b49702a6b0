"""Training losses on the logarithm of depth.

Of several processes that train together, each gets the loss of all their pixels: dividing each
one's sums by its own count of valid pixels would weigh the pixels of a process with few more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


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
    d = _log_ratio(prediction, truth, valid)
    mean, mean_square = _means(valid, d, d * d)
    # The small constant keeps the square root's gradient finite for a perfect prediction.
    return alpha * torch.sqrt(mean_square - variance_focus * mean**2 + 1e-8)


def log_l1_loss(prediction: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return the mean of ``|ln prediction - ln truth|`` over the valid pixels of a batch.

    Close to the mean relative error, and unlike :func:`silog_loss` not ruled by the few pixels
    where near things stand before the sky.

    :param prediction: positive metres, any shape.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :raises ValueError: if nothing is valid.
    """
    (mean,) = _means(valid, _log_ratio(prediction, truth, valid).abs())
    return mean


def relative_loss(prediction: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return the mean of ``|prediction - truth| / truth`` over the valid pixels: Abs Rel.

    It punishes too far more than too near, so it is for the end of a training.

    :param prediction: positive metres, any shape.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :raises ValueError: if nothing is valid.
    """
    d = _log_ratio(prediction, truth, valid).clamp(max=3.0)  # 20 times too far is far enough
    (mean,) = _means(valid, torch.expm1(d).abs())
    return mean


def _log_ratio(prediction: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return ``ln prediction - ln truth``, 0 where that is not valid."""
    # Ones in place of what is not valid: gathering pixels would cost far more.
    return torch.log(torch.where(valid, prediction, 1.0)) - torch.log(
        torch.where(valid, truth, 1.0)
    )


def _means(valid: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Return means over the valid pixels of all processes; values are 0 elsewhere."""
    sums = torch.stack([value.sum() for value in values] + [valid.sum().to(values[0].dtype)])
    if dist.is_available() and dist.is_initialized():
        sums = _SumOfProcesses.apply(sums)
    *totals, count = sums
    if not count:
        raise ValueError('got a batch without valid depth, expected some; check the ground truth')
    return tuple(total / count for total in totals)


class _SumOfProcesses(torch.autograd.Function):
    """A sum over processes whose gradient is their gradients' sum; DDP then takes the mean."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.clone()
        dist.all_reduce(total)
        return total


#: Losses by the name that recipes give them.
LOSSES = {'silog': silog_loss, 'log_l1': log_l1_loss, 'relative': relative_loss}
