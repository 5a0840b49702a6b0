"""A pinhole camera somewhere in a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from research.scenes.cast import F32


@dataclass(frozen=True)
class View:
    """Where a camera is, where it looks, and how wide."""

    position: NDArray[np.float64]
    #: Turn about z, 0 looks along +x [rad].
    yaw: float
    #: Positive looks up [rad].
    pitch: float
    roll: float
    hfov_deg: float

    def focal_px(self, width: int) -> float:
        """Return the focal length [pixels] of a picture so many pixels wide."""
        return width / 2 / float(np.tan(np.radians(self.hfov_deg) / 2))

    def rotation(self) -> NDArray[np.float64]:
        """Return the axes right, down, forward as columns, ``[3, 3]``."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        forward = np.array([cy * cp, sy * cp, sp])
        right = np.array([sy, -cy, 0.0])
        down = np.cross(forward, right)
        c, s = np.cos(self.roll), np.sin(self.roll)
        return np.stack((c * right + s * down, -s * right + c * down, forward), 1)

    def rays(self, columns: NDArray, rows: NDArray, height: int, width: int) -> F32:
        """Return directions of length 1 along the optical axis through pixels, ``[N, 3]``.

        A hit's ray parameter is then its depth along Z.
        """
        focal = self.focal_px(width)
        x, y = (columns - (width - 1) / 2) / focal, (rows - (height - 1) / 2) / focal
        local = np.stack((x, y, np.ones_like(x)), 1)
        return (local @ self.rotation().T).astype(np.float32)
