"""The built-in model's recipe from beginning to end, very small, and its resumption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mirror_depth_ros.estimator import DepthEstimator
from mirror_depth_ros.model import clip, resources
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.model.resources import BUILTIN_CLIP
from mirror_depth_ros.scenes.captions import VOCABULARY_SIZE
from mirror_depth_ros.training import builtin
from mirror_depth_ros.training.clip_pretraining import recall_at_1
from mirror_depth_ros.training.recipe import Recipe

RECIPE = """
name: builtin
seed: 0
scenes: {train: 16, val: 8, height: 48, width: 64}
clip: {epochs: 1, batch_size: 4, lr: 1.0e-3, weight_decay: 0.1, patch_dropout: 0.5}
depth: {loss: silog, samples: 16, indoor_share: 0.5, epochs: 1, batch_size: 4, lr: 1.0e-3,
        weight_decay: 0.01}
tuning: {loss: relative, samples: 8, indoor_share: 0.5, epochs: 1, batch_size: 4, lr: 1.0e-4,
         weight_decay: 0.01}
model: {clip: mirror-depth-clip, taps: [0, 2], mirror_tokens: 4, width: 16, heads: 2,
        mlp_width: 32, output: log, input_size: [48, 64], reference_focal_px: 50.0}
"""


@pytest.fixture
def models(
    tiny_clip_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of built-in models that holds no weights yet."""
    text = {**tiny_clip_config['text_cfg'], 'context_length': 48, 'vocab_size': VOCABULARY_SIZE}
    folder = tmp_path / 'models' / BUILTIN_CLIP
    folder.mkdir(parents=True)
    config = {'model_cfg': {**tiny_clip_config, 'text_cfg': text}}
    (folder / 'open_clip_config.json').write_text(json.dumps(config))
    for module in (builtin, clip, resources):
        monkeypatch.setattr(module, 'model_directory', lambda: folder.parent)
    monkeypatch.setattr(builtin, '_RECALL_AMONG', 8)
    return folder.parent


def test_recipe_makes_a_model_that_loads(models: Path, tmp_path: Path) -> None:
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
    builtin.train_builtin(recipe, models)  # finished stages are opened, not done again
    assert {path: path.stat().st_mtime_ns for path in stages} == stages

    other = yaml.safe_load(RECIPE.replace('train: 16', 'train: 12'))
    with pytest.raises(ValueError, match='was begun with other scenes'):
        builtin.train_builtin(Recipe(other, tmp_path / 'work'), models)


def test_recall_counts_captions_found_by_their_picture() -> None:
    images = torch.eye(4)
    texts = torch.eye(4)[[0, 1, 3, 2]]
    assert recall_at_1(images, texts).item() == 0.5
