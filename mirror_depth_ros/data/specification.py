"""Data sets by name: ``KIND:WHERE``, as the command line takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.kitti import KittiFolder
from mirror_depth_ros.data.nyu import NyuFolder, NyuMat
from mirror_depth_ros.data.sample import DepthSample, LazySequence, Selection

#: What can be named, for help and errors.
FORMS = (
    'nyu:FOLDER, nyu:FILE.mat, kitti:FOLDER, bag:FOLDER, frames:FOLDER, or a part of one such as '
    'frames:FOLDER[:80%]'
)

# No topic has a comma in its name, and what is no option may belong to the folder's.
_OPTIONS = re.compile(r'(?P<path>.+?)(?P<options>(?:,[A-Za-z_]+=[^,]*)+)')
_OPTION_NAMES = (
    *('image', 'depth', 'camera_info', 'lidar', 'range', 'floor', 'motion', 'frame_id'),
    *('odom_frame', 'odometry', 'tolerance_s'),
)

# Of BagFrames, where they have another name there.
_ARGUMENTS = {'range': 'range_sensor'}

# As in TensorFlow Datasets: numbers or percentages, negative ones counted from the end.
_PERCENTAGE = r'(?:100(?:\.0+)?|[0-9]{1,2}(?:\.[0-9]+)?)%'
_BOUND = rf'(-?{_PERCENTAGE}|-?[0-9]+|)'
_PART = re.compile(rf'\[{_BOUND}:{_BOUND}\]')
_BRACKETS = re.compile(r'(?P<whole>.+)(?P<part>\[[^\[\]]*\])')


@dataclass(frozen=True)
class DataSet:
    """Samples, and how they are usually evaluated."""

    samples: LazySequence[DepthSample]
    #: A name in :data:`mirror_depth_ros.depth.eval_protocols.PROTOCOLS`.
    protocol: str
    #: How many of its images have no true depth (without any: nothing else either) and were left
    #: out; of a part, those of the whole.
    left_out: int = 0
    #: Whether more is known of its images than depth: where they were taken, or a range sensor's
    #: measurement.
    has_hints: bool = False
    #: Makes the rows of a table that says what is used of it.
    describe: Callable[[], list[tuple[str, str]]] = list


def open_data(specification: str, *, split: str = 'test', needs_depth: bool = True) -> DataSet:
    """Open a data set, or a part of it.

    A part is written behind, as ``[FROM:TO]``: see :func:`part_bounds`. It is one of the samples
    in their order; in recordings, of those of which anything is known with these options, so that
    with the same ones a part is the same images, to learn from or to measure on. A file or folder
    whose own name ends in such brackets is opened whole.

    Between a recording and its part may stand arguments of :class:`BagFrames`, such as
    ``bag:FOLDER,image=/left/image,tolerance_s=0.04[80%:]``.

    :param specification: one of :data:`FORMS`.
    :param split: ``train`` or ``test``; recordings and frame folders have no splits and are given
        whole.
    :param needs_depth: leave out images of which only motion, or a range sensor's measurement, is
        known.
    :raises ValueError: for another form, a folder without images, or a part or an option that is
        none.
    :raises FileNotFoundError: for a file or folder that does not exist.
    """
    kind, _, where = specification.partition(':')
    brackets = _BRACKETS.fullmatch(where)
    if brackets is None or Path(where).exists():
        data = _open_whole(kind, where, specification, split=split)
        part = range(len(data.samples))
    else:
        _parse(brackets['part'])  # a typing error there should not cost the reading of a recording
        data = _open_whole(kind, brackets['whole'], specification, split=split)
        part = range(*part_bounds(brackets['part'], len(data.samples)))
    if needs_depth and kind == 'bag':  # other data sets say themselves which have none
        return _with_depth(data, part, specification)
    whole = len(part) == len(data.samples) and brackets is None
    return data if whole else replace(data, samples=Selection(data.samples, part))


def _with_depth(data: DataSet, part: range, specification: str) -> DataSet:
    """Return those images of a recording's part that have true depth.

    :raises ValueError: if there is none.
    """
    has_depth = [data.samples.has_depth(i) for i in range(len(data.samples))]
    numbers = [i for i in part if has_depth[i]]
    if not numbers:
        raise ValueError(
            f'got {specification}, of whose {len(part)} images none has depth, expected depth '
            'images or a lidar; record one too, or add ,depth=TOPIC or ,lidar=TOPIC'
        )
    left_out = data.left_out + has_depth.count(False)
    samples = data.samples if len(numbers) == len(has_depth) else Selection(data.samples, numbers)
    return replace(data, samples=samples, left_out=left_out)


def part_bounds(part: str, count: int) -> tuple[int, int]:
    """Return the number of a part's first sample, and that after its last.

    A percentage of the samples is rounded to the nearest sample, a half upwards, whichever side of
    the colon it stands on: ``[:80%]`` and ``[80%:]`` have every sample once, of any data set.

    :param part: ``[FROM:TO]``, each a number, a percentage or nothing; negative ones are counted
        from the end.
    :param count: how many samples the whole has.
    :raises ValueError: for another form, a bound beyond the whole, or a part without any sample.
    """
    texts = _parse(part)
    start, stop = (
        _bound(text, count) if text else default for text, default in zip(texts, (0, count))
    )
    if not (0 <= start <= count and 0 <= stop <= count):
        raise ValueError(
            f'got part {part} of {count} samples, expected bounds within them; take numbers up to '
            f'{count}, or percentages'
        )
    if start >= stop:
        raise ValueError(
            f'got part {part} of {count} samples, which is from {start} to {stop} and empty, '
            'expected at least one sample; take a larger part'
        )
    return start, stop


def _parse(part: str) -> tuple[str, str]:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(
            f'got part {part!r}, expected [FROM:TO] with numbers or percentages up to 100%, such '
            'as [:80%], [80%:] or [10:20]; correct it, or the path if that ends so'
        )
    return match[1], match[2]


def _bound(text: str, count: int) -> int:
    """Return a number or percentage as a number counted from the beginning."""
    is_from_the_end = text.startswith('-')
    if not text.endswith('%'):
        return int(text) + count * is_from_the_end
    # Fractions: 0.1% of 500 is a half exactly, and 20% from the end is 80% from the beginning.
    fraction = Fraction(text.removesuffix('%')) / 100 + is_from_the_end
    return floor(fraction * count + Fraction(1, 2))


def _recording_options(where: str) -> tuple[str, dict[str, Any]]:
    """Return the path of a recording, and what stands behind it as arguments."""
    match = _OPTIONS.fullmatch(where)
    if match is None or Path(where).exists():
        return where, {}
    path, written = match['path'], match['options']
    brackets = _BRACKETS.fullmatch(path)
    if brackets is not None and not Path(path).exists():
        raise ValueError(
            'got a part before the options of a recording, expected it behind them; write '
            f'bag:{brackets["whole"]}{written}{brackets["part"]}'
        )
    options: dict[str, Any] = {}
    for name, _, value in (option.partition('=') for option in written[1:].split(',')):
        if name not in _OPTION_NAMES:
            raise ValueError(
                f'got option {name!r} of a recording, expected one of {", ".join(_OPTION_NAMES)}; '
                f'correct bag:{where}'
            )
        if _ARGUMENTS.get(name, name) in options:
            raise ValueError(
                f'got option {name!r} of a recording twice, expected it once; correct bag:{where}'
            )
        if not value:
            raise ValueError(
                f'got no value for option {name!r} of a recording, expected one; correct '
                f'bag:{where}'
            )
        options[_ARGUMENTS.get(name, name)] = _VALUES.get(name, str)(value)
    return path, options


def _tolerance(value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ValueError(
            f'got tolerance_s={value!r}, expected seconds such as 0.04; correct it'
        ) from error


def _yes_or_no(value: str) -> bool:
    if value not in ('yes', 'no'):
        raise ValueError(f'got motion={value!r}, expected yes or no; correct it')
    return value == 'yes'


_VALUES: dict[str, Callable[[str], Any]] = {'tolerance_s': _tolerance, 'motion': _yes_or_no}


def _open_whole(kind: str, where: str, specification: str, *, split: str) -> DataSet:
    if not where:
        kind = ''
    if kind == 'nyu':
        reader = NyuMat if Path(where).suffix == '.mat' else NyuFolder
        return DataSet(reader(where, split=split), 'nyu')
    if kind == 'kitti':
        kitti = KittiFolder(where, split=split, with_truth_only=True)
        return DataSet(kitti, 'kitti_garg_full', kitti.left_out)
    if kind == 'bag':
        from mirror_depth_ros.data.bag import BagFrames

        path, options = _recording_options(where)
        frames = BagFrames(path, **options)
        protocol = 'outdoor' if frames.is_of_lidar else 'indoor'
        return DataSet(frames, protocol, frames.unmatched, frames.has_hints, frames.describe)
    if kind == 'frames':
        folder = FrameFolder(where)
        all_have_depth = all(map(folder.has_depth, range(len(folder))))
        return DataSet(folder, 'indoor', has_hints=not all_have_depth)
    raise ValueError(f'got data set {specification!r}, expected {FORMS}')
