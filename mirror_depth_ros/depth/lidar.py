"""The points of a lidar, and what a camera would measure of them: a sparse depth image.

A message is anything with the fields of ``sensor_msgs/LaserScan`` or ``PointCloud2``: rclpy's own,
or one that a recording was read into.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.point_cloud import read_cloud

# What drivers call a point's own time: Velodyne, Ouster, Hesai and RoboSense, Livox.
_TIME_FIELDS = ('time', 't', 'timestamp', 'time_stamp', 'offset_time', 'time_offset')
# Times from here on are absolute, in seconds and in nanoseconds: 1973, and 1970 and 12 days. No
# turn of a lidar takes that long, in either unit.
_ABSOLUTE_S, _ABSOLUTE_NS = 1e8, 1e15
# A lidar's turn takes 0.2 s at most. What is farther from the message's stamp is of another clock.
_MAX_OFFSET_NS = 1_000_000_000

# A point is hidden behind others that have less than this share of its depth.
_NEARER = 0.9
# Those are looked for within so many times the points' spacing: a surface has points in there,
# even one that is seen at a slant.
_REACH = 1.5


# So many points are looked at first, to say whether any is in view.
_PROBED = 2000

# The floor counts up to so far before what a beam hits [m], where its foot may stand, and up to so
# many heights of the camera: half a degree more or less of its tilt is 7 % of the depth there.
_BEFORE_HIT_M = 0.1
_FLOOR_HEIGHTS = 8.0


class LidarPoints(NamedTuple):
    """What a lidar measured in one turn."""

    #: x, y, z in the lidar's frame [m], float64 ``[N, 3]``.
    xyz: NDArray[np.float64]
    #: The time of each after the message's stamp [ns], int64 ``[N]``; None where it does not say.
    offsets_ns: NDArray[np.int64] | None

    @property
    def span_ns(self) -> tuple[int, int]:
        """The first and the last time after the message's stamp [ns]."""
        if self.offsets_ns is None or not len(self.offsets_ns):
            return 0, 0
        return int(self.offsets_ns.min()), int(self.offsets_ns.max())


def lidar_points(message: Any) -> LidarPoints:
    """Return the points that a message has measured.

    Of a scan, those within its range: REP-117 has -Inf for too close, NaN for an error and +Inf
    for no return. Of a cloud, those that are finite and not its origin, which drivers give where
    there is no return.

    :raises ValueError: for a cloud without x, y and z, or with damaged data.
    """
    return _points_of_scan(message) if hasattr(message, 'ranges') else _points_of_cloud(message)


def _points_of_scan(message: Any) -> LidarPoints:
    ranges = np.asarray(message.ranges, np.float64)
    number = np.arange(len(ranges))
    valid = _is_measured(ranges, message)
    angles = (message.angle_min + number * message.angle_increment)[valid]
    ranges = ranges[valid]
    xyz = np.stack([ranges * np.cos(angles), ranges * np.sin(angles), 0 * ranges], axis=-1)
    if not message.time_increment:
        return LidarPoints(xyz, None)
    return LidarPoints(xyz, _plausible(np.rint(number[valid] * message.time_increment * 1e9)))


def _is_measured(ranges: NDArray[np.float64], message: Any) -> NDArray[np.bool_]:
    with np.errstate(invalid='ignore'):
        valid = np.isfinite(ranges) & (ranges >= message.range_min)
        return valid & (ranges <= message.range_max) & (ranges > 0)


def _points_of_cloud(message: Any) -> LidarPoints:
    records = read_cloud(message, ('x', 'y', 'z'), optional=_TIME_FIELDS).ravel()
    xyz = np.stack([records[axis] for axis in 'xyz'], axis=-1).astype(np.float64)
    valid = np.isfinite(xyz).all(axis=-1) & xyz.any(axis=-1)
    time = next((name for name in _TIME_FIELDS if name in (records.dtype.names or ())), None)
    if time is None:
        return LidarPoints(xyz[valid], None)
    stamp = message.header.stamp
    offsets = _offsets(records[time][valid], stamp.sec, stamp.nanosec)
    return LidarPoints(xyz[valid], _plausible(offsets))


def _offsets(times: NDArray[Any], sec: int, nanosec: int) -> NDArray[Any]:
    """Return times after a stamp [ns]; integers are nanoseconds, and floats seconds if small."""
    latest = float(np.abs(times.astype(np.float64)).max(initial=0.0))
    if latest >= _ABSOLUTE_S and times.dtype.kind == 'f' and times.dtype.itemsize < 8:
        return np.full(len(times), np.nan)  # of minutes, at that size
    if latest >= _ABSOLUTE_NS:
        return times.astype(np.int64) - np.int64(sec * 10**9 + nanosec)  # floats of 2**53 and more
    if times.dtype.kind in 'iu':
        return times.astype(np.float64)
    seconds = times.astype(np.float64)
    return (seconds - sec) * 1e9 - nanosec if latest >= _ABSOLUTE_S else seconds * 1e9


def _plausible(offsets_ns: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return times within a turn of the lidar; None if any is not, or is no number."""
    if not (np.abs(offsets_ns) <= _MAX_OFFSET_NS).all():
        return None
    return np.rint(offsets_ns).astype(np.int64)


def sparse_depth(
    points: NDArray[np.floating], camera: CameraModel, *, is_flat: bool
) -> NDArray[np.float32]:
    """Return the depth image of a lidar's points, without those that others hide.

    Each point falls into one pixel, where the nearest of several stays. The lidar does not stand
    where the camera does, so it sees what the camera does not: a point is taken for hidden if much
    nearer ones (a tenth or more) lie on both sides of it, left and right or above and below,
    within a window that is as large as the points are sparse. Beside something near, and on the
    ground, which is nearer on one side only, points stay.

    :param points: ``[N, 3]`` in the camera's optical frame [m].
    :param is_flat: they are of one turning beam. What it hits is taken to be upright: something
        nearer hides all that is farther in its columns.
    :returns: metres along Z, ``[H, W]``, NaN where there is no point.
    """
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    rows, columns, z = _in_view(points, camera)
    np.minimum.at(depth, (rows, columns), z.astype(np.float32))
    depth[_is_hidden_flat(depth) if is_flat else _is_hidden(depth)] = np.inf
    depth[np.isinf(depth)] = np.nan
    return depth


def free_floor(
    scan: Any, camera: CameraModel, lidar: NDArray[np.floating], floor: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return the depth of the level floor under the beams of a scan.

    Where a beam passes until it hits something, nothing as high as the lidar stands on the floor;
    what is lower, such as a step or a cable, is taken for the floor. Beams without return say
    nothing, for glass and black things have none either.

    :param scan: with the fields of ``sensor_msgs/LaserScan``.
    :param lidar: pose of the scan's frame in the camera's optical one, ``[4, 4]``.
    :param floor: pose of a frame whose x and y axes lie on the floor in the optical one,
        ``[4, 4]``; z is up.
    :returns: metres along Z, ``[H, W]``, NaN where it is no floor or not known.
    :raises ValueError: if the camera or the lidar is below the floor.
    """
    up = floor[:3, 2]
    height, lidar_height = -up @ floor[:3, 3], up @ (lidar[:3, 3] - floor[:3, 3])
    if min(height, lidar_height) <= 0:
        raise ValueError(
            f'got the camera {height:.2f} m and the lidar {lidar_height:.2f} m above the floor, '
            'expected both above it; name the frame that lies on the floor, such as base_footprint'
        )
    rays = camera.rays
    falls = -(rays @ up[:2].astype(np.float32) + np.float32(up[2]))  # for a metre of depth
    with np.errstate(invalid='ignore'):
        chosen = np.nonzero(falls * (_FLOOR_HEIGHTS * height) > height)
    depth = np.full(rays.shape[:2], np.nan, np.float32)
    deep = height / falls[chosen]
    points = np.column_stack([deep[:, None] * rays[chosen], deep])
    x, y = ((points - lidar[:3, 3]) @ lidar[:3, :2]).T
    free = np.hypot(x, y) < _reach(scan, np.arctan2(y, x))
    depth[chosen] = np.where(free, deep, np.nan)
    return depth


def _reach(scan: Any, angles: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return how far a scan is free in some directions [m], negative where it does not say."""
    ranges = np.asarray(scan.ranges, np.float64)
    ranges = np.where(_is_measured(ranges, scan), ranges, 0.0)
    # What lies between two beams was passed by both.
    beside = np.pad(ranges, 1, constant_values=0.0)
    least = np.minimum(np.minimum(beside[:-2], beside[2:]), ranges) - _BEFORE_HIT_M
    turn = 2 * np.pi / abs(scan.angle_increment)
    number = np.rint((angles - scan.angle_min) / scan.angle_increment % turn)
    is_seen = number < len(ranges)
    return np.where(is_seen, least[np.where(is_seen, number, 0).astype(np.intp)], -1.0)


def is_any_in_view(points: NDArray[np.floating], camera: CameraModel) -> bool:
    """Say whether :func:`sparse_depth` has a pixel, which mostly a few of the points tell."""
    some = points[:: max(1, len(points) // _PROBED)]
    return any(len(_in_view(p, camera)[0]) for p in (some, points))


def _in_view(
    points: NDArray[np.floating], camera: CameraModel
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.floating]]:
    """Return row, column and depth of the points that fall into an image, ``[M]`` each."""
    points = points[camera.is_in_field(points)]
    if not len(points):  # which OpenCV does not take
        return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0)
    columns, rows = np.floor(camera.project(points) + 0.5).T
    inside = (rows >= 0) & (rows < camera.height) & (columns >= 0) & (columns < camera.width)
    return rows[inside].astype(np.intp), columns[inside].astype(np.intp), points[inside, 2]


def _is_hidden(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say which points lie between much nearer ones, ``[H, W]``; infinity is no point."""
    rows, columns = np.nonzero(np.isfinite(depth))
    if not len(rows):
        return np.zeros(depth.shape, np.bool_)
    band = math.ceil(math.sqrt((np.ptp(rows) + 1) * (np.ptp(columns) + 1) / len(rows)))
    limit = max(1, max(depth.shape) // 8)
    down = min(limit, _spacing(rows, columns // band))
    across = min(limit, _spacing(columns, rows // band))
    # To the side, up to half of the way to the next row: it may find points of one ring from
    # between two, but on the ground not the ring below, which is nearer and hides nothing.
    wide = (2 * (down // 2) + 1, math.ceil(_REACH * across) + 1)
    tall = (math.ceil(_REACH * down) + 1, 2 * across + 1)
    aside = [_nearest(depth, wide, (side, wide[0] // 2)) for side in (0, wide[1] - 1)]
    upright = [_nearest(depth, tall, (tall[1] // 2, side)) for side in (0, tall[0] - 1)]
    return _is_between(depth, *aside) | _is_between(depth, *upright)


def _is_hidden_flat(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say the same of points of one beam, by their columns alone."""
    nearest = depth.min(axis=0, keepdims=True)  # [1, W]
    columns = np.flatnonzero(np.isfinite(nearest))
    if not len(columns):
        return np.zeros(depth.shape, np.bool_)
    reach = math.ceil(_REACH * _spacing(columns, 0 * columns))
    reach = min(reach, max(1, depth.shape[1] // 8))
    aside = [_nearest(nearest, (1, reach + 1), (side, 0)) for side in (0, reach)]
    return _is_between(depth, *aside)


def _spacing(places: NDArray[np.intp], bands: NDArray[np.intp]) -> int:
    """Return how far points of one band mostly are from the next one along it [pixels]."""
    order = np.lexsort((places, bands))
    steps, is_same = np.diff(places[order]), np.diff(bands[order]) == 0
    steps = steps[is_same & (steps > 0)]
    return math.ceil(np.median(steps)) if len(steps) else 1


def _nearest(
    depth: NDArray[np.float32], window: tuple[int, int], anchor: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the least depth in a window about each pixel.

    :param window: rows and columns.
    :param anchor: column and row of the pixel in it.
    """
    return cv2.erode(depth, np.ones(window, np.uint8), anchor=anchor)


def _is_between(
    depth: NDArray[np.float32], one: NDArray[np.float32], other: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Say which points have much nearer ones on both of two sides."""
    return np.isfinite(depth) & (np.maximum(one, other) < _NEARER * depth)
