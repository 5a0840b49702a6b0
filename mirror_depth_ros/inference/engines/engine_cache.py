"""Verified engines, and which is the fastest, on disk: the next start has them at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from mirror_depth_ros.depth.files import write_bytes

_MAGIC = b'mirror_depth_ros.engine.v1\n'
_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_directory() -> Path:
    """Return where engines are kept.

    ``MIRROR_DEPTH_CACHE``, else ``mirror_depth_ros`` below ``XDG_CACHE_HOME``, else that below
    ``~/.cache``.
    """
    if own := os.environ.get('MIRROR_DEPTH_CACHE'):
        return Path(own).expanduser()
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'mirror_depth_ros'


def has_engines() -> bool:
    """Tell whether any engine at all is kept."""
    return any(cache_directory().glob('*.engine'))


class EngineCache:
    """Files named by a hash of all that an engine depends on, with a checksum of their own."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep engines in a folder, by default :func:`cache_directory`."""
        self._folder = cache_directory() if folder is None else folder

    def path(self, traits: Iterable[str], *, suffix: str = 'engine') -> Path:
        """Return the file of what has these traits, in their order: an engine, or a choice."""
        digest = hashlib.sha256('\0'.join(traits).encode())
        return self._folder / f'{digest.hexdigest()[:32]}.{suffix}'

    def read(self, path: Path) -> bytes | None:
        """Return what is in a file, None where there is none or it is damaged."""
        try:
            content = path.read_bytes()
        except OSError:
            return None
        start = len(_MAGIC) + _DIGEST_BYTES
        kept = content[start:]
        digest = hashlib.sha256(kept).digest()
        return kept if content[:start] == _MAGIC + digest else None

    def write(self, path: Path, content: bytes) -> None:
        """Keep an engine or a choice; the file appears whole or not at all.

        :raises OSError: if it cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(path, _MAGIC + hashlib.sha256(content).digest() + content)
