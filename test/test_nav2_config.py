"""The costmap's configuration and the points it is for, by the rules that Nav2 applies.

As in nav2_costmap_2d from Humble on: ``observation_buffer.cpp`` drops points outside of a source's
heights, ``voxel_layer.cpp`` marks those nearer than ``obstacle_max_range`` and clears along the
rays to within two cells of the others' ends. What the node publishes by its defaults is held to
the same in ``test/ros/test_config.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.filters import apply_range
from mirror_depth_ros.depth.nav_points import CLEAR_RANGE, nav_points

CONFIG = Path(__file__).parents[1] / 'config' / 'nav2_voxel_layer.yaml'
RESOLUTION = 0.05  # of the costmap [m], as in Nav2's own parameters
CELLS_NOT_CLEARED = 2  # before the end of a ray


@pytest.fixture(scope='module')
def layer() -> dict[str, Any]:
    parameters = yaml.safe_load(CONFIG.read_text())
    return parameters['local_costmap']['local_costmap']['ros__parameters']['voxel_layer']


@dataclass(frozen=True)
class Seen:
    """A camera's points, and where they are in the world."""

    #: In the optical frame, ``[N, 3]`` [m].
    points: np.ndarray
    #: The same in the world, z up from the floor, ``[N, 3]`` [m].
    placed: np.ndarray
    #: True depth as published, ``[H, W]``.
    depth: np.ndarray
    #: Which pixels show the floor, ``[H, W]``.
    is_floor: np.ndarray
    camera: CameraModel
    rotation: np.ndarray
    position: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """From the camera [m], ``[N]``."""
        return np.linalg.norm(self.points, axis=1)

    def passes(self, source: dict[str, Any]) -> np.ndarray:
        """Return which points a source's height filter lets through, ``[N]``."""
        z = self.placed[:, 2]
        return (z >= source['min_obstacle_height']) & (z <= source['max_obstacle_height'])

    def place(self, points: np.ndarray) -> np.ndarray:
        """Return points of the optical frame in the world."""
        return points @ self.rotation.T + self.position


# Rooms, and roads on which something stands within reach.
VIEWS = [('room', 0), ('room', 7), ('road', 0), ('road', 1), ('road', 6)]


@pytest.fixture(scope='module', params=VIEWS, ids=lambda view: f'{view[0]}-{view[1]}')
def seen(request: pytest.FixtureRequest, make_view: Any) -> Seen:
    view = make_view(*request.param)
    depth = apply_range(view.depth, min_range=0.1, max_range=80.0)
    points = nav_points(depth, view.camera.rays)
    placed = points @ view.rotation.T + view.position
    return Seen(points, placed, depth, view.is_floor, view.camera, view.rotation, view.position)


def test_one_source_marks_and_one_clears_the_same_topic(layer: dict[str, Any]) -> None:
    names = layer['observation_sources'].split()
    marks, clears = (layer[name] for name in names)
    assert (marks['marking'], marks['clearing']) == (True, False)
    assert (clears['marking'], clears['clearing']) == (False, True)
    assert marks['topic'] == clears['topic'] == '/mirror_depth/nav_points'
    for source in (marks, clears):
        assert source['data_type'] == 'PointCloud2'
        assert source['max_obstacle_height'] > source['min_obstacle_height']
        # A source's max_obstacle_height is 0.0 by default.
        assert source['max_obstacle_height'] > 0
        # A sensor_frame other than the cloud's would measure far rays from elsewhere.
        assert 'sensor_frame' not in source
    # Every parameter is one that Nav2 knows: others would be ignored in silence.
    known = {'topic', 'data_type', 'marking', 'clearing', 'expected_update_rate'}
    known |= {'min_obstacle_height', 'max_obstacle_height'}
    known |= {'obstacle_max_range', 'raytrace_max_range'}
    assert {*marks, *clears} == known


def test_the_grid_is_one_that_nav2_can_hold(layer: dict[str, Any]) -> None:
    assert 1 <= layer['z_voxels'] <= 16
    top = layer['origin_z'] + layer['z_voxels'] * layer['z_resolution']
    assert layer['max_obstacle_height'] <= top
    assert layer['depth_marks']['max_obstacle_height'] <= top


def test_far_rays_end_where_they_clear_and_do_not_mark(layer: dict[str, Any]) -> None:
    marks, clears = layer['depth_marks'], layer['depth_clears']
    cleared_to = CLEAR_RANGE - CELLS_NOT_CLEARED * RESOLUTION
    # A marked voxel reaches farther than its point: by the diagonal of 0.05 x 0.05 x 0.125 m.
    diagonal = np.linalg.norm([RESOLUTION, RESOLUTION, layer['z_resolution']])
    assert marks['obstacle_max_range'] + diagonal < cleared_to
    assert clears['raytrace_max_range'] >= CLEAR_RANGE


def test_the_camera_is_inside_the_grid(layer: dict[str, Any], seen: Seen) -> None:
    top = layer['origin_z'] + layer['z_voxels'] * layer['z_resolution']
    assert layer['origin_z'] < seen.position[2] < top


def test_every_point_is_usable(layer: dict[str, Any], seen: Seen) -> None:
    assert np.isfinite(seen.points).all()
    assert seen.distance.max() <= layer['depth_clears']['raytrace_max_range']
    # 81 x 61 blocks of 4 x 4 pixels, the last ones cut; almost none is without a point.
    assert 0.99 * 81 * 61 < len(seen.points) <= 81 * 61


def test_far_rays_clear_and_never_mark(layer: dict[str, Any], seen: Seen) -> None:
    marks, clears = layer['depth_marks'], layer['depth_clears']
    far = seen.distance > CLEAR_RANGE - 1e-3
    assert far.any()
    assert (seen.distance[far] > marks['obstacle_max_range']).all()
    assert seen.passes(clears)[far].all()


def test_marks_are_what_stands_on_the_floor(layer: dict[str, Any], seen: Seen) -> None:
    marks = layer['depth_marks']
    marked = seen.passes(marks) & (seen.distance < marks['obstacle_max_range'])
    assert marked.sum() > 100
    # Each marked point is that of a pixel that really is something, higher than the floor.
    pixels = np.round(seen.camera.project(seen.points[marked])).astype(int)
    assert not seen.is_floor[pixels[:, 1], pixels[:, 0]].any()
    assert np.isfinite(seen.depth[pixels[:, 1], pixels[:, 0]]).all()

    # Each block whose nearest pixel is a thing to mark has a mark: count by the true depth.
    rays = np.concatenate([seen.camera.rays, np.ones((241, 321, 1))], axis=2)
    true = rays * np.where(np.isfinite(seen.depth), seen.depth, 1e3)[..., None]
    height = seen.place(true.reshape(-1, 3))[:, 2].reshape(241, 321)
    near = np.linalg.norm(true, axis=2) < marks['obstacle_max_range'] - 0.1
    is_thing = near & (height > marks['min_obstacle_height'] + 0.05)
    is_thing &= height < marks['max_obstacle_height'] - 0.05
    blocks = is_thing[:240, :320].reshape(60, 4, 80, 4).all(axis=(1, 3))
    assert marked.sum() >= 0.98 * blocks.sum()


def test_the_floor_clears(layer: dict[str, Any], seen: Seen) -> None:
    clears = layer['depth_clears']
    pixels = np.round(seen.camera.project(seen.points)).astype(int)
    is_floor = seen.is_floor[pixels[:, 1], pixels[:, 0]]
    assert is_floor.sum() > 200
    assert seen.passes(clears)[is_floor].all()
    is_near_floor = is_floor & (seen.distance < CLEAR_RANGE - 1e-3)
    assert not seen.passes(layer['depth_marks'])[is_near_floor].any()


def test_an_obstacle_that_left_is_cleared(layer: dict[str, Any]) -> None:
    """Mark a box 3 m ahead under an open sky, take it away, and trace the rays."""
    camera = CameraModel.from_fov(641, 481, 70.0)
    sky = np.full((481, 641), np.inf, np.float32)
    box = sky.copy()
    box[200:240, 310:350] = 3.0  # 0.26 m wide
    before, after = nav_points(box, camera.rays), nav_points(sky, camera.rays)
    marked = before[np.linalg.norm(before, axis=1) < layer['depth_marks']['obstacle_max_range']]
    assert len(marked) == 10 * 11  # blocks of rows 200 to 239 and of columns 308 to 351
    # A ray passes a marked point if it goes on beyond it and comes within a cell of it.
    direction = after / np.linalg.norm(after, axis=1, keepdims=True)
    along = marked @ direction.T  # [marked, rays]
    aside = np.linalg.norm(marked, axis=1)[:, None] ** 2 - along**2
    reach = np.linalg.norm(after, axis=1) - CELLS_NOT_CLEARED * RESOLUTION
    passed = (along < reach) & (aside < RESOLUTION**2)
    assert passed.any(axis=1).all()
