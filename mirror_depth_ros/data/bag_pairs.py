"""When the messages of a recording were taken, and which of them belong together."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import to_add
from mirror_depth_ros.depth.transforms import stamp_text

# So many of the images without depth are named one by one.
_NAMED = 10

_log = logging.getLogger(__name__)


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
    """An image and what one sensor measured of it."""

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


def nearest_in_time(
    reader: BagReader,
    image: str,
    depth: str,
    images: Sequence[Times],
    depths: Sequence[Times],
    tolerance_s: float,
) -> list[tuple[int, Times]]:
    """Return the numbers of the images that have depth, each with the depth nearest in time.

    Those that have none are named in the log.

    :param image: topic of the images.
    :param depth: topic of what measured depth.
    :param images: in the order of their time, as ``depths``.
    :raises ValueError: if no image has depth.
    """
    stamps, depth_stamps = middles(images), middles(depths)
    depth_of = nearest(stamps, depth_stamps)
    off_ns = np.abs(stamps - depth_stamps[depth_of])
    is_near = off_ns <= round(tolerance_s * 1e9)
    if not is_near.any():
        # Enough for most: at the recording's ends an image may have no depth at all.
        enough_s = math.ceil(np.percentile(off_ns, 90) / 1e6) / 1000
        raise ValueError(
            f'got no image on {image} with depth on {depth} within {tolerance_s} s '
            f'in {reader.path}: the nearest are {_range(off_ns)} s off, expected stamps of one '
            'clock; correct the stamps, or to allow that, '
            f'{to_add(reader, "tolerance_s", [f"{enough_s:.3f}"])}'
        )
    if not is_near.all():
        names = [stamp_text(entry.stamp_ns) for entry, near in zip(images, is_near) if not near]
        more = f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''
        _log.warning(
            'nothing on %s in %s goes with %d of the %d images on %s: not within %s s but %s s '
            'off (,tolerance_s= allows more): %s%s',
            *(depth, reader.path, len(names), len(images), image, tolerance_s),
            *(_range(off_ns[~is_near]), ', '.join(names[:_NAMED]), more),
        )
    return [(int(i), depths[int(depth_of[i])]) for i in np.flatnonzero(is_near)]


def with_messages(
    reader: BagReader, topic: str, pairs: Iterable[Pair]
) -> Iterator[tuple[Any, Pair]]:
    """Yield what a sensor measured, with each pair that takes it, in one pass.

    :param topic: the sensor's.
    """
    waiting: dict[tuple[int, int], list[Pair]] = {}
    for pair in pairs:
        waiting.setdefault((pair.depth.stamp_ns, pair.depth.log_ns), []).append(pair)
    for _, log_ns, message in reader.messages({topic}):
        for pair in waiting.pop((stamp_of(message), log_ns), ()):
            yield message, pair


def _range(off_ns: NDArray[np.int64]) -> str:
    """Return the least and the greatest of some times as text [s]."""
    return f'{off_ns.min() / 1e9:.3f} to {off_ns.max() / 1e9:.3f}'
