"""Which points the lamp or the sun shines on.

A shadow map (Williams, 1978): the scene is cast once more, from the light, and a point is in
shadow where the light sees something nearer. The four nearest samples are weighed, which softens
the edges (percentage-closer filtering, Reeves et al., 1987).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mirror_depth_ros.scenes.cast import SolidTensors, cast_rays
from mirror_depth_ros.scenes.solids import Scene

_SIZE = 160
# A lamp's map takes in everything within 68 degrees of straight down.
_LAMP_REACH = 2.5
# The sun's map takes in this radius around a point ahead of the camera, seen from far off [m].
_SUN_RADIUS, _SUN_AHEAD, _SUN_DISTANCE = 22.0, 16.0, 120.0


class ShadowMap:
    """Depth as the light of a scene sees it."""

    def __init__(self, scene: Scene, solids: SolidTensors) -> None:
        light, pose = scene.light, scene.pose
        towards = np.array(light.position)
        if light.is_sun:
            ahead = np.array([math.cos(pose.yaw), math.sin(pose.yaw), 0.0])
            focus = np.array([*pose.position[:2], 0.0]) + _SUN_AHEAD * ahead
            eye, forward = focus + _SUN_DISTANCE * towards, -towards
            reach = _SUN_RADIUS / _SUN_DISTANCE
        else:
            eye, forward, reach = towards, np.array([0.0, 0.0, -1.0]), _LAMP_REACH
        side = np.cross(forward, [1.0, 0.0, 0.0] if abs(forward[0]) < 0.9 else [0.0, 1.0, 0.0])
        side /= np.linalg.norm(side)
        axes = np.stack([side, np.cross(forward, side), forward], axis=1)
        self._eye = torch.tensor(eye, dtype=torch.float32)
        self._axes = torch.tensor(axes, dtype=torch.float32)
        self._reach = reach
        # A surface must not shade itself: its depth varies across a sample.
        self._bias = 0.5 if light.is_sun else 0.1
        steps = torch.linspace(-reach, reach, _SIZE)
        rays = torch.stack(
            [*torch.meshgrid(steps, steps, indexing='xy'), torch.ones(_SIZE, _SIZE)]
        )
        depth, _ = cast_rays(solids, self._eye, self._axes, rays)
        self._depth = depth.flatten()

    def __call__(self, points: Tensor) -> Tensor:
        """Return how much of the light reaches points ``[3, P]``: 0 none, 1 all of it, ``[P]``."""
        x, y, z = self._axes.T @ (points - self._eye[:, None])
        to_sample = 0.5 * (_SIZE - 1)
        column = (x / (z * self._reach) + 1.0) * to_sample
        row = (y / (z * self._reach) + 1.0) * to_sample
        inside = (z > 0.1) & (column >= 0) & (row >= 0)
        inside &= (column < _SIZE - 1) & (row < _SIZE - 1)
        column, row = torch.where(inside, column, 0.0), torch.where(inside, row, 0.0)
        left, top = column.floor(), row.floor()
        right_share, lower_share = column - left, row - top
        corner = (top * _SIZE + left).to(torch.int64)
        nearest = z - self._bias
        lit = torch.zeros_like(z)
        for down in (0, 1):
            weight = lower_share if down else 1.0 - lower_share
            for across in (0, 1):
                seen = self._depth.index_select(0, corner + (down * _SIZE + across)) > nearest
                lit += seen * weight * (right_share if across else 1.0 - right_share)
        return torch.where(inside, lit, 1.0)
