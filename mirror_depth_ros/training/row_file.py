"""Large arrays on disk, written and read row by row.

They are never mapped into memory. Pages of a mapped file count as memory of the process that saw
them, so that a training seems to grow with its data set; and the system kills a process that
writes into a mapped file for which a full disk has no space.
"""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


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
