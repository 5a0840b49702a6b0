"""The ONNX file beside a checkpoint: any size, half of the bytes, of these weights or not used."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mirror_depth_ros.inference.engines import engine_set, selection
from mirror_depth_ros.inference.engines import shipped_onnx as module
from mirror_depth_ros.inference.engines.selection import EngineMaker
from mirror_depth_ros.inference.engines.shipped_onnx import main, shipped_onnx, write_shipped_onnx
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_path
from mirror_depth_ros.model.depth_network import DepthNetwork

PATCH = 16


@dataclass(frozen=True)
class SmallConfig:
    clip: str = 'none'
    input_size: tuple[int, int] = (32, 48)
    reference_focal_px: float = 50.0
    min_depth: float = 0.1
    max_depth: float = 100.0


class SmallEncoder(nn.Module):
    patch_size = PATCH

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.convolution(images)]


class SmallNetwork(DepthNetwork):
    """A convolution, and one back; the first's weights are exact in half precision."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.config = SmallConfig()
        self.image_encoder = SmallEncoder()
        self.expansion = nn.ConvTranspose2d(8, 1, PATCH, stride=PATCH)
        with torch.no_grad():
            weight = self.image_encoder.convolution.weight
            weight.copy_(weight.half().float())
        self.expansion.weight.data[0, 0, 0, 0] = 1 + 2**-20  # has no half

    def decode(self, taps: list[Tensor], grid: tuple[int, int]) -> Tensor:
        return 0.1 + nn.functional.softplus(self.expansion(taps[0].relu()))


class SureNetwork(SmallNetwork):
    """The same by a later version, with confidence."""

    has_confidence = True


def write_checkpoint(path: Path) -> None:
    weight = SmallNetwork().image_encoder.convolution.weight.detach()
    save_file({'image_encoder.convolution.weight': weight.half()}, path)


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint, of a stand-in, and the file beside it."""
    pytest.importorskip('onnxscript', reason="needs pip install '.[accelerate]'")
    folder = tmp_path_factory.mktemp('shipped')
    checkpoint = folder / 'small.safetensors'
    write_checkpoint(checkpoint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, 'load_checkpoint', lambda path: SmallNetwork())
        main([str(checkpoint)])
    return folder


def test_any_size_and_batch_has_pytorchs_depth(written: Path) -> None:
    import onnxruntime

    onnx = shipped_onnx(written / 'small.safetensors')
    session = onnxruntime.InferenceSession(onnx, providers=['CPUExecutionProvider'])
    shapes = {i.name: i.shape for i in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {
        'image': ['batch', 3, 'height', 'width'],
        'focal_px': ['batch'],
        'depth': ['batch', 1, 'height', 'width'],
    }
    network = SmallNetwork().eval()
    for batch, height, width in [(1, 16, 16), (3, 48, 80), (2, 160, 16)]:
        images, focals = torch.rand(batch, 3, height, width), torch.linspace(40, 90, batch)
        with torch.no_grad():
            expected = network(images, focals).numpy()
        inputs = {'image': images.numpy(), 'focal_px': focals.numpy()}
        np.testing.assert_allclose(session.run(['depth'], inputs)[0], expected, rtol=1e-4)
    facts = session.get_modelmeta().custom_metadata_map
    checkpoint = (written / 'small.safetensors').read_bytes()
    assert facts['checkpoint_sha256'] == hashlib.sha256(checkpoint).hexdigest()
    assert len(facts['model_hash']) == 64
    assert float(facts['reference_focal_px']) == 50.0


def test_weights_are_halved_where_that_loses_nothing(written: Path) -> None:
    onnx = pytest.importorskip('onnx', reason="needs pip install '.[accelerate]'")
    proto = onnx.load_from_string(shipped_onnx(written / 'small.safetensors'))
    assert proto.ir_version == 8
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]
    types = {array.shape: str(array.dtype) for array in arrays}
    assert types[8, 3, PATCH, PATCH] == 'float16'  # 6144 numbers
    assert types[8, 1, PATCH, PATCH] == 'float32'  # one of them has no half
    (half,) = (array for array in arrays if array.dtype == np.float16)
    weight = SmallNetwork().image_encoder.convolution.weight.detach().numpy()
    np.testing.assert_array_equal(half.astype(np.float32), weight)


def test_weights_of_the_checkpoint_are_not_kept_again(written: Path) -> None:
    whole = shipped_onnx(written / 'small.safetensors')
    assert whole is not None
    kept = (written / 'small.onnx_parts').stat().st_size
    assert (
        len(whole) - 2 * 8 * 3 * PATCH * PATCH
        < kept
        < len(whole) - 2 * 8 * 3 * PATCH * PATCH + 300
    )


@pytest.mark.parametrize('shape', [(3,), (8, 3, PATCH, PATCH)])
def test_a_file_of_other_weights_is_not_used(
    written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, shape: tuple[int, ...]
) -> None:
    checkpoint = tmp_path / 'small.safetensors'
    save_file({'image_encoder.convolution.weight': torch.ones(shape).half()}, checkpoint)
    (tmp_path / 'small.onnx_parts').write_bytes((written / 'small.onnx_parts').read_bytes())
    assert shipped_onnx(checkpoint) is None
    assert 'small.onnx_parts of other weights than small.safetensors' in caplog.text
    assert f'python -m mirror_depth_ros.inference.engines.shipped_onnx {checkpoint}' in caplog.text


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_a_file_that_was_made_before_confidence_is_refused(written: Path, backend: str) -> None:
    pytest.importorskip(backend, reason="needs pip install '.[accelerate]'")
    onnx = shipped_onnx(written / 'small.safetensors')
    maker = EngineMaker(backend=backend, precision='fp32', device='cpu')
    message = (
        'got a .onnx_parts file without the output log_scale, expected all that its model gives; '
        'make the file anew by python -m '
        'mirror_depth_ros.inference.engines.shipped_onnx CHECKPOINT, or use backend torch'
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        maker.make(SureNetwork().eval(), (32, 48), onnx=onnx)
    assert maker.make(SmallNetwork().eval(), (32, 48), onnx=onnx).backend == backend


def test_such_a_file_leaves_auto_to_pytorch_for_as_long_as_it_is_there(
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path))
    onnx = shipped_onnx(written / 'small.safetensors')
    engine = EngineMaker(device='cpu').make(SureNetwork().eval(), (32, 48), onnx=onnx)
    assert engine.backend == 'torch'
    assert 'torch computes the model: got a .onnx_parts file without the output' in caplog.text
    assert list(tmp_path.rglob('*.choice')) == []


def test_a_damaged_file_is_not_used(
    written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / 'small.safetensors'
    write_checkpoint(checkpoint)
    whole = (written / 'small.onnx_parts').read_bytes()
    for damaged in (b'', b'noise', whole[:-1], whole.replace(b'sha256', b'sha255', 1)):
        caplog.clear()
        (tmp_path / 'small.onnx_parts').write_bytes(damaged)
        assert shipped_onnx(checkpoint) is None
        assert 'it is not used' in caplog.text


def test_a_checkpoint_without_a_file_is_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_checkpoint(tmp_path / 'small.safetensors')
    assert shipped_onnx(tmp_path / 'small.safetensors') is None
    assert caplog.text == ''


def test_a_file_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'load_checkpoint', lambda path: SmallNetwork())
    monkeypatch.setattr(module, 'export_onnx', lambda *_, **__: b'')
    monkeypatch.setattr(module, '_pack', lambda onnx: onnx)
    ones = lambda _, images, __: [torch.ones(len(images), 1, *images.shape[2:])]  # noqa: E731
    monkeypatch.setattr(module.OnnxRuntime, 'load', lambda *_: SimpleNamespace(compute=ones))
    (tmp_path / 'small.safetensors').write_bytes(b'weights')
    with pytest.raises(ValueError, match='got a relative error of .* in fp32 against PyTorch'):
        write_shipped_onnx(tmp_path / 'small.safetensors')
    assert [path.name for path in tmp_path.iterdir()] == ['small.safetensors']


def test_the_built_in_model_has_its_file_and_needs_no_export(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path))  # no choice of another test is kept
    # Else: python -m mirror_depth_ros.inference.engines.shipped_onnx
    assert shipped_onnx(checkpoint_path('builtin')) is not None
    monkeypatch.setattr(engine_set, 'export_onnx', lambda *_: pytest.fail('it was exported'))
    by_torch = DepthEstimator.load('builtin', device='cpu', precision='fp32', backend='torch')
    by_file = DepthEstimator.load('builtin', device='cpu', precision='fp32', backend='onnxruntime')
    # Beside other work, the fastest is a matter of chance.
    order = ('openvino', 'onnxruntime', 'torch')
    monkeypatch.setattr(selection, '_best_time', lambda engine, _: order.index(engine.backend))
    chosen = DepthEstimator.load('builtin', device='cpu')
    assert chosen.backend == order[find_spec('openvino') is None]
    image = np.random.default_rng(5).integers(0, 256, (97, 241, 3), np.uint8)
    expected = by_torch.estimate(image, 200.0)
    np.testing.assert_allclose(by_file.estimate(image, 200.0), expected, rtol=1e-3)
    assert np.abs(chosen.estimate(image, 200.0) / expected - 1).mean() < 0.02
    _, sure = by_torch.estimate(image, 200.0, with_confidence=True)
    for estimator, tolerance in ((by_file, 1e-3), (chosen, 0.1)):
        _, confidence = estimator.estimate(image, 200.0, with_confidence=True)
        np.testing.assert_allclose(confidence, sure, atol=tolerance)
