"""Products of many vectors at once, several times faster than NumPy's own for rows of three."""

from __future__ import annotations

import numpy as np

from research.scenes.cast import F32


def dot(a: F32, b: F32) -> F32:
    """Return the inner products of rows, ``[N]``."""
    return np.asarray(np.einsum('ij,ij->i', a, b))


def cross(a: F32, b: F32) -> F32:
    """Return the vector products of rows, ``[N, 3]``."""
    product = np.empty_like(a)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        product[:, i] = a[:, j] * b[:, k] - a[:, k] * b[:, j]
    return product


def unit(vectors: F32) -> F32:
    """Return rows scaled to length 1."""
    lengths = np.maximum(np.sqrt(dot(vectors, vectors)), np.float32(1e-12))
    return np.asarray(vectors / lengths[:, None], np.float32)
