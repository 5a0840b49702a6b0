"""How unlike the pictures that a network was trained on another one is, as its CLIP sees it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Directions in which the training's pictures differ most, which are looked at one by one.
_DIRECTIONS = 16
# What share of the training's own pictures may lie beyond the limit.
_BEYOND = 0.01
# For a few pictures of one camera, whose next ones differ from them by more than they from each
# other (measured, see docs/results.md).
_MARGIN = 1.3
# Of one picture again and again, no other is farther; one of the same camera may be, by a part of
# what the network's own pictures differ by.
_LEAST_BEYOND = 0.4
# Coordinates that differ by less are the same, rounded.
_SAME = 1e-6


class Familiarity(nn.Module):
    """A Gaussian over what the frozen CLIP's deepest tap holds, on average over a picture.

    The Mahalanobis distance in the directions in which the training's pictures differ most, and
    the length of what lies in none of them (Lee et al., NeurIPS 2018; the latter after ViM, Wang
    et al., CVPR 2022), which weighs as much as half of the former together.
    """

    mean: Tensor
    directions: Tensor
    centre: Tensor
    whitening: Tensor
    limit: Tensor

    def __init__(self, channels: int, directions: int = _DIRECTIONS) -> None:
        """Make room for what :meth:`fit` finds, or for what a checkpoint holds.

        :param channels: of the deepest tap.
        """
        super().__init__()
        self.register_buffer('mean', torch.zeros(channels))
        self.register_buffer('directions', torch.zeros(channels, directions))
        self.register_buffer('centre', torch.zeros(directions + 1))
        self.register_buffer('whitening', torch.eye(directions + 1))
        self.register_buffer('limit', torch.ones(()))

    @classmethod
    @torch.no_grad()
    def fit(cls, pooled: Tensor, base: Familiarity | None = None) -> Familiarity | None:
        """Learn what is usual.

        :param pooled: :func:`pool` of the training's pictures, ``[N, C]``.
        :param base: of the network that the training began with. Its directions stay, and pictures
            may differ as its own do, and as these do: a few of one camera do not tell.
        :returns: None for too few pictures, or none that differ, to tell anything.
        """
        pooled = pooled[pooled.isfinite().all(dim=1)].double()
        fitted = cls(pooled.shape[1])
        if base is not None:
            fitted.load_state_dict(base.state_dict())
        elif len(pooled) <= _DIRECTIONS + 1 or pooled.shape[1] <= _DIRECTIONS:
            return None
        fitted.double()
        if base is None:
            fitted.mean.copy_(pooled.mean(dim=0))
            _, _, axes = torch.linalg.svd(pooled - fitted.mean, full_matrices=False)
            fitted.directions.copy_(axes[:_DIRECTIONS].T)
        coordinates = fitted.coordinates(pooled)  # [N, K + 1]
        fitted.centre.copy_(coordinates.mean(dim=0))
        spread = coordinates - fitted.centre
        if base is None and spread.abs().max() < _SAME:
            return None  # one picture again and again
        covariance = spread.T @ spread / len(spread)
        covariance += 1e-6 * covariance.trace() * torch.eye(len(covariance)).to(covariance)
        if base is None:
            # What lies in no direction is one number in place of many that vary together.
            covariance[-1, :] = covariance[:, -1] = 0.0
            covariance[-1, -1] = 4.0 / _DIRECTIONS * spread[:, -1].square().mean()
        else:
            inverse = base.whitening.double() @ base.whitening.double().T
            covariance += inverse.inverse()
        fitted.whitening.copy_(torch.linalg.cholesky(covariance.inverse()))
        fitted.limit.fill_(1.0)
        beyond = torch.quantile(fitted(pooled), 1.0 - _BEYOND)
        fitted.limit.copy_(beyond if base is None else _MARGIN * beyond.clamp(min=_LEAST_BEYOND))
        return fitted.float()

    def coordinates(self, pooled: Tensor) -> Tensor:
        """Return the parts along the directions, and the length of the rest, ``[N, K + 1]``."""
        off = pooled - self.mean
        along = off @ self.directions
        rest = off - along @ self.directions.T
        return torch.cat([along, rest.square().sum(dim=1, keepdim=True).sqrt()], dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the strangeness of pictures, ``[N]``: above 1, hardly one of the training's is.

        :param pooled: :func:`pool` of them, ``[N, C]``.
        """
        whitened = (self.coordinates(pooled) - self.centre) @ self.whitening
        return whitened.square().sum(dim=1).sqrt() / (math.sqrt(_DIRECTIONS + 1) * self.limit)


def pool(tap: Tensor) -> Tensor:
    """Return the mean over a picture of its features, ``[B, C]``.

    :param tap: of a ViT ``[B, N, C]``, of a convolutional tower ``[B, C, h, w]``.
    """
    return tap.float().mean(dim=(2, 3) if tap.ndim == 4 else 1)
