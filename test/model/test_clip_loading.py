"""Names, tags, files and folders: weights that belong to the model, or a refusal."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from mirror_depth_ros.model.clip_loading import (
    _CONFIG,
    check_tag,
    is_openai_file,
    load_clip,
    weights_in,
)

ENTRIES = {
    'input_resolution': torch.tensor(48),
    'context_length': torch.tensor(10),
    'vocab_size': torch.tensor(40),
}


@pytest.fixture
def tiny_names(tiny_clip_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let open_clip know the tiny CLIP as ``tiny``, ``tiny-quickgelu`` and, alone, ``lone``."""
    quick = {**tiny_clip_config, 'quick_gelu': True}
    configs = {'tiny': tiny_clip_config, 'tiny-quickgelu': quick, 'lone': tiny_clip_config}
    for name, config in configs.items():
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)


@pytest.fixture
def quick_clip(tiny_names: None) -> torch.nn.Module:
    """Return a tiny CLIP with QuickGELU, with weights large enough for GELU to differ."""
    torch.manual_seed(5)
    clip = open_clip.create_model('tiny-quickgelu')
    with torch.no_grad():
        for block in clip.visual.transformer.resblocks:
            block.mlp.c_fc.weight.mul_(3)
    return clip.eval()


@pytest.fixture
def openai_file(quick_clip: torch.nn.Module, tmp_path: Path) -> Path:
    """Return the weights of that CLIP, as OpenAI's files have them."""
    path = tmp_path / 'ViT-tiny.safetensors'
    save_file({**quick_clip.state_dict(), **ENTRIES}, path)
    return path


@pytest.mark.parametrize('tag', ['openai', 'dfn2b', 'metaclip_400m', 'metaclip_fullcc'])
def test_quick_tags_of_a_plain_model_are_refused(tag: str) -> None:
    message = (
        f"got CLIP weights '{tag}', trained with QuickGELU, for ViT-B-16, which computes GELU"
    )
    with pytest.raises(ValueError, match=f'{message}, .*; use ViT-B-16-quickgelu$'):
        load_clip('ViT-B-16', tag)


def test_plain_tags_of_a_quick_model_are_refused() -> None:
    message = 'trained with GELU, for ViT-B-16-quickgelu, which computes QuickGELU'
    with pytest.raises(ValueError, match=f"'laion2b_s34b_b88k', {message}, .*; use ViT-B-16$"):
        load_clip('ViT-B-16-quickgelu', 'laion2b_s34b_b88k')


def test_every_tag_that_open_clip_warns_of_is_refused_and_no_other() -> None:
    for name in open_clip.list_models():
        is_quick = open_clip.get_model_config(name).get('quick_gelu', False)
        for tag in open_clip.list_pretrained_tags_by_model(name):
            wanted = open_clip.get_pretrained_cfg(name, tag).get('quick_gelu', False)
            if is_quick == wanted or name == 'roberta-ViT-B-32':  # its tag lacks the entry
                check_tag(name, tag)
            else:
                with pytest.raises(ValueError, match=f'use {name}-quickgelu$'):
                    check_tag(name, tag)


def test_unknown_tags_are_named_as_before() -> None:
    with pytest.raises(FileNotFoundError, match=r"got CLIP weights 'x', .* a tag of \['openai'"):
        load_clip('ViT-B-16-quickgelu', 'x')


def test_openai_files_load_where_quick_gelu_is_computed(
    quick_clip: torch.nn.Module, openai_file: Path
) -> None:
    images = torch.rand(2, 3, 48, 64)
    loaded = load_clip('tiny-quickgelu', str(openai_file)).eval()
    expected = quick_clip.encode_image(images)
    torch.testing.assert_close(loaded.encode_image(images), expected)
    # What is prevented: the same weights under GELU.
    plain = open_clip.create_model('tiny').eval()
    plain.load_state_dict(quick_clip.state_dict())
    assert (plain.encode_image(images) - expected).abs().max() > 1e-3


def test_openai_files_are_refused_elsewhere(openai_file: Path) -> None:
    message = r"got OpenAI's CLIP weights .*ViT-tiny.safetensors, trained with QuickGELU, for "
    with pytest.raises(ValueError, match=message + 'tiny, which .*; use tiny-quickgelu$'):
        load_clip('tiny', str(openai_file))
    with pytest.raises(ValueError, match=message + 'lone, .* has "quick_gelu": true in model_cfg'):
        load_clip('lone', str(openai_file))


def test_openai_files_in_folders(
    tiny_clip_config: dict[str, Any], quick_clip: torch.nn.Module, openai_file: Path
) -> None:
    folder = openai_file.parent
    config = folder / 'open_clip_config.json'
    config.write_text(json.dumps({'model_cfg': tiny_clip_config}))
    with pytest.raises(ValueError, match='ViT-tiny.safetensors, .* has "quick_gelu": true in'):
        load_clip(f'local-dir:{folder}')
    config.write_text(json.dumps({'model_cfg': {**tiny_clip_config, 'quick_gelu': True}}))
    images = torch.rand(1, 3, 48, 64)
    loaded = load_clip(f'local-dir:{folder}').eval()
    torch.testing.assert_close(loaded.encode_image(images), quick_clip.encode_image(images))
    # open_clip would take this one, of which nobody can know.
    save_file(quick_clip.state_dict(), folder / 'open_clip_model.safetensors')
    config.write_text(json.dumps({'model_cfg': tiny_clip_config}))
    load_clip(f'local-dir:{folder}')


def test_openai_files_of_another_model_are_refused(
    tiny_names: None, quick_clip: torch.nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / 'changed.safetensors'
    weights = {**quick_clip.state_dict(), **ENTRIES}
    del weights['ln_final.bias']
    save_file({**weights, 'more': torch.zeros(2)}, path)
    message = r'lacks \[.ln_final.bias.\] and has unknown \[.more.\]; give the weights that'
    with pytest.raises(ValueError, match=message):
        load_clip('tiny-quickgelu', str(path))
    save_file({**quick_clip.state_dict(), **ENTRIES, 'ln_final.bias': torch.zeros(3)}, path)
    with pytest.raises(ValueError, match='do not fit tiny-quickgelu'):
        load_clip('tiny-quickgelu', str(path))


def test_files_of_others_are_taken_by_either(
    tiny_names: None, quick_clip: torch.nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / 'weights.safetensors'
    save_file(quick_clip.state_dict(), path)
    assert not is_openai_file(path)
    for name in ('tiny', 'tiny-quickgelu'):
        load_clip(name, str(path))


def test_damaged_files(tiny_names: None, openai_file: Path) -> None:
    openai_file.write_bytes(openai_file.read_bytes()[:-9])
    with pytest.raises(ValueError, match='are damaged or no safetensors file .*; copy or convert'):
        load_clip('tiny-quickgelu', str(openai_file))


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
