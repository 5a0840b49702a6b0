"""Large arrays on disk, written and read row by row, and made by several processes at once.

They are never mapped into memory. Pages of a mapped file count as memory of the process that saw
them, so that a training seems to grow with its data set; and the system kills a process that
writes into a mapped file for which a full disk has no space.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LOCK = 'lock'


class RowFile:
    """A ``.npy`` file whose rows are read when they are asked for.

    No file stays open: it may be pickled, and shared with forked processes.

    :raises ValueError: for a file that is shorter than it says.
    """

    def __init__(self, path: Path) -> None:
        with path.open('rb') as file:
            np.lib.format.read_magic(file)
            self.shape, _, self.dtype = np.lib.format.read_array_header_1_0(file)
            self._first = file.tell()
        self._path = path
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        expected, got = self._first + len(self) * self._row_bytes, path.stat().st_size
        if got != expected:
            raise ValueError(
                f'got {path} of {got} bytes, expected {expected}; remove its folder, and it is '
                'made anew'
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Return a row, in memory of its own.

        :param index: 0 to ``len(self) - 1``.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'got row {index}, expected 0 to {len(self) - 1}')
        at = self._first + index * self._row_bytes
        count = math.prod(self.shape[1:])
        row = np.fromfile(self._path, self.dtype, count, offset=at)
        return row.reshape(self.shape[1:])


class RowWriter:
    """A ``.npy`` file of a known shape, whose rows are written one after the other.

    :param path: the file, replaced if it is there.
    :param shape: all of it, the number of rows first.
    :raises OSError: if the disk does not hold all of it.
    """

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
        self._dtype, self._shape, self._rows = np.dtype(dtype), shape, 0
        needed = math.prod(shape) * self._dtype.itemsize
        free = shutil.disk_usage(path.parent).free
        self._file = path.open('wb')
        header = {
            'descr': np.lib.format.dtype_to_descr(self._dtype),
            'fortran_order': False,
            'shape': shape,
        }
        np.lib.format.write_array_header_1_0(self._file, header)
        try:
            # Takes the space before rather than after the hours that it may take to fill it.
            os.posix_fallocate(self._file.fileno(), 0, self._file.tell() + needed)
        except OSError as error:
            self._file.close()
            path.unlink()
            raise OSError(
                f'got {error.strerror or error} for {path}, where {free / 1e9:.3g} GB are free, '
                f'expected {needed / 1e9:.3g} GB; make room, or choose a folder on another disk'
            ) from error

    def append(self, rows: NDArray[Any]) -> None:
        """Write the next rows, ``[n, ...]``.

        :raises ValueError: for rows of another shape, or too many of them.
        """
        self._rows += len(rows)
        if rows.shape[1:] != self._shape[1:] or self._rows > self._shape[0]:
            raise ValueError(
                f'got rows {rows.shape}, {self._rows} in all, expected {self._shape} in all; open '
                'another file for others'
            )
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)

    def close(self) -> None:
        """Put all of it on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a place to write a file or folder to, which at the end is renamed to ``path``.

    That name therefore says that it is whole. Every process has a place of its own, on whichever
    of the machines that share the disk; the first that is done gives the name, and what the others
    made is removed, as is what a killed process left.

    :param path: what is to be made; its parent exists.
    :raises OSError: if the disk does not let it be renamed.
    """
    prefix = f'{path.name}.unfinished-'
    _remove_abandoned(path.parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    try:
        with (folder / 'new').open('w') as lock:
            with suppress(OSError):  # a disk without locks: then nothing is taken for abandoned
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / 'new').rename(folder / _LOCK)
            yield folder / path.name
            _rename(folder / path.name, path)
    finally:
        shutil.rmtree(folder)


def _rename(made: Path, path: Path) -> None:
    try:
        made.rename(path)
    except OSError:  # of folders: there is one that is not empty
        if not path.exists():
            raise


def _remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove the places of processes that were killed: those whose lock nobody holds."""
    for folder in parent.iterdir():
        # It may vanish meanwhile, its lock be held or the disk have none: then it is left alone.
        if folder.name.startswith(prefix):
            with suppress(OSError), (folder / _LOCK).open('r+') as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
