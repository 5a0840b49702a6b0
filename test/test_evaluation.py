"""Scores of whole data sets, with an estimator whose errors are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.evaluation import evaluate, summarize_scores


class TwiceTooFar:
    """Answers 4 m everywhere."""

    def estimate(self, rgb: np.ndarray, focal_px: float) -> np.ndarray:
        return np.full(rgb.shape[:2], 4.0, np.float32)


def sample(name: str, depth: np.ndarray | None) -> DepthSample:
    rgb = np.full((5, 7, 3), 120, np.uint8)
    return DepthSample(rgb, depth, CameraModel.from_fov(7, 5, 60.0), name)


def test_every_image_counts_the_same(tmp_path: Path) -> None:
    two = np.full((5, 7), 2.0, np.float32)
    four = np.full((5, 7), np.nan, np.float32)
    four[0, 0] = 4.0  # a single valid pixel, yet half of the mean
    samples = [sample('a/0', two), sample('a/1', four)]
    scores = list(evaluate(TwiceTooFar(), samples, max_depth=10.0, pictures=tmp_path))
    summary = summarize_scores(scores)
    assert summary['images'] == 2
    assert summary['metric']['abs_rel'] == pytest.approx((1.0 + 0.0) / 2)
    assert summary['metric']['delta1'] == pytest.approx((0.0 + 1.0) / 2)
    assert summary['median_scaled']['abs_rel'] == pytest.approx(0.0)
    assert [s['name'] for s in summary['per_image']] == ['a/0', 'a/1']
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a_0.png', 'a_1.png']


class Brightness:
    """Answers the red channel as metres, and forgets what it saw on the left half."""

    def estimate(self, rgb: np.ndarray, focal_px: float) -> np.ndarray:
        depth = rgb[..., 0].astype(np.float32)
        depth[:, : depth.shape[1] // 2] = 1.0
        return depth


def test_flip_averages_with_the_mirrored_image() -> None:
    rgb = np.zeros((1, 4, 3), np.uint8)
    rgb[0, :, 0] = [3, 5, 7, 9]
    # as it is: 1 1 7 9; mirrored 9 7 5 3 -> 1 1 5 3, turned back 3 5 1 1; mean 2 3 4 5
    truth = np.array([[2.0, 3.0, 4.0, 5.0]], np.float32)
    samples = [DepthSample(rgb, truth, CameraModel.from_fov(4, 1, 60.0), 'row')]
    (score,) = evaluate(Brightness(), samples, max_depth=10.0, flip=True)
    assert score.metric['abs_rel'] == pytest.approx(0.0, abs=1e-6)


def test_images_without_truth_are_refused_not_skipped() -> None:
    with pytest.raises(ValueError, match='got bare without true depth, expected depth.png'):
        list(evaluate(TwiceTooFar(), [sample('bare', None)], max_depth=10.0))
