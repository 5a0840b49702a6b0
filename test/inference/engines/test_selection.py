"""``auto`` takes the fastest engine that computes the same, and remembers which that was."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mirror_depth_ros.inference.engines import engine_set, selection
from mirror_depth_ros.inference.engines.engine_set import EngineSet
from mirror_depth_ros.inference.engines.selection import EngineMaker, find_device
from mirror_depth_ros.inference.engines.torch_engine import TorchEngine
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import load_checkpoint
from mirror_depth_ros.model.depth_network import DepthNetwork

SIZE = (32, 48)
# As a file of a network's depth, as far as anybody looks into it.
FILE = b'an ONNX file, output \n\x05depth\x12'


class Libraries:
    """Stand-ins for OpenVINO and ONNX Runtime that compute what a network does, times a factor."""

    def __init__(self, network: DepthNetwork) -> None:
        self.exact = TorchEngine(network, 'fp32')
        #: Milliseconds that an image takes, by library and precision.
        self.times = {
            'openvino fp32': 3.0,
            'openvino bf16': 2.0,
            'onnxruntime fp32': 4.0,
            'torch fp32': 9.0,
        }
        self.factors = dict.fromkeys(self.times, 1.0)
        #: What was made, in order.
        self.made: list[str] = []
        self.timed: list[str] = []
        self.broken_sizes: set[tuple[int, int]] = set()

    def make_compiler(self, backend: str, precision: str, _: torch.device) -> SimpleNamespace:
        name = f'{backend} {precision}'
        if name not in self.times:
            raise ValueError(f'got backend {backend!r} in {precision}, expected another')
        self.made.append(name)

        def compile_(onnx: bytes, size: tuple[int, int]) -> bytes:
            if size in self.broken_sizes:
                raise RuntimeError('no such kernel\nat line 5')
            return onnx

        def compute(
            names: list[str], images: torch.Tensor, focal_px: torch.Tensor
        ) -> list[torch.Tensor]:
            return [self.factors[name] * d for d in self.exact.compute(names, images, focal_px)]

        def load(compiled: bytes) -> SimpleNamespace:
            assert compiled == FILE
            return SimpleNamespace(compute=compute)

        return SimpleNamespace(
            name=backend, precision=precision, traits=(), compile=compile_, load=load
        )

    def best_time(self, engine: EngineSet | TorchEngine, size: tuple[int, int]) -> float:
        assert size == SIZE
        name = f'{engine.backend} {engine.precision}'
        self.timed.append(name)
        return self.times[name] / 1e3


@pytest.fixture
def network(tiny_model: Path) -> DepthNetwork:
    return load_checkpoint(tiny_model)


@pytest.fixture
def libraries(network: DepthNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Libraries:
    libraries = Libraries(network)
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path))
    monkeypatch.setattr(selection, 'find_spec', lambda name: True)
    monkeypatch.setattr(selection, 'make_compiler', libraries.make_compiler)
    monkeypatch.setattr(selection, '_best_time', libraries.best_time)
    monkeypatch.setattr(engine_set, 'export_onnx', lambda *_: pytest.fail('it was exported'))
    return libraries


def choose(network: DepthNetwork, precision: str = 'auto') -> str:
    engine = EngineMaker(precision=precision, device='cpu').make(network, SIZE, onnx=FILE)
    return f'{engine.backend} {engine.precision}'


def test_the_fastest_is_taken_and_remembered(
    network: DepthNetwork, libraries: Libraries, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    assert choose(network) == 'openvino bf16'
    assert libraries.made == ['openvino fp32', 'openvino bf16', 'onnxruntime fp32']
    assert libraries.timed == [*libraries.made, 'torch fp32']
    assert (
        'openvino bf16 is the fastest with inputs of 48 x 32 pixels: openvino fp32 3.0 ms, '
        'openvino bf16 2.0 ms, onnxruntime fp32 4.0 ms, torch fp32 9.0 ms' in caplog.text
    )
    libraries.made.clear()
    libraries.timed.clear()
    assert choose(network) == 'openvino bf16'
    assert (libraries.made, libraries.timed) == (['openvino bf16'], [])


def test_a_precision_that_is_asked_for_is_kept_to(
    network: DepthNetwork, libraries: Libraries
) -> None:
    assert choose(network, 'fp32') == 'openvino fp32'
    assert 'openvino bf16' not in libraries.made
    assert choose(network, 'bf16') == 'openvino bf16'
    libraries.times.pop('openvino bf16')
    for path in selection.EngineCache().path(()).parent.iterdir():
        path.unlink()
    assert choose(network, 'bf16') == 'torch bf16'
    with pytest.raises(ValueError, match='got precision int8 without a backend that computes'):
        choose(network, 'int8')


def test_what_computes_something_else_is_not_taken(
    network: DepthNetwork, libraries: Libraries, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    libraries.factors['openvino bf16'] = 1.02  # 0.01 is allowed
    libraries.factors['openvino fp32'] = 1.002  # 0.001 is
    assert choose(network) == 'onnxruntime fp32'
    assert 'backend openvino in bf16 does not serve: ' in caplog.text
    assert 'got a relative error of 0.02 in bf16' in caplog.text


def test_pytorch_is_a_candidate_and_all_that_is_left(
    network: DepthNetwork, libraries: Libraries, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries.times['torch fp32'] = 1.0
    assert choose(network) == 'torch fp32'
    libraries.made.clear()
    assert choose(network) == 'torch fp32'
    assert libraries.made == []
    monkeypatch.setattr(selection, 'find_spec', lambda name: None)
    for path in selection.EngineCache().path(()).parent.iterdir():
        path.unlink()
    assert choose(network) == 'torch fp32'


def test_a_choice_that_no_longer_serves_is_made_anew(
    network: DepthNetwork, libraries: Libraries
) -> None:
    assert choose(network) == 'openvino bf16'
    del libraries.times['openvino bf16']
    for _ in range(2):
        assert choose(network) == 'openvino fp32'
    assert libraries.timed[-3:] == ['openvino fp32', 'onnxruntime fp32', 'torch fp32']


def test_a_damaged_choice_is_made_anew(network: DepthNetwork, libraries: Libraries) -> None:
    assert choose(network) == 'openvino bf16'
    (path,) = selection.EngineCache().path(()).parent.glob('*.choice')
    path.write_bytes(path.read_bytes().replace(b'bf16', b'fp99'))
    libraries.times['onnxruntime fp32'] = 1.0
    assert choose(network) == 'onnxruntime fp32'


def test_a_choice_that_cannot_be_kept_costs_a_warning(
    network: DepthNetwork,
    libraries: Libraries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / 'file').write_text('in the way')
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path / 'file'))
    assert choose(network) == 'openvino bf16'
    assert 'the choice of openvino bf16 is not kept for the next start' in caplog.text


def test_other_sizes_are_compiled_and_else_pytorchs(
    network: DepthNetwork, libraries: Libraries, caplog: pytest.LogCaptureFixture
) -> None:
    engine = EngineMaker(device='cpu').make(network, SIZE, onnx=FILE)
    libraries.factors['openvino bf16'] = 1.005  # to tell it from PyTorch
    focal_px = torch.tensor([50.0, 60.0])
    wide, tall = torch.rand(2, 3, 16, 64), torch.rand(2, 3, 64, 16)
    (expected,) = libraries.exact.compute(['depth'], wide, focal_px)
    torch.testing.assert_close(engine.compute(['depth'], wide, focal_px), [1.005 * expected])
    libraries.broken_sizes.add((64, 16))
    (expected,) = libraries.exact.compute(['depth'], tall, focal_px)
    for _ in range(2):
        torch.testing.assert_close(engine.compute(['depth'], tall, focal_px), [expected])
    warning = (
        'openvino does not serve for inputs of 16 x 64 pixels: torch computes these '
        '(no such kernel)'
    )
    assert caplog.text.count(warning) == 1


def test_a_library_by_name_uses_the_file_and_fails_aloud(
    network: DepthNetwork, libraries: Libraries
) -> None:
    engine = EngineMaker(backend='onnxruntime', precision='fp32', device='cpu').make(
        network, SIZE, onnx=FILE
    )
    assert (engine.backend, engine.precision) == ('onnxruntime', 'fp32')
    assert (libraries.made, libraries.timed) == (['onnxruntime fp32'], [])
    libraries.broken_sizes.add((64, 16))
    with pytest.raises(RuntimeError, match='no such kernel'):
        engine.compute(['depth'], torch.rand(1, 3, 64, 16), torch.ones(1))


def test_the_time_is_the_shortest_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    # Starts and ends [s]: 9, 5, 3, 4, and then 8 each.
    clock = iter(
        [0, 9, 10, 15, 20, 23, 30, 34, *(t for n in range(9) for t in (50 + 10 * n, 58 + 10 * n))]
    )
    monkeypatch.setattr(selection.time, 'perf_counter', lambda: next(clock))
    shapes = []

    class Noting:
        def compute(self, names: list[str], *inputs: torch.Tensor) -> list[torch.Tensor]:
            shapes.append(tuple(tuple(tensor.shape) for tensor in inputs))
            return []

    assert selection._best_time(Noting(), (32, 48)) == 3
    assert set(shapes) == {((1, 3, 32, 48), (1,))}


def test_nothing_is_resolved_or_compiled_twice_while_loading(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MIRROR_DEPTH_CACHE', str(tmp_path / 'cache'))
    calls = []
    for name in ('find_device', 'check_backend', 'check_precision', 'make_compiler'):
        function = getattr(selection, name)
        counted = lambda *a, f=function, n=name: calls.append(n) or f(*a)  # noqa: E731
        monkeypatch.setattr(selection, name, counted)
    compile_ = selection.EngineSet.prepare
    monkeypatch.setattr(
        selection.EngineSet, 'prepare', lambda *a: calls.append('prepare') or compile_(*a)
    )
    pytest.importorskip('onnxscript', reason="needs pip install '.[accelerate]'")
    DepthEstimator.load(tiny_model, device='cpu', precision='fp32', backend='onnxruntime')
    assert sorted(calls) == sorted(set(calls))
    assert set(calls) == {
        'find_device',
        'check_backend',
        'check_precision',
        'make_compiler',
        'prepare',
    }


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert find_device('auto') == torch.device('cpu')
