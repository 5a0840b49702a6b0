"""``mirror_depth evaluate`` from the shell's side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app


def test_scenes_with_figures_and_pictures(tiny_model: Path, tmp_path: Path) -> None:
    report, pictures = tmp_path / 'below' / 'figures.json', tmp_path / 'pictures'
    command = ['evaluate', '--data', 'scenes:indoor', '--count', '2', '--model', str(tiny_model)]
    command += ['--device', 'cpu', '--json', str(report), '--pictures', str(pictures)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert 'abs_rel' in result.output
    summary = json.loads(report.read_text())
    assert summary['images'] == 2
    assert summary['max_depth_m'] == 10.0
    assert summary['metric']['abs_rel'] > 0
    assert summary['metric'] != summary['median_scaled']
    assert len(list(pictures.iterdir())) == 2


@pytest.fixture
def captioned_model(
    tiny_clip_config: dict[str, Any], tiny_network: dict[str, Any], tmp_path: Path
) -> Path:
    """A checkpoint on a CLIP that knows the captions' words."""
    import open_clip
    from safetensors.torch import save_file

    from mirror_depth_ros.model.checkpoint import save_checkpoint
    from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
    from mirror_depth_ros.scenes.captions import VOCABULARY_SIZE

    text = {**tiny_clip_config['text_cfg'], 'context_length': 12, 'vocab_size': VOCABULARY_SIZE}
    config = {'model_cfg': {**tiny_clip_config, 'text_cfg': text}}
    folder = tmp_path / 'clip'
    folder.mkdir()
    (folder / 'open_clip_config.json').write_text(json.dumps(config))
    clip = open_clip.create_model(f'local-dir:{folder}', load_weights=False)
    save_file(clip.state_dict(), folder / 'open_clip_model.safetensors')
    network = MirrorDepthConfig(**{**tiny_network, 'clip': f'local-dir:{folder}'})
    save_checkpoint(MirrorDepth.from_config(network), tmp_path / 'model.safetensors')
    return tmp_path / 'model.safetensors'


def test_a_baseline_in_place_of_the_model(captioned_model: Path, tmp_path: Path) -> None:
    report = tmp_path / 'figures.json'
    command = ['evaluate', '--data', 'scenes:outdoor', '--count', '1', '--device', 'cpu']
    command += ['--model', str(captioned_model), '--json', str(report)]
    result = CliRunner().invoke(app, [*command, '--baseline', 'depthclip'])
    assert result.exit_code == 0, result.output
    assert 'baseline' in result.output
    of_baseline = json.loads(report.read_text())
    assert (of_baseline['baseline'], of_baseline['model']) == ('depthclip', str(captioned_model))
    assert CliRunner().invoke(app, command).exit_code == 0
    of_model = json.loads(report.read_text())
    assert of_model['baseline'] is None
    assert of_model['metric'] != of_baseline['metric']


def test_a_baseline_that_is_not_there(tiny_model: Path) -> None:
    command = ['evaluate', '--data', 'scenes:indoor', '--model', str(tiny_model), '--baseline']
    result = CliRunner().invoke(app, [*command, 'median'])
    assert result.exit_code == 1
    assert "got baseline 'median', expected one of mean, linear, depthclip" in result.output
    result = CliRunner().invoke(app, [*command, 'depthclip'])
    assert result.exit_code == 1
    assert 'vocabulary of 40 words' in result.output


def test_a_baseline_that_was_not_fitted(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirror_depth_ros.model.baselines import weights

    monkeypatch.setattr(weights, 'model_directory', lambda: tmp_path)
    command = ['evaluate', '--data', 'scenes:indoor', '--model', str(tiny_model)]
    result = CliRunner().invoke(app, [*command, '--baseline', 'linear'])
    assert result.exit_code == 1
    assert 'fit it with: python -m mirror_depth_ros.training.baselines' in result.output


@pytest.mark.parametrize('data', ['kitchen', 'frames:nowhere'])
def test_unknown_data_ends_in_one_line(data: str) -> None:
    result = CliRunner().invoke(app, ['evaluate', '--data', data])
    assert result.exit_code == 1
    assert 'mirror_depth: got' in result.output
    assert 'Traceback' not in result.output
