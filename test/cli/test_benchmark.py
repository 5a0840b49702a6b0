"""``mirror_depth benchmark``: what it writes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app
from mirror_depth_ros.inference.engines.torch_engine import torch_precision


@pytest.fixture
def benchmark(tiny_model, tmp_path):
    """Run the command on the small model and return its exit code, figures and messages."""

    def run(*options):
        path = tmp_path / 'figures.json'
        arguments = ['benchmark', '--json', path, *options]
        if '--clip' not in options and '--backend' not in options and '--transport' not in options:
            arguments += ['--model', tiny_model, '--backend', 'torch', '--device', 'cpu']
        outcome = CliRunner().invoke(app, [str(a) for a in arguments])
        figures = json.loads(path.read_text()) if path.is_file() else None
        return outcome.exit_code, figures, outcome.output

    return run


def test_figures_without_the_node(benchmark):
    options = ('--precision', 'fp32', '--rounds', 2, '--no-node', '--size', '48x96')
    code, figures, output = benchmark(*options)
    assert code == 0, output
    assert figures['size'] == [48, 96]
    assert figures['camera'] == [480, 640]
    encoder_ms, model_ms = figures['encoder_ms']['median'], figures['model_ms']['median']
    assert figures['model_over_encoder'] == pytest.approx(model_ms / encoder_ms)
    stages = ('preprocess', 'inference', 'upsampling', 'back_projection')
    assert tuple(figures['stages_ms']) == stages
    parts_ms = sum(figures['stages_ms'][name]['p5'] for name in stages[:3])
    assert parts_ms <= figures['estimator_ms']['p95']
    assert figures['machine']['backend'] == 'torch'
    assert figures['machine']['precision'] == 'fp32'
    assert figures['node_missing'] == '--no-node'
    assert 'Not measured: the node' in output
    assert set(figures) >= {'flops', 'bytes', 'ceilings'}


def test_the_node_end_to_end(benchmark, monkeypatch):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    monkeypatch.setattr('mirror_depth_ros.cli.benchmark._FREE_SECONDS', 2.0)
    code, figures, output = benchmark('--precision', 'fp32', '--rounds', 1, '--camera', '160x120')
    assert code == 0, output
    assert figures['node_ms']['count'] == 5
    assert figures['node_ms']['p5'] > 0  # no cloud comes before its image
    ratio = figures['node_ms']['median'] / figures['node_estimator_ms']['median']
    assert figures['node_over_estimator'] == pytest.approx(ratio)
    assert 0 < figures['fps'] < 1.5 * figures['camera_rate_hz']
    assert figures['rss_mb'] > 50
    assert figures['stages_ms']['packing'] == figures['messages_ms']['cloud']


def test_in_int8_the_encoder_is_what_pytorch_takes(benchmark, tiny_model, tmp_path, monkeypatch):
    pytest.importorskip('onnxscript', reason="needs pip install '.[accelerate]'")
    pytest.importorskip('onnxruntime', reason="needs pip install '.[accelerate]'")
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path / 'engines'))
    options = ('--model', tiny_model, '--backend', 'onnxruntime', '--precision', 'int8')
    code, figures, output = benchmark(*options, '--device', 'cpu', '--rounds', 1, '--no-node')
    assert code == 0, output
    assert figures['machine']['precision'] == 'int8'
    assert figures['encoder_precision'] == torch_precision('auto', torch.device('cpu'))
    assert figures['bytes']['model_weights'] < figures['bytes']['encoder_weights'] * 2


def test_start_up(benchmark):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    code, figures, output = benchmark('--start-up', '--rounds', 1)
    assert code == 0, output
    assert figures['help_s']['count'] == figures['node_active_s']['count'] == 1
    assert 0 < figures['help_s']['median'] < figures['node_active_s']['median']
    assert 'depth_node active' in output


def test_transport(benchmark, monkeypatch):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    from mirror_depth_ros.cli import benchmark_transport

    monkeypatch.setattr(benchmark_transport, 'MESSAGES', ('points',))
    monkeypatch.setattr(benchmark_transport, 'SETTINGS', {'profile on both sides': (True, True)})
    code, figures, output = benchmark('--transport', '--rounds', 3)
    assert code == 0, output
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


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        (('--model', 'other', '--clip', 'ViT-B-16'), 'expected one of them'),
        (('--transport', '--grow'), 'got --transport and --grow, expected one at a time'),
        (('--grow', '--start-up'), 'got --grow and --start-up, expected one at a time'),
        (('--size', '50x64', '--no-node'), 'expected multiples of the patch size 16'),
        (('--size', 'large'), 'got --size large, expected two numbers of pixels such as 352x352'),
        (('--camera', '0x480'), 'got --camera 0x480, expected two numbers'),
        (('--precision', 'int4', '--no-node'), "got precision 'int4', expected one of"),
        (
            ('--precision', 'int8', '--no-node'),
            'got precision int8 without a backend that computes',
        ),
        (('--clip', 'ViT-X', '--no-node'), "got CLIP 'ViT-X', expected an open_clip model name"),
    ],
)
def test_refusals(benchmark, options, error):
    code, figures, output = benchmark(*options)
    assert code == 1
    assert figures is None
    assert error in ' '.join(output.split())


def test_help_teaches():
    outcome = subprocess.run(
        [sys.executable, '-m', 'mirror_depth_ros.cli.main', 'benchmark', '--help'],
        capture_output=True,
        text=True,
        check=True,
        env={'PATH': '', 'COLUMNS': '200'},
    )
    for option in (
        '--clip',
        '--size',
        '--backend',
        '--threads',
        '--transport',
        '--grow',
        '--start-up',
    ):
        assert option in outcome.stdout
