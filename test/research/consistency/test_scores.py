"""Recorded videos, with estimates whose errors are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from research.consistency.scores import VideoScore, score_video, summarize_videos
from research.consistency.videos import PosedVideo, recorded_video

RENDERED = Path(__file__).parents[3] / 'resource/demo/rendered'


@pytest.fixture(scope='module')
def room() -> PosedVideo:
    return recorded_video(RENDERED / 'room')


def flickering(video: PosedVideo, scale: float) -> Callable[..., np.ndarray]:
    """Return what knows the truth, and multiplies every second frame by a scale."""
    frames = iter(enumerate(video.frames))

    def estimate(rgb: np.ndarray, focal_px: float) -> np.ndarray:
        index, frame = next(frames)
        assert (rgb == frame.rgb).all()
        assert focal_px == frame.camera.focal_px
        depth = np.where(np.isfinite(frame.depth), frame.depth, np.float32(500.0))
        return depth * np.float32(scale if index % 2 else 1.0)

    return estimate


@pytest.mark.parametrize('name', ['room', 'street'])
def test_the_truth_scores_nothing(name: str, tmp_path: Path) -> None:
    video = recorded_video(RENDERED / name)
    score = score_video(flickering(video, 1.0), video, n_frames=4, pictures=tmp_path)
    assert score.name == name
    assert score.temporal_disagreement < 2e-3
    assert 0.2 < score.covisible_fraction < 1.0
    assert score.spatial_away == 0.0
    assert score.spatial_at_edges in (0.0, None)
    assert score.abs_rel == pytest.approx(0.0, abs=1e-6)
    strip = cv2.imread(str(tmp_path / f'{name}.png'))
    assert strip.shape[0] == 3 * (240 + 26)  # three rows below their labels


def test_flicker_shows_as_the_change_of_scale(room: PosedVideo) -> None:
    score = score_video(flickering(room, 1.25), room, n_frames=3)
    # Up |1 - 1.25| / 1.25 = 0.2, down |1.25 - 1| = 0.25; the motion along z is small beside depth.
    assert score.temporal_disagreement == pytest.approx(0.225, abs=0.01)
    # Frames 0 and 2 are right, frame 1 is a quarter too far, which leaves its gradients alone.
    assert score.abs_rel == pytest.approx(0.25 / 3, abs=1e-3)
    assert score.spatial_away == pytest.approx(0.0, abs=1e-6)


def test_the_mean_is_over_videos_and_over_what_there_is() -> None:
    scores = [
        VideoScore('one', 0.02, 0.8, 0.01, None, 0.1),
        VideoScore('two', 0.04, 0.6, 0.03, 0.5, 0.3),
    ]
    summary = summarize_videos(scores)
    assert summary['videos'] == 2
    assert summary['temporal_disagreement'] == pytest.approx(0.03)
    assert summary['covisible_fraction'] == pytest.approx(0.7)
    assert summary['spatial_away'] == pytest.approx(0.02)
    assert summary['spatial_at_edges'] == 0.5
    assert summary['abs_rel'] == pytest.approx(0.2)
    assert [video['name'] for video in summary['per_video']] == ['one', 'two']
    assert summarize_videos(scores[:1])['spatial_at_edges'] is None
    with pytest.raises(ValueError, match='got no videos, expected at least one'):
        summarize_videos([])


def test_impossible_requests_are_refused(room: PosedVideo) -> None:
    for n_frames in (1, 25):
        with pytest.raises(ValueError, match=f'got {n_frames} frames, expected 2 to 24'):
            score_video(flickering(room, 1.0), room, n_frames=n_frames)


def test_errors_name_the_video_and_the_frame(room: PosedVideo) -> None:
    def blind(rgb: np.ndarray, focal_px: float) -> np.ndarray:
        return np.full(rgb.shape[:2], np.nan, np.float32)

    with pytest.raises(ValueError, match='room, frame 0: got 76800 pixels of predicted'):
        score_video(blind, room, n_frames=2)


def test_the_temporal_filter_halves_flicker_by_the_true_motion(room: PosedVideo) -> None:
    off, steady = (
        score_video(flickering(room, 1.25), room, n_frames=6, steady=mode)
        for mode in ('off', 'motion')
    )
    assert steady.temporal_disagreement < off.temporal_disagreement / 2
    assert steady.abs_rel <= off.abs_rel
    # Of a picture that moves, the scale alone cannot be known.
    scale = score_video(flickering(room, 1.25), room, n_frames=6, steady='scale')
    assert scale == off
    with pytest.raises(ValueError, match="got steady 'on', expected one of off, scale, motion"):
        score_video(flickering(room, 1.25), room, n_frames=6, steady='on')
