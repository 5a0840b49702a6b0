"""Data sets of which some files are missing or damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mirror_depth_ros.data.lazy_sequence import LazySequence
from mirror_depth_ros.data.sample import DepthSample


@dataclass(frozen=True)
class Broken:
    """A sample that cannot be opened."""

    name: str
    #: Why; it names the file.
    error: str


def open_each(
    samples: LazySequence[DepthSample], order: Iterable[int], *, broken: list[Broken] | None = None
) -> Iterator[DepthSample]:
    """Open samples one after the other.

    :param order: numbers of the samples to open.
    :param broken: is given those that cannot be opened, which are passed over; without it, the
        first of them is an error.
    :raises OSError: or another error that names the file, for a sample that cannot be opened.
    :raises ValueError: likewise; and at the end, if all samples were passed over.
    """
    opened = 0
    for index in order:
        try:
            sample = samples[index]
        except (OSError, ValueError) as error:
            if broken is None:
                raise
            broken.append(Broken(samples.name_of(index), str(error)))
            continue
        opened += 1
        yield sample
    if broken and not opened:
        raise ValueError(
            f'got {len(broken)} samples and none that can be opened, expected at least one; the '
            f'first says: {broken[0].error}'
        )
