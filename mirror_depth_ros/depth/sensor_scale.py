"""The true scale of a depth image, by what another sensor of the robot measured in the same view.

The depth of a network may be off by a factor. A lidar knows the depth of some pixels
(:mod:`.lidar`), a range sensor that of the surface in its cone; their ratio gives the factor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.lidar import lidar_points, sparse_depth
from mirror_depth_ros.depth.poses import move_points

#: Fewer pixels than this say too little of an image.
MIN_POINTS = 20
#: Largest median absolute deviation of the ratios, as a factor: once depth is multiplied by the
#: median, at least half of the pixels are within 1.25 of what was measured (delta1 of 50 %).
MAX_DEVIATION = 1.25

# A beam is taken to be at least so wide to either side, to show in some pixels [pixels].
_MIN_RADIUS_PX = 2.0
# By the constants of sensor_msgs/Range.
_ULTRASOUND = 0
# The first echo is that of what is nearest in the cone: there are the largest ratios. In cones of
# 15 degrees of 37 photographs with true depth, whose nearest twentieth was taken for the echo,
# factors were 9 % off the cone's own in place of the median's 19 % (each the middle one).
_NEAREST = 0.95


def scale_from_lidar(
    estimated: NDArray[np.floating],
    message: Any,
    camera: CameraModel,
    pose: NDArray[np.floating],
) -> float:
    """Return what depth must be multiplied by, as a lidar's points in view have it.

    :param estimated: along Z in any scale, ``[H, W]``; what is not finite and positive is none.
    :param message: anything with the fields of ``sensor_msgs/LaserScan`` or ``PointCloud2``.
    :param camera: the camera of that size.
    :param pose: of the lidar's frame in the camera's optical one, ``[4, 4]`` [m].
    :raises ValueError: where :func:`.lidar_points` and :func:`scale_from_depth` do.
    """
    points = move_points(lidar_points(message).xyz, pose)
    is_flat = hasattr(message, 'ranges')
    return scale_from_depth(estimated, sparse_depth(points, camera, is_flat=is_flat))


def scale_from_range(
    estimated: NDArray[np.floating],
    message: Any,
    camera: CameraModel,
    pose: NDArray[np.floating],
) -> float:
    """Return the same as a range sensor has it: a weak measure, one number for all of its cone.

    :param message: anything with the fields of ``sensor_msgs/Range``.
    :raises ValueError: where :func:`range_depth` and :func:`scale_from_depth` do.
    """
    quantile = _NEAREST if message.radiation_type == _ULTRASOUND else 0.5
    measured = range_depth(message, camera, pose)
    return scale_from_depth(estimated, measured, min_points=1, quantile=quantile)


def scale_from_depth(
    estimated: NDArray[np.floating],
    measured: NDArray[np.floating],
    *,
    min_points: int = MIN_POINTS,
    quantile: float = 0.5,
) -> float:
    """Return what depth must be multiplied by: by default the median of measured / estimated.

    :param estimated: along Z in any scale, ``[H, W]``; what is not finite and positive is none.
    :param measured: the true depth of some pixels [m], ``[H, W]``, NaN where it is not known.
    :param min_points: how many pixels must have both.
    :param quantile: of the ratios, 0 to 1.
    :raises ValueError: if the shapes differ, fewer pixels have both, or the ratios do not agree:
        the median absolute deviation of their logarithms is more than that of
        :data:`MAX_DEVIATION`.
    """
    if estimated.shape != measured.shape:
        raise ValueError(
            f'got depth of shape {estimated.shape} and measurements of shape {measured.shape}, '
            'expected the same; make the measurements with the camera of that size'
        )
    with np.errstate(invalid='ignore'):
        has_both = (estimated > 0) & np.isfinite(estimated) & (measured > 0)
    n_points = np.count_nonzero(has_both)
    if n_points < min_points:
        raise ValueError(
            f'got {n_points} measured pixels in view, expected at least {min_points}; let the '
            'sensor look where the camera does, and check the transform between them: an optical '
            'frame has x right, y down and z forward'
        )
    ratios = measured[has_both].astype(np.float64) / estimated[has_both]
    median = float(np.median(ratios))
    deviation = math.exp(np.median(np.abs(np.log(ratios / median))))
    if deviation > MAX_DEVIATION:
        raise ValueError(
            f'got {n_points} measured pixels, half of which differ from their median factor, '
            f'{median:.3g}, by a factor of {deviation:.2f} or more, expected at most '
            f'{MAX_DEVIATION}: no one factor sets their depth right; measure elsewhere, and check '
            'the transform from the sensor to the camera'
        )
    return float(np.quantile(ratios, quantile))


def range_depth(
    message: Any, camera: CameraModel, pose: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return the depth image of what a range sensor measured.

    One number says nothing of the shape of what is there, or where in the cone it is. It is taken
    for a surface that faces the sensor and fills the cone.

    :param message: anything with the fields of ``sensor_msgs/Range``.
    :param pose: of the sensor's frame, whose x axis is that of the cone, in the camera's optical
        frame, ``[4, 4]`` [m].
    :returns: metres along Z, ``[H, W]``, NaN outside of the cone, and everywhere if its axis meets
        the surface out of view.
    :raises ValueError: where nothing was measured, or for a cone that is none.
    """
    distance, radius = _distance(message), math.tan(_half_angle(message, camera))
    origin, axis = pose[:3, 3], pose[:3, 0]
    centre = origin + distance * axis
    if np.isnan(sparse_depth(centre[None], camera, is_flat=False)).all():
        return np.full((camera.height, camera.width), np.nan, np.float32)
    rays = np.dstack([camera.rays, np.ones((camera.height, camera.width))])  # [H, W, 3]
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = (axis @ centre) / (rays @ axis)
        off_axis = np.linalg.norm(depth[..., None] * rays - centre, axis=-1)
        is_in_cone = (depth > 0) & (off_axis <= distance * radius)
    return np.where(is_in_cone, depth, np.nan).astype(np.float32)


def _distance(message: Any) -> float:
    low, high, distance = message.min_range, message.max_range, message.range
    # With both the same, -Inf and +Inf say whether something is nearer (sensor_msgs/Range).
    if not (low < high and low <= distance <= high and 0 < distance < math.inf):
        raise ValueError(
            f'got a range of {distance:g} m from a sensor of {low:g} to {high:g} m, expected one '
            'that it can measure; measure where something is in its cone'
        )
    return float(distance)


def _half_angle(message: Any, camera: CameraModel) -> float:
    """Return the angle between a cone's axis and its side [rad]."""
    field_of_view = message.field_of_view
    if not 0.0 <= field_of_view < 0.5 * math.pi:
        raise ValueError(
            f'got a field_of_view of {field_of_view:g}, expected the whole angle of a cone below '
            'pi / 2, in radians; correct the driver of the range sensor'
        )
    return max(field_of_view / 2, math.atan(_MIN_RADIUS_PX / camera.focal_px))
