"""The weights that the package brings along do what the README says."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.data.scene_samples import SceneSamples
from mirror_depth_ros.estimator import DepthEstimator
from mirror_depth_ros.evaluation import evaluate, summarize_scores
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.model.resources import model_directory
from mirror_depth_ros.protocols import PROTOCOLS


@pytest.fixture(scope='module')
def builtin() -> DepthEstimator:
    return DepthEstimator.load('builtin', device='cpu')


@pytest.mark.parametrize(('kind', 'limit'), [('indoor', 0.18), ('outdoor', 0.18)])
def test_follows_scenes_that_it_was_not_trained_on(
    builtin: DepthEstimator, kind: str, limit: float
) -> None:
    scores = [*evaluate(builtin, SceneSamples(kind, count=12), protocol=PROTOCOLS[kind])]
    summary = summarize_scores(scores)
    assert summary['metric']['abs_rel'] < limit
    # Its depth follows each scene: it beats one constant per scene, the scene's own median.
    constant = [
        np.nanmean(np.abs(np.nanmedian(s.depth) - s.depth) / s.depth)
        for s in SceneSamples(kind, count=12)
    ]
    assert summary['median_scaled']['abs_rel'] < 0.6 * np.mean(constant)


def test_all_weights_together_are_small() -> None:
    files = [path for path in model_directory().rglob('*') if path.is_file()]
    assert {path.name for path in files if path.parent.name != 'baselines'} == {
        'builtin.safetensors',
        'clip2depth.safetensors',
        'open_clip_config.json',
        'open_clip_model.safetensors',
    }
    assert sum(path.stat().st_size for path in files) < 32e6


def test_the_file_says_how_it_was_made() -> None:
    facts = checkpoint_facts('builtin')
    assert facts['recipe']['seed'] == 0
    assert facts['validation']['indoor/abs_rel'] < 0.15
