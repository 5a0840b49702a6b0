"""The weights that the package brings along do what the README says."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.depth.eval_protocols import PROTOCOLS
from mirror_depth_ros.evaluation.evaluate import evaluate, summarize_scores
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_facts, load_checkpoint
from mirror_depth_ros.model.conv_encoder import FrozenConvEncoder
from mirror_depth_ros.model.resources import demo_directory, model_directory


@pytest.fixture(scope='module')
def builtin() -> DepthEstimator:
    return DepthEstimator.load('builtin', device='cpu', backend='torch')


def test_follows_photographs_of_places_that_it_never_saw(builtin: DepthEstimator) -> None:
    folder = demo_directory() / 'photographs'
    places = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name != 'street']
    assert len(places) == 5
    samples = [sample for place in places for sample in FrameFolder(place)]
    scores = [*evaluate(builtin, samples, protocol=PROTOCOLS['indoor'])]
    scaled = summarize_scores(scores)['median_scaled']
    # Its depth follows each picture: it beats one constant, the picture's own median.
    constant = [
        np.nanmean(np.abs(np.nanmedian(s.depth) / s.depth - 1))
        for s in samples
        if s.depth is not None
    ]
    assert scaled['abs_rel'] < 0.7 * np.mean(constant)


def test_it_stands_on_a_frozen_tower_that_has_seen_photographs() -> None:
    network = load_checkpoint('builtin')
    assert network.config.clip == 'mirror-depth-lit'
    assert isinstance(network.image_encoder, FrozenConvEncoder)
    # Inputs as the tower was trained with: (x - 0.5) / 0.5.
    assert network.image_encoder.image_mean.flatten().tolist() == [0.5, 0.5, 0.5]
    assert network.image_encoder.image_std.flatten().tolist() == [0.5, 0.5, 0.5]


def test_all_weights_together_are_small() -> None:
    files = [path for path in model_directory().rglob('*') if path.is_file()]
    assert {path.name for path in files} == {
        'builtin.onnx_parts',
        'builtin.safetensors',
        'open_clip_config.json',
        'open_clip_model.safetensors',
        'vocabulary.json',
    }
    assert sum(path.stat().st_size for path in files) < 18e6


def test_the_file_says_how_it_was_made() -> None:
    facts = checkpoint_facts('builtin')
    assert facts['recipe']['seed'] == 0
    assert facts['validation']['tum-slambook/scaled'] < 0.3
