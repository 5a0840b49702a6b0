"""Points for costmaps: one a block, the nearest; far rays end, what is unknown is left out."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.nav_points import nav_points, nearest_in_blocks, points_within

NAN, INF = np.nan, np.inf
# 7 x 5 pixels, the axis through pixel (3, 2); a pixel aside is a tenth of the depth aside.
CAMERA = CameraModel(7, 5, 10.0, 10.0, 3.0, 2.0)


def image(fill: float = NAN) -> np.ndarray:
    return np.full((5, 7), fill, np.float32)


def test_each_block_gives_its_nearest_pixel() -> None:
    depth = image(4.0) + np.arange(35, dtype=np.float32).reshape(5, 7)  # 4 m to 38 m, row by row
    depth[1, 2] = 1.0  # in the first block of 3 x 3 pixels
    depth[4, 4] = 2.0  # in the middle one of the lower row
    # Blocks of 3 are cut to 1 column at the right and to 2 rows at the bottom: 2 x 3 blocks.
    assert nearest_in_blocks(depth, 3).tolist() == [
        1 * 7 + 2,
        0 * 7 + 3,
        0 * 7 + 6,
        3 * 7 + 0,
        4 * 7 + 4,
        3 * 7 + 6,
    ]


@pytest.mark.parametrize(('decimation', 'count'), [(1, 35), (2, 12), (4, 4), (7, 1), (40, 1)])
def test_there_is_a_point_for_each_block(decimation: int, count: int) -> None:
    # ceil(5 / 2) * ceil(7 / 2) = 3 * 4, ceil(5 / 4) * ceil(7 / 4) = 2 * 2
    chosen = nearest_in_blocks(image(2.0), decimation)
    assert len(chosen) == len(set(chosen.tolist())) == count
    assert ((chosen >= 0) & (chosen < 35)).all()


@pytest.mark.parametrize('unknown', [NAN, -INF, 0.0, -2.0])
def test_a_block_without_measurement_gives_nothing(unknown: float) -> None:
    depth = image(unknown)
    depth[:, 3:] = 2.0
    depth[0, 3] = unknown  # a block that has others
    chosen = nearest_in_blocks(depth, 3)
    assert len(chosen) == 4  # of 6
    assert (chosen % 7 >= 3).all()
    assert len(nearest_in_blocks(image(unknown), 3)) == 0


def test_infinity_is_a_measurement_but_never_the_nearest() -> None:
    depth = image(INF)
    assert len(nearest_in_blocks(depth, 3)) == 6
    depth[2, 1] = 60.0
    assert nearest_in_blocks(depth, 3)[0] == 2 * 7 + 1


def test_points_by_hand() -> None:
    # Ray (3/10, -2/10, 1): at 2 m depth it is at (0.6, -0.4, 2).
    # Ray (0.6, 0.8, 1) is sqrt(0.36 + 0.64 + 1) = 1.41421 m long for each metre of depth, so 4.4 m
    # away it is 4.4 / 1.41421 = 3.11127 m deep; a depth of 4 m would be 5.66 m away.
    rays = np.array([(0.3, -0.2), (0.6, 0.8), (0.6, 0.8), (0.6, 0.8)], np.float32)
    points = points_within(np.array([2.0, 4.0, INF, 3.0], np.float32), rays, 4.4)
    bounded = (1.866762, 2.489016, 3.11127)
    expected = [(0.6, -0.4, 2.0), bounded, bounded, (1.8, 2.4, 3.0)]
    np.testing.assert_allclose(points, expected, atol=1e-5)
    assert points.dtype == np.float32


def test_points_of_an_image_by_hand() -> None:
    depth = image()
    depth[0, 6] = 2.0  # ray (0.3, -0.2)
    depth[2, 3] = INF  # the axis
    depth[4, 0] = -INF
    points = nav_points(depth, CAMERA.rays, decimation=3, clear_range=4.4, edge_filter=0.05)
    np.testing.assert_allclose(points, [(0.0, 0.0, 4.4), (0.6, -0.4, 2.0)], atol=1e-5)


def test_an_image_of_nothing_gives_no_points() -> None:
    points = nav_points(image(), CAMERA.rays)
    assert points.shape == (0, 3)
    assert points.dtype == np.float32


def test_a_thin_pole_is_in_the_points_and_a_blurred_edge_is_not() -> None:
    camera = CameraModel.from_fov(161, 121, 70.0)
    depth = np.full((121, 161), 4.0, np.float32)
    depth[:, 50] = 1.0  # a pole one pixel wide
    depth[:, 120:] = 2.0  # a box, blurred at its edge
    depth[:, 119] = 3.0
    for edge_filter, hanging in ((0.0, True), (0.05, False)):
        points = nav_points(depth, camera.rays, decimation=7, edge_filter=edge_filter)
        z = points[:, 2]
        assert np.count_nonzero(z == 1.0) == 18  # ceil(121 / 7) blocks down the image
        # Columns 119 to 125 are one block, whose nearest is the box: other blocks hold no 3 m.
        assert not (z == 3.0).any()
        points = nav_points(depth, camera.rays, decimation=1, edge_filter=edge_filter)
        assert (points[:, 2] == 3.0).any() == hanging


def test_rays_outside_the_lens_give_no_points_and_hide_none() -> None:
    rays = CAMERA.rays.copy()
    rays[0, 0] = NAN
    depth = image(3.0)
    depth[0, 0] = 1.0  # the nearest of its block, but nowhere
    points = nav_points(depth, rays, decimation=5)
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(points[:, 2], [3.0, 3.0])


def test_no_point_is_ever_unusable() -> None:
    rng = np.random.default_rng(8)
    camera = CameraModel(163, 121, 60.0, 60.0, 80.0, 60.0, 'plumb_bob', (-0.4, 0.0, 0.0, 0.0))
    assert np.isnan(camera.rays).any()
    depth = np.exp(rng.uniform(-4, 9, (121, 163))).astype(np.float32)
    kinds = rng.integers(0, 8, depth.shape)
    for kind, value in enumerate((NAN, INF, -INF, 0.0)):
        depth[kinds == kind] = value
    before = depth.copy()
    points = nav_points(depth, camera.rays, decimation=2, clear_range=3.0)
    assert len(points) > 1000
    assert np.isfinite(points).all()
    assert (points[:, 2] > 0).all()
    assert np.linalg.norm(points, axis=1).max() <= 3.0 + 1e-5
    np.testing.assert_array_equal(depth, before)


def test_what_is_impossible_is_refused() -> None:
    with pytest.raises(ValueError, match=r'depth of shape \(5, 7\) and rays .* resize the camera'):
        nav_points(image(), CAMERA.rays[:, :5])
    with pytest.raises(ValueError, match='got decimation 0, expected at least 1 pixel'):
        nav_points(image(), CAMERA.rays, decimation=0)
    for clear_range in (0.0, -1.0, INF, NAN):
        with pytest.raises(
            ValueError, match=f'got clear_range {clear_range} m, expected a finite'
        ):
            nav_points(image(), CAMERA.rays, clear_range=clear_range)
    with pytest.raises(ValueError, match='got edge_filter -1'):
        nav_points(image(), CAMERA.rays, edge_filter=-1.0)
