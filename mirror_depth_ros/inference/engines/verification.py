"""Whether an engine computes what the network does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mirror_depth_ros.inference.engines.backend import Engine
from mirror_depth_ros.model.confidence import confidence_of
from mirror_depth_ros.model.depth_network import DEPTH, LOG_SCALE, STRANGENESS, DepthNetwork

#: Largest relative error allowed: in fp32 of any pixel, in others of the mean pixel.
LIMITS = {'fp32': 1e-3, 'bf16': 1e-2, 'int8': 1e-2}

_SEED = 20260801


@torch.inference_mode()
def relative_error(
    engine: Engine, network: DepthNetwork, size: tuple[int, int], precision: str
) -> float:
    """Compare an engine with the network by PyTorch in fp32, on three random images.

    The first goes through the engine alone and the others as a batch, so that an engine that knows
    one size of batch only is found out.

    The error of a pixel is ``|p - g| / g``, where p is the engine's depth and g the network's; of
    confidence, which is a share already, it is ``|p - g|``; of an image's strangeness a tenth of
    ``|p - g| / g``, as it is only asked whether that is above 1. In fp32 the largest counts;
    in others the mean, as the rounding of single pixels is the format's own and PyTorch's the
    same. Of the outputs, the largest error counts.

    PyTorch does without TF32 meanwhile: it rounds factors to 10 bits, more than the limit.

    :param network: folded, in fp32.
    :param size: height and width of the images [pixels].
    :returns: that error; infinity for output of another shape, or that is not finite.
    """
    generator = torch.Generator().manual_seed(_SEED)
    device = next(network.parameters()).device
    images = torch.rand(3, 3, *size, generator=generator).to(device)
    # Uniform noise is the same grey everywhere to the deeper blocks: large patches, besides.
    coarse = torch.rand(3, 3, 5, 7, generator=generator).to(device)
    images = (images + 3 * torch.nn.functional.interpolate(coarse, size, mode='bilinear')) / 4
    focals = network.config.reference_focal_px * torch.tensor([0.8, 1.0, 1.3], device=device)
    parts = (images[:1], focals[:1]), (images[1:], focals[1:])
    errors = []
    with _without_tf32():
        expected = dict(zip(network.outputs, network.compute(network.outputs, images, focals)))
        for names in {(DEPTH,), network.outputs}:  # depth comes alone and with the others
            by_part = [engine.compute(names, *part) for part in parts]
            for name, *values in zip(names, *by_part):
                errors.append(_error(name, torch.cat(values), expected[name], precision))
    return max(errors)


def _error(name: str, found: Tensor, expected: Tensor, precision: str) -> float:
    """Return the error of an output of one shape, of the worst or of the mean number."""
    if name == LOG_SCALE:
        found, expected = confidence_of(found), confidence_of(expected)
    if found.shape != expected.shape or not bool(found.isfinite().all()):
        return float('inf')
    error = (found - expected).abs()
    if name != LOG_SCALE:
        error = error / expected
    if name == STRANGENESS:
        error = error / 10
    return float(error.max() if precision == 'fp32' else error.mean())


def verify(engine: Engine, network: DepthNetwork, size: tuple[int, int], precision: str) -> float:
    """Refuse an engine that computes something else than the network.

    :returns: the error, see :func:`relative_error`.
    :raises ValueError: naming it, if it is above that of :data:`LIMITS`.
    """
    error, limit = relative_error(engine, network, size, precision), LIMITS[precision]
    if not error <= limit:
        raise ValueError(
            f'got a relative error of {error:.2g} in {precision} against PyTorch in fp32 at '
            f'{size[0]} x {size[1]}, expected at most {limit:g}; use backend torch or precision '
            'fp32'
        )
    return error


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Have PyTorch compute fp32 as such; for convolutions on a GPU that is not its default."""
    settings: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = False
    try:
        yield
    finally:
        for setting, allowed in zip(settings, before):
            setting.allow_tf32 = allowed
