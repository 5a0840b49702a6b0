"""Exact ray casting of solids: which surface each pixel sees, and how far along Z.

Each solid is tested only inside the window of pixels its bounding box projects to. Most things
cover a small part of the picture, so this costs several times less than testing every ray against
every solid, and the arithmetic stays exact.
"""

from __future__ import annotations

import math
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
    #: Planes to look up: centre, half size, cosine and sine of the yaw, shape, ``[9, N]``.
    facts: Tensor

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
            facts=torch.tensor(
                [
                    (*s.centre, *s.half_size, math.cos(s.yaw), math.sin(s.yaw), float(s.shape))
                    for s in scene.solids
                ],
                dtype=torch.float32,
            ).T.contiguous(),
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
    :param rays: ``(x/z, y/z, 1)`` of a pinhole camera, ``[3, H, W]``.
    :returns: depth along Z (infinity for none) and solid index (-1 for none), ``[H, W]`` each.
    """
    height, width = rays.shape[1:]
    depth = torch.full((height, width), torch.inf)
    index = torch.full((height, width), -1, dtype=torch.int64)
    windows = _pixel_windows(solids, origin, axes, rays)
    for i, (top, bottom, left, right) in enumerate(windows):
        if top >= bottom or left >= right:
            continue
        from_camera = (axes.T @ solids.to_local[i]).T
        window = rays[:, top:bottom, left:right]
        direction = (from_camera @ window.flatten(1)).view_as(window)  # [3, h, w]
        start = (origin - solids.centre[i]) @ solids.to_local[i]
        t = _INTERSECT[solids.shape[i]](start, direction)
        seen = depth[top:bottom, left:right]
        nearer = t < seen
        torch.where(nearer, t, seen, out=seen)
        index[top:bottom, left:right].masked_fill_(nearer, i)
    return depth, index


def _pixel_windows(
    solids: SolidTensors, origin: Tensor, axes: Tensor, rays: Tensor
) -> list[list[int]]:
    """Return ``[top, bottom, left, right]`` that holds each solid's bounding box."""
    height, width = rays.shape[1:]
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)  # [8, 3]
    local = signs * solids.half_size[:, None]  # [N, 8, 3]
    world = local @ solids.rotation.transpose(1, 2) + solids.centre[:, None]
    camera = (world - origin) @ axes  # [N, 8, 3]
    z = camera[..., 2]
    image = camera[..., :2] / z.clamp(min=_NEAR_PLANE)[..., None]
    # Rays are evenly spaced, so pixel numbers follow from the first ray and the spacing.
    first, last = rays[:2, 0, 0], rays[:2, -1, -1]
    spacing = (last - first) / torch.tensor([width - 1, height - 1]).clamp(min=1)
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


# Intersections: camera centre ``start`` [3] and rays ``direction`` [3, h, w] in unit coordinates
# to the depth of the first hit [h, w], infinity for none. Axes first: planes are contiguous.


def _slabs(start: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave the cube (Kay and Kajiya, 1986)."""
    inverse = direction.reciprocal()
    one = (-1.0 - start)[:, None, None] * inverse
    other = (1.0 - start)[:, None, None] * inverse
    return torch.minimum(one, other).amax(dim=0), torch.maximum(one, other).amin(dim=0)


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
    a = direction.square().sum(dim=0)
    half_b = (direction * start[:, None, None]).sum(dim=0)
    t = _quadratic(a, half_b, start @ start - 1.0)
    return t.masked_fill(~(t > 0), torch.inf)


def _cylinder(start: Tensor, direction: Tensor) -> Tensor:
    across, along = direction[:2], direction[2]
    start_across = start[:2, None, None]
    a = across.square().sum(dim=0)
    side = _quadratic(a, (across * start_across).sum(dim=0), start[:2] @ start[:2] - 1.0)
    side_z = start[2] + side * along
    side = side.masked_fill(~((side > 0) & (side_z.abs() <= 1.0)), torch.inf)
    cap = (-torch.sign(along) - start[2]) / along
    in_cap = (start_across + cap * across).square().sum(dim=0) <= 1.0
    return torch.minimum(side, cap.masked_fill(~((cap > 0) & in_cap), torch.inf))


_INTERSECT = {
    int(Shape.BOX): _box,
    int(Shape.ELLIPSOID): _ellipsoid,
    int(Shape.CYLINDER): _cylinder,
    int(Shape.SHELL): _shell,
}
