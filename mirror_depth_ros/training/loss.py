"""Training losses on the logarithm of depth."""

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
    d, count = _log_ratio(prediction, truth, valid)
    mean, mean_square = d.sum() / count, (d * d).sum() / count
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
    d, count = _log_ratio(prediction, truth, valid)
    return d.abs().sum() / count


def relative_loss(prediction: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return the mean of ``|prediction - truth| / truth`` over the valid pixels: Abs Rel.

    It punishes too far more than too near, so it is for the end of a training.

    :param prediction: positive metres, any shape.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :raises ValueError: if nothing is valid.
    """
    d, count = _log_ratio(prediction, truth, valid)
    return torch.expm1(d.clamp(max=3.0)).abs().sum() / count  # 20 times too far is far enough


def _log_ratio(prediction: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``ln prediction - ln truth``, 0 where that is not valid, and how many are valid."""
    if not valid.any():
        raise ValueError('got a batch without valid depth, expected some; check the ground truth')
    # Ones in place of what is not valid: gathering pixels would cost far more.
    d = torch.log(torch.where(valid, prediction, 1.0)) - torch.log(torch.where(valid, truth, 1.0))
    return d, valid.sum()


#: Losses by the name that recipes give them.
LOSSES = {'silog': silog_loss, 'log_l1': log_l1_loss, 'relative': relative_loss}
