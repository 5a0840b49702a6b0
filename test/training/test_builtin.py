"""The built-in model's recipe from beginning to end, very small, and its resumption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from mirror_depth_ros.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.training import builtin
from mirror_depth_ros.training.clip_pretraining import recall_at_1
from mirror_depth_ros.training.recipe import Recipe

RECIPE = """
name: builtin
seed: 0
stages: [depth, tuning]
scenes: {train: 16, val: 8, height: 48, width: 64}
clip: {epochs: 1, batch_size: 4, lr: 1.0e-3, weight_decay: 0.1, patch_dropout: 0.5}
depth: {loss: silog, samples: 16, indoor_share: 0.5, epochs: 1, batch_size: 4, lr: 1.0e-3,
        weight_decay: 0.01}
tuning: {loss: relative, samples: 8, indoor_share: 0.5, epochs: 1, batch_size: 4, lr: 1.0e-4,
         weight_decay: 0.01}
model: {clip: mirror-depth-clip, taps: [0, 2], mirror_tokens: 4, width: 16, heads: 2,
        mlp_width: 32, output: log, input_size: [48, 64], reference_focal_px: 50.0}
"""


@pytest.fixture(autouse=True)
def few_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall among as few captions as there are."""
    monkeypatch.setattr(builtin, '_RECALL_AMONG', 8)


def test_recipe_makes_a_model_that_loads(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe(yaml.safe_load(RECIPE), tmp_path / 'work')
    builtin.train_builtin(recipe, models)
    model = models / 'builtin.safetensors'
    facts = checkpoint_facts(model)
    assert 0 < facts['validation']['indoor/abs_rel'] < 10
    assert 0 < facts['validation']['outdoor/abs_rel'] < 10
    depth = DepthEstimator.load(model).estimate(np.zeros((31, 45, 3), np.uint8), 40.0)
    assert depth.shape == (31, 45)

    clip_weights = tmp_path / 'work' / 'clip.safetensors'
    stages = {
        path: path.stat().st_mtime_ns
        for path in [clip_weights, *clip_weights.parent.glob('*.npy')]
    }
    assert len(stages) == 3
    capsys.readouterr()
    builtin.train_builtin(recipe, models)  # finished stages are opened, not done again
    assert {path: path.stat().st_mtime_ns for path in stages} == stages
    # The second time says how close it came to the first.
    close = next(line for line in capsys.readouterr().out.splitlines() if 'indoor/abs_rel' in line)
    _, now, before = close.split()
    assert now == before == f'{facts["validation"]["indoor/abs_rel"]:.4f}'

    other = yaml.safe_load(RECIPE.replace('train: 16', 'train: 12'))
    with pytest.raises(ValueError, match='was begun with other scenes'):
        builtin.train_builtin(Recipe(other, tmp_path / 'work'), models)


def test_recall_counts_captions_found_by_their_picture() -> None:
    images = torch.eye(4)
    texts = torch.eye(4)[[0, 1, 3, 2]]
    assert recall_at_1(images, texts).item() == 0.5
