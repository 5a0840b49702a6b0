"""How the C library keeps memory that is freed and wanted again with the next image."""

from __future__ import annotations

import ctypes
import os
import sys

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# glibc takes no more. Beyond 2 million points a cloud, it is as if nothing had been said.
_LARGEST_KEPT_BYTES = 32 << 20
# Twice what passes through the node for an image of 4K with all outputs.
_KEPT_BYTES = 512 << 20
# Where users say such things themselves.
_OF_USERS = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let this process use freed memory again, in place of returning it to the system at once.

    Images and clouds are large enough for glibc to fetch each from the system and to return it
    when it is freed. The system clears every page at its first touch, which takes several times
    as long as all that is computed there. ``malloc_trim`` returns what is kept.

    :returns: whether it was done: not where users have chosen for themselves, nor without glibc.
    """
    if not sys.platform.startswith('linux') or any(name in os.environ for name in _OF_USERS):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)  # glibc's own
    if mallopt is None:
        return False
    return all(
        [mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES), mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)]
    )
