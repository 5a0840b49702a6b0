"""Training losses on the logarithm of depth.

All but SILog, which BTS defines over a batch's pixels, are means over each picture's own valid
pixels and then over the pictures: a lidar's few points count as much as a full depth image.

Of several processes that train together, each gets the loss of all their pictures: dividing each
one's sums by its own count would weigh those of a process with few more.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from mirror_depth_ros.depth.range_cone import MIN_RADIUS_PX


def silog_loss(
    prediction: Tensor,
    truth: Tensor,
    valid: Tensor,
    *,
    alpha: float = 10.0,
    variance_focus: float = 0.85,
    may_be_empty: bool = False,
) -> Tensor:
    """Return the scale-invariant logarithmic loss over the valid pixels of a batch.

    ``alpha sqrt(mean d^2 - variance_focus (mean d)^2)`` with ``d = ln prediction - ln truth``
    (Eigen et al., 2014, in the form of BTS, Lee et al., 2019).

    :param prediction: positive metres, any shape.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :param may_be_empty: give 0 where nothing is valid, in place of an error.
    :raises ValueError: if nothing is valid.
    """
    d = _log_ratio(prediction, truth, valid)
    mean, mean_square = _means(valid, d, d * d, may_be_empty=may_be_empty)
    # The small constant keeps the square root's gradient finite for a perfect prediction.
    return alpha * torch.sqrt(mean_square - variance_focus * mean**2 + 1e-8)


def log_l1_loss(
    prediction: Tensor, truth: Tensor, valid: Tensor, *, may_be_empty: bool = False
) -> Tensor:
    """Return the mean of ``|ln prediction - ln truth|``, picture by picture.

    Close to the mean relative error, and unlike :func:`silog_loss` not ruled by the few pixels
    where near things stand before the sky.

    :param prediction: positive metres, ``[B, ...]``.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :param may_be_empty: give 0 where nothing is valid, in place of an error.
    :raises ValueError: if nothing is valid.
    """
    d = _log_ratio(prediction, truth, valid)
    return mean_of_pictures(d.abs(), valid, may_be_empty=may_be_empty)


def relative_loss(
    prediction: Tensor, truth: Tensor, valid: Tensor, *, may_be_empty: bool = False
) -> Tensor:
    """Return the mean of ``|prediction - truth| / truth``, picture by picture: Abs Rel.

    It punishes too far more than too near, so it is for the end of a training.

    :param prediction: positive metres, ``[B, ...]``.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :param may_be_empty: give 0 where nothing is valid, in place of an error.
    :raises ValueError: if nothing is valid.
    """
    d = _log_ratio(prediction, truth, valid).clamp(max=3.0)  # 20 times too far is far enough
    return mean_of_pictures(torch.expm1(d).abs(), valid, may_be_empty=may_be_empty)


def gradient_loss(prediction: Tensor, truth: Tensor, valid: Tensor, *, scales: int = 4) -> Tensor:
    """Return how much the steps from pixel to pixel differ, at several scales.

    The mean of ``|d_x| + |d_y|`` of ``d = ln prediction - ln truth``, at every pixel, every second
    and so on (MegaDepth, Li and Snavely, 2018, as MiDaS has it). It asks for edges where the truth
    has them and for surfaces without steps, whatever their scale.

    :param prediction: positive metres, ``[B, 1, H, W]``.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :param scales: how often the resolution is halved, and once more.
    """
    d = _log_ratio(prediction, truth, valid)
    total = d.new_zeros(())
    for step in (2**k for k in range(scales)):
        e, known = d[..., ::step, ::step], valid[..., ::step, ::step]
        for axis in (-1, -2):
            n = e.shape[axis] - 1
            both = known.narrow(axis, 1, n) & known.narrow(axis, 0, n)
            steps = (e.narrow(axis, 1, n) - e.narrow(axis, 0, n)).abs() * both
            # Whatever is valid here: of several processes, all must come by the same sums.
            total = total + mean_of_pictures(steps, both, may_be_empty=True)
    return total / scales


def laplace_loss(
    prediction: Tensor, scale: Tensor, truth: Tensor, valid: Tensor, *, may_be_empty: bool = False
) -> Tensor:
    """Return the negative log likelihood of a Laplace distribution over log depth.

    ``ln(2 b) + |ln prediction - ln truth| / b``. Only ``b`` learns from it: were the depth to, it
    would learn least where it is worst (Seitzer et al., "On the Pitfalls of Heteroscedastic
    Uncertainty Estimation", 2022).

    :param prediction: positive metres, ``[B, ...]``.
    :param scale: ``b``, the mean ``|ln prediction - ln truth|`` to expect, same shape.
    :param truth: positive metres where ``valid``, same shape.
    :param valid: bool, same shape.
    :param may_be_empty: as of the others.
    :raises ValueError: if nothing is valid.
    """
    error = _log_ratio(prediction.detach(), truth, valid).abs()
    value = ((2 * scale).log() + error / scale) * valid
    return mean_of_pictures(value, valid, may_be_empty=may_be_empty)


def range_loss(depth: Tensor, rays: Tensor, cones: Tensor, focal_px: Tensor) -> Tensor:
    """Return how far off depth is by range sensors, ``|ln measured - ln depth|``.

    A sensor has one number for all of its cone, so it says by which factor depth is off there, see
    :class:`.RangeCone`, and nothing of its shape: that factor's gradient is shared by all pixels.
    A cone that is not all within the picture does not count.

    :param depth: metres along Z, ``[B, 1, h, w]``.
    :param rays: the viewing rays of its pixels, ``(x/z, y/z)``, ``[B, 2, h, w]``.
    :param cones: of :func:`.cone_rows`, ``[B, K, 9]``.
    :param focal_px: at that size [pixels], ``[B]``.
    """
    directions = torch.cat([rays, torch.ones_like(depth)], dim=1)  # [B, 3, h, w]
    log_depth, errors = depth[:, 0].log(), []
    for cone in cones.unbind(dim=1):
        centre, axis, distance, slope, quantile = cone.split((3, 3, 1, 1, 1), dim=1)
        along = torch.einsum('bihw,bi->bhw', directions, axis)
        surface = (centre * axis).sum(dim=1)[:, None, None] / along  # [B, h, w]
        off_axis = (surface[:, None] * directions - centre[..., None, None]).norm(dim=1)
        radius = distance[:, 0] * slope[:, 0].maximum(MIN_RADIUS_PX / focal_px)
        in_cone = (surface > 0) & (off_axis <= radius[:, None, None])  # nowhere, of NaN
        for inside, measured, estimated, level in zip(in_cone, surface, log_depth, quantile):
            if _touches_edge(inside):  # what was measured may be in the part that is not seen
                continue
            ratios = measured[inside].log() - estimated[inside]
            if len(ratios):
                factor, mean = ratios.detach().quantile(level.item()), ratios.mean()
                errors.append((factor + mean - mean.detach()).abs())
    count = torch.tensor(len(errors), device=depth.device)
    # From the graph without a cone, too: of several processes, all must go back through it.
    total, count = _totals(sum(errors, (0 * depth).sum()), count, may_be_empty=True)
    return total / count.clamp(min=1)


def _touches_edge(inside: Tensor) -> bool:
    return bool(inside[[0, -1]].any() or inside[:, [0, -1]].any())


def _log_ratio(prediction: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return ``ln prediction - ln truth``, 0 where that is not valid."""
    # Ones in place of what is not valid: gathering pixels would cost far more.
    return torch.log(torch.where(valid, prediction, 1.0)) - torch.log(
        torch.where(valid, truth, 1.0)
    )


def _means(valid: Tensor, *values: Tensor, may_be_empty: bool) -> tuple[Tensor, ...]:
    """Return means over the valid pixels of all processes; values are 0 elsewhere."""
    sums = (value.sum() for value in values)
    *totals, count = _totals(*sums, valid.sum(), may_be_empty=may_be_empty)
    return tuple(total / count.clamp(min=1) for total in totals)


def mean_of_pictures(value: Tensor, valid: Tensor, *, may_be_empty: bool = False) -> Tensor:
    """Return the mean over all processes' pictures of each one's mean; values are 0 elsewhere.

    A picture without a valid pixel does not count.

    :param may_be_empty: give 0 where no picture counts, in place of an error.
    """
    pixels = valid.flatten(1).sum(dim=1)  # [B]
    means = value.flatten(1).sum(dim=1) / pixels.clamp(min=1)
    total, count = _totals(means.sum(), (pixels > 0).sum(), may_be_empty=may_be_empty)
    return total / count.clamp(min=1)


def _totals(*sums: Tensor, may_be_empty: bool = False) -> tuple[Tensor, ...]:
    """Return sums over all processes, the last of which counts.

    :raises ValueError: if that is 0 and must not be.
    """
    stacked = torch.stack([total.to(sums[0].dtype) for total in sums])
    # Validation has as many images as there are, which processes need not share evenly: one would
    # wait for ever for the others' last.
    if torch.is_grad_enabled() and dist.is_available() and dist.is_initialized():
        stacked = _SumOfProcesses.apply(stacked)
    if not may_be_empty and not stacked[-1]:
        raise ValueError('got a batch without valid depth, expected some; check the ground truth')
    return tuple(stacked)


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
