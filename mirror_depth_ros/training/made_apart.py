"""Files and folders that take hours to write, and that several processes may write at once."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK = 'lock'


@contextmanager
def made_apart(path: Path) -> Iterator[Path]:
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
