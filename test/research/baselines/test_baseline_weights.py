"""Files of fitted baselines: a round trip, and a clear refusal of what does not belong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mirror_depth_ros.model.checkpoint import load_clip_of
from research.baselines.baseline import Baseline
from research.baselines.prompted import DistancePrompts
from research.baselines.weights import (
    BASELINES,
    FITTED,
    load_baseline,
    save_baseline,
)

NO_PROMPTS = DistancePrompts({}, lambda sentences, length: torch.zeros(0, length).long(), 40)


@pytest.fixture
def fitted(tiny_model: Path, tmp_path: Path) -> Path:
    """A folder of all baselines with random weights, on the tiny model's CLIP."""
    config, clip = load_clip_of(tiny_model)
    torch.manual_seed(5)
    for name, kind in FITTED.items():
        save_baseline(name, kind(config, clip), tmp_path, facts={'steps': 0})
    return tmp_path


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Save a file again with other metadata."""
    with safe_open(path, framework='pt') as file:
        metadata = file.metadata()
    change(metadata)
    save_file(load_file(path), path, metadata)


@pytest.mark.parametrize('name', FITTED)
def test_round_trip(fitted: Path, tiny_model: Path, name: str) -> None:
    loaded = load_baseline(name, tiny_model, prompts=NO_PROMPTS, folder=fitted)
    assert type(loaded) is FITTED[name]
    assert not loaded.training
    stored = load_file(fitted / f'{name}.safetensors')
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    for key, tensor in loaded.fitted().items():
        torch.testing.assert_close(tensor.half(), stored[key])
    # As saved and loaded again: not a digit changes any more.
    save_baseline(name, loaded, fitted)
    again: Baseline = load_baseline(name, tiny_model, prompts=NO_PROMPTS, folder=fitted)
    for key, tensor in again.fitted().items():
        torch.testing.assert_close(tensor, loaded.fitted()[key], rtol=0, atol=0)


def test_unknown_and_missing(fitted: Path, tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="got baseline 'median', expected one of mean, linear"):
        load_baseline('median', tiny_model, prompts=NO_PROMPTS, folder=fitted)
    (fitted / 'mean.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match='fit it with: python -m .*training.baselines'):
        load_baseline('mean', tiny_model, prompts=NO_PROMPTS, folder=fitted)
    assert set(FITTED) < set(BASELINES)


@pytest.mark.parametrize(
    ('entry', 'value', 'message'),
    [
        ('format', 'v0', "of format 'v0', expected 'mirror_depth_ros.baseline.v1'"),
        ('baseline', 'mean', "got .*linear.safetensors of the baseline 'mean', expected 'linear'"),
        ('clip_fingerprint', '0123', 'fitted to CLIP weights 0123, expected .* fit it again'),
        ('config', '{', 'broken metadata'),
        (
            'config',
            '[]',
            r'got the configuration of .*linear.safetensors=\[\], expected a section',
        ),
        ('config', '{"taps": [1]}', 'got the configuration of .* without clip, input_size'),
    ],
)
def test_changed_metadata(
    fitted: Path, tiny_model: Path, entry: str, value: str, message: str
) -> None:
    changed(fitted / 'linear.safetensors', lambda metadata: metadata.update({entry: value}))
    with pytest.raises(ValueError, match=message):
        load_baseline('linear', tiny_model, prompts=NO_PROMPTS, folder=fitted)


def test_other_units_than_the_models(fitted: Path, tiny_model: Path) -> None:
    config, clip = load_clip_of(tiny_model)
    other = FITTED['mean'](replace(config, reference_focal_px=77.0), clip)
    save_baseline('mean', other, fitted)
    with pytest.raises(ValueError, match="'reference_focal_px': 77.0.* expected .*: 50.0"):
        load_baseline('mean', tiny_model, prompts=NO_PROMPTS, folder=fitted)


@pytest.mark.parametrize(
    ('entry', 'value', 'message'),
    [
        ('min_depth', True, 'min_depth=True, expected metres from'),
        ('max_depth', float('nan'), 'max_depth=nan, expected metres from'),
        ('taps', [2.0], r'taps\[0\]=2.0, expected an integer from'),
        ('reference_focal_px', '50', "reference_focal_px='50', expected pixels from"),
        ('colour', 3, "got 'colour' in the configuration of .*, expected only clip, taps"),
    ],
)
def test_configurations_that_cannot_be(
    fitted: Path, tiny_model: Path, entry: str, value: object, message: str
) -> None:
    def change(metadata: dict[str, Any]) -> None:
        metadata['config'] = json.dumps({**json.loads(metadata['config']), entry: value})

    changed(fitted / 'linear.safetensors', change)
    with pytest.raises(ValueError, match=message):
        load_baseline('linear', tiny_model, prompts=NO_PROMPTS, folder=fitted)


def test_damaged_lacking_and_broken_weights(fitted: Path, tiny_model: Path) -> None:
    path = fitted / 'linear.safetensors'

    def load() -> None:
        load_baseline('linear', tiny_model, prompts=NO_PROMPTS, folder=fitted)

    weights = load_file(path)
    with safe_open(path, framework='pt') as file:
        metadata = file.metadata()
    save_file({**weights, 'linear.bias': torch.full((256,), torch.nan)}, path, metadata)
    with pytest.raises(ValueError, match=r"got NaN or infinity in \['linear.bias'\]"):
        load()
    save_file({'linear.weight': weights['linear.weight']}, path, metadata)
    with pytest.raises(ValueError, match=r"lacking \['linear.bias'\]"):
        load()
    torch.save(weights, path)
    with pytest.raises(ValueError, match='damaged or no safetensors file'):
        load()


def test_a_file_says_what_it_was_fitted_to(fitted: Path, tiny_clip: str) -> None:
    with safe_open(fitted / 'learned_prompts.safetensors', framework='pt') as file:
        metadata = file.metadata()
    assert json.loads(metadata['config']) == {
        'clip': tiny_clip,
        'taps': [2],
        'input_size': [48, 64],
        'reference_focal_px': 50.0,
        'min_depth': 0.1,
        'max_depth': 100.0,
    }
    assert json.loads(metadata['facts']) == {'steps': 0}
    assert metadata['clip_fingerprint'].count('-') == 2  # image tower, joint space, text tower
