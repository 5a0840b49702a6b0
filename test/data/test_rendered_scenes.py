"""Scenes kept on disk are the scenes that would be rendered anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.data.rendered_scenes import RenderedScenes, render_scenes
from mirror_depth_ros.scenes.render import render
from mirror_depth_ros.scenes.video import SPLITS, make_scene


def test_kept_scenes_equal_fresh_ones(tmp_path: Path) -> None:
    options = {'split': 'val', 'count': 3, 'height': 25, 'width': 37, 'processes': 1}
    scenes = render_scenes(tmp_path / 'val', **options)
    assert scenes.kinds == ['indoor', 'outdoor', 'indoor']
    seed = SPLITS['val'].start + 1
    scene = make_scene('outdoor', seed)
    camera = CameraModel.from_fov(37, 25, scene.hfov_deg)
    fresh = render(scene, camera)
    np.testing.assert_array_equal(scenes.rgb[1], fresh.rgb)
    np.testing.assert_array_equal(scenes.depth[1], fresh.depth.astype(np.float16))
    np.testing.assert_allclose(scenes.focal_px[1], camera.focal_px, rtol=1e-6)
    assert 'road' in scenes.captions[1]

    before = (tmp_path / 'val' / 'rgb.npy').stat().st_mtime_ns
    again = render_scenes(tmp_path / 'val', **options)  # opened, not rendered again
    assert (tmp_path / 'val' / 'rgb.npy').stat().st_mtime_ns == before
    assert len(again) == len(RenderedScenes.load(tmp_path / 'val')) == 3


def test_an_unfinished_rendering_is_made_anew(tmp_path: Path) -> None:
    options = {'split': 'val', 'count': 1, 'height': 25, 'width': 37, 'processes': 1}
    render_scenes(tmp_path, **options)
    (tmp_path / 'scenes.json').unlink()  # as after a crash before the last step
    (tmp_path / 'rgb.npy').write_bytes(b'half')
    assert render_scenes(tmp_path, **options).rgb.shape == (1, 25, 37, 3)
