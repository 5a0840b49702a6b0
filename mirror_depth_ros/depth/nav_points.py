"""From a depth image to the few points that a costmap needs: what marks, and what clears.

A costmap marks where a ray ends and clears where it passed. A ray without an end does neither, so
an obstacle that has gone would stay for ever before an open sky (navigation2#4297). Far rays
therefore get an end: just beyond the range in which the costmap marks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.filters import flying_pixels

#: Width of the blocks of pixels that share a point: 19,200 points of 640 x 480 pixels, 225 KB,
#: which fits even Fast DDS's default shared memory of 512 KB.
DECIMATION = 4
#: Length of the longest rays [m]. ``config/nav2_voxel_layer.yaml`` marks up to 4.0 m; Nav2 clears
#: to two cells before a ray's end, here 4.3 m.
CLEAR_RANGE = 4.4
#: Strength of :func:`~mirror_depth_ros.depth.filters.flying_pixels`, a share of the depth.
EDGE_FILTER = 0.05


def nav_points(
    depth: NDArray[np.float32],
    rays: NDArray[np.float32],
    *,
    decimation: int = DECIMATION,
    clear_range: float = CLEAR_RANGE,
    edge_filter: float = EDGE_FILTER,
) -> NDArray[np.float32]:
    """Return the points of a depth image for a costmap.

    One point for each block of ``decimation x decimation`` pixels: the nearest, so that a thin
    pole is not lost. Blocks without a measurement give none.

    :param depth: metres along Z, ``[H, W]``, marked as REP-117 has it: +Inf, beyond range, gives a
        point at ``clear_range``; NaN, no measurement or a doubtful one, and -Inf, too close, give
        none: no ray clears what nobody is sure to have seen through.
    :param rays: :attr:`~mirror_depth_ros.depth.camera.CameraModel.rays` of that size; where they
        are NaN, outside the lens's field, there is no point.
    :param decimation: width and height of a block [pixels].
    :param clear_range: farther points are moved along their ray to this distance from the camera
        [m], where they mark nothing and still clear.
    :param edge_filter: see :func:`~mirror_depth_ros.depth.filters.flying_pixels`; 0 is off.
    :returns: x right, y down, z forward [m], ``[N, 3]``, all finite.
    :raises ValueError: if sizes differ or an option is impossible.
    """
    if depth.shape != rays.shape[:2]:
        raise ValueError(
            f'got depth of shape {depth.shape} and rays of shape {rays.shape}, expected the same '
            'height and width; resize the camera with CameraModel.resized()'
        )
    unusable = flying_pixels(depth, edge_filter=edge_filter)
    unusable |= np.isnan(rays[..., 0])
    chosen = nearest_in_blocks(np.where(unusable, np.float32(np.nan), depth), decimation)
    return points_within(depth.ravel()[chosen], rays.reshape(-1, 2)[chosen], clear_range)


def nearest_in_blocks(depth: NDArray[np.float32], decimation: int) -> NDArray[np.intp]:
    """Return where the nearest measurement of each block of pixels is.

    Blocks at the right and at the bottom may be cut by the image's end.

    :param depth: metres along Z, ``[H, W]``; NaN and what is not positive is no measurement, +Inf
        is the farthest one.
    :param decimation: width and height of a block [pixels].
    :returns: flat indices of pixels in the order of the blocks, ``[N]``; blocks without a
        measurement have none.
    :raises ValueError: for blocks of less than one pixel.
    """
    if decimation < 1:
        raise ValueError(f'got decimation {decimation}, expected at least 1 pixel')
    height, width = depth.shape
    measured = np.where(depth > 0, depth, np.float32(np.nan))
    size = math.ceil(height / decimation), math.ceil(width / decimation)
    nearest = np.full(size, np.nan, np.float32)
    for _, block, pixels in _by_place(measured, decimation):
        np.fmin(nearest[block], pixels, out=nearest[block])
    # In a second round, because the processor cannot foretell which pixel of the first will be
    # nearer than those before it, and would lose more time on that than the round takes.
    place = np.full(size, -1, np.intp)
    for offset, block, pixels in _by_place(measured, decimation):
        np.copyto(place[block], offset, where=pixels == nearest[block])
    corner = np.add.outer(
        np.arange(0, height, decimation) * width, np.arange(0, width, decimation)
    )
    return (corner + place)[place >= 0]


def _by_place(
    image: NDArray[np.float32], decimation: int
) -> Iterator[tuple[int, tuple[slice, slice], NDArray[np.float32]]]:
    """Yield one pixel of each block at a time: those at the same place within their blocks.

    :returns: that place, counted along the image's rows; which blocks have it; their pixels.
    """
    height, width = image.shape
    for row in range(min(decimation, height)):
        for column in range(min(decimation, width)):
            pixels = image[row::decimation, column::decimation]
            yield row * width + column, np.s_[: pixels.shape[0], : pixels.shape[1]], pixels


def points_within(
    depth: NDArray[np.float32], rays: NDArray[np.float32], clear_range: float
) -> NDArray[np.float32]:
    """Return points, none of them farther from the camera than ``clear_range``.

    Nav2 marks by the distance from the sensor, not by depth along Z, and it drops points too high
    or too low before it clears with them (navigation#662): the top of a house far away would clear
    nothing. What lies beyond is therefore moved along its ray, infinite or not.

    :param depth: metres along Z, positive, +Inf is beyond every range, ``[N]``.
    :param rays: viewing rays as (x/z, y/z), ``[N, 2]``.
    :param clear_range: largest distance from the camera [m].
    :returns: x right, y down, z forward [m], float32 ``[N, 3]``.
    :raises ValueError: for a range that is not finite and positive.
    """
    if not (math.isfinite(clear_range) and clear_range > 0):
        raise ValueError(
            f'got clear_range {clear_range} m, expected a finite positive distance; set it just '
            'beyond obstacle_max_range of the costmap'
        )
    points = np.ones((len(depth), 3), np.float32)
    points[:, :2] = rays
    length = np.sqrt(np.einsum('ij,ij->i', points, points))  # of the ray that is 1 m deep
    points *= np.minimum(depth, np.float32(clear_range) / length)[:, None]
    return points
