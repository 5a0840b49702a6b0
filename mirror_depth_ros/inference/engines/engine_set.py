"""A network's engines by input size: from the cache, or exported, compiled and verified."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from mirror_depth_ros import __version__
from mirror_depth_ros.inference.engines.backend import Compiler, Engine
from mirror_depth_ros.inference.engines.engine_cache import EngineCache
from mirror_depth_ros.inference.engines.onnx_export import export_onnx
from mirror_depth_ros.inference.engines.verification import verify
from mirror_depth_ros.model.depth_network import DepthNetwork

# Cameras of so many aspects are served without compiling anew; each engine holds all weights.
_KEPT = 4

_logger = logging.getLogger(__name__)


class EngineSet:
    """The engine of a backend for any input size; itself one, that picks the size's."""

    def __init__(
        self,
        network: DepthNetwork,
        compiler: Compiler,
        engine_cache: EngineCache | None = None,
        *,
        onnx: bytes | None = None,
        fallback: Callable[[], Engine] | None = None,
    ) -> None:
        """Compile nothing yet.

        :param network: folded, in fp32, on its device.
        :param onnx: a file of it for any size; None: each size is exported.
        :param fallback: see :attr:`fallback`.
        """
        self._network = network
        self._compiler = compiler
        self._cache = engine_cache or EngineCache()
        self._onnx = onnx
        #: Makes what runs the sizes that are not cached and would have to be exported, or do not
        #: compile; None: the former are exported, the latter are an error.
        self.fallback = fallback
        self._network_traits = network_traits(network)
        self._engines: OrderedDict[tuple[int, int], Engine] = OrderedDict()

    def compute(
        self, names: Sequence[str], images: torch.Tensor, focal_px: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return what is asked for, see :class:`.Engine`.

        :raises ValueError: as :meth:`prepare`, which a new size is taken through.
        """
        height, width = images.shape[-2:]
        return self.prepare((height, width)).compute(names, images, focal_px)

    def prepare(self, size: tuple[int, int]) -> Engine:
        """Return the engine for an input size [pixels].

        :raises ValueError: if it cannot be compiled, or computes something else than the network.
        """
        if size not in self._engines:
            self._engines[size] = self._from_cache(size) or self._make(size)
            if len(self._engines) > _KEPT:
                self._engines.popitem(last=False)
        self._engines.move_to_end(size)
        return self._engines[size]

    def _make(self, size: tuple[int, int]) -> Engine:
        if self.fallback is None:
            return self._build(size)
        inputs = f'inputs of {size[1]} x {size[0]} pixels: torch computes these'
        if self._onnx is None:
            _logger.warning(
                'no engine of %s is kept for %s; to make one, start once with backend %s',
                *(self.backend, inputs, self.backend),
            )
            return self.fallback()
        try:
            return self._build(size)
        except Exception as error:  # a library's own, of any kind
            reason = str(error).partition('\n')[0]
            _logger.warning('%s does not serve for %s (%s)', self.backend, inputs, reason)
            return self.fallback()

    @property
    def backend(self) -> str:
        """Its name."""
        return self._compiler.name

    @property
    def precision(self) -> str:
        """What it computes in."""
        return self._compiler.precision

    def is_cached(self, size: tuple[int, int]) -> bool:
        """Tell whether the engine for an input size was made before, on disk."""
        return self._path(size).exists()

    def _path(self, size: tuple[int, int]) -> Path:
        compiler = self._compiler
        of_compiler = (compiler.name, compiler.precision, *compiler.traits)
        return self._cache.path((*self._network_traits, str(size), *of_compiler))

    def _from_cache(self, size: tuple[int, int]) -> Engine | None:
        path = self._path(size)
        compiled = self._cache.read(path)
        if compiled is None:
            if path.exists():
                _logger.warning('%s is damaged', path)
            return None
        try:
            return self._compiler.load(compiled)
        except Exception as error:  # a library's own, of any kind
            _logger.warning('%s cannot be loaded: %s', path, error)
            return None

    def _build(self, size: tuple[int, int]) -> Engine:
        compiler, path = self._compiler, self._path(size)
        onnx = export_onnx(self._network, size) if self._onnx is None else self._onnx
        compiled = compiler.compile(onnx, size)
        engine = compiler.load(compiled)
        try:
            verify(engine, self._network, size, compiler.precision)
        except ValueError as error:
            raise ValueError(f'backend {compiler.name!r}: {error}') from error
        try:
            self._cache.write(path, compiled)
        except OSError as error:
            _logger.warning('the engine is not kept for the next start: %s', error)
        return engine


def network_traits(network: DepthNetwork) -> tuple[str, ...]:
    """Return what all engines of a network depend on: it, and the code that makes them."""
    return (
        *(__version__, torch.__version__, _source_fingerprint()),
        network_fingerprint(network),
    )


def network_fingerprint(network: DepthNetwork) -> str:
    """Return a hash of a network's kind, configuration and weights."""
    digest = hashlib.sha256(f'{type(network).__name__} {network.config!r}'.encode())
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        digest.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}'.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


@cache
def _source_fingerprint() -> str:
    """Return a hash of the code that an engine was made of, for those who change it."""
    digest = hashlib.sha256()
    for path in engine_sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def engine_sources() -> list[Path]:
    """Return the files whose code decides what an engine computes."""
    engines = Path(__file__).parent
    folders = (engines.parents[1] / 'model', engines)
    return [path for folder in folders for path in sorted(folder.rglob('*.py'))]
