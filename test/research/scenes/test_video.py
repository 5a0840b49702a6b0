"""Videos of a cube on a floor, made here."""

import json

import numpy as np
import pytest

pytest.importorskip('embreex', reason='ray casting comes with pip install .[research]')

from mirror_depth_ros.data.frames import FrameFolder
from research.scenes.assembly import Light, SceneBuilder, Sky
from research.scenes.camera import View
from research.scenes.mesh import Material, box
from research.scenes.video import Video, clear_radius, path, write_video

H, W = 9, 13


@pytest.fixture
def scene():
    grey = np.full(3, 0.5)
    builder = SceneBuilder()
    builder.add(box((2.0, -1.0, 0.0), (3.0, 1.0, 2.0), Material((0.6, 0.3, 0.2))), name='box')
    builder.add(box((-9.0, -9.0, -0.1), (9.0, 9.0, 0.0), Material((0.4, 0.4, 0.4))), name='floor')
    builder.lights.append(Light(np.array([0.3, 0.2, 0.9]), np.ones(3), is_sun=True))
    return builder.build(Sky(grey, grey, grey, grey), 'yard')


def view(x=0.0):
    """Look along +x from one metre above the floor, 90 degrees wide."""
    return View(np.array([x, 0.0, 1.0]), yaw=0.0, pitch=0.0, roll=0.0, hfov_deg=90.0)


def test_a_path_is_closed_smooth_and_never_twice_at_one_pose():
    views = path(view(), 24, radius=0.5)
    positions = np.array([v.position for v in views])
    assert np.linalg.norm(positions, axis=1).max() < 1.2  # 1 m high, half a metre away
    assert (positions[:, 2] == 1.0).all()
    # At most 0.5 m times an angle of 2 pi / 24, the way from the last to the first included.
    steps = np.linalg.norm(np.roll(positions, -1, axis=0) - positions, axis=1)
    assert steps.max() < 0.5 * 2 * np.pi / 24 + 1e-9
    turns = np.diff([v.yaw for v in views])
    assert np.abs(turns).max() < np.radians(12.0) * 2 * np.pi / 24 + 1e-9
    assert len({tuple(p.round(6)) for p in positions}) == 24


def test_depth_and_pose_of_a_frame_meet_the_scene(scene):
    views = [view(0.0), view(0.5)]
    video = Video(scene, views, H, W, seed=3)
    assert len(video) == 2
    for frame, distance in zip(video, (2.0, 1.5)):
        assert frame.rgb.shape == (H, W, 3)
        assert frame.depth[H // 2, W // 2] == pytest.approx(distance, abs=1e-4)
    # Camera axes right, down, forward are -y, -z and +x of the world.
    expected = [[0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, 1], [0, 0, 0, 1]]
    np.testing.assert_allclose(video[1].pose, expected, atol=1e-12)


def test_frames_come_from_one_camera_and_are_repeatable(scene):
    video = Video(scene, [view(), view()], H, W, seed=3)
    np.testing.assert_array_equal(video[0].rgb, video[0].rgb)
    difference = np.abs(video[0].rgb.astype(int) - video[1].rgb).mean()
    assert difference < 12  # noise, not another exposure


def test_a_camera_keeps_away_from_what_is_near(scene):
    # The box is 2 m ahead of the camera, and 0.4 m stay free.
    assert clear_radius(scene, view(), wanted=5.0) == pytest.approx(1.6, abs=0.01)
    assert clear_radius(scene, view(), wanted=0.5) == 0.5
    assert clear_radius(scene, view(1.9), wanted=0.5) == 0.0


def test_writes_what_the_camera_plays(scene, tmp_path):
    write_video(Video(scene, [view()], H, W), tmp_path, domain='outdoor', depth_scale=0.001)
    frames = FrameFolder(tmp_path)
    assert frames.names == ['000']
    assert frames.domain_of(0) == 'outdoor'
    sample = frames[0]
    assert sample.camera.fx == pytest.approx(6.5)  # half of 13 pixels, at 90 degrees
    assert (sample.camera.cx, sample.camera.cy) == (6.0, 4.0)
    assert sample.depth[H // 2, W // 2] == pytest.approx(2.0, abs=1e-3)
    assert np.isnan(sample.depth[0, 0])  # the sky
    meta = json.loads((tmp_path / '000/meta.json').read_text())
    assert meta['camera_to_world'][0] == [0.0, 0.0, 1.0, 0.0]
