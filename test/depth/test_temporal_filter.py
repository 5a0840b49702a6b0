"""A plane before a camera, whose depth flickers, moves, and is hidden in part."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.temporal_filter import TemporalFilter

CAMERA = CameraModel(161, 121, 140.0, 138.0, 79.0, 61.0)
HERE = np.eye(4)


def picture(seed: int = 0) -> NDArray[np.uint8]:
    """Return a picture with something to see, uint8 ``[121, 161, 3]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (11, 14, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((11, 12, 1), np.uint8))[:121, :161]


def flat(depth: float) -> NDArray[np.float32]:
    return np.full((121, 161), depth, np.float32)


def pose(*, rotation_deg: tuple[float, ...] = (0, 0, 0), position: tuple[float, ...]) -> NDArray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler('xyz', rotation_deg, degrees=True).as_matrix()
    matrix[:3, 3] = position
    return matrix


def plane(camera_to_world: NDArray, camera: CameraModel = CAMERA) -> NDArray[np.float32]:
    """Return the depth of the plane ``z = 4 + 0.5 x + 0.2 y`` of the world, by its own formula."""
    normal, offset = np.array([-0.5, -0.2, 1.0]), 4.0
    rays = np.concatenate([camera.rays, np.ones((*camera.rays.shape[:2], 1))], axis=-1)
    world = rays @ camera_to_world[:3, :3].T
    return ((offset - normal @ camera_to_world[:3, 3]) / (world @ normal)).astype(np.float32)


class Video:
    """A filter, and the frames of 10 a second that it sees."""

    def __init__(self, camera: CameraModel = CAMERA) -> None:
        self.filter = TemporalFilter()
        self.camera = camera
        self.stamp_s = 100.0

    def show(
        self,
        depth: NDArray[np.float32],
        rgb: NDArray[np.uint8] | None = None,
        pose: NDArray | None = HERE,
        *,
        after_s: float = 0.1,
        confidence: NDArray | None = None,
        scale: float = 1.0,
    ) -> NDArray[np.float32]:
        self.stamp_s += after_s
        return self.filter.update(
            depth,
            picture() if rgb is None else rgb,
            camera=self.camera,
            stamp_s=self.stamp_s,
            pose=pose,
            confidence=confidence,
            scale=scale,
        )


def test_the_first_image_comes_back_as_it_is() -> None:
    depth = flat(2.0)
    for known in (HERE, None):
        assert Video().show(depth, pose=known) is depth


@pytest.mark.parametrize('known', [HERE, None], ids=['pose', 'still'])
def test_a_common_scale_is_averaged(known: NDArray | None) -> None:
    video = Video()
    video.show(flat(2.0), pose=known)
    # Weights 1 and 1: the geometric mean, sqrt(2.0 * 2.4) = 2.19089.
    np.testing.assert_allclose(video.show(flat(2.4), pose=known), 2.19089, rtol=1e-5)
    # 2 and 1: (2.19089^2 * 2)^(1/3) = 2.12532.
    np.testing.assert_allclose(video.show(flat(2.0), pose=known), 2.12532, rtol=1e-5)
    # 3, the most, and 1: (2.12532^3 * 2.4)^(1/4) = 2.19089; and again (2.19089^3 * 2)^(1/4).
    np.testing.assert_allclose(video.show(flat(2.4), pose=known), 2.19089, rtol=1e-5)
    np.testing.assert_allclose(video.show(flat(2.0), pose=known), 2.14152, rtol=1e-5)


def test_what_agrees_is_averaged_place_by_place() -> None:
    video, dented = Video(), flat(2.0)
    dented[20:60, 30:90] = 2.2
    video.show(flat(2.0))
    fused = video.show(dented)
    # r = ln(2 / 2.2) = -0.09531, a = (1 - (r / 0.6)^2)^2 = 0.95017, a / (a + 1) = 0.48722:
    # 2.2 exp(-0.09531 * 0.48722) = 2.10017.
    np.testing.assert_allclose(fused[30:50, 40:80], 2.10017, rtol=1e-5)
    np.testing.assert_allclose(fused[70:], 2.0, rtol=1e-6)


def test_confidence_weighs() -> None:
    video, dented = Video(), flat(2.0)
    dented[20:60, 30:90] = 2.2
    video.show(flat(2.0), confidence=np.ones((121, 161), np.float32))
    doubtful = np.where(dented > 2, 0.5, 1.0).astype(np.float32)
    fused = video.show(dented, confidence=doubtful)
    # As above with q = 0.5: a / (a + 0.5) = 0.65522, 2.2 exp(-0.09531 * 0.65522) = 2.06682.
    np.testing.assert_allclose(fused[30:50, 40:80], 2.06682, rtol=1e-5)
    for nothing in (0.0, np.nan):  # counts as 1/4: (2.0 * 2.4^(1/4))^(1 / (1 + 1/4)) = 2.07427
        video = Video()
        video.show(flat(2.0))
        fused = video.show(flat(2.4), confidence=flat(nothing))
        np.testing.assert_allclose(fused, 2.07427, rtol=1e-5)


@pytest.mark.parametrize('motion', [(0, 0, 0.3), (0.2, -0.1, -0.2)])
@pytest.mark.parametrize('lens', ['', 'equidistant'])
def test_the_depth_moves_with_the_camera(motion: tuple[float, ...], lens: str) -> None:
    """Without noise nothing is to be averaged: what is left is the error of the motion."""
    distortion = (0.05, -0.01, 0.002, 0.001) if lens else ()
    camera = CameraModel(161, 121, 140.0, 138.0, 79.0, 61.0, lens, distortion)
    video, where = Video(camera), pose(position=(0.1, 0.2, -0.5))
    for _ in range(5):
        depth = plane(where, camera)
        np.testing.assert_allclose(video.show(depth, np.zeros_like(picture()), where), depth, 5e-3)
        where = where @ pose(rotation_deg=(0.5, 2.0, -1.0), position=motion)


def test_flicker_of_a_moving_camera_is_halved() -> None:
    rng = np.random.default_rng(5)
    video, where, errors = Video(), HERE, []
    for _ in range(12):
        truth, flicker = plane(where), math.exp(rng.normal(0, 0.1))
        fused = video.show(truth * np.float32(flicker), np.zeros_like(picture()), where)
        errors.append((abs(math.log(flicker)), abs(np.log(fused / truth)).mean()))
        where = where @ pose(rotation_deg=(0, 1, 0), position=(0.02, 0, 0.05))
    noisy, steadied = np.mean(errors[1:], axis=0)
    assert steadied < noisy / 2


def test_depth_of_another_scale_moves_by_metres() -> None:
    video, half = Video(), Video()
    for where in (HERE, pose(position=(0, 0, 0.4)), pose(position=(0, 0, 0.8))):
        depth = plane(where) * np.float32(1.1 if where is HERE else 1.0)
        fused = video.show(depth, np.zeros_like(picture()), where)
        halved = half.show(depth / 2, np.zeros_like(picture()), where, scale=2.0)
        np.testing.assert_allclose(2 * halved, fused, rtol=1e-5)


@pytest.mark.parametrize(
    ('ratio', 'is_seen'),
    [(4.0, False), (1.9, False), (1.25, True), (1 / 1.25, True), (0.25, False)],
)
def test_what_moves_is_new_within_two_images(ratio: float, is_seen: bool) -> None:
    """Something stands before a wall, or behind a window, then somewhere else.

    :param is_seen: whether its grey level tells it from the wall, or its depth alone.
    """
    video = Video()
    for step in range(12):
        depth, rgb = flat(2.0), np.full((121, 161, 3), 100, np.uint8)
        left = 20 if step < 8 else 90
        depth[40:80, left : left + 40] *= ratio
        if is_seen:
            rgb[40:80, left : left + 40] = 180
        fused = video.show(depth, rgb)
        if step in (8, 9):
            for there in (30, 100):  # the wall that it hid, and its new place
                inside = np.s_[48:72, there : there + 20]
                np.testing.assert_allclose(fused[inside], depth[inside], rtol=0.01)


def test_a_moving_picture_without_a_pose_stays_as_it_is() -> None:
    video = Video()
    for step in range(4):
        depth = flat(2.0 + step % 2)
        assert video.show(depth, np.roll(picture(), 5 * step, axis=1), None) is depth


def test_a_still_picture_without_a_pose_keeps_its_own_shape() -> None:
    video, dented = Video(), flat(2.4)
    dented[20:60, 30:90] = 2.2
    video.show(flat(2.0), pose=None)
    factor = video.show(dented, pose=None) / dented
    np.testing.assert_allclose(factor, math.sqrt(2.0 / 2.4), rtol=1e-5)


def test_exposure_is_no_motion() -> None:
    video, rgb = Video(), picture() // 2
    video.show(flat(2.0), rgb, None)
    np.testing.assert_allclose(video.show(flat(2.4), rgb + 40, None), 2.19089, rtol=1e-5)


def test_a_pose_that_is_late_costs_that_image_alone() -> None:
    video, there = Video(), pose(position=(0, 0, 0.5))
    video.show(flat(2.5), np.zeros_like(picture()))
    depth = flat(2.9)
    assert video.show(depth, picture(), None) is depth
    # The image before that, 0.5 m nearer by now, is what the next one is fused with.
    fused = video.show(flat(2.4), np.zeros_like(picture()), there)
    np.testing.assert_allclose(fused[30:90, 40:120], math.sqrt(2.0 * 2.4), rtol=1e-4)


def test_a_camera_that_stands_still_needs_no_pose_meanwhile() -> None:
    video = Video()
    video.show(flat(2.0))
    np.testing.assert_allclose(video.show(flat(2.4), pose=None), 2.19089, rtol=1e-5)
    np.testing.assert_allclose(video.show(flat(2.0)), 2.12532, rtol=1e-5)


@pytest.mark.parametrize('known', [HERE, None], ids=['pose', 'still'])
@pytest.mark.parametrize('after_s', [-0.1, -50.0, 1.5])
def test_it_begins_anew_after_a_jump_of_time(after_s: float, known: NDArray | None) -> None:
    video = Video()
    video.show(flat(2.0), pose=known)
    depth = flat(2.4)
    assert video.show(depth, pose=known, after_s=after_s) is depth
    np.testing.assert_allclose(video.show(flat(2.4), pose=known), 2.4, rtol=1e-6)


def test_it_begins_anew_with_another_camera() -> None:
    video = Video()
    video.show(flat(2.0))
    video.camera = CAMERA.resized(131, 97)
    depth = np.full((97, 131), 2.4, np.float32)
    assert video.show(depth, picture()[:97, :131]) is depth


@pytest.mark.parametrize(
    ('depth', 'seed', 'where'),
    [
        (plane(HERE) ** 3, 0, HERE),  # of another shape
        (flat(2.4), 1, HERE),  # of another look
        (flat(2.4), 0, pose(rotation_deg=(0, 170, 0), position=(0, 0, 0))),  # behind
        (flat(2.4), 0, pose(position=(0, 0, 9))),  # beyond the wall
    ],
)
def test_another_scene_begins_anew(depth: NDArray, seed: int, where: NDArray) -> None:
    video = Video()
    video.show(flat(2.0))
    assert video.show(depth, picture(seed), where) is depth


def test_what_is_not_finite_stays_and_does_not_spread() -> None:
    video, holed = Video(), flat(2.4)
    holed[30:50, 40:60], holed[80:90, 100:110], holed[0, 0] = np.nan, np.inf, -np.inf
    video.show(holed)
    fused = video.show(np.where(np.isfinite(holed), np.float32(2.0), holed))
    np.testing.assert_array_equal(np.isfinite(fused), np.isfinite(holed))
    np.testing.assert_allclose(fused[np.isfinite(fused)], 2.19089, rtol=1e-5)
    nothing = flat(np.nan)
    assert video.show(nothing) is nothing
    assert video.show(flat(2.0)) is not None


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'depth': np.ones((121, 160), np.float32)}, r'got depth of shape \(121, 160\)'),
        ({'rgb': np.zeros((120, 161, 3), np.uint8)}, r'got rgb of shape \(120, 161, 3\)'),
        ({'confidence': np.ones((2, 2))}, r'got confidence of shape \(2, 2\)'),
        ({'pose': np.eye(3)}, r'expected finite \[4, 4\]'),
        ({'pose': np.full((4, 4), np.nan)}, r'expected finite \[4, 4\]'),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict, message: str) -> None:
    given = {'depth': flat(2.0), 'rgb': picture(), 'camera': CAMERA, 'stamp_s': 0.0} | changed
    with pytest.raises(ValueError, match=message):
        TemporalFilter().update(given.pop('depth'), given.pop('rgb'), **given)
