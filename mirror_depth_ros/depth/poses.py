"""Poses of something that moves, by the time at which it was there."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

#: Poses farther apart than this say too little of what was between them [ns].
MAX_GAP_NS = 500_000_000
# Rotations may be written with three decimals.
_ROUNDED = 2e-3


def pose_matrix(translation: Sequence[float], quaternion: Sequence[float]) -> NDArray[np.float64]:
    """Return a pose as a matrix.

    :param translation: x, y, z [m].
    :param quaternion: x, y, z, w, as ``geometry_msgs/Quaternion`` has them, of any length but 0.
    :returns: ``[4, 4]``, of points in the moving frame to points in the fixed one.
    :raises ValueError: for what is no pose.
    """
    length = np.linalg.norm(quaternion)
    if not (np.isfinite(translation).all() and np.isfinite(length) and length > 0):
        raise ValueError(
            f'got the translation {translation} and the quaternion {quaternion}, expected finite '
            'numbers and a rotation; correct what publishes the pose'
        )
    x, y, z, w = np.asarray(quaternion, np.float64) / length
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = translation
    return pose


def move_points(points: NDArray[np.floating], pose: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return points ``[N, 3]`` of the moving frame of a pose ``[4, 4]`` in the fixed one [m]."""
    return points @ pose[:3, :3].T + pose[:3, 3]


def check_pose(pose: NDArray[np.floating]) -> None:
    """Refuse what is no pose ``[4, 4]``: a rotation and a shift, of finite numbers.

    :raises ValueError: for it.
    """
    if np.shape(pose) == (4, 4) and np.isfinite(pose).all():
        turn, last = pose[:3, :3], pose[3]
        is_turn = np.allclose(turn.T @ turn, np.eye(3), atol=_ROUNDED) and np.linalg.det(turn) > 0
        if is_turn and np.allclose(last, (0, 0, 0, 1)):
            return
    raise ValueError(
        f'got the pose {np.asarray(pose).tolist()}, expected 4 x 4 numbers, a rotation and a '
        'shift in metres above the row 0 0 0 1; correct it'
    )


def interpolate_pose(
    before: NDArray[np.float64], after: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Return a pose ``[4, 4]`` between two: on a straight line and about one axis (slerp).

    :param share: how much of the way is gone, 0 to 1.
    """
    axis_angle, _ = cv2.Rodrigues(before[:3, :3].T @ after[:3, :3])
    turn, _ = cv2.Rodrigues(share * axis_angle)
    pose = np.eye(4)
    pose[:3, :3] = before[:3, :3] @ turn
    pose[:3, 3] = (1 - share) * before[:3, 3] + share * after[:3, 3]
    return pose


class PoseTrack:
    """The last poses, and those between them."""

    def __init__(self, *, capacity: int = 500) -> None:
        """Make an empty track.

        :param capacity: how many poses are kept: by default the last 5 s at 100 Hz.
        """
        self._stamps_ns: deque[int] = deque(maxlen=capacity)
        self._poses: deque[NDArray[np.float64]] = deque(maxlen=capacity)

    def add(self, stamp_ns: int, pose: NDArray[np.float64]) -> None:
        """Remember a pose ``[4, 4]``; after a jump back in time, that alone."""
        if self._stamps_ns and stamp_ns <= self._stamps_ns[-1]:
            self._stamps_ns.clear()
            self._poses.clear()
        self._stamps_ns.append(stamp_ns)
        self._poses.append(pose)

    def find(self, stamp_ns: int) -> NDArray[np.float64] | None:
        """Return the pose ``[4, 4]`` at a time, interpolated between two.

        :returns: None before the first pose and after the last, and between two that are more
            than :data:`MAX_GAP_NS` apart: nothing is extrapolated.
        """
        i = bisect_left(self._stamps_ns, stamp_ns)
        if i == len(self._stamps_ns):
            return None
        after_ns, after = self._stamps_ns[i], self._poses[i]
        if after_ns == stamp_ns:
            return after
        if i == 0 or after_ns - self._stamps_ns[i - 1] > MAX_GAP_NS:
            return None
        before_ns, before = self._stamps_ns[i - 1], self._poses[i - 1]
        share = (stamp_ns - before_ns) / (after_ns - before_ns)
        return interpolate_pose(before, after, share)
