"""What tests of trainings share: a folder of built-in models of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mirror_depth_ros.model import clip, resources
from mirror_depth_ros.model.resources import BUILTIN_CLIP
from mirror_depth_ros.scenes.captions import VOCABULARY_SIZE
from mirror_depth_ros.training import builtin


@pytest.fixture
def models(
    tiny_clip_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of built-in models, with a CLIP that reads captions and has no weights yet."""
    text = {**tiny_clip_config['text_cfg'], 'context_length': 48, 'vocab_size': VOCABULARY_SIZE}
    folder = tmp_path / 'models' / BUILTIN_CLIP
    folder.mkdir(parents=True)
    config = {'model_cfg': {**tiny_clip_config, 'text_cfg': text}}
    (folder / 'open_clip_config.json').write_text(json.dumps(config))
    for module in (builtin, clip, resources):
        monkeypatch.setattr(module, 'model_directory', lambda: folder.parent)
    return folder.parent
