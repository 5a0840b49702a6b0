"""Recordings with poses, those without, and what is rendered."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from research.consistency.videos import recorded_video, rendered_videos

ROOT = Path(__file__).parents[3]
ROOM = ROOT / 'resource/demo/rendered/room'


def test_a_recording_has_depth_and_poses() -> None:
    video = recorded_video(ROOM)
    assert (video.name, video.domain, len(video.frames)) == ('room', 'indoor', 24)
    frame = video.frames[0]
    assert frame.rgb.shape == (240, 320, 3)
    assert frame.depth.shape == (240, 320)
    meta = json.loads((ROOM / '000/meta.json').read_text())
    assert frame.pose.tolist() == meta['camera_to_world']
    assert frame.pose[:3, :3].T @ frame.pose[:3, :3] == pytest.approx(np.eye(3), abs=1e-5)


def test_frames_without_pose_or_depth_are_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOM / '000', tmp_path / '000')
    meta = json.loads((ROOM / '000/meta.json').read_text())
    del meta['camera_to_world']
    (tmp_path / '000/meta.json').write_text(json.dumps(meta))
    with pytest.raises(ValueError, match='got 000 without camera_to_world, expected the pose'):
        recorded_video(tmp_path).frames[0]
    (tmp_path / '000/depth.png').unlink()
    with pytest.raises(ValueError, match='got 000 without depth, expected a depth.png'):
        recorded_video(tmp_path).frames[0]


def test_impossible_videos_are_refused_at_once() -> None:
    pytest.importorskip('embreex', reason='ray casting comes with pip install .[research]')
    with pytest.raises(ValueError, match="got kind 'space', expected one of indoor"):
        rendered_videos('space', 1, height=9, width=13)
    with pytest.raises(ValueError, match='got 0 videos, expected 1 to 1000000'):
        rendered_videos('indoor', 0, height=9, width=13)


@pytest.mark.parametrize(('kind', 'metres_per_second'), [('indoor', 0.6), ('outdoor', 2.3)])
def test_a_rendered_camera_moves_no_faster_than_documented(
    kind: str, metres_per_second: float
) -> None:
    pytest.importorskip('embreex', reason='ray casting comes with pip install .[research]')
    library = pytest.importorskip('research.scenes.library')
    if not library.FURNITURE_FOLDER.is_dir():
        pytest.skip('needs the models: apt-get install sweethome3d-furniture')
    (video,) = rendered_videos(kind, 1, height=3, width=5)
    assert (video.domain, len(video.frames)) == (kind, 44)
    poses = [video.frames[i].pose for i in range(12)]
    metres = [math.dist(a[:3, 3], b[:3, 3]) for a, b in itertools.pairwise(poses)]
    assert 0 < np.mean(metres) * 10.0 < metres_per_second
