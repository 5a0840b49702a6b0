"""Transforms between frames against poses worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.depth.poses import MAX_GAP_NS
from mirror_depth_ros.depth.transforms import ExtrapolationError, TransformBuffer, TransformError

MS = 10**6
NO_TURN = (0.0, 0.0, 0.0, 1.0)
QUARTER_ABOUT_Z = (0.0, 0.0, 0.5**0.5, 0.5**0.5)
# Axes of REP-103: the optical frame's z is the body's x, its x is -y, its y is -z.
OPTICAL = (-0.5, 0.5, -0.5, 0.5)


@pytest.fixture
def robot() -> TransformBuffer:
    """A base that drives 1 m/s along x and turns left by 90 degrees between 100 and 300 ms."""
    buffer = TransformBuffer()
    buffer.add('base', 'lidar', 0, (0.1, 0.0, 0.3), NO_TURN, is_static=True)
    buffer.add('base', 'camera', 0, (0.2, 0.0, 0.5), NO_TURN, is_static=True)
    buffer.add('camera', 'camera_optical', 0, (0.0, 0.0, 0.0), OPTICAL, is_static=True)
    buffer.add('odom', 'base', 100 * MS, (1.0, 2.0, 0.0), NO_TURN)
    buffer.add('odom', 'base', 300 * MS, (1.2, 2.0, 0.0), QUARTER_ABOUT_Z)
    return buffer


def move(transform: np.ndarray, point: tuple[float, ...]) -> np.ndarray:
    return (transform @ [*point, 1.0])[:3]


def test_a_static_transform_holds_at_all_times(robot: TransformBuffer) -> None:
    # A point 2 m ahead of the lidar and 0.1 m to its left: in the base (2.1, 0.1, 0.3), in the
    # camera (1.9, 0.1, -0.2), in its optical frame x = -0.1, y = 0.2, z = 1.9.
    for stamp_ns in (0, 10**18):
        transform = robot.lookup('camera_optical', 'lidar', stamp_ns)
        np.testing.assert_allclose(move(transform, (2, 0.1, 0)), (-0.1, 0.2, 1.9), atol=1e-12)
    assert robot.is_static('camera_optical', 'lidar')
    assert not robot.is_static('odom', 'lidar')


def test_a_transform_and_back_is_none(robot: TransformBuffer) -> None:
    there = robot.lookup('odom', 'camera_optical', 150 * MS)
    back = robot.lookup('camera_optical', 'odom', 150 * MS)
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(robot.lookup('odom', 'odom', 0), np.eye(4))
    np.testing.assert_array_equal(TransformBuffer().lookup('camera', '/camera', 0), np.eye(4))


def test_between_two_times_it_is_interpolated(robot: TransformBuffer) -> None:
    # After half of the way, the base is at (1.1, 2.0) and looks 45 degrees to the left.
    transform = robot.lookup('odom', 'base', 200 * MS)
    c = 0.5**0.5
    expected = [[c, -c, 0, 1.1], [c, c, 0, 2.0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(transform, expected, atol=1e-12)
    # At the ends, and after a quarter: cos and sin of 22.5 degrees.
    np.testing.assert_allclose(
        move(robot.lookup('odom', 'base', 100 * MS), (1, 0, 0)), (2, 2, 0), atol=1e-12
    )
    np.testing.assert_allclose(
        move(robot.lookup('odom', 'base', 300 * MS), (1, 0, 0)), (1.2, 3, 0), atol=1e-12
    )
    np.testing.assert_allclose(
        move(robot.lookup('odom', 'base', 150 * MS), (1, 0, 0)),
        (1.05 + 0.9238795325, 2.3826834324, 0),
        atol=1e-9,
    )


def test_points_of_one_time_in_a_frame_of_another(robot: TransformBuffer) -> None:
    # Seen 1 m ahead of the base at 100 ms, at odom (2, 2). At 300 ms the base is at (1.2, 2) and
    # looks along y: the point is 0.8 m to its right.
    transform = robot.lookup_between('base', 300 * MS, 'base', 100 * MS, fixed='odom')
    np.testing.assert_allclose(move(transform, (1, 0, 0)), (0, -0.8, 0), atol=1e-12)


@pytest.mark.parametrize('stamp_ns', [100 * MS - 1, 300 * MS + 1])
def test_nothing_is_extrapolated(robot: TransformBuffer, stamp_ns: int) -> None:
    with pytest.raises(
        ExtrapolationError,
        match=rf'got the time 0.{stamp_ns:09d} s, expected one from 0.100000000 to 0.300000000 s, '
        r"in which the transform is known \(from 'base' to 'odom'\)",
    ):
        robot.lookup('odom', 'lidar', stamp_ns)


def test_a_gap_is_not_interpolated(robot: TransformBuffer) -> None:
    after_ns = 300 * MS + MAX_GAP_NS + 1
    robot.add('odom', 'base', after_ns, (1.2, 2.0, 0.0), QUARTER_ABOUT_Z)
    with pytest.raises(
        ExtrapolationError, match=r'0.400000000 s in a gap .*at most 0.5 s between'
    ):
        robot.lookup('odom', 'base', 400 * MS)
    robot.lookup('odom', 'base', after_ns)


def test_publishers_may_be_out_of_step(robot: TransformBuffer) -> None:
    for stamp_ns in (200, 250, 250):  # after that of 300, and one twice
        robot.add('odom', 'base', stamp_ns * MS, (stamp_ns, 0.0, 0.0), NO_TURN)
    robot.add('odom', 'base', 250 * MS, (7.0, 0.0, 0.0), NO_TURN)
    assert robot.lookup('odom', 'base', 225 * MS)[0, 3] == 225
    assert robot.lookup('odom', 'base', 250 * MS)[0, 3] == 250


def test_time_that_jumps_back_is_an_error(robot: TransformBuffer) -> None:
    robot.add('odom', 'base', 5000 * MS, (0.0, 0.0, 0.0), NO_TURN)
    robot.add('odom', 'base', 3000 * MS, (0.0, 0.0, 0.0), NO_TURN)
    with pytest.raises(TransformError, match=r'jumps back from 5.000000000 to 3.000000000 s'):
        robot.lookup('odom', 'base', 200 * MS)
    robot.lookup('camera', 'lidar', 200 * MS)  # which does not lead there


TREE = r"""; the tree:
  odom
    base
      camera \(static\)
        camera_optical \(static\)
      lidar \(static\)"""


def test_an_unknown_frame_is_an_error_with_the_tree(robot: TransformBuffer) -> None:
    message = f"got frame 'laser', which no transform names, expected one of .*tf_static{TREE}$"
    with pytest.raises(TransformError, match=message):
        robot.lookup('camera_optical', 'laser', 0)
    with pytest.raises(TransformError, match='; the tree:\n  no transform at all$'):
        TransformBuffer().lookup('a', 'b', 0)


def test_two_trees_are_an_error_with_both(robot: TransformBuffer) -> None:
    robot.add('arm', 'tool', 0, (0.0, 0.0, 0.0), NO_TURN)
    message = (
        f"got frames 'lidar' and 'tool' in two trees, .*; the tree:\n  arm\n    tool{TREE[11:]}"
    )
    with pytest.raises(TransformError, match=message):
        robot.lookup('lidar', 'tool', 0)


def test_a_loop_is_an_error_with_the_tree() -> None:
    buffer = TransformBuffer()
    for parent, child in (('a', 'b'), ('b', 'c'), ('c', 'a')):
        buffer.add(parent, child, 0, (0.0, 0.0, 0.0), NO_TURN)
    message = "got transforms from 'c' up to itself, .*; the tree:\n  a\n    b\n      c\n        a"
    with pytest.raises(TransformError, match=message):
        buffer.lookup('a', 'c', 0)


def test_two_parents_are_an_error(robot: TransformBuffer) -> None:
    robot.add('map', 'base', 0, (0.0, 0.0, 0.0), NO_TURN)
    with pytest.raises(TransformError, match="got frame 'base' with the parents 'map' and 'odom'"):
        robot.lookup('odom', 'lidar', 200 * MS)


def test_what_is_no_pose_is_named() -> None:
    buffer = TransformBuffer()
    buffer.add('a', 'b', 0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), is_static=True)
    with pytest.raises(TransformError, match=r"expected finite .* \(from 'b' to 'a'\); the tree:"):
        buffer.lookup('a', 'b', 0)


def test_names_with_a_slash_in_front_are_those_without(robot: TransformBuffer) -> None:
    robot.add('/base', '/imu', 0, (0.0, 0.0, 0.1), NO_TURN, is_static=True)
    assert robot.lookup('base', '/imu', 0)[2, 3] == 0.1
    assert robot.has_parent('/imu')
    assert not robot.has_parent('odom')


def test_the_last_static_transform_counts(robot: TransformBuffer) -> None:
    robot.add('base', 'lidar', 7, (0.4, 0.0, 0.3), NO_TURN, is_static=True)
    robot.add('base', 'lidar', 9, (9.0, 0.0, 0.3), NO_TURN)  # a moving one does not replace it
    assert robot.lookup('base', 'lidar', 0)[0, 3] == 0.4
