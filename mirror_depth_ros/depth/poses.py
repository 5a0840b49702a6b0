"""Poses of something that moves, by the time at which it was there."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence

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


def pose_at(
    stamps_ns: Sequence[int], pose_of: Callable[[int], NDArray[np.float64]], stamp_ns: int
) -> NDArray[np.float64] | None:
    """Return the pose ``[4, 4]`` at a time, between two on a straight line and about one axis.

    :param stamps_ns: those at which it is known, the earliest first.
    :param pose_of: returns the pose at one of them, by its number.
    :returns: None before the first and after the last, and between two that are more than
        :data:`MAX_GAP_NS` apart: nothing is extrapolated.
    """
    i = bisect_left(stamps_ns, stamp_ns)
    if i == len(stamps_ns):
        return None
    if stamps_ns[i] == stamp_ns:
        return pose_of(i)
    if i == 0 or stamps_ns[i] - stamps_ns[i - 1] > MAX_GAP_NS:
        return None
    share = (stamp_ns - stamps_ns[i - 1]) / (stamps_ns[i] - stamps_ns[i - 1])
    before, after, pose = pose_of(i - 1), pose_of(i), np.eye(4)
    axis_angle, _ = cv2.Rodrigues(before[:3, :3].T @ after[:3, :3])
    turn, _ = cv2.Rodrigues(share * axis_angle)  # slerp
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
        """Return the pose ``[4, 4]`` at a time, if it is known: see :func:`pose_at`."""
        return pose_at(self._stamps_ns, self._poses.__getitem__, stamp_ns)
