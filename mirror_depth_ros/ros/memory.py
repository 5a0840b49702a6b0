"""How much memory this process has."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_STATM = Path('/proc/self/statm')


def resident_bytes() -> int | None:
    """Return the process's resident memory [bytes]; None where the system has no ``/proc``."""
    try:
        pages = int(_STATM.read_text(encoding='ascii').split()[1])
    except OSError:
        return None
    return pages * os.sysconf('SC_PAGE_SIZE')


def gpu_bytes(device: str) -> int | None:
    """Return what PyTorch keeps of a GPU's memory [bytes]; None for a device that is no CUDA one.

    :param device: as PyTorch names it, such as ``cuda:1``.
    """
    torch = sys.modules.get('torch')  # loaded with the model, and not to be loaded for this
    if torch is None or not device.startswith('cuda'):
        return None
    return int(torch.cuda.memory_reserved(device))
