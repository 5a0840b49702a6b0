"""Rooms, roads and videos: real sizes, room for the camera, seeds, smooth closed paths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_depth_ros.camera import CameraModel, back_project
from mirror_depth_ros.scenes import furniture, people, roadside
from mirror_depth_ros.scenes.render import render
from mirror_depth_ros.scenes.solids import Pose, Shape, Thing
from mirror_depth_ros.scenes.video import KINDS, SPLITS, SceneVideo, make_scene

SEEDS = st.integers(0, 2**31)


def extent(thing: Thing) -> tuple[float, float]:
    """Lowest and highest z of a thing [m]."""
    low = min(s.centre[2] - s.half_size[2] for s in thing.solids)
    return low, max(s.centre[2] + s.half_size[2] for s in thing.solids)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_things_have_their_real_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = extent(people.person(rng, 3.0, 1.0, 0.4))
    assert low == pytest.approx(0.0, abs=0.01)
    assert 1.5 <= high <= 1.9
    low, high = extent(furniture.chair(rng, 0.0, 0.0, 0.0))
    assert low == pytest.approx(0.0, abs=0.01)
    assert 0.8 < high < 1.0
    boards = [s for s in furniture.table(rng, 0.0, 0.0, 0.0).solids if s.half_size[2] == 0.02]
    assert 0.65 < boards[0].centre[2] < 0.85
    car = roadside.car(rng, 0.0, 0.0, 0.0)
    length = max(s.half_size[0] * 2 for s in car.solids)
    assert 3.4 < length < 6.3


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=SEEDS)
def test_nothing_stands_in_the_cameras_way(kind: str, seed: int) -> None:
    scene = make_scene(kind, seed)
    x, y, z = scene.pose.position
    for solid in scene.solids:
        if solid.shape == Shape.SHELL:
            inside = [h - abs(c) for h, c in zip(solid.half_size[:2], (x, y), strict=True)]
            assert min(inside) >= scene.clearance
            continue
        local = (np.array([x, y, z]) - solid.centre) @ solid.rotation
        outside = np.maximum(np.abs(local) - solid.half_size, 0.0)
        assert np.linalg.norm(outside) > 0.1, solid


@pytest.mark.parametrize('kind', KINDS)
def test_a_seed_is_a_scene(kind: str) -> None:
    camera = CameraModel.from_fov(37, 29, 70.0)
    first, again, other = (render(make_scene(kind, seed), camera) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.depth, again.depth)
    assert (first.depth != other.depth).any()


def test_splits_never_overlap() -> None:
    for one, other in itertools.combinations(SPLITS.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start


def test_the_floor_lies_at_zero_in_the_world() -> None:
    scene = make_scene('indoor', 11)
    camera = CameraModel.from_fov(75, 57, scene.hfov_deg)
    frame = render(scene, camera)
    points = back_project(frame.depth, camera.rays) @ scene.pose.rotation.T + scene.pose.position
    floor = [i for i, thing in enumerate(scene.things) if thing.name == 'floor']
    assert np.isin(frame.things, floor).mean() > 0.02
    np.testing.assert_allclose(points[np.isin(frame.things, floor), 2], 0.0, atol=1e-3)


def test_picture_and_depth_belong_together() -> None:
    frame = render(make_scene('outdoor', 2), CameraModel.from_fov(81, 55, 80.0))
    assert frame.rgb.shape == (55, 81, 3)
    assert frame.rgb.dtype == np.uint8
    assert frame.depth.shape == frame.things.shape == (55, 81)
    np.testing.assert_array_equal(np.isinf(frame.depth), frame.things == -1)
    assert frame.rgb.std() > 10


def test_distorted_cameras_are_refused() -> None:
    camera = CameraModel(40, 30, 30.0, 30.0, 19.5, 14.5, 'plumb_bob', (0.1, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match='plumb_bob distortion, expected an ideal pinhole'):
        render(make_scene('indoor', 1), camera)


@pytest.mark.parametrize('kind', KINDS)
def test_videos_are_smooth_closed_and_within_the_clearance(kind: str) -> None:
    video = SceneVideo(kind, 9, CameraModel.from_fov(33, 25, 70.0), 50)
    poses = [video.pose(i) for i in range(51)]
    assert pose_distance(poses[0], poses[50]) == pytest.approx((0.0, 0.0), abs=1e-9)
    for one, following in itertools.pairwise(poses):
        metres, radians = pose_distance(one, following)
        assert metres < 0.12 * video.scene.clearance
        assert radians < math.radians(3.0)
    start = video.scene.pose
    assert all(pose_distance(start, p)[0] < video.scene.clearance for p in poses)


def pose_distance(one: Pose, other: Pose) -> tuple[float, float]:
    return math.dist(one.position, other.position), abs(one.yaw - other.yaw)


def test_videos_are_sequences() -> None:
    video = SceneVideo('indoor', 9, CameraModel.from_fov(33, 25, 70.0), 4)
    assert len(video) == 4
    np.testing.assert_array_equal(video[-1].depth, video[3].depth)
    assert [f.rgb.shape for f in video[1:3]] == [(25, 33, 3)] * 2
    # The same view again, but never the same noise from two frames.
    assert (video[0].rgb != video[2].rgb).any()
    with pytest.raises(IndexError, match='got item 4, expected 0 to 3'):
        video[4]


def test_errors_say_what_is_expected() -> None:
    camera = CameraModel.from_fov(33, 25, 70.0)
    with pytest.raises(
        ValueError, match="got scene kind 'space', expected one of indoor, outdoor"
    ):
        make_scene('space', 1)
    with pytest.raises(ValueError, match='got n_frames=0, expected at least 1'):
        SceneVideo('indoor', 1, camera, 0)
