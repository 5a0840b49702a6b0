"""``mirror_depth consistency`` from the shell's side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app


@pytest.mark.parametrize('kind', ['indoor', 'outdoor'])
def test_videos_with_figures_and_pictures(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    report, pictures = tmp_path / 'below' / 'figures.json', tmp_path / 'pictures'
    command = ['consistency', '--data', f'scenes:{kind}', '--videos', '2', '--frames', '3']
    command += ['--size', '64x48', '--model', str(tiny_model), '--device', 'cpu']
    command += ['--json', str(report), '--pictures', str(pictures)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert 'temporal disagreement' in result.output
    summary = json.loads(report.read_text())
    assert (summary['videos'], summary['frames'], summary['rate_hz']) == (2, 3, 10.0)
    assert (summary['width'], summary['height']) == (64, 48)
    assert summary['max_depth_m'] == {'indoor': 10.0, 'outdoor': 80.0}[kind]
    assert len(summary['per_video']) == 2
    for figure in ('temporal_disagreement', 'spatial_away', 'spatial_at_edges', 'abs_rel'):
        mean = sum(video[figure] for video in summary['per_video']) / 2
        assert summary[figure] == pytest.approx(mean)
        assert summary[figure] > 0
    assert len(list(pictures.iterdir())) == 2


def test_a_baseline_in_place_of_the_model(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirror_depth_ros import evaluation

    class Constant:
        model_name, device, precision, backend = 'constant', 'cpu', 'fp32', 'torch'

        def estimate(self, rgb: np.ndarray, focal_px: float) -> np.ndarray:
            return np.full(rgb.shape[:2], 3.0, np.float32)

    asked = []

    def load(*names: str, **options: str) -> Constant:
        asked.append((*names, options))
        return Constant()

    command = ['consistency', '--data', 'scenes:indoor', '--videos', '1', '--frames', '2']
    command += ['--size', '64x48', '--device', 'cpu', '--model', str(tiny_model)]
    result = CliRunner().invoke(app, [*command, '--baseline', 'median'])
    assert result.exit_code == 1
    assert "got baseline 'median', expected one of mean, linear, depthclip" in result.output

    monkeypatch.setattr(evaluation, 'load_estimator', load)
    report = tmp_path / 'figures.json'
    result = CliRunner().invoke(app, [*command, '--baseline', 'mean', '--json', str(report)])
    assert result.exit_code == 0, result.output
    assert asked == [
        (str(tiny_model), 'mean', {'device': 'cpu', 'precision': 'auto', 'backend': 'auto'})
    ]
    assert 'baseline' in result.output
    summary = json.loads(report.read_text())
    assert (summary['baseline'], summary['model']) == ('mean', 'constant')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (('--data', 'frames:kitchen'), "got data set 'frames:kitchen', expected scenes:indoor or"),
        (('--data', 'scenes:space'), "got data set 'scenes:space', expected scenes:indoor or"),
        (('--size', '320'), "got a size of '320', expected WIDTHxHEIGHT such as 320x240"),
        (('--size', '0x5'), "got a size of '0x5', expected WIDTHxHEIGHT such as 320x240"),
    ],
)
@pytest.mark.usefixtures('model_packages')
def test_typing_errors_end_in_one_line(option: tuple[str, str], message: str) -> None:
    arguments = {'--data': 'scenes:indoor', option[0]: option[1]}
    command = ['consistency', *(word for pair in arguments.items() for word in pair)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert f'mirror_depth: {message}' in result.stderr
    assert result.stderr.count('\n') == 1


def test_more_frames_than_the_path_has_are_refused_by_the_option() -> None:
    result = CliRunner().invoke(app, ['consistency', '--data', 'scenes:indoor', '--frames', '45'])
    assert result.exit_code == 2
