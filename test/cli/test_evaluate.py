"""``mirror_depth evaluate`` from the shell's side."""

from __future__ import annotations

import json
from pathlib import Path

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


@pytest.mark.parametrize('data', ['kitchen', 'frames:nowhere'])
def test_unknown_data_ends_in_one_line(data: str) -> None:
    result = CliRunner().invoke(app, ['evaluate', '--data', data])
    assert result.exit_code == 1
    assert 'mirror_depth: got' in result.output
    assert 'Traceback' not in result.output
