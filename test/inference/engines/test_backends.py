"""Every backend computes what PyTorch does, or says why it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mirror_depth_ros.inference.engines import engine_set
from mirror_depth_ros.inference.engines.engine_cache import EngineCache, cache_directory
from mirror_depth_ros.inference.engines.onnx_export import export_onnx
from mirror_depth_ros.inference.engines.openvino_engine import OpenVino
from mirror_depth_ros.inference.engines.selection import make_compiler
from mirror_depth_ros.inference.engines.torch_engine import TorchEngine
from mirror_depth_ros.inference.engines.verification import relative_error, verify
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import load_checkpoint
from mirror_depth_ros.model.depth_network import DepthNetwork

pytest.importorskip('onnxscript', reason="needs pip install '.[accelerate]'")
pytest.importorskip('onnxruntime', reason="needs pip install '.[accelerate]'")
pytest.importorskip('openvino', reason="needs pip install '.[accelerate]'")

LIBRARIES = ('onnxruntime', 'openvino')


@pytest.fixture(scope='module', autouse=True)
def cache(tmp_path_factory):
    """Return the cache that all tests here share; a size is exported once, as that takes time."""
    folder = tmp_path_factory.mktemp('engines')
    exported: dict[tuple[object, ...], bytes] = {}  # of the two networks that there are here

    def export(network: DepthNetwork, size: tuple[int, int]) -> bytes:
        key = size, network.has_confidence
        if key not in exported:
            exported[key] = export_onnx(network, size)
        return exported[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_set, 'export_onnx', export)
        patch.setenv('MIRROR_DEPTH_CACHE', str(folder))
        yield folder


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)


def load(model: Path | str, backend: str, precision: str = 'fp32') -> DepthEstimator:
    return DepthEstimator.load(model, device='cpu', precision=precision, backend=backend)


@pytest.mark.parametrize('backend', LIBRARIES)
def test_images_batches_and_smaller_inputs_have_pytorchs_depth(
    tiny_model: Path, backend: str
) -> None:
    by_torch, by_library = load(tiny_model, 'torch'), load(tiny_model, backend)
    assert (by_library.backend, by_library.precision) == (backend, 'fp32')
    # 48 x 64 at the input twice, and 64 x 48.
    images = [picture(47, 75), picture(97, 61), picture(480, 641)]
    focals = [60.0, 45.0, 500.0]
    for _ in range(2):  # the second time with half of the patches
        expected = [found.depth for found in by_torch.estimate_batch(images, focals)]
        depths = [found.depth for found in by_library.estimate_batch(images, focals)]
        assert [depth.shape for depth in depths] == [(47, 75), (97, 61), (480, 641)]
        for depth, of_torch in zip(depths, expected):
            np.testing.assert_allclose(depth, of_torch, rtol=1e-3)
        for estimator in (by_torch, by_library):
            estimator.shrink_input()


@pytest.mark.parametrize('backend', LIBRARIES)
def test_confidence_is_pytorchs_and_stays_when_the_next_image_comes(
    tiny_model_with_confidence: Path, backend: str
) -> None:
    # OpenVINO 2026.4 computes a ViT's decoder with two outputs wrongly where the number of images
    # is left open, for which its engine is refused.
    model = 'builtin' if backend == 'openvino' else tiny_model_with_confidence
    by_torch, by_library = load(model, 'torch'), load(model, backend)
    images, focals = [picture(47, 75), picture(480, 641)], [60.0, 500.0]
    expected = by_torch.estimate_batch(images, focals, with_confidence=True)
    pairs = by_library.estimate_batch(images, focals, with_confidence=True)
    # At the input's own size nothing is resized, so that what is given out is the engine's own.
    unresized = picture(*by_library.input_size(480, 640))
    kept_depth, kept = by_library.estimate(unresized, 50.0, with_confidence=True)
    before = kept_depth.copy(), kept.copy()
    alone = by_library.estimate_batch(images, focals)
    for found, of_torch, plain in zip(pairs, expected, alone):
        np.testing.assert_allclose(found.depth, of_torch.depth, rtol=1e-3)
        np.testing.assert_allclose(found.confidence, of_torch.confidence, atol=1e-3)
        np.testing.assert_array_equal(found.depth, plain.depth)
    np.testing.assert_array_equal((kept_depth, kept), before)


def test_int8_has_confidence_too(tiny_model_with_confidence: Path) -> None:
    onnx = pytest.importorskip('onnx', reason="needs pip install '.[accelerate]'")
    network = load_checkpoint(tiny_model_with_confidence).fold().eval()
    exact = engine_set.export_onnx(network, (48, 64))
    compiled = make_compiler('onnxruntime', 'int8', torch.device('cpu')).compile(exact, (48, 64))
    kinds = Counter(node.op_type for node in onnx.load_from_string(compiled).graph.node)
    assert kinds['MatMulInteger'] == 4 * (network.config.taps[-1] + 1)  # as without confidence
    _, expected = load(tiny_model_with_confidence, 'torch').estimate(
        picture(61, 83), 60.0, with_confidence=True
    )
    _, confidence = load(tiny_model_with_confidence, 'onnxruntime', 'int8').estimate(
        picture(61, 83), 60.0, with_confidence=True
    )
    assert 0 < np.abs(confidence - expected).mean() < 0.02


def test_a_file_says_its_outputs(tiny_model_with_confidence: Path) -> None:
    onnx = pytest.importorskip('onnx', reason="needs pip install '.[accelerate]'")
    network = load_checkpoint(tiny_model_with_confidence).fold().eval()
    graph = onnx.load_from_string(engine_set.export_onnx(network, (48, 64))).graph
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {
        'image': ['batch', 3, 48, 64],
        'focal_px': ['batch'],
        'depth': ['batch', 1, 48, 64],
        'log_scale': ['batch', 1, 48, 64],
    }


def test_openvino_in_bf16_is_near(tiny_model: Path) -> None:
    try:
        make_compiler('openvino', 'bf16', torch.device('cpu'))
    except ValueError as error:
        pytest.skip(str(error))
    image = picture(61, 83)
    expected = load(tiny_model, 'torch').estimate(image, 60.0)
    depth = load(tiny_model, 'openvino', 'bf16').estimate(image, 60.0)
    assert 0 < np.abs(depth / expected - 1).mean() < 0.02


def test_int8_is_near_and_smaller(tiny_model: Path, cache: Path) -> None:
    image = picture(61, 83)
    expected = load(tiny_model, 'torch').estimate(image, 60.0)
    estimator = load(tiny_model, 'onnxruntime', 'int8')
    assert (estimator.backend, estimator.precision) == ('onnxruntime', 'int8')
    depth = estimator.estimate(image, 60.0)
    assert 0 < np.abs(depth / expected - 1).mean() < 0.02


def test_int8_rounds_the_encoders_products_alone(tiny_model: Path) -> None:
    onnx = pytest.importorskip('onnx', reason="needs pip install '.[accelerate]'")
    network = load_checkpoint(tiny_model).fold().eval()
    exact = engine_set.export_onnx(network, (48, 64))  # once for all tests here
    compiled = make_compiler('onnxruntime', 'int8', torch.device('cpu')).compile(exact, (48, 64))
    kinds = Counter(node.op_type for node in onnx.load_from_string(compiled).graph.node)
    n_blocks = network.config.taps[-1] + 1
    assert kinds['MatMulInteger'] == 4 * n_blocks  # query, key and value; output; two of the MLP
    assert len(compiled) < len(exact)
    # Nor do files tell whose computer made them.
    assert str(Path(__file__).parents[2]).encode() not in exact
    assert b'site-packages' not in exact


def test_depth_stays_when_the_next_image_comes(tiny_model: Path) -> None:
    for backend in LIBRARIES:
        estimator = load(tiny_model, backend)
        first = estimator.estimate(picture(48, 64), 50.0)
        kept = first.copy()
        estimator.estimate(np.zeros((48, 64, 3), np.uint8), 50.0)
        np.testing.assert_array_equal(first, kept)


def test_auto_takes_openvino_where_it_is_cached(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    load(tiny_model, 'openvino')
    assert load(tiny_model, 'auto').backend == 'openvino'
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path / 'empty'))
    assert load(tiny_model, 'auto').backend == 'torch'
    assert not (tmp_path / 'empty').exists()


def test_auto_falls_back_with_a_warning(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load(tiny_model, 'openvino')

    def broken(*_: object) -> None:
        raise RuntimeError('no such instruction')

    monkeypatch.setattr(OpenVino, 'load', broken)
    monkeypatch.setattr(engine_set, 'export_onnx', broken)
    assert load(tiny_model, 'auto').backend == 'torch'
    assert 'cannot be loaded: no such instruction' in caplog.text
    assert 'no engine of openvino is kept for inputs of 64 x 48 pixels: torch' in caplog.text


def test_auto_computes_other_sizes_by_pytorch_and_compiles_nothing(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load(tiny_model, 'openvino')
    monkeypatch.setattr(engine_set, 'export_onnx', lambda *_: pytest.fail('it was exported'))
    estimator = load(tiny_model, 'auto')
    assert estimator.backend == 'openvino'
    strip = picture(31, 95)  # an input of 32 x 96, for which there is no engine
    expected = load(tiny_model, 'torch').estimate(strip, 30.0)
    np.testing.assert_array_equal(estimator.estimate(strip, 30.0), expected)
    assert 'no engine of openvino is kept for inputs of 96 x 32 pixels: torch' in caplog.text
    estimator.estimate(strip, 30.0)
    assert caplog.text.count('no engine of openvino') == 1


@pytest.mark.parametrize('backend', LIBRARIES)
def test_the_next_start_compiles_nothing(
    tiny_model: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load(tiny_model, backend).estimate(picture(51, 69), 50.0)
    monkeypatch.setattr(engine_set, 'export_onnx', None)
    monkeypatch.setattr(engine_set, 'verify', None)
    again = load(tiny_model, backend).estimate(picture(51, 69), 50.0)
    np.testing.assert_array_equal(again, expected)


def test_a_damaged_engine_is_made_anew(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path))
    load(tiny_model, 'onnxruntime')
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    estimator = load(tiny_model, 'onnxruntime')
    assert estimator.estimate(picture(47, 75), 60.0).shape == (47, 75)
    assert f'{file} is damaged' in caplog.text
    assert file.stat().st_size == len(whole)


def test_a_cache_that_cannot_be_written_costs_a_warning(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / 'file').write_text('in the way')
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path / 'file'))
    assert load(tiny_model, 'onnxruntime').backend == 'onnxruntime'
    assert 'the engine is not kept for the next start' in caplog.text


class Changed:
    """An engine of which one output is changed."""

    def __init__(self, engine: Any, change: Callable[[Any], Any], name: str = 'depth') -> None:
        self.engine, self.change, self.name = engine, change, name

    def compute(self, names: Sequence[str], *inputs: torch.Tensor) -> list[torch.Tensor]:
        parts = zip(names, self.engine.compute(names, *inputs))
        return [self.change(part) if name == self.name else part for name, part in parts]


def test_an_engine_that_computes_something_else_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path))
    right = OpenVino.load

    def wrong(self: OpenVino, compiled: bytes):
        return Changed(right(self, compiled), lambda depth: 1.25 * depth)

    monkeypatch.setattr(OpenVino, 'load', wrong)
    expected = (
        r"'openvino': got a relative error of 0.25 in fp32 .* 48 x 64, expected at most 0.001"
    )
    with pytest.raises(ValueError, match=expected):
        load(tiny_model, 'openvino')
    assert list(tmp_path.iterdir()) == []


def test_the_error_is_of_the_worst_pixel_in_fp32_and_of_the_mean_in_others(
    tiny_model: Path,
) -> None:
    network = load_checkpoint(tiny_model)
    exact = TorchEngine(network, 'fp32')

    def half_more_in_one_pixel(depth: torch.Tensor) -> torch.Tensor:
        depth[:, :, 3, 5] *= 1.5
        return depth

    size, off = (32, 48), Changed(exact, half_more_in_one_pixel)
    assert relative_error(off, network, size, 'fp32') == pytest.approx(0.5)
    # 0.5 / (32 * 48) = 3.26e-4
    assert relative_error(off, network, size, 'bf16') == pytest.approx(3.26e-4, rel=0.02)
    verify(off, network, size, 'bf16')
    with pytest.raises(ValueError, match='got a relative error of 0.5 in fp32 against PyTorch'):
        verify(off, network, size, 'fp32')
    for broken in (lambda depth: depth * torch.nan, lambda depth: depth[:, :, 1:]):
        assert relative_error(Changed(exact, broken), network, size, 'bf16') > 1e9


def test_the_error_is_also_that_of_confidence(tiny_model_with_confidence: Path) -> None:
    network = load_checkpoint(tiny_model_with_confidence)
    exact = TorchEngine(network, 'fp32')

    def less_sure(factor: float) -> Changed:
        """Expects larger errors than the network, by a factor."""
        return Changed(exact, lambda log_scale: log_scale + np.log(factor), 'log_scale')

    size = (32, 48)
    assert verify(less_sure(1.0), network, size, 'fp32') < 1e-5
    # From p to p' = 1 - (1 - p)^(1/2); the network is unsure everywhere: p' / p is near 1/2.
    error = relative_error(less_sure(2.0), network, size, 'fp32')
    assert 0.05 < error < 0.5
    with pytest.raises(ValueError, match=f'got a relative error of {error:.2g} in fp32 against'):
        verify(less_sure(2.0), network, size, 'fp32')
    assert relative_error(less_sure(np.nan), network, size, 'bf16') > 1e9


@pytest.mark.parametrize(
    ('backend', 'precision', 'error'),
    [
        ('tensorflow', 'fp32', "got backend 'tensorflow', expected one of auto, torch, onnx"),
        ('onnxruntime', 'bf16', "got backend 'onnxruntime' in bf16 on cpu, expected fp32, or int"),
        ('onnxruntime', 'fp16', "got backend 'onnxruntime' in fp16 on cpu, expected fp32, or int"),
        ('openvino', 'fp16', "got backend 'openvino' in fp16, expected fp32"),
        ('openvino', 'int8', "got backend 'openvino' in int8, expected fp32"),
        ('openvino', 'int4', "got precision 'int4', expected one of auto, fp32, bf16, fp16, int8"),
        ('torch', 'int8', 'got precision int8 without a backend .* set backend onnxruntime'),
        ('auto', 'int8', 'got precision int8 without a backend .* set backend onnxruntime'),
    ],
)
def test_what_does_not_serve_is_named(
    tiny_model: Path, backend: str, precision: str, error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        load(tiny_model, backend, precision)


@pytest.mark.parametrize('backend', LIBRARIES)
def test_a_missing_package_is_named_with_the_command(
    tiny_model: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mirror_depth_ros.inference.engines.backend.find_spec', lambda name: None)
    expected = f"got backend '{backend}' without the Python packages {backend}, .* pip install"
    with pytest.raises(ValueError, match=expected):
        load(tiny_model, backend)
    monkeypatch.setattr(
        'mirror_depth_ros.inference.engines.selection.find_spec', lambda name: None
    )
    assert load(tiny_model, 'auto').backend == 'torch'


def test_only_so_many_engines_are_kept(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_checkpoint(tiny_model)
    exact = TorchEngine(network, 'fp32')
    compiler = SimpleNamespace(
        name='stand-in',
        precision='fp32',
        traits=(),
        compile=lambda onnx, size: onnx,
        load=lambda compiled: SimpleNamespace(compute=exact.compute),
    )
    monkeypatch.setattr(engine_set, 'export_onnx', lambda *_: b'')
    engines = engine_set.EngineSet(network, compiler, EngineCache(tmp_path))
    first = engines.prepare((48, 64))
    assert engines.prepare((48, 64)) is first
    for size in [(64, 48), (32, 48), (48, 32), (32, 32)]:
        engines.prepare(size)
    assert engines.prepare((48, 64)) is not first
    assert len(list(tmp_path.iterdir())) == 5


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MIRROR_DEPTH_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', '/var/caches')
    assert cache_directory() == Path('/var/caches/mirror_depth_ros')
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert cache_directory() == Path.home() / '.cache' / 'mirror_depth_ros'


def test_verification_is_without_tf32_and_gives_it_back(tiny_model: Path) -> None:
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn)
    assert [setting.allow_tf32 for setting in settings] == [False, True]  # PyTorch's defaults
    network = load_checkpoint(tiny_model)
    exact = TorchEngine(network, 'fp32')
    seen = []

    def see(*_: object) -> None:
        seen.append([setting.allow_tf32 for setting in settings])

    network.image_encoder.register_forward_hook(see)
    verify(exact, network, (32, 48), 'fp32')
    assert seen == [[False, False]] * 3  # for reference, and the engine's two batches
    assert [setting.allow_tf32 for setting in settings] == [False, True]

    def broken(*_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError('no such instruction')

    with pytest.raises(RuntimeError, match='no such instruction'):
        verify(Changed(exact, broken), network, (32, 48), 'fp32')
    assert [setting.allow_tf32 for setting in settings] == [False, True]


def test_onnxruntime_on_a_gpu_is_cuda_in_fp32_and_never_tensorrt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    providers = ['TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider']
    monkeypatch.setattr('onnxruntime.get_available_providers', lambda: providers)
    device = torch.device('cuda', 1)
    compiler = make_compiler('onnxruntime', 'auto', device)
    assert compiler.precision == 'fp32'
    assert (
        "[('CUDAExecutionProvider', {'device_id': 1, 'use_tf32': 0}), 'CPUExecutionProvider']"
        in compiler.traits
    )
    for precision in ('fp16', 'int8'):
        expected = f"got backend 'onnxruntime' in {precision} on cuda:1, expected fp32, or int8 on"
        with pytest.raises(ValueError, match=expected):
            make_compiler('onnxruntime', precision, device)
