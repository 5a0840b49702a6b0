"""``mirror_depth export``, its file computed without this package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app
from mirror_depth_ros.inference.engines import onnx_file
from mirror_depth_ros.model.checkpoint import load_checkpoint

onnxruntime = pytest.importorskip('onnxruntime', reason="needs pip install '.[accelerate]'")


def test_the_file_computes_the_networks_depth(tiny_model: Path, tmp_path: Path) -> None:
    path, report = tmp_path / 'depth.onnx', tmp_path / 'report.json'
    command = ['export', '--model', str(tiny_model), '-o', str(path), '--size', '32x80']
    result = CliRunner().invoke(app, [*command, '--json', str(report)])
    assert result.exit_code == 0, result.output
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    shapes = {i.name: i.shape for i in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {
        'image': ['batch', 3, 32, 80],
        'focal_px': ['batch'],
        'depth': ['batch', 1, 32, 80],
    }
    import onnx

    # What ONNX Runtime of 2022 still reads; torch.onnx writes a newer one.
    assert onnx.load(path).ir_version == 8
    facts = session.get_modelmeta().custom_metadata_map
    assert facts['image'].startswith('RGB in 0..1')
    assert (facts['height'], facts['width']) == ('32', '80')
    assert (float(facts['min_depth']), float(facts['max_depth'])) == (0.1, 100.0)
    assert float(facts['reference_focal_px']) == 50.0
    assert len(facts['model_hash']) == 64
    network = load_checkpoint(tiny_model)
    for batch in (1, 3):
        images, focals = torch.rand(batch, 3, 32, 80), torch.linspace(40, 90, batch)
        with torch.no_grad():
            expected = network(images, focals).numpy()
        inputs = {'image': images.numpy(), 'focal_px': focals.numpy()}
        np.testing.assert_allclose(session.run(['depth'], inputs)[0], expected, rtol=1e-3)
    summary = json.loads(report.read_text())
    assert (summary['height'], summary['width'], summary['opset']) == (32, 80, 18)
    assert summary['relative_error'] < 1e-3
    assert summary['bytes'] == path.stat().st_size


def test_a_file_that_computes_something_else_is_not_written(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object, **__: object) -> bytes:
        return b''

    class Constant:
        def __init__(self, *_: object) -> None:
            pass

        def load(self, onnx: bytes):
            return self

        def compute(self, names: list[str], images: torch.Tensor, focal_px: torch.Tensor):
            return [torch.ones(len(images), 1, *images.shape[2:])]

    monkeypatch.setattr(onnx_file, 'export_onnx', wrong)
    monkeypatch.setattr(onnx_file, 'OnnxRuntime', Constant)
    path = tmp_path / 'depth.onnx'
    result = CliRunner().invoke(app, ['export', '--model', str(tiny_model), '-o', str(path)])
    assert result.exit_code == 1
    assert 'got a relative error of' in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        (['--size', '32'], 'got --size 32, expected two numbers of pixels such as 192x256'),
        (['--size', '32x81'], 'got a size of 32 x 81, expected multiples of the patch size 16'),
        (['--model', 'nowhere.safetensors'], "got model 'nowhere.safetensors'"),
    ],
)
def test_what_is_wrong_is_named(
    tiny_model: Path, tmp_path: Path, options: list[str], error: str
) -> None:
    command = ['export', '--model', str(tiny_model), '-o', str(tmp_path / 'x.onnx'), *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert error in ' '.join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told_first(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ['export', '-o', str(tmp_path / 'no' / 'x.onnx')])
    assert result.exit_code == 1
    assert 'in a folder that does not exist' in result.output
