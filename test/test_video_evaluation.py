"""Videos of rendered scenes, with estimators whose errors are known."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from mirror_depth_ros.scenes.video import SceneVideo
from mirror_depth_ros.video_evaluation import (
    LOOP_FRAMES,
    RATE_HZ,
    VideoScore,
    evaluate_video,
    open_videos,
    summarize_videos,
)

WIDTH, HEIGHT = 97, 71


class Flickering:
    """Knows the truth, and multiplies every second frame by a scale."""

    device, precision, backend = 'nowhere', 'fp32', 'torch'

    def __init__(self, video: SceneVideo, scale: float) -> None:
        self._video, self._scale, self._index = video, scale, 0

    def estimate(self, rgb: np.ndarray, focal_px: float) -> np.ndarray:
        depth = self._video[self._index].depth
        scale = self._scale if self._index % 2 else 1.0
        self._index += 1
        assert focal_px == self._video.camera.focal_px
        return np.where(np.isfinite(depth), depth * np.float32(scale), np.float32(500.0))


@pytest.mark.parametrize('kind', ['indoor', 'outdoor'])
def test_the_truth_scores_nothing(kind: str, tmp_path: Path) -> None:
    (video,) = open_videos(kind, count=1, width=WIDTH, height=HEIGHT)
    score = evaluate_video(Flickering(video, 1.0), video, n_frames=4, pictures=tmp_path)
    assert score.name == f'{kind}/11000000'
    assert score.temporal_disagreement < 2e-3
    assert 0.2 < score.covisible_share < 1.0
    assert (score.spatial_away, score.spatial_at_edges) == (0.0, 0.0)
    assert score.abs_rel == pytest.approx(0.0, abs=1e-6)
    strip = cv2.imread(str(tmp_path / f'{kind}_11000000.png'))
    assert strip.shape[0] == 3 * (240 + 26)  # three rows below their labels


def test_flicker_shows_as_the_change_of_scale() -> None:
    (video,) = open_videos('indoor', count=1, width=WIDTH, height=HEIGHT)
    score = evaluate_video(Flickering(video, 1.25), video, n_frames=3)
    # Up |1 - 1.25| / 1.25 = 0.2, down |1.25 - 1| = 0.25; the motion along z is small beside depth.
    assert score.temporal_disagreement == pytest.approx(0.225, abs=0.01)
    # Frames 0 and 2 are right, frame 1 is a quarter too far, which leaves its gradients alone.
    assert score.abs_rel == pytest.approx(0.25 / 3, abs=1e-3)
    assert score.spatial_away == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(('kind', 'metres_per_second'), [('indoor', 0.5), ('outdoor', 1.0)])
def test_the_camera_moves_as_fast_as_documented(kind: str, metres_per_second: float) -> None:
    (video,) = open_videos(kind, count=1, width=WIDTH, height=HEIGHT)
    poses = [video.pose(i) for i in range(LOOP_FRAMES + 1)]
    metres = [math.dist(a.position, b.position) for a, b in itertools.pairwise(poses)]
    assert np.mean(metres) * RATE_HZ == pytest.approx(metres_per_second, rel=0.02)
    turns = [abs(b.yaw - a.yaw) for a, b in itertools.pairwise(poses)]
    assert math.degrees(max(turns)) * RATE_HZ < 29


def test_the_mean_is_over_videos_and_over_what_there_is() -> None:
    scores = [
        VideoScore('indoor/1', 0.02, 0.8, 0.01, None, 0.1),
        VideoScore('indoor/2', 0.04, 0.6, 0.03, 0.5, 0.3),
    ]
    summary = summarize_videos(scores)
    assert summary['videos'] == 2
    assert summary['temporal_disagreement'] == pytest.approx(0.03)
    assert summary['covisible_share'] == pytest.approx(0.7)
    assert summary['spatial_away'] == pytest.approx(0.02)
    assert summary['spatial_at_edges'] == 0.5
    assert summary['abs_rel'] == pytest.approx(0.2)
    assert [video['name'] for video in summary['per_video']] == ['indoor/1', 'indoor/2']
    assert summarize_videos(scores[:1])['spatial_at_edges'] is None
    with pytest.raises(ValueError, match='got no videos, expected at least one'):
        summarize_videos([])


def test_impossible_requests_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="got scene kind 'space', expected one of indoor"):
        open_videos('space', count=1, width=WIDTH, height=HEIGHT)
    with pytest.raises(ValueError, match='got 0 videos, expected 1 to 1000000'):
        open_videos('indoor', count=0, width=WIDTH, height=HEIGHT)
    (video,) = open_videos('indoor', count=1, width=WIDTH, height=HEIGHT)
    for n_frames in (1, 45):
        with pytest.raises(ValueError, match=f'got {n_frames} frames, expected 2 to 44'):
            evaluate_video(Flickering(video, 1.0), video, n_frames=n_frames)


class Blind:
    """Answers no depth."""

    device, precision, backend = 'nowhere', 'fp32', 'torch'

    def estimate(self, rgb: np.ndarray, focal_px: float) -> np.ndarray:
        return np.full(rgb.shape[:2], np.nan, np.float32)


def test_errors_name_the_video_and_the_frame() -> None:
    (video,) = open_videos('indoor', count=1, width=WIDTH, height=HEIGHT)
    with pytest.raises(ValueError, match='indoor/11000000, frame 0: got 6887 pixels of predicted'):
        evaluate_video(Blind(), video, n_frames=2)
