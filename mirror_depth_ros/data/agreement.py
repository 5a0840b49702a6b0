"""How well two measurements of the same images' depth agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.sample import DepthSample, LazySequence, open_each


def describe_agreement(
    samples: Sequence[DepthSample], others: LazySequence[DepthSample]
) -> str | None:
    """Say how large depths are against others of the same images, pixel by pixel.

    A median other than 1 is a systematic difference, as of a wrong transform or unit; a wide range
    is one of direction or time.

    :param others: of which those of the same names count.
    :returns: None where no pixel has both.
    """
    by_name = {sample.name: sample for sample in samples}
    shared = [i for i in range(len(others)) if others.name_of(i) in by_name]
    opened = open_each(others, shared, broken=[])  # whether all can be opened is not the question
    try:
        ratios = [_ratios(by_name[other.name], other) for other in opened]
    except ValueError:  # none can, as depth of another size than its images
        return None
    known = np.concatenate([np.zeros(0, np.float32), *ratios])
    if not len(known):
        return None
    low, middle, high = np.percentile(known, (10, 50, 90))
    return f'median {middle:.2f}, {low:.2f} to {high:.2f} for 80 % of {len(known)} pixels'


def _ratios(sample: DepthSample, other: DepthSample) -> NDArray[np.float32]:
    """Return the ratio of depths where both are known, ``[N]``."""
    if sample.depth is None or other.depth is None:
        return np.zeros(0, np.float32)
    with np.errstate(invalid='ignore'):  # the sky by the sky
        ratio = sample.depth / other.depth
    return ratio[np.isfinite(ratio)]
