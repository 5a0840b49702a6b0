"""What several processes may make at once: the first whole one stays, and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mirror_depth_ros.training.made_apart import made_apart

ROOT = Path(__file__).parents[2]

# Writes half of a folder, says so, and waits to be told to go on.
OTHER = """
import sys, time
from pathlib import Path
from mirror_depth_ros.training.made_apart import made_apart

path = Path(sys.argv[1])
with made_apart(path) as place:
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
    with made_apart(path) as place:
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

    with pytest.raises(KeyboardInterrupt), made_apart(tmp_path / 'made') as place:
        break_off(place)
    assert list(tmp_path.iterdir()) == []


def test_a_file_replaces_that_of_another(tmp_path: Path) -> None:
    path = tmp_path / 'made.npy'
    with made_apart(path) as place:
        place.write_text('slow')
        with made_apart(path) as quicker:
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
    with made_apart(tmp_path / 'made') as slow:
        slow.mkdir()
        make(tmp_path / 'made')
        (slow / 'first').write_text('slow')  # it is still there
    assert list(tmp_path.iterdir()) == [tmp_path / 'made']
    assert (tmp_path / 'made' / 'first').read_text() == 'mine'


def test_a_name_that_cannot_be_given(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), made_apart(tmp_path / 'made'):
        pass  # nothing is made
    assert list(tmp_path.iterdir()) == []
