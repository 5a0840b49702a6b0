from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import plyfile
import pytest

from mirror_depth_ros.data.media import Kind, Medium
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.evaluation.predict import (
    Failure,
    Prediction,
    PredictionSettings,
    predict_media,
    summarize,
)
from mirror_depth_ros.inference.estimator import DepthEstimator

CAMERA = CameraModel(21, 15, fx=20.0, fy=20.0, cx=10.0, cy=7.0)
RGB = np.full((15, 21, 3), (200, 100, 0), np.uint8)


class Ramp:
    """Estimates depth that grows from 2 m on the left to 12 m on the right."""

    def estimate(self, rgb, focal_px):
        assert focal_px == pytest.approx(20.0)
        return np.tile(np.linspace(2, 12, 21, dtype=np.float32), (15, 1))


class Still(Medium):
    """A medium whose samples are given, errors included."""

    given: tuple = ()

    def samples(self, camera_of, *, every=1):
        for item in self.given:
            if isinstance(item, Exception):
                raise item
            yield item


class SureRamp(Ramp):
    """Is the less sure the farther: 1 on the left, 0 on the right."""

    def require_confidence(self):
        pass

    def estimate(self, rgb, focal_px, *, with_confidence):
        assert with_confidence
        depth = super().estimate(rgb, focal_px)
        return depth, (12 - depth) / 10


def still(name, *given):
    medium = Still(Path(f'/inputs/{name}.png'), Kind.IMAGE, name)
    object.__setattr__(medium, 'given', given)
    return medium


def sample(name, depth=None):
    return DepthSample(RGB, depth, CAMERA, name)


def predict(media, output, **settings):
    return list(predict_media(Ramp(), media, PredictionSettings(output, **settings), None))


def test_depth_preview_and_cloud_are_written(tmp_path):
    (outcome,) = predict([still('a/x.1', sample('a/x.1'))], tmp_path)
    assert outcome.files == {
        'depth': str(tmp_path / 'a/x.1_depth.png'),
        'preview': str(tmp_path / 'a/x.1_preview.png'),
        'cloud': str(tmp_path / 'a/x.1.ply'),
    }
    depth = cv2.imread(outcome.files['depth'], cv2.IMREAD_UNCHANGED)
    assert depth[7].tolist() == list(range(2000, 12001, 500))
    assert cv2.imread(outcome.files['preview']).shape == (15, 21, 3)
    vertex = plyfile.PlyData.read(outcome.files['cloud'])['vertex']
    assert len(vertex) == 15 * 17  # columns 0 to 16 lie within 10 m
    # Pixel (0, 0): x = (0 - 10) / 20 * 2 = -1, y = (0 - 7) / 20 * 2 = -0.7
    assert [float(vertex[axis][0]) for axis in 'xyz'] == pytest.approx([-1.0, -0.7, 2.0])
    assert outcome.median_depth_m == 7.0
    assert outcome.metrics is None


def test_confidence_is_written_beside_depth(tmp_path):
    settings = PredictionSettings(tmp_path, ply=False, confidence=True)
    (outcome,) = predict_media(SureRamp(), [still('a', sample('a'))], settings, None)
    assert outcome.files['confidence'] == str(tmp_path / 'a_confidence.png')
    confidence = cv2.imread(outcome.files['confidence'], cv2.IMREAD_UNCHANGED)
    assert (confidence.dtype, confidence.shape) == (np.uint8, (15, 21))
    assert confidence[7, [0, 4, 20]].tolist() == [255, 204, 0]  # 1, 0.8 and 0
    assert outcome.median_depth_m == 7.0


def test_confidence_of_a_model_without_ends_it_before_anything_is_written(tmp_path, tiny_model):
    estimator = DepthEstimator.load(tiny_model, device='cpu', backend='torch')
    settings = PredictionSettings(tmp_path / 'out', confidence=True)
    with pytest.raises(ValueError, match='got the model .* without confidence, expected one that'):
        list(predict_media(estimator, [still('a', sample('a'))], settings, None))
    assert not (tmp_path / 'out').exists()


def test_truth_is_measured_within_the_range(tmp_path):
    truth = np.full((15, 21), np.nan, np.float32)
    truth[0, 0], truth[1, 4], truth[2, 20] = 2.5, 4.0, 50.0
    (outcome,) = predict([still('a', sample('a', truth))], tmp_path, ply=False)
    # |2 - 2.5| / 2.5 = 0.2 and |4 - 4| / 4 = 0; 2.5 / 2 = 1.25 is not below 1.25; 50 m is too far.
    assert outcome.metrics == pytest.approx({'abs_rel': 0.1, 'delta1': 0.5})
    assert 'cloud' not in outcome.files
    far = np.where(np.isnan(truth), truth, np.float32(50))
    (outcome,) = predict([still('b', sample('b', far))], tmp_path)
    assert outcome.has_truth
    assert outcome.metrics is None


def test_what_fails_is_named_and_the_rest_goes_on(tmp_path):
    media = [
        still('broken', ValueError('cannot decode broken')),
        still('half', sample('half/000000'), OSError('half gone')),
        still('good', sample('good')),
    ]
    outcomes = predict(media, tmp_path)
    assert outcomes[0] == Failure('/inputs/broken.png', 'cannot decode broken')
    assert isinstance(outcomes[1], Prediction)
    assert outcomes[2] == Failure('/inputs/half.png', 'half gone')
    assert outcomes[3].name == 'good'


def test_a_failed_write_ends_it(tmp_path):
    (tmp_path / 'a').write_text('a file where a folder should be')
    with pytest.raises(OSError, match='a'):
        predict([still('a/x', sample('a/x'))], tmp_path)


def test_results_never_replace_inputs(tmp_path):
    first = Medium(tmp_path / 'x.png', Kind.IMAGE, 'x')
    second = Medium(tmp_path / 'x_depth.png', Kind.IMAGE, 'x_depth')
    with pytest.raises(ValueError, match='could replace inputs; give another --output'):
        predict([first, second], tmp_path)
    video = Medium(tmp_path / 'clip.avi', Kind.VIDEO, 'clip')
    third = Medium(tmp_path / 'x_confidence.png', Kind.IMAGE, 'x_confidence')
    with pytest.raises(ValueError, match='could replace inputs; give another --output'):
        predict([first, third], tmp_path)
    inside = Medium(tmp_path / 'clip' / '000000_depth.png', Kind.IMAGE, 'other')
    with pytest.raises(ValueError, match='clip.avi could replace inputs'):
        predict([video, inside], tmp_path)


def test_the_summary_averages_what_was_measured():
    def made(name, metrics):
        return Prediction('in', name, 20.0, 3.0, 1.0, metrics is not None, metrics)

    predictions = [
        made('a', {'abs_rel': 0.1, 'delta1': 1.0}),
        made('b', None),
        made('c', {'abs_rel': 0.3, 'delta1': 0.5}),
    ]
    summary = summarize(predictions, [Failure('bad.png', 'why')])
    assert summary['measured'] == 2
    assert summary['mean'] == pytest.approx({'abs_rel': 0.2, 'delta1': 0.75})
    assert summary['failures'] == [{'input': 'bad.png', 'error': 'why'}]
    assert len(summary['predictions']) == 3
    assert summarize([], [])['mean'] is None


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match='got a max-depth of -0.1 m, expected more than 0'):
        PredictionSettings(Path('out'), max_depth=-0.1)
    with pytest.raises(ValueError, match='got every 0 frames, expected 1 or more'):
        PredictionSettings(Path('out'), every=0)
