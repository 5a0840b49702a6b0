"""Frames to learn from by motion: which, with which others, and where their pixels look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import DepthSample, Selection
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.eval_protocols import Window
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training.augmentation import NO_AUGMENTATION
from mirror_depth_ros.training.loading import Draw, TrainingPictures
from mirror_depth_ros.training.motion import (
    Motion,
    MotionPictures,
    Track,
    choose_sources,
    keep_views,
    median_depth,
    rays_of,
    rectify,
)
from mirror_depth_ros.training.pictures import crop, flip, resize, to_picture

LENS = CameraModel(69, 51, 60.0, 62.0, 34.0, 25.0, 'plumb_bob', (-0.3, 0.1, 0.001, 0.002, 0.0))


def along_x(*metres: float, turned_deg: float = 0.0) -> Track:
    """Return a track of cameras beside each other, each turned further than the last."""
    poses = np.stack([np.eye(4)] * len(metres))
    poses[:, 0, 3] = metres
    for i, pose in enumerate(poses):
        pose[:3, :3] = cv2.Rodrigues(np.array([0, np.radians(turned_deg * i), 0]))[0]
    return Track(poses, ('',) * len(metres))


def test_sources_are_the_nearest_that_are_far_enough() -> None:
    # Of 2 m: 0.1 to 0.3 m.
    track = along_x(0.0, 0.08, 0.13, 0.16, 0.29, 0.7, 0.7, 1.5)
    assert choose_sources(track, 2.0) == {
        0: (2, 2),  # nothing before it
        1: (4, 4),
        2: (0, 4),
        3: (0, 4),  # 0.16 m to the first, 0.13 to the fifth
        4: (3, 3),  # 0.41 m to the next are too much
    }


def test_frames_that_stand_still_are_left_out() -> None:
    track = along_x(0.0, 0.0, 0.0, 0.1, 0.2, 0.2)
    assert choose_sources(track, 1.0) == {
        0: (3, 3),
        1: (3, 3),
        2: (3, 3),
        3: (2, 4),
        4: (3, 3),
        5: (3, 3),
    }
    assert [*choose_sources(along_x(0.0, 0.1, 5.0, 5.0), 1.0)] == [0, 1]


def test_sources_look_the_same_way() -> None:
    assert choose_sources(along_x(0.0, 0.07, 0.14, turned_deg=14.0), 1.0) == {
        0: (1, 1),
        1: (0, 2),
        2: (1, 1),  # turned by 28 degrees from the first
    }
    with pytest.raises(ValueError, match='with at most 15 degrees between them'):
        choose_sources(along_x(0.0, 0.1, turned_deg=16.0), 1.0)


def test_recordings_are_not_compared_with_each_other() -> None:
    track = along_x(0.0, 0.1, 0.2)._replace(sequences=('kitchen', 'hall', 'hall'))
    assert choose_sources(track, 1.0) == {1: (2, 2), 2: (1, 1)}


def test_a_robot_that_stands_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r'got 3 images without depth, none of which has another of the same recording 0.1 '
        r'to 0.3 m beside it, .* \(no two are more than 0.003 m apart; things are about 2 m away'
        r'\), expected a camera that moves .*; record while the robot drives, or record depth',
    ):
        choose_sources(along_x(0.0, 0.001, 0.003), 2.0)


def test_rays_of_the_whole_picture_are_the_cameras() -> None:
    for camera in (LENS, LENS.pinhole):
        rays = rays_of(camera, torch.eye(2, 3), (51, 69))
        torch.testing.assert_close(
            rays.permute(1, 2, 0), torch.from_numpy(camera.rays.copy()), rtol=0, atol=1e-5
        )


def test_rays_of_a_window_that_is_mirrored() -> None:
    sample = DepthSample(np.zeros((51, 69, 3), np.uint8), None, LENS.pinhole, 'a')
    picture = crop(to_picture(sample, needs_depth=False), Window(5, 8, 40, 60))
    picture = flip(resize(picture, (20, 15)))
    expected = LENS.pinhole.cropped(8, 5, 60, 40).resized(15, 20).rays[:, ::-1]
    rays = rays_of(LENS.pinhole, picture.to_camera, (20, 15))
    np.testing.assert_allclose(rays.permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_rays_that_the_lens_does_not_have_are_outside_of_every_picture() -> None:
    folded = CameraModel(69, 51, 20.0, 20.0, 34.0, 25.0, 'plumb_bob', (-0.4, 0, 0, 0, 0))
    assert np.isnan(folded.rays).any()
    rays = rays_of(folded, torch.eye(2, 3), (51, 69))
    assert rays.isfinite().all()
    assert (rays.abs().amax(0)[torch.from_numpy(np.isnan(folded.rays[..., 0]))] > 1e5).all()


def dots(places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return blurred dots at pixels ``[N, 2]``, ``[51, 69]``."""
    v, u = np.mgrid[:51, :69]
    return sum(200 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / 4) for x, y in places)


def test_rectified_things_are_where_a_pinhole_camera_has_them() -> None:
    points = np.array([[-0.4, -0.3, 1], [0.4, 0.25, 1], [0.0, 0.3, 1]])
    grey = dots(LENS.project(points)).astype(np.uint8)
    sample = DepthSample(np.stack([grey] * 3, -1), None, LENS, 'dots')
    np.testing.assert_allclose(
        rectify(sample)[..., 1], dots(LENS.pinhole.project(points)), atol=40
    )
    wrong = np.abs(grey - dots(LENS.pinhole.project(points))).max()
    assert wrong > 100
    plain = DepthSample(sample.rgb, None, LENS.pinhole, 'dots')
    assert rectify(plain) is plain.rgb


@pytest.fixture
def moving(moving_frames: Path) -> Selection[DepthSample]:
    """Four frames, 0.25 m apart to the right, without depth."""
    return Selection(FrameFolder(moving_frames), range(4))


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


def test_a_frame_without_depth_and_pose(frames: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='got 00 with neither depth nor pose, expected one of'):
        keep_views(FrameFolder(frames), (24, 32), tmp_path / 'views')


def test_variants_go_with_their_own_frame(moving: Selection[DepthSample], tmp_path: Path) -> None:
    views = keep_views(moving, (24, 32), tmp_path / 'views')
    motion = Motion(views, {1: (0, 2), 3: (2, 2)})
    np.testing.assert_allclose(motion.baselines, [[0.25, 0.25], [0.25, 0.25]])
    seen = TrainingPictures(moving, NO_AUGMENTATION, (48, 64), needs_depth=False)
    pictures = MotionPictures(seen, motion)  # four pictures of two frames: two variants each
    assert len(pictures) == 4
    for number, frame in enumerate((1, 1, 3, 3)):
        for index in (number, Draw(number, 3)):
            picture = pictures[index]
            expected = views.of((frame, *motion.sources[frame]))
            assert torch.equal(picture.views.pictures, expected.pictures)
            assert picture.seen.depth.isnan().all()
            assert picture.rays.shape == (2, 48, 64)


def test_the_median_depth_is_the_networks(
    moving: Selection[DepthSample], tiny_network: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = MirrorDepth.from_config(MirrorDepthConfig(**tiny_network, output='log')).train()
    asked = []

    def depth(images: torch.Tensor, focal_px: torch.Tensor) -> torch.Tensor:
        asked.append(focal_px.item())
        return torch.full((1, 1, 4, 5), 2.0 + len(asked))

    monkeypatch.setattr(network, 'forward', depth)
    assert median_depth(network, moving) == 4.5  # of 3, 4, 5 and 6 m
    assert network.training
    # The frame's sqrt(60 * 62), at 48 x 64 of 51 x 69 pixels.
    expected = (60 * 62) ** 0.5 * (48 * 64 / (51 * 69)) ** 0.5
    assert asked == pytest.approx([expected] * 4)
