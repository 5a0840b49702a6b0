"""``python -m research.consistency`` from the shell's side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from research.consistency.__main__ import app

RENDERED = Path(__file__).parents[3] / 'resource/demo/rendered'


def test_figures_and_pictures_of_recordings(tiny_model: Path, tmp_path: Path) -> None:
    report, pictures = tmp_path / 'below/figures.json', tmp_path / 'pictures'
    command = [*(str(RENDERED / name) for name in ('room', 'street')), '--frames', '3']
    command += ['--model', str(tiny_model), '--device', 'cpu', '--backend', 'torch']
    result = CliRunner().invoke(
        app, [*command, '--json', str(report), '--pictures', str(pictures)]
    )
    assert result.exit_code == 0, result.output
    assert 'temporal disagreement' in result.output
    summary = json.loads(report.read_text())
    assert (summary['data'], summary['videos'], summary['frames']) == (['room', 'street'], 2, 3)
    for figure in ('temporal_disagreement', 'spatial_away', 'abs_rel'):
        mean = sum(video[figure] for video in summary['per_video']) / 2
        assert summary[figure] == pytest.approx(mean)
        assert summary[figure] > 0
    assert sorted(path.name for path in pictures.iterdir()) == ['room.png', 'street.png']


def test_one_frame_is_refused_by_the_option() -> None:
    assert CliRunner().invoke(app, [str(RENDERED / 'room'), '--frames', '1']).exit_code == 2
