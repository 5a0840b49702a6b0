"""Poses as matrices, and between the times at which they are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mirror_depth_ros.depth.poses import (
    MAX_GAP_NS,
    PoseTrack,
    check_pose,
    move_points,
    pose_matrix,
)


def turned(degrees: float, x: float = 0.0) -> np.ndarray:
    quaternion = Rotation.from_euler('z', degrees, degrees=True).as_quat()
    return pose_matrix((x, 0.0, 0.0), quaternion)


def test_a_pose_as_a_matrix() -> None:
    # A quarter turn about z: (0, 0, sin 45, cos 45); any length is the same rotation.
    pose = pose_matrix((1.0, 2.0, 3.0), (0.0, 0.0, 2.0, 2.0))
    expected = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(pose, expected, atol=1e-12)
    quaternion = Rotation.from_euler('xyz', (0.3, -1.1, 2.0)).as_quat()
    turn = pose_matrix((0, 0, 0), quaternion)[:3, :3]
    np.testing.assert_allclose(turn, Rotation.from_quat(quaternion).as_matrix(), atol=1e-12)


def test_points_move_with_a_pose() -> None:
    # A quarter turn about z takes x to y and y to -x; then 5 along x.
    moved = move_points(np.array([(1.0, 0.0, 0.0), (0.0, 2.0, 3.0)]), turned(90.0, x=5.0))
    np.testing.assert_allclose(moved, [(5, 1, 0), (3, 0, 3)], atol=1e-12)


@pytest.mark.parametrize(
    ('translation', 'quaternion'),
    [((0, 0, 0), (0, 0, 0, 0)), ((0, np.nan, 0), (0, 0, 0, 1)), ((0, 0, 0), (0, 0, np.inf, 1))],
)
def test_what_is_no_pose_is_refused(translation: tuple, quaternion: tuple) -> None:
    with pytest.raises(ValueError, match='expected finite numbers and a rotation'):
        pose_matrix(translation, quaternion)


def test_poses_between_two_are_interpolated_and_nothing_is_beyond() -> None:
    track = PoseTrack()
    assert track.find(0) is None
    track.add(1000, turned(10.0, x=1.0))
    track.add(1400, turned(30.0, x=3.0))
    np.testing.assert_allclose(track.find(1000), turned(10.0, x=1.0))
    np.testing.assert_allclose(track.find(1100), turned(15.0, x=1.5), atol=1e-12)
    np.testing.assert_allclose(track.find(1400), turned(30.0, x=3.0))
    assert track.find(999) is None
    assert track.find(1401) is None


def test_a_gap_says_nothing_of_what_was_in_it() -> None:
    track = PoseTrack()
    for stamp_ns in (0, MAX_GAP_NS, 2 * MAX_GAP_NS + 1):
        track.add(stamp_ns, turned(0.0))
    assert track.find(1) is not None
    assert track.find(MAX_GAP_NS + 1) is None


def test_after_a_jump_back_in_time_the_track_begins_anew() -> None:
    track = PoseTrack(capacity=2)
    for stamp_ns in (5000, 6000, 7000):
        track.add(stamp_ns, turned(0.0))
    assert track.find(5500) is None  # no longer kept
    track.add(100, turned(0.0))
    assert track.find(6500) is None
    assert track.find(100) is not None


@pytest.mark.parametrize(
    'change', [(0, 0, 1.1), (0, 3, math.nan), (3, 0, 0.5), (2, 2, -1.0)], ids=str
)
def test_a_matrix_that_is_no_pose_is_refused(change: tuple[int, int, float]) -> None:
    pose = np.eye(4)
    check_pose(pose)
    row, column, value = change
    pose[row, column] = value
    with pytest.raises(ValueError, match=r'got the pose \[\[.*, expected 4 x 4 numbers, a rotat'):
        check_pose(pose)
    with pytest.raises(ValueError, match='expected 4 x 4 numbers'):
        check_pose(pose[:3])
