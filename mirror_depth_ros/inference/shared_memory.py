"""Whether there is room for the shared memory by which Fast DDS carries images and clouds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

#: Where Linux has it.
FOLDER = Path('/dev/shm')
# What names the profile: of Fast DDS from 3 on, and before.
_PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
# Of the segment, what Fast DDS adds to manage it; and its ports beside it, by process [bytes].
_OVERHEAD, _BESIDE_BYTES = 1.05, 700_000


def find_shortage(
    n_processes: int, environment: Mapping[str, str], *, folder: Path = FOLDER
) -> str:
    """Say that there is less room than processes about to start need; empty if there is enough.

    Without it Fast DDS sends everything through the network's buffers, which lose large messages,
    and does not stop.

    :param n_processes: how many start with this environment.
    :param folder: where shared memory lies.
    """
    size = _segment_bytes(environment)
    if size is None or not folder.is_dir():
        return ''
    needed = n_processes * (_OVERHEAD * size + _BESIDE_BYTES)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free >= needed:
        return ''
    return (
        f'got {free / 1e6:.1f} MB free in {folder}, expected {needed / 1e6:.1f} MB for the shared '
        'memory that carries images and clouds: without it they are late or lost; give a '
        'container more (docker run --shm-size=256m), or clear what ended processes have left '
        'there (fastdds shm clean)'
    )


def _segment_bytes(environment: Mapping[str, str]) -> int | None:
    """Return the size that the profile gives each process; None where none gives any [bytes]."""
    middleware = environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    if not middleware.startswith('rmw_fastrtps'):
        return None
    profile = next((environment[name] for name in _PROFILES if environment.get(name)), '')
    try:
        elements = ElementTree.parse(profile).iter() if profile else ()
        sizes = [int(e.text or '') for e in elements if e.tag.endswith('}segment_size')]
    except (OSError, ValueError, ElementTree.ParseError):
        return None  # which Fast DDS reports itself
    return max(sizes, default=None)
