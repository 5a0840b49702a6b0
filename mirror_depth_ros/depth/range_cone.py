"""What a range sensor measures (sonar, infrared, time of flight): one number for all of its cone.

It says nothing of the shape of what is there, or where in the cone it is. It is taken for a
surface that faces the sensor and fills the cone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.lidar import is_any_in_view

#: A beam is taken to be at least so wide to either side, to show in some pixels [pixels].
MIN_RADIUS_PX = 2.0
# By the constants of sensor_msgs/Range.
_ULTRASOUND = 0
# The first echo is that of what is nearest in the cone: there are the largest ratios. In cones of
# 15 degrees of 37 photographs with true depth, whose nearest twentieth was taken for the echo,
# factors were 9 % off the cone's own in place of the median's 19 % (each the middle one).
_NEAREST = 0.95


class RangeCone(NamedTuple):
    """One measurement, in the optical frame of a camera."""

    #: Where its axis meets what was measured [m].
    centre: tuple[float, float, float]
    #: A unit vector.
    axis: tuple[float, float, float]
    #: From the sensor to ``centre`` [m].
    distance: float
    #: Between the axis and the cone's side [rad].
    half_angle: float
    #: Which of the ratios of measured to estimated depth in the cone tells how far off those are.
    quantile: float

    def is_in_view(self, camera: CameraModel) -> bool:
        """Say whether a camera sees where the axis meets the surface."""
        return is_any_in_view(np.array([self.centre]), camera)

    def depth(self, camera: CameraModel) -> NDArray[np.float32]:
        """Return the surface's depth image.

        :returns: metres along Z, ``[H, W]``, NaN outside of the cone, and everywhere where
            :meth:`is_in_view` says no.
        """
        nothing = np.full((camera.height, camera.width), np.nan, np.float32)
        if not self.is_in_view(camera):
            return nothing
        centre, axis = np.array(self.centre), np.array(self.axis)
        rays = np.dstack([camera.rays, np.ones_like(nothing)])  # [H, W, 3]
        radius = self.distance * math.tan(
            max(self.half_angle, math.atan(MIN_RADIUS_PX / camera.focal_px))
        )
        with np.errstate(divide='ignore', invalid='ignore'):
            depth = (axis @ centre) / (rays @ axis)
            off_axis = np.linalg.norm(depth[..., None] * rays - centre, axis=-1)
            return np.where((depth > 0) & (off_axis <= radius), depth, nothing).astype(np.float32)


def range_cone(message: Any, pose: NDArray[np.floating]) -> RangeCone:
    """Return what a message says.

    :param message: anything with the fields of ``sensor_msgs/Range``.
    :param pose: of the sensor's frame, whose x axis is that of the cone, in the camera's optical
        frame, ``[4, 4]`` [m].
    :raises ValueError: where nothing was measured, or for a cone that is none.
    """
    low, high, distance = message.min_range, message.max_range, message.range
    # With both the same, -Inf and +Inf say whether something is nearer (sensor_msgs/Range).
    if not (low < high and low <= distance <= high and 0 < distance < math.inf):
        raise ValueError(
            f'got a range of {distance:g} m from a sensor of {low:g} to {high:g} m, expected one '
            'that it can measure; measure where something is in its cone'
        )
    field_of_view = message.field_of_view
    if not 0.0 <= field_of_view < 0.5 * math.pi:
        raise ValueError(
            f'got a field_of_view of {field_of_view:g}, expected the whole angle of a cone below '
            'pi / 2, in radians; correct the driver of the range sensor'
        )
    axis = pose[:3, 0]
    return RangeCone(
        centre=tuple((pose[:3, 3] + distance * axis).tolist()),
        axis=tuple(axis.tolist()),
        distance=float(distance),
        half_angle=field_of_view / 2,
        quantile=_NEAREST if message.radiation_type == _ULTRASOUND else 0.5,
    )
