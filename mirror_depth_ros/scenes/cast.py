"""Exact ray casting of solids: which surface each pixel sees, and how far along Z.

Each solid is tested only inside the window of pixels its bounding box projects to, and all small
windows of one shape are tested together as one list of pixels. Most things cover a small part of
the picture, so this costs many times less than testing every ray against every solid, and the
arithmetic stays exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mirror_depth_ros.scenes.solids import Scene, Shape

# Solids closer than this to the image plane are tested against every pixel [m].
_NEAR_PLANE = 0.05
# Solids whose window is a larger share of the picture are tested by themselves, the others all at
# once: that costs a few more bytes a pixel, but no work per solid.
_LARGE = 0.05


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
        turns = [(math.cos(s.yaw), math.sin(s.yaw)) for s in scene.solids]
        cosine, sine = torch.tensor(turns, dtype=torch.float32).T
        rotation = torch.eye(3).repeat(len(turns), 1, 1)
        rotation[:, 0, 0] = rotation[:, 1, 1] = cosine
        rotation[:, 0, 1], rotation[:, 1, 0] = -sine, sine
        half_size = torch.tensor([s.half_size for s in scene.solids], dtype=torch.float32)
        return cls(
            shape=[int(s.shape) for s in scene.solids],
            to_local=rotation / half_size[:, None, :],
            centre=torch.tensor([s.centre for s in scene.solids], dtype=torch.float32),
            half_size=half_size,
            rotation=rotation,
            facts=torch.tensor(
                [
                    (*s.centre, *s.half_size, *turn, float(s.shape))
                    for s, turn in zip(scene.solids, turns, strict=True)
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
    rays = rays.flatten(1)  # [3, pixels]
    depth = torch.full((height * width,), torch.inf)
    index = torch.full((height * width,), -1)
    windows = _pixel_windows(solids, origin, axes, rays.view(3, height, width))
    top, bottom, left, right = windows.unbind(dim=1)
    area = (bottom - top).clamp(min=0) * (right - left).clamp(min=0)
    from_camera = axes.T @ solids.to_local  # [N, 3, 3]
    start = ((origin - solids.centre)[:, None] @ solids.to_local)[:, 0].T  # [3, N]
    is_large = area > _LARGE * height * width
    planes = rays.view(3, height, width)
    for i in is_large.nonzero()[:, 0].tolist():
        window = slice(int(top[i]), int(bottom[i])), slice(int(left[i]), int(right[i]))
        direction = from_camera[i].T @ planes[(slice(None), *window)].flatten(1)
        t = _INTERSECT[solids.shape[i]](start[:, i : i + 1], direction)
        seen = depth.view(height, width)[window]
        t = t.view_as(seen)
        nearer = t < seen
        torch.where(nearer, t, seen, out=seen)
        index.view(height, width)[window].masked_fill_(nearer, i)
    shape = torch.tensor(solids.shape)
    is_small = ~is_large & (area > 0)
    flat = from_camera.flatten(1).T.contiguous()  # [9, N]
    for of_shape, intersect in _INTERSECT.items():
        chosen = (is_small & (shape == of_shape)).nonzero()[:, 0]
        if not len(chosen):
            continue
        which, pixel = _pixels_of(windows[chosen], width)
        solid = chosen.index_select(0, which)
        turn = flat.index_select(1, solid).view(3, 3, -1)
        direction = (turn * rays.index_select(1, pixel)[:, None]).sum(dim=0)  # [3, pairs]
        t = intersect(start.index_select(1, solid), direction)
        depth.scatter_reduce_(0, pixel, t, 'amin')
        is_first = (t <= depth.index_select(0, pixel)) & (t < torch.inf)
        first = is_first.nonzero()[:, 0]
        pixel, solid = pixel.index_select(0, first), solid.index_select(0, first)
        # What an earlier shape put there is farther; of equals the last solid is taken.
        index.index_fill_(0, pixel, -1)
        index.scatter_reduce_(0, pixel, solid, 'amax')
    return depth.view(height, width), index.view(height, width)


def _pixels_of(windows: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """List every pixel of every window: the window's number and the pixel's, ``[pairs]`` each."""
    top, bottom, left, right = windows.unbind(dim=1)
    columns = right - left
    area = (bottom - top) * columns
    which = torch.repeat_interleave(area)
    # One look-up for all that is needed of a window: its first pixel pair, corner and columns.
    facts = torch.stack([area.cumsum(0) - area, top * width + left, columns])
    first, corner, columns = facts.index_select(1, which)
    offset = torch.arange(len(which)) - first
    row = torch.div(offset, columns, rounding_mode='floor')
    return which, corner + row * (width - columns) + offset


def _pixel_windows(solids: SolidTensors, origin: Tensor, axes: Tensor, rays: Tensor) -> Tensor:
    """Return ``top, bottom, left, right`` around each solid's bounding box, ``[N, 4]``."""
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
    return bounds.to(torch.int64)


# Intersections: camera centre ``start`` [3, P or 1] and rays ``direction`` [3, P] in unit
# coordinates to the depth of the first hit [P], infinity for none. Axes first: contiguous planes.


def _slabs(start: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave the cube (Kay and Kajiya, 1986)."""
    inverse = direction.reciprocal()
    one, other = (-1.0 - start) * inverse, (1.0 - start) * inverse
    enter_x, enter_y, enter_z = torch.minimum(one, other)
    leave_x, leave_y, leave_z = torch.maximum(one, other)
    enter = torch.maximum(torch.maximum(enter_x, enter_y), enter_z)
    return enter, torch.minimum(torch.minimum(leave_x, leave_y), leave_z)


def _box(start: Tensor, direction: Tensor) -> Tensor:
    enter, leave = _slabs(start, direction)
    return torch.where((enter < leave) & (enter > 0), enter, torch.inf)


def _shell(start: Tensor, direction: Tensor) -> Tensor:
    enter, leave = _slabs(start, direction)
    return torch.where((enter < leave) & (leave > 0), leave, torch.inf)


def _quadratic(a: Tensor, half_b: Tensor, c: Tensor) -> Tensor:
    """Return the smaller root of ``a t^2 + 2 half_b t + c``, NaN where there is none."""
    return (-half_b - (half_b * half_b - a * c).sqrt()) / a


def _ellipsoid(start: Tensor, direction: Tensor) -> Tensor:
    a = direction.square().sum(dim=0)
    half_b = (direction * start).sum(dim=0)
    t = _quadratic(a, half_b, start.square().sum(dim=0) - 1.0)
    return torch.where(t > 0, t, torch.inf)


def _cylinder(start: Tensor, direction: Tensor) -> Tensor:
    across, along = direction[:2], direction[2]
    a = across.square().sum(dim=0)
    c = start[:2].square().sum(dim=0) - 1.0
    side = _quadratic(a, (across * start[:2]).sum(dim=0), c)
    side_z = start[2] + side * along
    side = torch.where((side > 0) & (side_z.abs() <= 1.0), side, torch.inf)
    cap = (-torch.sign(along) - start[2]) / along
    in_cap = (start[:2] + cap * across).square().sum(dim=0) <= 1.0
    return torch.minimum(side, torch.where((cap > 0) & in_cap, cap, torch.inf))


_INTERSECT = {
    int(Shape.BOX): _box,
    int(Shape.ELLIPSOID): _ellipsoid,
    int(Shape.CYLINDER): _cylinder,
    int(Shape.SHELL): _shell,
}
