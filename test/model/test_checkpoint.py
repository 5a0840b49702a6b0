"""Checkpoints: a round trip, and a clear refusal of everything that is not one."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mirror_depth_ros.model.checkpoint import (
    checkpoint_facts,
    load_checkpoint,
    save_checkpoint,
)
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig


def metadata_of(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework='pt') as file:
        return file.metadata()


def test_round_trip_folded_and_unfolded(tiny_model: Path) -> None:
    images, focal = torch.rand(1, 3, 48, 80), torch.tensor([61.0])
    folded, trainable = load_checkpoint(tiny_model), load_checkpoint(tiny_model, folded=False)
    assert folded.is_folded
    assert not trainable.is_folded
    with torch.no_grad():
        torch.testing.assert_close(folded(images, focal), trainable(images, focal))


def test_saving_again_keeps_weights_and_facts(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / 'below' / 'copy.safetensors'
    copy.parent.mkdir()
    facts = {'data': 'made up', 'abs_rel': 0.5}
    save_checkpoint(load_checkpoint(tiny_model, folded=False), copy, facts=facts)
    assert checkpoint_facts(copy) == facts
    first, second = load_file(tiny_model), load_file(copy)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor)
    assert [p.name for p in copy.parent.iterdir()] == ['copy.safetensors']  # nothing left over


def test_half_precision_halves_the_file(tiny_model: Path, tmp_path: Path) -> None:
    half = tmp_path / 'half.safetensors'
    model = load_checkpoint(tiny_model, folded=False)
    save_checkpoint(model, half, dtype=torch.float16)
    assert half.stat().st_size < 0.65 * tiny_model.stat().st_size
    loaded = load_checkpoint(half)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_files_of_version_0_1_0_load_where_nothing_they_chose_is_gone(
    tiny_model: Path, tmp_path: Path
) -> None:
    old, metadata = tmp_path / 'old.safetensors', metadata_of(tiny_model)
    settled = {
        'condition': 'mirror',
        'tap_order': 'deepest_first',
        'block': 'post_norm_relu',
        'refinements': 0,
    }
    config = {**json.loads(metadata['config']), **settled}
    del config['confidence']  # which came amid that version
    save_file(load_file(tiny_model), old, {**metadata, 'config': json.dumps(config)})
    assert load_checkpoint(old).config == load_checkpoint(tiny_model).config
    for name, value in {'condition': 'none', 'block': 'convolution', 'refinements': 2}.items():
        other = json.dumps({**config, name: value})
        save_file(load_file(tiny_model), old, {**metadata, 'config': other})
        message = (
            f'got {name}={value!r}, expected .* version 0.1.0, which made the file; use .*old'
        )
        with pytest.raises(ValueError, match=message):
            load_checkpoint(old)


def test_folded_networks_cannot_be_saved(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'save before fold\(\)'):
        save_checkpoint(load_checkpoint(tiny_model), tmp_path / 'x.safetensors')


def test_facts_that_could_not_be_read_again_are_not_saved(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = load_checkpoint(tiny_model, folded=False)
    for facts, message in (
        ({'validation': {'val/abs_rel': float('nan')}}, 'got facts.validation.val/abs_rel=nan'),
        ({'data': tmp_path}, 'got facts.data=.*, expected finite numbers, text'),
    ):
        with pytest.raises(ValueError, match=message):
            save_checkpoint(model, tmp_path / 'x.safetensors', facts=facts)
    assert not list(tmp_path.iterdir())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='expected builtin or the path of a'):
        load_checkpoint(tmp_path / 'nothing.safetensors')


@pytest.mark.parametrize('share', [0.0, 0.001, 0.3, 0.99])
def test_cut_off_file(tiny_model: Path, tmp_path: Path, share: float) -> None:
    content = tiny_model.read_bytes()
    cut = tmp_path / 'cut.safetensors'
    cut.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match='damaged or no safetensors file'):
        load_checkpoint(cut)


def test_pickle_is_never_read(tmp_path: Path) -> None:
    pickled = tmp_path / 'model.safetensors'
    torch.save({'weights': torch.zeros(3)}, pickled)
    with pytest.raises(ValueError, match='damaged or no safetensors file'):
        load_checkpoint(pickled)


def test_foreign_safetensors(tmp_path: Path) -> None:
    foreign = tmp_path / 'foreign.safetensors'
    save_file({'weight': torch.zeros(3)}, foreign)
    with pytest.raises(ValueError, match='of format None, expected'):
        load_checkpoint(foreign)


@pytest.mark.parametrize(
    ('entry', 'value', 'message'),
    [
        ('config', '{', 'broken metadata'),
        ('config', '{}', 'the file is of another version'),
        ('facts', 'none', 'broken metadata'),
        ('facts', '[]', 'broken metadata .*expected JSON objects'),
        ('facts', '{"steps": true}', r'got facts.steps=True, expected an integer .*changed.safet'),
        ('facts', '{"steps": 2.5}', 'got facts.steps=2.5, expected an integer'),
        ('facts', '{"validation": 3}', 'got facts.validation=3, expected a section'),
        ('facts', '{"validation": {"a": NaN}}', 'got facts.validation.a=nan, expected a number'),
        ('facts', '{"validation": {"a": false}}', 'got facts.validation.a=False, expected a numb'),
        ('facts', '{"recipe": [Infinity]}', r'got facts.recipe\[0\]=inf, expected finite'),
        ('config', '[' * 100_000, 'broken metadata'),
        ('clip_fingerprint', '0123456789abcdef', 'which changed.safetensors was trained with'),
    ],
)
def test_changed_metadata(
    tiny_model: Path, tmp_path: Path, entry: str, value: str, message: str
) -> None:
    changed = tmp_path / 'changed.safetensors'
    save_file(load_file(tiny_model), changed, {**metadata_of(tiny_model), entry: value})
    with pytest.raises(ValueError, match=message):
        load_checkpoint(changed)


_WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(field.name for field in fields(MirrorDepthConfig))), value=_WILD
)
@example(name='mlp_width', value=True)  # True is an int to Python
@example(name='input_size', value=[True, 48])
@example(name='max_depth', value=float('inf'))
@example(name='reference_focal_px', value=float('nan'))
def test_wild_configurations_are_refused_or_sound(
    tiny_model: Path, tmp_path: Path, name: str, value: Any
) -> None:
    config = json.loads(metadata_of(tiny_model)['config'])
    wild = tmp_path / 'wild.safetensors'
    changed = json.dumps({**config, name: value})
    save_file(load_file(tiny_model), wild, {**metadata_of(tiny_model), 'config': changed})
    try:
        model = load_checkpoint(wild)
    except (ValueError, FileNotFoundError):
        pass  # what these say is tested one by one
    else:  # such as another range of depth: whatever loads, works
        assert model.config != MirrorDepthConfig()
        assert model(torch.rand(1, 3, 48, 80), torch.tensor([61.0])).shape == (1, 1, 48, 80)


def test_weights_of_another_shape_or_lacking(tiny_model: Path, tmp_path: Path) -> None:
    changed = tmp_path / 'changed.safetensors'
    weights = load_file(tiny_model)
    shrunk = {**weights, 'film_scale': torch.ones(3)}
    save_file(shrunk, changed, metadata_of(tiny_model))
    with pytest.raises(ValueError, match='do not fit its configuration'):
        load_checkpoint(changed)
    weights.pop('decoder.convolution.bias')
    save_file(weights, changed, metadata_of(tiny_model))
    with pytest.raises(ValueError, match='lacking .*convolution.bias'):
        load_checkpoint(changed)


def test_weights_that_are_not_finite(tiny_model: Path, tmp_path: Path) -> None:
    changed = tmp_path / 'changed.safetensors'
    weights = load_file(tiny_model)
    weights['decoder.convolution.bias'][2] = float('nan')
    save_file(weights, changed, metadata_of(tiny_model))
    with pytest.raises(ValueError, match=r"got NaN or infinity in \['decoder.convolution.bias'\]"):
        load_checkpoint(changed)


def test_metadata_is_plain_json(tiny_model: Path) -> None:
    config = json.loads(metadata_of(tiny_model)['config'])
    assert config['taps'] == [0, 2]
    assert isinstance(load_checkpoint(tiny_model), MirrorDepth)


def test_clip_weights_that_lie_elsewhere(
    moved_clip: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, weights = moved_clip
    message = 'got CLIP weights .*clip.safetensors.*; say as clip_weights where this machine has'
    with pytest.raises(FileNotFoundError, match=message):
        load_checkpoint(model)
    monkeypatch.setenv('HOME', str(weights.parent))
    loaded = load_checkpoint(model, clip_weights='~/moved.safetensors')
    # The weights still have to be those of the training.
    changed = load_file(weights)
    changed['visual.conv1.weight'] += 1
    save_file(changed, weights)
    with pytest.raises(ValueError, match='model.safetensors was trained with; pass the same'):
        load_checkpoint(model, clip_weights=str(weights))
    assert loaded.image_encoder.fingerprint() == metadata_of(model)['clip_fingerprint']


def test_clip_weights_for_a_clip_that_brings_its_own(tiny_model: Path) -> None:
    for model, clip in (
        (tiny_model, 'local-dir:'),
        ('builtin', 'mirror-depth-lit'),
    ):
        with pytest.raises(
            ValueError, match=f"clip_weights 'openai' for .* CLIP {clip}.* its own"
        ):
            load_checkpoint(model, clip_weights='openai')
