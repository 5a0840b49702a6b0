"""``python -m research.costs``: each study on a small model, its processes and its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from research.costs import __main__ as command
from research.costs import growth, transport

Run = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a study and return its figures and what it printed."""

    def invoke(*options: object) -> tuple[dict[str, Any], str]:
        path = tmp_path / 'figures.json'
        outcome = CliRunner().invoke(command.app, [*map(str, options), '--json', str(path)])
        assert outcome.exit_code == 0, (outcome.output, outcome.exception)
        return json.loads(path.read_text()), outcome.output

    return invoke


@pytest.fixture
def _ros() -> None:
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')


@pytest.mark.usefixtures('_ros', 'model_packages')
def test_the_node_end_to_end(run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, '_FREE_SECONDS', 2.0)
    options = ('--backend', 'torch', '--device', 'cpu', '--precision', 'fp32', '--rounds', 1)
    figures, output = run('node', '--model', tiny_model, *options, '--size', 48, 96)
    assert figures['size'] == [48, 96]
    assert figures['node_ms']['count'] == 5
    assert figures['node_ms']['p5'] > 0  # no cloud comes before its image
    ratio = figures['node_ms']['median'] / figures['node_estimator_ms']['median']
    assert figures['node_over_estimator'] == pytest.approx(ratio)
    assert 0 < figures['fps'] < 1.5 * figures['camera_rate_hz']
    assert figures['rss_mb'] > 50
    assert figures['stages_ms']['packing'] == figures['messages_ms']['cloud']
    assert 'node over estimator' in output


@pytest.mark.usefixtures('_ros', 'model_packages')
def test_start_up(run: Run, tiny_model: Path) -> None:
    figures, output = run('start-up', '--model', tiny_model, '--rounds', 1)
    assert figures['model'] == tiny_model.stem  # the page names no machine's folders
    assert figures['help_s']['count'] == figures['node_active_s']['count'] == 1
    assert 0 < figures['help_s']['median'] < figures['node_active_s']['median']
    assert 'node_active_s' in output


@pytest.mark.usefixtures('_ros')
def test_transport(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, 'MESSAGES', ('points',))
    monkeypatch.setattr(transport, 'SETTINGS', {'profile on both sides': (True, True)})
    figures, _ = run('transport', '--rounds', 3)
    assert [(row['message'], row['subscriber']) for row in figures['rows']] == [
        ('points', 'reliable'),
        ('points', 'best_effort'),
    ]
    for row in figures['rows']:
        assert row['sent'] == 3
        assert 0 <= row['received'] <= 3
        if row['subscriber'] == 'reliable':
            assert row['received'] == 3
            assert 0 < row['latency_ms']['median'] < 5000


def test_growth(run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, 'INPUTS', (48, 96))
    monkeypatch.setattr(growth, 'CAMERAS', {'VGA': (64, 48), 'HD': (128, 72)})
    options = ('--backend', 'torch', '--rounds', 1, '--cameras', 2)
    figures, output = run('growth', '--model', tiny_model, *options)
    assert [len(figures[part]['rows']) for part in ('input', 'camera', 'cameras')] == [2, 2, 2]
    assert '48 x 48' in output


def test_without_ros_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, 'missing_ros', lambda: 'source ROS 2')
    for study in ('node', 'transport', 'start-up'):
        outcome = CliRunner().invoke(command.app, [study])
        assert outcome.exit_code == 1
        assert 'source ROS 2' in outcome.output
