"""Folders with a CLIP in them: what their configuration may say."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import pytest

from mirror_depth_ros.model.clip import load_clip
from mirror_depth_ros.model.clip_folder import _CONFIG, weights_in


@pytest.fixture
def folder(tiny_clip: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_clip.removeprefix('local-dir:'), tmp_path / 'clip'))


def change(folder: Path, place: str, value: Any) -> None:
    """Write another value into the configuration, at ``section.name``."""
    path = folder / 'open_clip_config.json'
    config = json.loads(path.read_text())
    section = config
    *sections, name = place.split('.')
    for key in sections:
        section = section[key]
    section[name] = value
    path.write_text(json.dumps(config))


def test_the_weights_of_a_folder(folder: Path) -> None:
    assert weights_in(folder) == folder / 'open_clip_model.safetensors'


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        ('model_cfg.embed_dim', True, 'got config.model_cfg.embed_dim=True, expected an integer'),
        (
            'model_cfg.embed_dim',
            float('nan'),
            'embed_dim=nan, expected an integer from 1 to 65536',
        ),
        ('model_cfg.vision_cfg.layers', 3.0, 'vision_cfg.layers=3.0, expected an integer'),
        ('model_cfg.vision_cfg.patch_size', 0, 'vision_cfg.patch_size=0, expected an integer'),
        ('model_cfg.vision_cfg.width', 10**9, 'vision_cfg.width=1000000000, expected an integer'),
        ('model_cfg.vision_cfg.image_size', [48, True], r'image_size\[1\]=True, expected an int'),
        ('model_cfg.vision_cfg.mlp_ratio', True, 'mlp_ratio=True, expected a number above 0'),
        ('model_cfg.text_cfg.heads', '2', "text_cfg.heads='2', expected an integer"),
        ('model_cfg.text_cfg', None, 'text_cfg=None, expected a section'),
        ('model_cfg.init', float('inf'), 'config.model_cfg.init=inf, expected finite numbers'),
        # Names are open_clip's to know.
        ('model_cfg.text_cfg.colour', 3, "do not fit .*unexpected keyword argument 'colour'"),
    ],
)
def test_a_configuration_that_makes_no_clip(
    folder: Path, place: str, value: Any, message: str
) -> None:
    change(folder, place, value)
    with pytest.raises(ValueError, match=message):
        load_clip(f'local-dir:{folder}')


def test_a_configuration_that_is_no_json(folder: Path) -> None:
    for text in ('{', '[' * 100_000):
        (folder / 'open_clip_config.json').write_text(text)
        with pytest.raises(ValueError, match='open_clip_config.json, expected JSON: '):
            weights_in(folder)


def test_every_configuration_of_open_clip_is_allowed() -> None:
    names = open_clip.list_models()
    assert len(names) > 100
    for name in names:
        _CONFIG('config', deepcopy({'model_cfg': open_clip.get_model_config(name)}))
