"""The weights that the package brings along do what the README says."""

from __future__ import annotations

import numpy as np
import pytest
from mirror_depth_ros.data.scene_samples import SceneSamples

from mirror_depth_ros.depth.eval_protocols import PROTOCOLS
from mirror_depth_ros.evaluation.evaluate import evaluate, summarize_scores
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_facts, load_checkpoint
from mirror_depth_ros.model.conv_encoder import FrozenConvEncoder
from mirror_depth_ros.model.resources import model_directory


@pytest.fixture(scope='module')
def builtin() -> DepthEstimator:
    return DepthEstimator.load('builtin', device='cpu', backend='torch')


@pytest.mark.parametrize(('kind', 'share'), [('indoor', 0.95), ('outdoor', 0.95)])
def test_follows_scenes_of_a_kind_that_it_never_saw(
    builtin: DepthEstimator, kind: str, share: float
) -> None:
    samples = SceneSamples(kind, count=12)
    scores = [*evaluate(builtin, samples, protocol=PROTOCOLS[kind])]
    summary = summarize_scores(scores)
    # Its depth follows each scene: it beats one constant per scene, the scene's own median.
    constant = [
        np.nanmean(np.abs(np.nanmedian(s.depth) / s.depth - 1))
        for s in samples
        if s.depth is not None
    ]
    assert summary['median_scaled']['abs_rel'] < share * np.mean(constant)


def test_it_stands_on_a_frozen_tower_that_has_seen_photographs() -> None:
    network = load_checkpoint('builtin')
    assert network.config.clip == 'mirror-depth-lit'
    assert isinstance(network.image_encoder, FrozenConvEncoder)
    # Inputs as the tower was trained with: (x - 0.5) / 0.5.
    assert network.image_encoder.image_mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert network.image_encoder.image_std.flatten().tolist() == [0.5, 0.5, 0.5]


def test_all_weights_together_are_small() -> None:
    files = [path for path in model_directory().rglob('*') if path.is_file()]
    assert {path.name for path in files if path.parent.name != 'baselines'} == {
        'builtin.onnx_parts',
        'builtin.safetensors',
        'clip2depth.safetensors',
        'open_clip_config.json',
        'open_clip_model.safetensors',
        'vocabulary.json',
    }
    assert sum(path.stat().st_size for path in files) < 31e6


def test_the_file_says_how_it_was_made() -> None:
    facts = checkpoint_facts('builtin')
    assert facts['recipe']['seed'] == 0
    assert facts['validation']['tum-slambook/scaled'] < 0.3
