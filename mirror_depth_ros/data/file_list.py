"""File lists as BTS introduced them, ``rgb depth focal`` a line, and the files they name."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: The parts of a data set that was made for training and testing.
SPLITS = ('train', 'test')

_NO_DEPTH = 'None'


@dataclass(frozen=True)
class ListedFrame:
    """One line of a file list."""

    #: The photograph, relative to one of the data set's folders.
    rgb: str
    #: Its depth image, likewise; None where there is none.
    depth: str | None
    #: Focal length that the line gives [pixels].
    focal_px: float
    #: Where the line is, for errors.
    origin: str


def read_file_list(path: str | os.PathLike[str]) -> list[ListedFrame]:
    """Read a file list; a leading slash of a path means nothing, depth may be ``None``.

    :raises FileNotFoundError: if there is no such file.
    :raises ValueError: naming the line that is malformed, or for a list without lines.
    """
    try:
        lines = Path(path).read_text(encoding='utf-8-sig').splitlines()  # a BOM is no path
    except FileNotFoundError as error:
        raise FileNotFoundError(f'got {path}, expected a file list; check the path') from error
    except UnicodeDecodeError as error:
        raise ValueError(f'got {path}, expected lines of text: {error}') from error
    numbered = [(f'{path}, line {i}', line) for i, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise ValueError(f'got no lines in {path}, expected "rgb depth focal" in each')
    return [_parse(line, origin) for origin, line in numbered]


def first_file(candidates: Iterable[Path], origin: str) -> Path:
    """Return the first path that is a file.

    :param origin: what names the file, for the error.
    :raises FileNotFoundError: if none is, naming all.
    """
    tried = list(candidates)
    for path in tried:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f'got no file {" or ".join(map(str, tried))} for {origin}, expected one of them; check '
        'the download, and the folder that was given'
    )


def check_split(split: str) -> None:
    """Refuse an unknown split.

    :raises ValueError: if it is none of :data:`SPLITS`.
    """
    if split not in SPLITS:
        raise ValueError(f'got split {split!r}, expected one of {", ".join(SPLITS)}')


def _parse(line: str, origin: str) -> ListedFrame:
    try:
        rgb, depth, focal = line.split()
        focal_px = float(focal)
        if not (math.isfinite(focal_px) and focal_px > 0):
            raise ValueError('no positive focal length')
    except ValueError as error:
        raise ValueError(
            f'got {line.strip()!r} in {origin}, expected "rgb depth focal": two paths and a '
            'positive focal length in pixels'
        ) from error
    depth_path = None if depth == _NO_DEPTH else depth.lstrip('/')
    return ListedFrame(rgb.lstrip('/'), depth_path, focal_px, origin)
