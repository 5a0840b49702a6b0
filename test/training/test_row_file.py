from __future__ import annotations

import pickle
import resource
from pathlib import Path

import numpy as np
import pytest

from mirror_depth_ros.training.row_file import RowFile, RowWriter

ROWS = np.arange(5 * 3 * 7, dtype=np.uint16).reshape(5, 3, 7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write the rows, three and then two."""
    writer = RowWriter(tmp_path / 'rows.npy', np.uint16, ROWS.shape)
    writer.append(ROWS[:3])
    writer.append(ROWS[3:])
    writer.close()
    return tmp_path / 'rows.npy'


def test_rows_come_back_one_by_one(path: Path) -> None:
    rows = pickle.loads(pickle.dumps(RowFile(path)))
    assert (len(rows), rows.shape, rows.dtype) == (5, (5, 3, 7), np.uint16)
    np.testing.assert_array_equal(rows[4], ROWS[4])
    rows[1][:] = 0  # the caller's own
    np.testing.assert_array_equal(rows[1], ROWS[1])
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f'got row {index}, expected 0 to 4'):
            rows[index]


def test_numpy_reads_it_too(path: Path) -> None:
    np.testing.assert_array_equal(np.load(path), ROWS)


def test_rows_are_converted(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path / 'rows.npy', np.float16, (1, 2))
    writer.append(np.array([[2.5, np.nan]], np.float32))
    writer.close()
    np.testing.assert_array_equal(RowFile(tmp_path / 'rows.npy')[0], [2.5, np.nan])


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path / 'rows.npy', np.uint16, ROWS.shape)
    with pytest.raises(ValueError, match=r'got rows \(5, 7, 3\), 5 in all, expected \(5, 3, 7\)'):
        writer.append(ROWS.transpose(0, 2, 1))
    writer = RowWriter(tmp_path / 'rows.npy', np.uint16, (4, 3, 7))
    with pytest.raises(ValueError, match=r'got rows \(5, 3, 7\), 5 in all, expected \(4, 3, 7\)'):
        writer.append(ROWS)


def test_a_file_that_is_cut_short(path: Path) -> None:
    # Behind a header of 128 bytes: 5 rows of 3 x 7 values of 2 bytes.
    assert path.stat().st_size == 128 + 210
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r'rows.npy of 337 bytes, expected 338; remove its folde'):
        RowFile(path)


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # bytes
    try:
        RowWriter(tmp_path / 'rows.npy', np.uint8, (9_000,)).close()
        # 2000 x 3000 values of 2 bytes
        with pytest.raises(OSError, match=r'rows.npy, where .* GB are free, expected 0.012 GB; m'):
            RowWriter(tmp_path / 'rows.npy', np.uint16, (2000, 3000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
