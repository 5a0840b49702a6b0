"""The built-in model's recipe from beginning to end, very small, and its resumption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mirror_depth_ros.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.training import builtin
from mirror_depth_ros.training.clip_pretraining import recall_at_1
from mirror_depth_ros.training.recipe import Recipe


@pytest.fixture(autouse=True)
def few_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall among as few captions as there are."""
    monkeypatch.setattr(builtin, '_RECALL_AMONG', 8)


def test_recipe_makes_a_model_that_loads(
    recipe: Recipe, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builtin.train_builtin(recipe, models)
    model = models / 'builtin.safetensors'
    facts = checkpoint_facts(model)
    assert 0 < facts['validation']['indoor/abs_rel'] < 10
    assert 0 < facts['validation']['outdoor/abs_rel'] < 10
    depth = DepthEstimator.load(model).estimate(np.zeros((31, 45, 3), np.uint8), 40.0)
    assert depth.shape == (31, 45)

    clip_weights = recipe.work / 'clip.safetensors'
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

    recipe['scenes']['train'] = 12
    with pytest.raises(ValueError, match='was begun with other scenes'):
        builtin.train_builtin(recipe, models)


def test_recall_counts_captions_found_by_their_picture() -> None:
    images = torch.eye(4)
    texts = torch.eye(4)[[0, 1, 3, 2]]
    assert recall_at_1(images, texts).item() == 0.5
