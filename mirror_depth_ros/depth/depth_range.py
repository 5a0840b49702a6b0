"""What a depth image says where depth is nearer or farther than a camera is trusted for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: The ways to mark depth out of range.
OUT_OF_RANGE = ('inf', 'nan', 'clamp')


def apply_range(
    depth: NDArray[np.float32], *, min_range: float, max_range: float, out_of_range: str = 'inf'
) -> NDArray[np.float32]:
    """Return depth with what lies out of range marked.

    ``inf`` is what REP-117 asks for: too close is -Inf, too far +Inf. Only with it can a reader
    tell both from NaN, «no measurement». ``nan`` is for readers that take infinity for a place,
    ``clamp`` for those that cannot do with NaN either; a clamped depth is a bound, no measurement.

    :param depth: metres along Z, ``[H, W]``.
    :param min_range: nearer depths become -Inf, NaN or this [m].
    :param max_range: farther depths become +Inf, NaN or this [m].
    :param out_of_range: one of :data:`OUT_OF_RANGE`.
    :returns: a new array; NaN stays NaN.
    :raises ValueError: for another ``out_of_range``.
    """
    if out_of_range == 'clamp':
        return np.clip(depth, np.float32(min_range), np.float32(max_range))
    if out_of_range not in OUT_OF_RANGE:
        raise ValueError(
            f'got out_of_range {out_of_range!r}, expected one of {", ".join(OUT_OF_RANGE)}; '
            'correct the name'
        )
    too_far, too_close = (np.inf, -np.inf) if out_of_range == 'inf' else (np.nan, np.nan)
    ranged = depth.copy()
    # copyto takes the same time however much is marked; assigning through a mask takes more.
    np.copyto(ranged, too_far, where=depth > max_range)
    np.copyto(ranged, too_close, where=depth < min_range)
    return ranged
