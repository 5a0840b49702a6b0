"""Exact ray casting of solids: which surface each pixel sees, and how far along Z.

Each solid is tested only inside the window of pixels its bounding box projects to. Most things
cover a small part of the picture, so this costs several times less than testing every ray against
every solid, and the arithmetic stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mirror_depth_ros.scenes.solids import Scene, Shape

# Solids closer than this to the image plane are tested against every pixel [m].
_NEAR_PLANE = 0.05


@dataclass(frozen=True)
class SolidTensors:
    """All solids of a scene, ready for arithmetic; N solids."""

    shape: list[int]
    #: World to unit coordinates: ``(p - centre) @ to_local``, ``[N, 3, 3]``.
    to_local: Tensor
    centre: Tensor  # [N, 3]
    half_size: Tensor  # [N, 3]
    rotation: Tensor  # [N, 3, 3]

    @classmethod
    def from_scene(cls, scene: Scene) -> SolidTensors:
        """Stack the solids of a scene."""
        rotation = torch.tensor(np.stack([s.rotation for s in scene.solids]), dtype=torch.float32)
        half_size = torch.tensor([s.half_size for s in scene.solids], dtype=torch.float32)
        return cls(
            shape=[int(s.shape) for s in scene.solids],
            to_local=rotation / half_size[:, None, :],
            centre=torch.tensor([s.centre for s in scene.solids], dtype=torch.float32),
            half_size=half_size,
            rotation=rotation,
        )


def cast_rays(
    solids: SolidTensors,
    origin: Tensor,
    axes: Tensor,
    rays: Tensor,
) -> tuple[Tensor, Tensor]:
    """Find the first solid along every ray.

    :param origin: camera centre in the world, ``[3]``.
    :param axes: optical axes as columns in the world, ``[3, 3]``.
    :param rays: ``(x/z, y/z, 1)`` of a pinhole camera, ``[H, W, 3]``.
    :returns: depth along Z (infinity for none) and solid index (-1 for none), ``[H, W]`` each.
    """
    height, width = rays.shape[:2]
    depth = torch.full((height, width), torch.inf)
    index = torch.full((height, width), -1, dtype=torch.int64)
    windows = _pixel_windows(solids, origin, axes, rays)
    for i, (top, bottom, left, right) in enumerate(windows):
        if top >= bottom or left >= right:
            continue
        to_local = axes.T @ solids.to_local[i]  # rays arrive in camera axes
        direction = rays[top:bottom, left:right] @ to_local  # [h, w, 3]
        start = (origin - solids.centre[i]) @ solids.to_local[i]
        t = _INTERSECT[solids.shape[i]](start, direction)
        window = depth[top:bottom, left:right]
        nearer = t < window
        torch.where(nearer, t, window, out=window)
        index[top:bottom, left:right].masked_fill_(nearer, i)
    return depth, index


def _pixel_windows(
    solids: SolidTensors, origin: Tensor, axes: Tensor, rays: Tensor
) -> list[list[int]]:
    """Return ``[top, bottom, left, right]`` that holds each solid's bounding box."""
    height, width = rays.shape[:2]
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)  # [8, 3]
    local = signs * solids.half_size[:, None]  # [N, 8, 3]
    world = local @ solids.rotation.transpose(1, 2) + solids.centre[:, None]
    camera = (world - origin) @ axes  # [N, 8, 3]
    z = camera[..., 2]
    image = camera[..., :2] / z.clamp(min=_NEAR_PLANE)[..., None]
    # Rays are evenly spaced, so pixel numbers follow from the first ray and the spacing.
    first = rays[0, 0, :2]
    spacing = torch.stack([rays[0, -1, 0] - first[0], rays[-1, 0, 1] - first[1]]) / torch.tensor(
        [max(width - 1, 1), max(height - 1, 1)]
    )
    pixels = (image - first) / spacing
    low = pixels.amin(dim=1).floor().clamp(min=0, max=max(width, height))
    high = (pixels.amax(dim=1).ceil() + 1).clamp(min=0, max=max(width, height))
    bounds = torch.stack(
        [
            low[:, 1],
            high[:, 1].clamp(max=height),
            low[:, 0],
            high[:, 0].clamp(max=width),
        ],
        dim=1,
    )
    whole = torch.tensor([0.0, height, 0.0, width])
    bounds[(z < _NEAR_PLANE).any(dim=1)] = whole
    bounds[(z < _NEAR_PLANE).all(dim=1)] = 0.0  # wholly behind the camera
    return bounds.to(torch.int64).tolist()


def _slabs(start: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    inverse = 1.0 / direction
    near_far = torch.stack([(-1.0 - start) * inverse, (1.0 - start) * inverse])
    enter = near_far.amin(dim=0).amax(dim=-1)
    leave = near_far.amax(dim=0).amin(dim=-1)
    return enter, leave


def _box(start: Tensor, direction: Tensor) -> Tensor:
    enter, leave = _slabs(start, direction)
    return enter.masked_fill((enter >= leave) | (enter <= 0), torch.inf)


def _shell(start: Tensor, direction: Tensor) -> Tensor:
    enter, leave = _slabs(start, direction)
    return leave.masked_fill((enter >= leave) | (leave <= 0), torch.inf)


def _quadratic(a: Tensor, half_b: Tensor, c: Tensor) -> Tensor:
    """Return the smaller root of ``a t^2 + 2 half_b t + c``, NaN where there is none."""
    return (-half_b - (half_b * half_b - a * c).sqrt()) / a


def _ellipsoid(start: Tensor, direction: Tensor) -> Tensor:
    a = (direction * direction).sum(dim=-1)
    t = _quadratic(a, direction @ start, start @ start - 1.0)
    return t.masked_fill(~(t > 0), torch.inf)


def _cylinder(start: Tensor, direction: Tensor) -> Tensor:
    across, along = direction[..., :2], direction[..., 2]
    a = (across * across).sum(dim=-1)
    side = _quadratic(a, across @ start[:2], start[:2] @ start[:2] - 1.0)
    side_z = start[2] + side * along
    side = side.masked_fill(~((side > 0) & (side_z.abs() <= 1.0)), torch.inf)
    cap = (-torch.sign(along) - start[2]) / along
    cap_xy = start[:2] + cap[..., None] * across
    cap = cap.masked_fill(~((cap > 0) & ((cap_xy * cap_xy).sum(dim=-1) <= 1.0)), torch.inf)
    return torch.minimum(side, cap)


_INTERSECT = {
    int(Shape.BOX): _box,
    int(Shape.ELLIPSOID): _ellipsoid,
    int(Shape.CYLINDER): _cylinder,
    int(Shape.SHELL): _shell,
}
