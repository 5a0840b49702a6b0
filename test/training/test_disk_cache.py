"""Large files row by row, and files that several processes make at once."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mirror_depth_ros.training.disk_cache import RowFile, RowWriter, atomic_path

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


ROOT = Path(__file__).parents[2]

# Writes half of a folder, says so, and waits to be told to go on.
OTHER = """
import sys, time
from pathlib import Path
from mirror_depth_ros.training.disk_cache import atomic_path

path = Path(sys.argv[1])
with atomic_path(path) as place:
    place.mkdir()
    (place / 'first').write_text('other')
    print('half', flush=True)
    sys.stdin.readline()
    (place / 'second').write_text('other')
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Return what starts another process; it has then made half of ``tmp_path / 'made'``."""
    started = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, '-c', OTHER, str(tmp_path / 'made')],
            env={**os.environ, 'PYTHONPATH': str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == 'half\n'
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def make(path: Path) -> None:
    with atomic_path(path) as place:
        place.mkdir()
        for name in ('first', 'second'):
            (place / name).write_text('mine')


def test_the_first_of_two_processes_that_is_done_gives_the_name(
    other: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = tmp_path / 'made'
    process = other()
    assert not path.exists()
    make(path)
    assert len(list(tmp_path.iterdir())) == 2  # the other process's place was left alone
    _, errors = process.communicate('\n', timeout=100)
    assert (process.returncode, errors) == (0, '')
    assert list(tmp_path.iterdir()) == [path]
    assert {file.name: file.read_text() for file in path.iterdir()} == {
        'first': 'mine',
        'second': 'mine',
    }


def test_what_a_killed_process_left_is_removed(
    other: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = other()
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=100)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith('made.unfinished-')
    (tmp_path / 'made_too.unfinished-1').mkdir()  # another's
    end = time.monotonic() + 100
    while left.exists() and time.monotonic() < end:  # its lock ends with it, but maybe later
        make(tmp_path / 'made')
    assert sorted(file.name for file in tmp_path.iterdir()) == ['made', 'made_too.unfinished-1']


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def break_off(place: Path) -> None:
        place.write_text('half')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / 'made') as place:
        break_off(place)
    assert list(tmp_path.iterdir()) == []


def test_a_file_replaces_that_of_another(tmp_path: Path) -> None:
    path = tmp_path / 'made.npy'
    with atomic_path(path) as place:
        place.write_text('slow')
        with atomic_path(path) as quicker:
            assert quicker != place
            quicker.write_text('quick')
        assert path.read_text() == 'quick'
    assert list(tmp_path.iterdir()) == [path]
    umask = os.umask(0o022)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask  # others may read it


def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(37, 'No locks available')

    monkeypatch.setattr('fcntl.flock', refuse)
    with atomic_path(tmp_path / 'made') as slow:
        slow.mkdir()
        make(tmp_path / 'made')
        (slow / 'first').write_text('slow')  # it is still there
    assert list(tmp_path.iterdir()) == [tmp_path / 'made']
    assert (tmp_path / 'made' / 'first').read_text() == 'mine'


def test_a_name_that_cannot_be_given(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / 'made'):
        pass  # nothing is made
    assert list(tmp_path.iterdir()) == []
