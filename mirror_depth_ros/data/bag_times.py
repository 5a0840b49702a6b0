"""When the messages of a recording were taken, and which of them belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Times(NamedTuple):
    """What finds a message again, and when it was measured."""

    #: The time in its header [ns].
    stamp_ns: int
    #: The time of its recording [ns].
    log_ns: int
    #: Its first and its last measurement after the time in its header [ns], of a lidar's turn.
    span_ns: tuple[int, int] = (0, 0)

    @property
    def middle_ns(self) -> int:
        """The middle of its measurements [ns]."""
        return self.stamp_ns + sum(self.span_ns) // 2


class Pair(NamedTuple):
    """Where one sample lies."""

    #: The image's number among all images of the recording, by stamp.
    number: int
    image: Times
    depth: Times
    #: The number of the image's camera.
    camera: int


def middles(entries: Sequence[Times]) -> NDArray[np.int64]:
    """Return the middle of each message's measurements [ns], ``[N]``."""
    return np.array([entry.middle_ns for entry in entries], np.int64)


def nearest(stamps: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return for each stamp the index of the nearest of the others, which are sorted, ``[N]``."""
    after = np.searchsorted(others, stamps).clip(max=len(others) - 1)
    before = (after - 1).clip(min=0)
    is_before = np.abs(stamps - others[before]) <= np.abs(stamps - others[after])
    return np.where(is_before, before, after)


def nanoseconds(seconds: float) -> int:
    """Return seconds in nanoseconds."""
    return round(seconds * 1e9)


def least_and_most(off_ns: NDArray[np.int64]) -> str:
    """Return the least and the greatest of some times as text [s]."""
    return f'{off_ns.min() / 1e9:.3f} to {off_ns.max() / 1e9:.3f}'
