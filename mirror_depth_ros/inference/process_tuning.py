"""How this process treats memory: what is freed, and what is made on starting."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# glibc takes no more. Beyond 2 million points a cloud, it is as if nothing had been said.
_LARGEST_KEPT_BYTES = 32 << 20
# Twice what passes through the node for an image of 4K with all outputs.
_KEPT_BYTES = 512 << 20
# Where users say such things themselves.
_OF_USERS = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES')


def tune_malloc() -> bool:
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


@contextmanager
def gc_paused() -> Iterator[None]:
    """Let Python look for no garbage meanwhile: for imports, which make what stays.

    Of the time it takes to import PyTorch and open_clip, looking for garbage is a fifth.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
