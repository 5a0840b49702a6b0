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
        if '--clip' not in options and '--backend' not in options:
            arguments += ['--model', tiny_model, '--backend', 'torch', '--device', 'cpu']
        outcome = CliRunner().invoke(app, [str(a) for a in arguments])
        figures = json.loads(path.read_text()) if path.is_file() else None
        return outcome.exit_code, figures, outcome.output

    return run


def test_figures_of_encoder_stages_and_estimator(benchmark):
    options = ('--precision', 'fp32', '--rounds', 2, '--size', '48x96')
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
    assert '  preprocess' in output
    assert set(figures) >= {'flops', 'bytes', 'ceilings'}


def test_in_int8_the_encoder_is_what_pytorch_takes(benchmark, tiny_model, tmp_path, monkeypatch):
    pytest.importorskip('onnxscript', reason="needs pip install '.[accelerate]'")
    pytest.importorskip('onnxruntime', reason="needs pip install '.[accelerate]'")
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path / 'engines'))
    options = ('--model', tiny_model, '--backend', 'onnxruntime', '--precision', 'int8')
    code, figures, output = benchmark(*options, '--device', 'cpu', '--rounds', 1)
    assert code == 0, output
    assert figures['machine']['precision'] == 'int8'
    assert figures['encoder_precision'] == torch_precision('auto', torch.device('cpu'))
    assert figures['bytes']['model_weights'] < figures['bytes']['encoder_weights'] * 2


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        (('--model', 'other', '--clip', 'ViT-B-16'), 'expected one of them'),
        (('--size', '50x64'), 'expected multiples of the patch size 16'),
        (('--size', 'large'), 'got --size large, expected two numbers of pixels such as 352x352'),
        (('--camera', '0x480'), 'got --camera 0x480, expected two numbers'),
        (('--precision', 'int4'), "got precision 'int4', expected one of"),
        (
            ('--precision', 'int8'),
            'got precision int8 without a backend that computes',
        ),
        (('--clip', 'ViT-X'), "got CLIP 'ViT-X', expected an open_clip model name"),
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
    for option in ('--clip', '--size', '--camera', '--backend', '--threads'):
        assert option in outcome.stdout
