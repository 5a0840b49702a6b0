"""Scores of whole data sets, with an estimator whose errors are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.eval_protocols import PROTOCOLS, Protocol, Shares
from mirror_depth_ros.evaluation.evaluate import evaluate, summarize_scores

INDOOR = PROTOCOLS['indoor']


class TwiceTooFar:
    """Answers 4 m everywhere."""

    has_confidence = False

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
    scores = list(evaluate(TwiceTooFar(), samples, protocol=INDOOR, pictures=tmp_path))
    summary = summarize_scores(scores)
    assert summary['images'] == 2
    assert summary['metric']['abs_rel'] == pytest.approx((1.0 + 0.0) / 2)
    assert summary['metric']['delta1'] == pytest.approx((0.0 + 1.0) / 2)
    assert summary['median_scaled']['abs_rel'] == pytest.approx(0.0)
    assert [s['name'] for s in summary['per_image']] == ['a/0', 'a/1']
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a_0.png', 'a_1.png']


class HalfSure(TwiceTooFar):
    """Is sure by halves on the left of what it sees, and by a tenth on the right."""

    has_confidence = True

    def estimate(
        self, rgb: np.ndarray, focal_px: float, *, with_confidence: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        assert with_confidence
        confidence = np.full(rgb.shape[:2], 0.5, np.float32)
        confidence[:, rgb.shape[1] // 2 :] = 0.1
        return super().estimate(rgb, focal_px), confidence


@pytest.mark.parametrize(('flip', 'first'), [(False, 0.5), (True, 0.3)])
def test_the_delta1_that_is_expected_is_that_where_truth_counts(flip: bool, first: float) -> None:
    # Truth of 4 m, which is right, in one pixel on the left of 7 columns; elsewhere in three
    # columns on the right. Turned back, the mirrored one is .1 to the left of column 4: (.5 + .1)
    # / 2 there, and in columns 4 to 6 (.1 + .5) / 2 as well.
    left, right = (np.full((5, 7), np.nan, np.float32) for _ in range(2))
    left[2, 1], right[:, 4:] = 4.0, 4.0
    samples = [sample('left', left), sample('right', right)]
    scores = list(evaluate(HalfSure(), samples, protocol=INDOOR, flip=flip))
    second = 0.3 if flip else 0.1
    assert [s.expected_delta1 for s in scores] == pytest.approx([first, second])
    summary = summarize_scores(scores)
    assert summary['expected_delta1'] == pytest.approx((first + second) / 2)
    assert summary['metric']['delta1'] == 1.0
    plain = list(evaluate(TwiceTooFar(), samples, protocol=INDOOR))
    assert summarize_scores(plain)['expected_delta1'] is None


class Brightness:
    """Answers the red channel as metres, and forgets what it saw on the left half."""

    has_confidence = False

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
    (score,) = evaluate(Brightness(), samples, protocol=INDOOR, flip=True)
    assert score.metric['abs_rel'] == pytest.approx(0.0, abs=1e-6)


def test_images_without_truth_are_refused_not_skipped() -> None:
    with pytest.raises(ValueError, match='bare: got no true depth, expected it for every'):
        list(evaluate(TwiceTooFar(), [sample('bare', None)], protocol=INDOOR))


def test_nothing_that_counts_is_an_error_that_names_the_image() -> None:
    far = np.full((5, 7), 20.0, np.float32)
    with pytest.raises(ValueError, match=r'far: got no pixel with 0.001 < truth < 10.0 m'):
        list(evaluate(TwiceTooFar(), [sample('far', far)], protocol=INDOOR))
    with pytest.raises(ValueError, match=r'far: got an image of 5 x 7 .* alone the protocol nyu'):
        list(evaluate(TwiceTooFar(), [sample('far', far)], protocol=PROTOCOLS['nyu']))


@pytest.mark.parametrize(
    ('crops_input', 'abs_rel', 'rmse'),
    [
        # The window is rows 1:5 and columns 1:8 of 5 x 9. The crop's shares of the full frame are
        # rows int(.25 * 5) = 1:5 and columns int(.2 * 9) = 1:int(.8 * 9) = 7. One of its four rows
        # is right (4 m), three are 2 m for which 4 m is predicted.
        (False, 3 / 4 * 1.0, np.sqrt(3 / 4 * 4.0)),
        # Of the window (4 x 7) they are rows 1:4 and columns int(1.4) = 1:int(5.6) = 5, which is
        # rows 2:5 and columns 2:6 of the image: all of it 2 m.
        (True, 1.0, 2.0),
    ],
)
def test_both_readings_of_a_crop_by_hand(crops_input: bool, abs_rel: float, rmse: float) -> None:
    protocol = Protocol(
        'made', 10.0, input_size=(4, 7), crop=Shares(0.25, 1.0, 0.2, 0.8), crops_input=crops_input
    )
    truth = np.full((5, 9), 2.0, np.float32)
    truth[1] = 4.0
    rgb = np.zeros((5, 9, 3), np.uint8)
    samples = [DepthSample(rgb, truth, CameraModel.from_fov(9, 5, 60.0), 'made')]
    (score,) = evaluate(TwiceTooFar(), samples, protocol=protocol)
    assert score.metric['abs_rel'] == pytest.approx(abs_rel)
    assert score.metric['rmse'] == pytest.approx(rmse)


@pytest.mark.parametrize(
    ('name', 'abs_rel'),
    [
        # Truth is 2 m down to row 165 and 5 m below; 4 m is predicted: errors of 1 and 0.2.
        # The full frame's Garg crop has rows 153:371, 13 above row 166 and 205 below.
        ('kitti_garg_full', (13 * 1.0 + 205 * 0.2) / 218),
        # That of the window, which begins at row 23, has rows 166:372.
        ('kitti_garg_cropped', 0.2),
        # Eigen: rows 124:342, 42 above and 176 below; in the window, rows 140:344, 26 and 178.
        ('kitti_eigen_full', (42 * 1.0 + 176 * 0.2) / 218),
        ('kitti_eigen_cropped', (26 * 1.0 + 178 * 0.2) / 204),
    ],
)
def test_the_readings_of_kitti_give_different_figures(name: str, abs_rel: float) -> None:
    truth = np.full((375, 1242), 2.0, np.float32)
    truth[166:] = 5.0
    rgb = np.zeros((375, 1242, 3), np.uint8)
    samples = [DepthSample(rgb, truth, CameraModel.from_fov(1242, 375, 80.0), 'street')]
    (score,) = evaluate(TwiceTooFar(), samples, protocol=PROTOCOLS[name])
    assert score.metric['abs_rel'] == pytest.approx(abs_rel)


class RedMetres:
    """Answers the red channel as metres, and remembers what it was shown."""

    has_confidence = False

    def __init__(self) -> None:
        self.shown: list[tuple[tuple[int, ...], float]] = []

    def estimate(self, rgb: np.ndarray, focal_px: float) -> np.ndarray:
        self.shown.append((rgb.shape, focal_px))
        return rgb[..., 0].astype(np.float32)


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('name', ['kitti_garg_full', 'kitti_garg_cropped'])
def test_the_window_is_cut_out_and_put_back_in_its_place(
    name: str, flip: bool, tmp_path: Path
) -> None:
    red = np.arange(370 * 1226).reshape(370, 1226) % 79 + 1
    rgb = np.zeros((370, 1226, 3), np.uint8)
    rgb[..., 0] = red
    camera = CameraModel.from_fov(1226, 370, 80.0)
    samples = [DepthSample(rgb, red.astype(np.float32), camera, 'street')]
    estimator = RedMetres()
    (score,) = evaluate(estimator, samples, protocol=PROTOCOLS[name], flip=flip, pictures=tmp_path)
    assert score.metric['rmse'] == 0.0
    assert estimator.shown == [((352, 1216, 3), camera.focal_px)] * (2 if flip else 1)
    assert (tmp_path / 'street.png').is_file()
