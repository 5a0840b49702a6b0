"""The ground plane on planes worked out by hand, and on rendered rooms and roads."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.ground_plane import fit_ground_plane, scale_from_ground

CAMERA = CameraModel.from_fov(161, 121, 75.0)


def down(pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Return where down is for a camera that looks down by ``pitch`` and is rolled by ``roll``."""
    pitch, roll = np.radians([pitch_deg, roll_deg])
    return np.array([np.sin(roll) * np.cos(pitch), np.cos(roll) * np.cos(pitch), np.sin(pitch)])


def plane(
    towards: np.ndarray, distance: float, camera: CameraModel = CAMERA, *, behind: float = np.inf
) -> np.ndarray:
    """Return the depth of a plane at a distance in a direction, ``[H, W]``."""
    nearing = camera.rays @ towards[:2] + towards[2]  # for each metre along Z
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(nearing > 0, distance / nearing, behind).astype(np.float32)


LEVEL, AHEAD = down(0.0, 0.0), np.array([0.0, 0.0, 1.0])


def test_a_level_floor_by_hand() -> None:
    depth = plane(LEVEL, 1.25)
    assert depth[-1, 0] == pytest.approx(1.25 * CAMERA.fy / 60)  # 60 rows below the axis
    before = depth.copy()
    ground = fit_ground_plane(depth, CAMERA)
    np.testing.assert_allclose(ground.normal, (0.0, -1.0, 0.0), atol=1e-5)
    assert ground.distance == pytest.approx(1.25, rel=1e-5)
    assert ground.inlier_share == 1.0
    assert ground.rms == pytest.approx(0.0, abs=1e-4)
    assert ground.tilt_deg == pytest.approx(0.0, abs=1e-3)
    # The camera really is 1 m above it: 1 / 1.25.
    assert scale_from_ground(depth, CAMERA, 1.0) == pytest.approx(0.8, rel=1e-5)
    np.testing.assert_array_equal(depth, before)


@pytest.mark.parametrize(('pitch_deg', 'roll_deg'), [(12.0, 0.0), (-9.0, 20.0), (25.0, -14.0)])
def test_a_pitched_and_rolled_camera(pitch_deg: float, roll_deg: float) -> None:
    ground = fit_ground_plane(plane(down(pitch_deg, roll_deg), 0.4), CAMERA)
    np.testing.assert_allclose(ground.normal, -down(pitch_deg, roll_deg), atol=1e-4)
    assert ground.distance == pytest.approx(0.4, rel=1e-4)
    tilt = math.acos(math.cos(math.radians(pitch_deg)) * math.cos(math.radians(roll_deg)))
    assert ground.tilt_deg == pytest.approx(math.degrees(tilt), abs=1e-2)


def test_a_lens_with_distortion() -> None:
    lens = (-0.3, 0.05, 0.001, -0.002)
    camera = CameraModel(161, 121, 70.0, 75.0, 78.0, 62.0, 'plumb_bob', lens)
    assert np.isnan(camera.rays).any()  # corners outside the lens's field
    ground = fit_ground_plane(plane(down(15.0, 5.0), 0.7, camera, behind=np.nan), camera)
    np.testing.assert_allclose(ground.normal, -down(15.0, 5.0), atol=1e-4)
    assert ground.distance == pytest.approx(0.7, rel=1e-4)


def with_boxes(depth: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Put fronts of boxes before a depth image until they cover a share of the whole of it."""
    boxed, covered = depth.copy(), np.zeros(depth.shape, bool)
    while covered.mean() < share:
        top, left = rng.integers(0, depth.shape[0] - 19), rng.integers(0, depth.shape[1] - 13)
        box = np.s_[top : top + 19, left : left + 13]
        boxed[box] = np.min(depth[box]) * rng.uniform(0.5, 0.95)
        covered[box] = True
    return boxed


@pytest.mark.parametrize('seed', [0, 1, 2, 3])
def test_noise_and_obstacles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    floor = plane(down(10.0, 4.0), 1.1, behind=8.0)  # a wall far away above the horizon
    depth = with_boxes(floor, 0.3, rng) * rng.normal(1.0, 0.02, floor.shape)
    ground = fit_ground_plane(depth, CAMERA)
    assert ground.distance == pytest.approx(1.1, rel=0.02)
    angle = math.degrees(math.acos(float(ground.normal @ -down(10.0, 4.0))))
    assert angle < 1.0
    # Of normal noise of 2 %, cut at 3 %, the root mean square is 1.5 %: of 1.1 m, 16 mm.
    assert ground.rms == pytest.approx(0.016, abs=0.004)
    assert 0.25 < ground.inlier_share < 0.6


def test_the_scale_of_depth_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    depth = plane(down(10.0, 4.0), 1.1, behind=8.0) * rng.normal(1.0, 0.02, (121, 161))
    ground = fit_ground_plane(depth, CAMERA)
    for scale in (0.01, 1000.0):
        scaled = fit_ground_plane(scale * depth, CAMERA)
        np.testing.assert_allclose(scaled.normal, ground.normal, atol=1e-4)
        assert scaled.distance == pytest.approx(scale * ground.distance, rel=1e-4)
        assert scaled.rms == pytest.approx(scale * ground.rms, rel=1e-3)
        assert scaled.inlier_share == pytest.approx(ground.inlier_share, abs=1e-3)


def test_the_seed_decides() -> None:
    rng = np.random.default_rng(4)
    depth = plane(down(10.0, 4.0), 1.1, behind=8.0) * rng.normal(1.0, 0.03, (121, 161))
    planes = [fit_ground_plane(depth, CAMERA, seed=seed) for seed in (7, 7, 8)]
    np.testing.assert_array_equal(planes[0].normal, planes[1].normal)
    assert planes[0].distance == planes[1].distance
    assert planes[0].distance != planes[2].distance
    assert planes[0].distance == pytest.approx(planes[2].distance, rel=0.01)


def test_a_table_before_the_floor_is_no_ground() -> None:
    # 1.2 m above the floor and 0.45 m above a table, which fills more of the picture.
    depth = plane(LEVEL, 1.2, behind=6.0)
    table = np.zeros(depth.shape, bool)
    table[86:, :130] = True
    floor_share = np.mean((depth < 6.0) & ~table)
    depth[table] = plane(LEVEL, 0.45)[table]
    assert floor_share < table.mean()
    assert fit_ground_plane(depth, CAMERA).distance == pytest.approx(1.2, rel=0.01)


def test_a_ceiling_is_no_ground() -> None:
    depth = np.minimum(plane(LEVEL, 1.5), plane(-LEVEL, 0.6))
    assert fit_ground_plane(depth, CAMERA).distance == pytest.approx(1.5, rel=0.01)
    ceiling = plane(-LEVEL, 0.6, behind=4.0)
    with pytest.raises(ValueError, match='got a plane tilted by 180 degrees, expected'):
        fit_ground_plane(ceiling, CAMERA)


def test_a_wall_is_refused() -> None:
    with pytest.raises(ValueError, match='got a plane tilted by 90 degrees, expected the gr'):
        fit_ground_plane(plane(AHEAD, 3.0), CAMERA)
    oblique = np.array([0.6, 0.0, 0.8])
    with pytest.raises(ValueError, match='tilted by 90 degrees.*; see that the ground is in view'):
        scale_from_ground(plane(oblique, 3.0), CAMERA, 1.0)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_a_rough_wall_is_refused(seed: int) -> None:
    rough = plane(AHEAD, 3.0) * np.random.default_rng(seed).normal(1.0, 0.1, (121, 161))
    with pytest.raises(ValueError, match=r'got a plane tilted by (8[5-9]|9[0-5]) degrees'):
        fit_ground_plane(rough, CAMERA)


def clutter() -> np.ndarray:
    return np.exp(np.random.default_rng(3).uniform(0.5, 4.0, (121, 161)))


def test_clutter_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r'got \d.\d % of the pixels on the .* at least 10 %; see'
    ):
        fit_ground_plane(clutter(), CAMERA)


def test_ground_beyond_the_largest_tilt_is_refused() -> None:
    depth = plane(down(40.0, 0.0), 1.0)
    with pytest.raises(ValueError, match='tilted by 40 degrees, .* within 30 degrees of level'):
        fit_ground_plane(depth, CAMERA)
    assert fit_ground_plane(depth, CAMERA, max_tilt_deg=45.0).tilt_deg == pytest.approx(40.0)
    with pytest.raises(ValueError, match='tilted by 40 degrees, .* within 20 degrees of level'):
        scale_from_ground(depth, CAMERA, 1.0, max_tilt_deg=20.0)


def test_a_strip_of_floor_before_a_wall_is_refused_unless_asked_for() -> None:
    depth = plane(AHEAD, 1.9)
    depth[113:] = plane(LEVEL, 1.0)[113:]  # 8 of 121 rows are 6.6 %
    with pytest.raises(ValueError, match='got a plane tilted by 90 degrees'):
        fit_ground_plane(depth, CAMERA)
    ground = fit_ground_plane(depth, CAMERA, min_inlier_share=0.05)
    assert ground.distance == pytest.approx(1.0, rel=0.02)


def test_too_little_depth_is_refused() -> None:
    depth = np.full((121, 161), np.nan, np.float32)
    depth[:9, :11] = 2.0
    depth[60:, :] = -np.inf
    with pytest.raises(
        ValueError, match='got 20 of the pixels looked at .* check the depth image'
    ):
        fit_ground_plane(depth, CAMERA)  # every other row and column is looked at, here 4 x 5


def test_points_that_span_no_plane_are_refused() -> None:
    row = CameraModel(501, 1, 300.0, 300.0, 250.0, 0.0)  # one row, in a plane with the camera
    depth = np.random.default_rng(0).uniform(1.0, 4.0, (1, 501))
    with pytest.raises(ValueError, match='got points that span no plane beside the camera'):
        fit_ground_plane(depth, row)


def test_impossible_arguments_are_refused() -> None:
    depth = plane(LEVEL, 1.0)
    with pytest.raises(ValueError, match=r'shape \(121, 160\), expected \(121, 161\)'):
        fit_ground_plane(depth[:, :-1], CAMERA)
    for max_tilt_deg in (0.0, 90.0, np.nan):
        with pytest.raises(ValueError, match=f'got max_tilt_deg {max_tilt_deg}, expected 0 <'):
            fit_ground_plane(depth, CAMERA, max_tilt_deg=max_tilt_deg)
    for tolerance in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match=f'got tolerance {tolerance}, expected a share of'):
            fit_ground_plane(depth, CAMERA, tolerance=tolerance)
    for height in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=f'got camera_height {height} m, expected a finite'):
            scale_from_ground(depth, CAMERA, height)


@pytest.mark.parametrize('kind', ['room', 'road'])
def test_the_scale_of_a_view_comes_back(
    kind: str, make_view: Callable[..., SimpleNamespace]
) -> None:
    scales = []
    for seed in range(100):
        view = make_view(kind, seed, width=201, height=151)
        if view.is_floor.mean() < 0.12:
            continue  # hardly any ground in view
        scales.append(scale_from_ground(0.7 * view.depth, view.camera, view.position[2]))
        if len(scales) == 10:
            break
    np.testing.assert_allclose(np.array(scales) * 0.7, np.ones(10), atol=0.02)
