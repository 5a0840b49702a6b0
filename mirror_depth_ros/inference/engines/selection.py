"""What computes a network: the backend asked for, or the fastest of those that are at hand."""

from __future__ import annotations

import logging
import platform
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

from mirror_depth_ros.inference.engines.backend import (
    Compiler,
    Engine,
    check_backend,
    check_precision,
    package_version,
)
from mirror_depth_ros.inference.engines.engine_cache import EngineCache, has_engines
from mirror_depth_ros.inference.engines.engine_set import EngineSet, network_traits
from mirror_depth_ros.inference.engines.shipped_onnx import check_outputs
from mirror_depth_ros.inference.engines.torch_engine import (
    TorchEngine,
    is_convolutional,
    torch_precision,
)
from mirror_depth_ros.model.depth_network import DEPTH, DepthNetwork

_DEVICE_TYPES = ('cpu', 'cuda', 'mps')
# What ``auto`` times where it has a file: backend and precision.
_CANDIDATES = ('openvino fp32', 'openvino bf16', 'onnxruntime fp32', 'torch fp32')
# The fastest of so many runs tells engines apart on a computer that does other things, too.
_RUNS = 7

_logger = logging.getLogger(__name__)


class EngineMaker:
    """Makes what computes networks by a backend, in a precision, on a device that have all that.

    A library by name is exported for, unless there is a file, compiled and verified. ``auto`` is
    PyTorch on a GPU. On a CPU it is the fastest of PyTorch and the libraries, timed at the first
    start on this computer, of a network with a file; of others, whose export takes longer than a
    robot should wait unasked, an engine of OpenVINO that was made before, else PyTorch. What does
    not serve there is a warning, and another does.
    """

    def __init__(
        self, *, backend: str = 'auto', precision: str = 'auto', device: str = 'auto'
    ) -> None:
        """Find out what these names stand for: a typing error should not cost a model's loading.

        :param backend: one of :data:`~mirror_depth_ros.inference.engines.backend.BACKENDS`.
        :param precision: one of :data:`~mirror_depth_ros.inference.engines.backend.PRECISIONS`.
        :param device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        :raises ValueError: for an unknown name, a device that this machine lacks, or a backend
            or precision that does not serve on it.
        """
        check_backend(backend)
        check_precision(precision)
        #: The device by its own name.
        self.device = find_device(device)
        self._backend, self._precision = backend, precision
        if backend in ('auto', 'torch'):
            self._torch_precision = torch_precision(precision, self.device)
        else:
            self._compiler = make_compiler(backend, precision, self.device)

    def make(
        self, network: DepthNetwork, size: tuple[int, int], *, onnx: bytes | None = None
    ) -> EngineSet | TorchEngine:
        """Return what computes a network at any input size, ready for one.

        :param network: folded, in fp32, on :attr:`device`.
        :param size: height and width [pixels].
        :param onnx: a file of the network, for images of any size.
        :raises ValueError: for a library by name that computes something else than PyTorch, or
            whose file lacks an output.
        """
        if self._backend not in ('auto', 'torch'):
            if onnx is not None:
                check_outputs(onnx, network)
            engines = EngineSet(network, self._compiler, onnx=onnx)
            engines.prepare(size)
            return engines
        is_on_cpu = self.device.type == 'cpu'
        by_torch = self._torch_precision
        if self._precision == 'auto' and is_on_cpu and is_convolutional(network):
            by_torch = 'fp32'  # depthwise convolutions are slower in bf16
        chosen: EngineSet | TorchEngine | None = None
        if self._backend == 'auto' and is_on_cpu:
            if onnx is None:
                chosen = _kept_engine(network, by_torch, size)
            else:
                chosen = _fastest_engine(network, self._precision, size, onnx)
        return chosen or TorchEngine(network, by_torch)


def find_device(name: str) -> torch.device:
    """Return the device of a name, after making sure that it is there.

    :raises ValueError: if it is not.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        if device.type not in _DEVICE_TYPES:
            raise RuntimeError('no depth runs there')
        torch.ones(1, device=device)  # which computes: a PyTorch made for other GPUs cannot
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition('\n')[0]
        raise ValueError(
            f'got device {name!r}, which this machine does not have ({reason}); expected auto, '
            'cpu, cuda, cuda:N or mps'
        ) from error
    return device


def _kept_engine(network: DepthNetwork, precision: str, size: tuple[int, int]) -> EngineSet | None:
    """Return OpenVINO's engines if one for the size was made before."""
    # Importing OpenVINO takes time, too.
    if not has_engines() or find_spec('openvino') is None:
        return None
    try:
        compiler = make_compiler('openvino', precision, _device(network))
        # Shared by all sizes that were not compiled: it takes any.
        fallback = cache(lambda: TorchEngine(network, precision))
        engines = EngineSet(network, compiler, fallback=fallback)
        if engines.is_cached(size) and not isinstance(engines.prepare(size), TorchEngine):
            return engines
    except Exception as error:  # a library's own, of any kind
        _logger.warning('backend openvino does not serve, torch does: %s', error)
    return None


def _fastest_engine(
    network: DepthNetwork, precision: str, size: tuple[int, int], onnx: bytes
) -> EngineSet | TorchEngine | None:
    """Return the engine that was chosen before, or choose one, and keep the choice."""
    try:
        check_outputs(onnx, network)
    except ValueError as error:
        _logger.warning('torch computes the model: %s', error)
        return None  # no choice, which would outlast the file
    engine_cache = EngineCache()
    path = engine_cache.path(_choice_traits(network, precision, size), suffix='choice')
    names = [name for name in _CANDIDATES if precision in ('auto', name.split()[1])]
    kept = (engine_cache.read(path) or b'').decode()
    if kept in names and (engine := _prepared(kept, network, size, onnx)):
        return engine
    engines = {name: _prepared(name, network, size, onnx) for name in names}
    serving = {name: engine for name, engine in engines.items() if engine is not None}
    if not serving:
        return None
    chosen = _choose(serving, size)
    try:
        engine_cache.write(path, chosen.encode())
    except OSError as error:
        _logger.warning('the choice of %s is not kept for the next start: %s', chosen, error)
    return serving[chosen]


def _prepared(
    name: str, network: DepthNetwork, size: tuple[int, int], onnx: bytes
) -> EngineSet | TorchEngine | None:
    """Return a candidate, ready for a size; None where it does not serve."""
    backend, precision = name.split()
    if backend == 'torch':
        return TorchEngine(network, precision)
    if find_spec(backend) is None:
        return None
    try:
        engines = EngineSet(
            network, make_compiler(backend, precision, _device(network)), onnx=onnx
        )
        engines.prepare(size)
    except Exception as error:  # a library's own, of any kind
        _logger.info('backend %s in %s does not serve: %s', backend, precision, error)
        return None
    # Where another size fails while images come. In fp32, which leaves the weights as they are.
    engines.fallback = cache(lambda: TorchEngine(network, 'fp32'))
    return engines


def _choose(engines: dict[str, EngineSet | TorchEngine], size: tuple[int, int]) -> str:
    """Return the name of the fastest engine on one image of a size."""
    seconds = {name: _best_time(engine, size) for name, engine in engines.items()}
    name = min(seconds, key=seconds.__getitem__)
    _logger.info(
        '%s is the fastest with inputs of %d x %d pixels: %s',
        *(name, size[1], size[0]),
        ', '.join(f'{name} {1e3 * taken:.1f} ms' for name, taken in seconds.items()),
    )
    return name


@torch.inference_mode()
def _best_time(engine: Engine, size: tuple[int, int]) -> float:
    """Return the shortest time for the depth of one image of a size [s]."""
    images, focal_px = torch.rand(1, 3, *size), torch.full((1,), 100.0)
    times = []
    for _ in range(1 + _RUNS):  # the first makes room
        start = time.perf_counter()
        engine.compute([DEPTH], images, focal_px)
        times.append(time.perf_counter() - start)
    return min(times)


def _choice_traits(
    network: DepthNetwork, precision: str, size: tuple[int, int]
) -> tuple[str, ...]:
    """Return all that a choice depends on: network, size, computer, threads and libraries."""
    versions = [f'{name} {package_version(name)}' for name in ('openvino', 'onnxruntime')]
    threads = str(torch.get_num_threads())
    return (*network_traits(network), str(size), precision, _processor(), threads, *versions)


def _processor() -> str:
    """Return what names the processor, as far as the system tells."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        return platform.processor()
    names = ('model name', 'CPU implementer', 'CPU part')
    return ' '.join(sorted({line for line in lines if line.startswith(names)}))


def _device(network: DepthNetwork) -> torch.device:
    return next(network.parameters()).device


def make_compiler(backend: str, precision: str, device: torch.device) -> Compiler:
    """Return what compiles for a backend.

    :param backend: ``onnxruntime`` or ``openvino``.
    :param precision: one of :data:`~mirror_depth_ros.inference.engines.backend.PRECISIONS`;
        ``auto`` takes the fastest of floats that the library computes natively on the device.
    :raises ValueError: for a package that is missing, or a device or precision that the library
        does not compute on.
    """
    if backend == 'openvino':
        from mirror_depth_ros.inference.engines.openvino_engine import OpenVino

        return OpenVino(precision, device)
    from mirror_depth_ros.inference.engines.onnxruntime_engine import OnnxRuntime

    return OnnxRuntime(precision, device)
