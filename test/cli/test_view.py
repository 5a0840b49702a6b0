"""``mirror_depth view``: what it shows, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app


def test_a_data_set_becomes_a_file(tiny_model: Path, frames: Path, tmp_path: Path) -> None:
    rerun = pytest.importorskip('rerun', reason="needs pip install '.[view]'")
    target = tmp_path / 'seen.rrd'
    command = ['view', f'frames:{frames}[:3]', '--save', str(target), '--model', str(tiny_model)]
    result = CliRunner().invoke(app, [*command, '--backend', 'torch', '--device', 'cpu'])
    assert result.exit_code == 0, result.output
    chunks = list(rerun.chunk.RrdReader(str(target)).stream())
    for entity in ('/camera/image', '/camera/depth', '/camera/truth', '/cloud'):
        assert sum(c.num_rows for c in chunks if c.entity_path == entity) == 3, entity


def test_confidence_is_shown_of_models_that_have_it(
    tiny_model_with_confidence: Path, frames: Path, tmp_path: Path
) -> None:
    rerun = pytest.importorskip('rerun', reason="needs pip install '.[view]'")
    target = tmp_path / 'seen.rrd'
    command = ['view', f'frames:{frames}[:2]', '--save', str(target), '--backend', 'torch']
    command += ['--model', str(tiny_model_with_confidence), '--device', 'cpu']
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    chunks = rerun.chunk.RrdReader(str(target)).stream()
    assert sum(c.num_rows for c in chunks if c.entity_path == '/camera/confidence') == 2


def test_errors_are_one_line(frames: Path, tmp_path: Path) -> None:
    pytest.importorskip('rerun', reason="needs pip install '.[view]'")
    command = ['view', 'films:here', '--save', str(tmp_path / 'a.rrd')]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "mirror_depth: got data set 'films:here', expected nyu:FOLDER" in result.output


def test_without_rerun_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'rerun', None)
    result = CliRunner().invoke(app, ['view', 'frames:nowhere'])
    assert result.exit_code == 1
    assert 'pip install rerun-sdk' in ' '.join(result.output.split())
