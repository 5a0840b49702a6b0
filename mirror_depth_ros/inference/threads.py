"""How the threads of PyTorch behave on a computer that they share with others."""

from __future__ import annotations

import os


def set_passive_omp_wait() -> None:
    """Make OpenMP threads sleep while they wait, unless the user has chosen otherwise.

    By default they spin, and on busy cores a spinning thread keeps the core from the very thread
    it waits for: an estimate then takes tens of times as long. Call this before PyTorch is
    imported; afterwards it has no effect.
    """
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
