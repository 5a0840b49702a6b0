"""What tests of trainings share: a very small recipe, built-in models, a finished training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
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


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A recipe for seconds rather than hours; its values are the test's own to change."""
    from mirror_depth_ros.training.recipe import Recipe

    return Recipe(yaml.safe_load(RECIPE), tmp_path / 'work')


@pytest.fixture
def models(
    tiny_clip_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of built-in models, with a CLIP that reads captions and has no weights yet."""
    from mirror_depth_ros.scenes.captions import VOCABULARY_SIZE

    from mirror_depth_ros.model import clip, resources
    from mirror_depth_ros.training import builtin

    text = {**tiny_clip_config['text_cfg'], 'context_length': 48, 'vocab_size': VOCABULARY_SIZE}
    folder = tmp_path / 'models' / resources.BUILTIN_CLIP
    folder.mkdir(parents=True)
    config = {'model_cfg': {**tiny_clip_config, 'text_cfg': text}}
    (folder / 'open_clip_config.json').write_text(json.dumps(config))
    for module in (builtin, clip, resources):
        monkeypatch.setattr(module, 'model_directory', lambda: folder.parent)
    return folder.parent


@pytest.fixture(scope='session')
def trained(small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished training: eight steps, checkpoints at 3, 6 and the end."""
    from mirror_depth_ros.training.command import train

    folder = tmp_path_factory.mktemp('trained')
    train([f'--config={small_recipe}'], folder, save_every=3)
    return folder
