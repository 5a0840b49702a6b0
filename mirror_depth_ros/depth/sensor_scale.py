"""The true scale of a depth image, by what another sensor of the robot measured in the same view.

The depth of a network may be off by a factor. A lidar knows the depth of some pixels
(:mod:`.lidar`), a range sensor that of the surface in its cone (:mod:`.range_cone`); their ratio
gives the factor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.lidar import lidar_points, sparse_depth
from mirror_depth_ros.depth.poses import move_points
from mirror_depth_ros.depth.range_cone import range_cone

#: Fewer pixels than this say too little of an image.
MIN_POINTS = 20
#: Largest median absolute deviation of the ratios, as a factor: once depth is multiplied by the
#: median, at least half of the pixels are within 1.25 of what was measured (delta1 of 50 %).
MAX_DEVIATION = 1.25


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
    :raises ValueError: where :func:`.range_cone` and :func:`scale_from_depth` do.
    """
    cone = range_cone(message, pose)
    return scale_from_depth(estimated, cone.depth(camera), min_points=1, quantile=cone.quantile)


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
