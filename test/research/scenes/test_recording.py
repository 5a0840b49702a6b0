"""Frames as a robot would have recorded them, read back as any recording is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mirror_depth_ros.data.bag import BagFrames
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import CameraModel
from research.scenes.recording import (
    LevelLidar,
    OdometryErrors,
    ring_points,
    scan_ranges,
    write_recording,
)

H, W = 37, 53
CAMERA = CameraModel(W, H, 50.0, 52.0, 26.0, 18.0)


def seen(i: int) -> DepthSample:
    """Return what a camera sees that looks along the world's y axis and goes 0.1 m a frame."""
    depth = np.broadcast_to(np.linspace(2.0, 3.0, W, dtype=np.float32), (H, W)).copy()
    depth[:, :4] = np.nan
    pose = np.array([[1, 0, 0, 0], [0, 0, 1, 0.1 * i], [0, -1, 0, 0.5], [0, 0, 0, 1]], float)
    return DepthSample(np.full((H, W, 3), 90, np.uint8), depth, CAMERA, f'{i}', pose)


def test_a_scan_is_the_middle_row() -> None:
    first, ranges = scan_ranges(seen(0))
    # From the right edge, 26 columns beside the axis, to the left one.
    assert first == pytest.approx(-np.arctan(26 / 50))
    assert ranges[0] == pytest.approx(3.0 / np.cos(first), rel=1e-5)
    assert np.isinf(ranges[-1])


def test_rings_are_points_of_their_rows() -> None:
    points = ring_points(seen(0), 4)
    # Columns 6 to 51 in threes, since those before have no depth, in 4 rows: 16 * 4.
    assert points.shape == (64, 3)
    ahead, left, up = points[0]
    # Row 4 of 37: 14 / 52 above the axis; column 6: 20 / 50 to the left.
    assert (left / ahead, up / ahead) == pytest.approx((0.4, 14 / 52), rel=1e-5)


def test_it_is_read_back(tmp_path: Path) -> None:
    samples = [seen(i) for i in range(5)]
    exact = OdometryErrors(1.0, 0.0, 0.0)
    write_recording(samples, tmp_path / 'bag', scan=True, rings=4, depth=True, odometry=exact)
    frames = BagFrames(tmp_path / 'bag', lidar='/scan+/points', motion=True)
    assert len(frames) == 5
    known = np.isfinite(frames[2].depth)
    assert 100 < np.count_nonzero(known) <= 49 + 64
    # A scan's angles fall between the columns of a slanted wall.
    np.testing.assert_allclose(frames[2].depth[known], samples[2].depth[known], rtol=0.02)
    step = np.linalg.inv(frames[0].pose) @ frames[1].pose
    np.testing.assert_allclose(step[:3, 3], [0, 0, 0.1], atol=1e-9)
    whole = BagFrames(tmp_path / 'bag')
    np.testing.assert_array_equal(whole[3].depth, samples[3].depth)


def test_odometry_has_its_errors() -> None:
    poses = [np.array(seen(i).pose) for i in range(401)]
    longer = OdometryErrors(1.02, 0.0, 0.0).of(poses)
    assert longer[-1][1, 3] == pytest.approx(40.8)
    turned = []
    for seed in range(100):
        drifted = OdometryErrors(1.0, 0.0, 1.0, seed=seed).of(poses)[100]
        off = poses[100][:3, :3].T @ drifted[:3, :3]
        turned.append(np.degrees(np.arccos((np.trace(off) - 1) / 2)))
    # After 10 m, ten steps of a random walk of a degree: 3.2 degrees.
    assert np.sqrt(np.mean(np.square(turned))) == pytest.approx(10**0.5, rel=0.2)


def test_frames_that_know_too_little() -> None:
    bare = DepthSample(np.zeros((H, W, 3), np.uint8), None, CAMERA, 'a')
    with pytest.raises(ValueError, match='got a without depth, expected it to make a lidar of it'):
        scan_ranges(bare)


def test_a_level_lidar_stands_on_the_floor_in_view(tmp_path: Path) -> None:
    """The camera looks 20 degrees down, 1 m above the floor, at a wall 3 m away."""
    rays = np.concatenate([CAMERA.rays, np.ones((H, W, 1))], axis=2)
    tilt = np.radians(20)
    down, ahead = np.array([0, np.cos(tilt), np.sin(tilt)]), [0, -np.sin(tilt), np.cos(tilt)]
    with np.errstate(divide='ignore'):
        floor = np.where(rays @ down > 0, 1.0 / (rays @ down), np.inf)
    depth = np.minimum(floor, 3.0 / (rays @ ahead)).astype(np.float32)
    sample = DepthSample(np.full((H, W, 3), 90, np.uint8), depth, CAMERA, '0')
    lidar = LevelLidar(0.5)
    pose = lidar.floor(sample)
    np.testing.assert_allclose(pose[:3, 2], -down, atol=1e-3)
    np.testing.assert_allclose(pose[:3, 3], down, atol=5e-3)
    first, ranges = lidar.ranges(sample, pose)
    angles = first + np.radians(0.25) * np.arange(len(ranges))
    hit = np.isfinite(ranges)
    np.testing.assert_allclose(ranges[hit] * np.cos(angles[hit]), 3.0, atol=0.03)
    write_recording([sample], tmp_path / 'bag', scan=lidar, rings=0, depth=False, odometry=None)
    read = BagFrames(tmp_path / 'bag')[0].depth
    with pytest.raises(ValueError, match='got rings beside a level lidar, expected one of them'):
        write_recording([sample], tmp_path, scan=lidar, rings=4, depth=False, odometry=None)
    with pytest.raises(ValueError, match='got nothing 9.0 m above the floor in 0, expected'):
        LevelLidar(9.0).ranges(sample, pose)
    known = np.isfinite(read)
    assert known.any()
    np.testing.assert_allclose(read[known], depth[known], rtol=0.03)
