"""Frames as a pinhole camera would have seen them, their rays, and the motion between them."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import DepthSample, Selection
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.eval_protocols import Window
from mirror_depth_ros.training.frame_views import Lens, keep_views
from mirror_depth_ros.training.pictures import crop, flip, resize, to_picture

LENS = CameraModel(69, 51, 60.0, 62.0, 34.0, 25.0, 'plumb_bob', (-0.3, 0.1, 0.001, 0.002, 0.0))


def test_rays_of_the_whole_picture_are_the_cameras() -> None:
    for camera in (LENS, LENS.pinhole):
        rays = Lens(camera).rays(torch.eye(2, 3), (51, 69))
        torch.testing.assert_close(
            rays.permute(1, 2, 0), torch.from_numpy(camera.rays.copy()), rtol=0, atol=1e-5
        )


def test_rays_of_a_window_that_is_mirrored() -> None:
    sample = DepthSample(np.zeros((51, 69, 3), np.uint8), None, LENS.pinhole, 'a')
    picture = crop(to_picture(sample, needs_depth=False), Window(5, 8, 40, 60))
    picture = flip(resize(picture, (20, 15)))
    expected = LENS.pinhole.cropped(8, 5, 60, 40).resized(15, 20).rays[:, ::-1]
    rays = Lens(LENS.pinhole).rays(picture.to_camera, (20, 15))
    np.testing.assert_allclose(rays.permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_rays_that_the_lens_does_not_have_are_outside_of_every_picture() -> None:
    folded = CameraModel(69, 51, 20.0, 20.0, 34.0, 25.0, 'plumb_bob', (-0.4, 0, 0, 0, 0))
    assert np.isnan(folded.rays).any()
    rays = Lens(folded).rays(torch.eye(2, 3), (51, 69))
    assert rays.isfinite().all()
    assert (rays.abs().amax(0)[torch.from_numpy(np.isnan(folded.rays[..., 0]))] > 1e5).all()


def dots(places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return blurred dots at pixels ``[N, 2]``, ``[51, 69]``."""
    v, u = np.mgrid[:51, :69]
    return sum(200 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / 4) for x, y in places)


def test_rectified_things_are_where_a_pinhole_camera_has_them() -> None:
    points = np.array([[-0.4, -0.3, 1], [0.4, 0.25, 1], [0.0, 0.3, 1]])
    grey = dots(LENS.project(points)).astype(np.uint8)
    rgb = np.stack([grey] * 3, -1)
    np.testing.assert_allclose(
        Lens(LENS).rectify(rgb)[..., 1], dots(LENS.pinhole.project(points)), atol=40
    )
    wrong = np.abs(grey - dots(LENS.pinhole.project(points))).max()
    assert wrong > 100
    assert Lens(LENS.pinhole).rectify(rgb) is rgb


def test_views_have_cameras_and_motion(moving: Selection[DepthSample], tmp_path: Path) -> None:
    views = keep_views(moving, (24, 32), tmp_path / 'views').of((1, 0, 3))
    assert views.pictures.shape == (3, 1, 24, 32)
    assert views.pictures.dtype == torch.uint8
    grey = cv2.cvtColor(moving[3].rgb, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 24), interpolation=cv2.INTER_AREA)
    assert np.array_equal(views.pictures[2, 0].numpy(), small)
    # fx 60 * 32 / 69, fy 62 * 24 / 51, cx (34 + 0.5) * 32 / 69 - 0.5, cy 25.5 * 24 / 51 - 0.5
    expected = [60 * 32 / 69, 62 * 24 / 51, 34.5 * 32 / 69 - 0.5, 25.5 * 24 / 51 - 0.5]
    assert views.cameras[2].tolist() == pytest.approx(expected, rel=1e-6)
    # A point straight ahead of the second frame is 0.25 m right of the first's axis.
    ahead = torch.tensor([0.0, 0.0, 2.0, 1.0])
    for pose, x in zip(views.poses, (0.0, 0.25, -0.5)):
        torch.testing.assert_close(pose @ ahead, torch.tensor([x, 0, 2, 1]), atol=1e-6, rtol=0)


def test_views_are_made_once(moving: Selection[DepthSample], tmp_path: Path) -> None:
    keep_views(moving, (24, 32), tmp_path / 'views')
    made = (tmp_path / 'views' / 'pictures.npy').stat().st_mtime_ns
    keep_views(moving, (24, 32), tmp_path / 'views')
    assert (tmp_path / 'views' / 'pictures.npy').stat().st_mtime_ns == made


def test_a_frame_without_pose_is_of_a_world_of_its_own(frames: Path, tmp_path: Path) -> None:
    track = keep_views(FrameFolder(frames), (24, 32), tmp_path / 'views').track
    assert len({*track.sequences}) == len(track.sequences) == len(FrameFolder(frames))


def test_a_frame_without_depth_and_pose(frames: Path, tmp_path: Path) -> None:
    shutil.copytree(frames, tmp_path / 'frames', ignore=shutil.ignore_patterns('depth.png'))
    with pytest.raises(ValueError, match='got 00 with neither depth nor pose, expected one of'):
        keep_views(FrameFolder(tmp_path / 'frames'), (24, 32), tmp_path / 'views')
