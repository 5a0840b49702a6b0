"""What a network's second number means: how far off its depth is, and how sure that makes it."""

from __future__ import annotations

import math

from torch import Tensor

#: Depth counts as right up to this factor from the truth, as in the field's delta1.
RIGHT_WITHIN = 1.25

# Errors of 0.7 % to 7 times; beyond, a likelihood would be ruled by a few pixels.
_LOG_SCALE_RANGE = (-5.0, 2.0)


def laplace_scale(log_scale: Tensor) -> Tensor:
    """Return the scale b of the Laplace distribution over log depth that a network answers with.

    It is the mean of ``|ln depth - ln truth|`` to expect.

    :param log_scale: the network's second number, of any shape; see :meth:`.DepthNetwork.predict`.
    :returns: 0.0067 to 7.4, of the same shape.
    """
    return log_scale.clamp(*_LOG_SCALE_RANGE).exp()


def confidence_of(log_scale: Tensor) -> Tensor:
    """Return the probability that depth is right, of what a network says of its error.

    Under a Laplace distribution with the scale b over log depth, ``|ln depth - ln truth|`` is at
    most t with probability ``1 - exp(-t / b)``. Here t is ln 1.25: depth is between 4/5 and 5/4 of
    the truth. So the mean over pixels is the delta1 to expect of them.

    :param log_scale: as of :func:`laplace_scale`.
    :returns: 0.03 to 1 (1 = sure), of the same shape.
    """
    return 1 - (-math.log(RIGHT_WITHIN) / laplace_scale(log_scale)).exp()
