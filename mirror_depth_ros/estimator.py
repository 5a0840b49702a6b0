"""RGB array in, metric depth out: the one door between arrays and the network."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mirror_depth_ros.engines.backend import Engine, check_backend, make_compiler
from mirror_depth_ros.engines.engine_cache import has_engines
from mirror_depth_ros.engines.engine_set import EngineSet
from mirror_depth_ros.engines.torch_engine import DTYPES, TorchEngine, is_convolutional
from mirror_depth_ros.model.checkpoint import load_checkpoint
from mirror_depth_ros.model.depth_network import DepthNetwork

PRECISIONS = ('auto', *DTYPES, 'int8')
_DEVICE_TYPES = ('cpu', 'cuda', 'mps')
# The aspect of most cameras' images, height and width; the first engine is made for it.
_USUAL_IMAGE = (480, 640)

_logger = logging.getLogger(__name__)


class DepthEstimator:
    """A loaded depth model on a device. One thread at a time may use it."""

    def __init__(
        self,
        model: DepthNetwork,
        *,
        device: str = 'auto',
        precision: str = 'auto',
        backend: str = 'auto',
    ) -> None:
        """Fold a network, put it on a device and, for a backend, compile and verify it there.

        The engine for images of 4:3 is made here, those for others when they come.

        :raises ValueError: for a device this machine lacks, a precision that device or backend
            lacks, or a backend that is missing or computes something else than PyTorch.
        """
        check_backend(backend)
        self.device = _resolve_device(device)
        self.model_name = model.config.clip
        self._model = model.fold().to(self.device).eval()
        self._input_share = 1.0
        #: Called with ``preprocess`` and ``inference`` when these are done; for measurements.
        self.on_stage: Callable[[str], None] | None = None
        compiled = self._compiled(backend, precision)
        self._engine: Engine
        if compiled is not None:
            #: What computes: ``torch``, ``onnxruntime`` or ``openvino``, and in what.
            self.backend, self.precision = compiled.backend, compiled.precision
            self._engine = compiled
        else:
            self.backend, self.precision = 'torch', self._torch_precision(precision)
            self._engine = TorchEngine(self._model, self.precision)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = 'builtin',
        *,
        device: str = 'auto',
        precision: str = 'auto',
        clip_weights: str | None = None,
        backend: str = 'auto',
    ) -> DepthEstimator:
        """Load a depth model.

        :param model: ``builtin``, ``clip2depth`` or the path of a checkpoint.
        :param device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        :param precision: ``auto``, ``fp32``, ``bf16``, ``fp16`` or ``int8`` (ONNX Runtime only);
            ``auto`` takes the fastest number format that the device computes natively, of floats.
        :param clip_weights: where this machine has the CLIP weights (tag or file), if elsewhere
            than where the model was trained; None for a CLIP that brings its own.
        :param backend: ``auto``, ``torch``, ``onnxruntime`` or ``openvino``; ``auto`` is OpenVINO
            where its engine for this model lies in the cache, else PyTorch.
        :raises FileNotFoundError: if there is no such model.
        :raises ValueError: for a damaged model, an unknown device, precision or backend.
        """
        # These first: a typing error there should not cost a model's loading.
        check_backend(backend)
        resolved = _resolve_device(device)
        if backend in ('auto', 'torch'):
            torch_precision(precision, resolved)
        else:
            _check_precision(precision)
            make_compiler(backend, precision, resolved)
        network = load_checkpoint(model, clip_weights=clip_weights)
        estimator = cls(network, device=str(resolved), precision=precision, backend=backend)
        estimator.model_name = str(model)
        return estimator

    @property
    def min_depth(self) -> float:
        """Smallest depth at the reference focal length [m]."""
        return self._model.config.min_depth

    @property
    def max_depth(self) -> float:
        """Largest depth at the reference focal length [m]."""
        return self._model.config.max_depth

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size an image is resized to, see :meth:`DepthNetwork.input_size`."""
        return self._model.input_size(height, width, share=self._input_share)

    def shrink_input(self) -> None:
        """Resize images to half as many patches from now on: less memory, coarser depth."""
        self._input_share /= 2

    def estimate(self, rgb: NDArray[np.uint8], focal_px: float) -> NDArray[np.float32]:
        """Return the metric depth of one image.

        :param rgb: uint8 ``[H, W, 3]``.
        :param focal_px: focal length at the image's own size [pixels].
        :returns: metres along Z, float32 ``[H, W]``, finite and positive.
        :raises ValueError: for an array of another shape or type, or an impossible focal length.
        """
        return self.estimate_batch([rgb], [focal_px])[0]

    @torch.inference_mode()
    def estimate_batch(
        self, images: Sequence[NDArray[np.uint8]], focal_px: Sequence[float]
    ) -> list[NDArray[np.float32]]:
        """Return the metric depth of several images, of one camera or of many.

        Images that come to the same size at the network's input go through it as one batch.

        :param images: uint8 ``[H, W, 3]`` each, of any sizes.
        :param focal_px: their focal lengths at their own sizes [pixels].
        :returns: as :meth:`estimate` for each, in the same order.
        :raises ValueError: for arrays of another shape or type, an impossible focal length, or
            another number of focal lengths than of images.
        """
        if len(images) != len(focal_px):
            raise ValueError(
                f'got {len(images)} images and {len(focal_px)} focal lengths, expected one of '
                'each per camera'
            )
        for rgb, focal in zip(images, focal_px):
            _check_image(rgb, focal)
        groups: dict[tuple[int, int], list[int]] = {}
        for i, rgb in enumerate(images):
            groups.setdefault(self.input_size(*rgb.shape[:2]), []).append(i)
        depths: dict[int, NDArray[np.float32]] = {}
        for size, group in groups.items():
            batch = self._predict([images[i] for i in group], [focal_px[i] for i in group], size)
            depths |= zip(group, batch)
        return [depths[i] for i in range(len(images))]

    def _torch_precision(self, name: str) -> str:
        """Return what PyTorch computes in: depthwise convolutions are slower in bf16 on a CPU."""
        if name == 'auto' and self.device.type == 'cpu' and is_convolutional(self._model):
            return 'fp32'
        return torch_precision(name, self.device)

    def _compiled(self, backend: str, precision: str) -> EngineSet | None:
        """Return the engines of a backend; None for PyTorch.

        :raises ValueError: for a backend asked for by name that does not serve.
        """
        size = self.input_size(*_USUAL_IMAGE)
        if backend == 'torch':
            return None
        if backend != 'auto':
            _check_precision(precision)
            engines = EngineSet(self._model, make_compiler(backend, precision, self.device))
            engines.prepare(size)
            return engines
        # Exporting takes longer than a robot should wait unasked; loading what was made does not.
        # Importing OpenVINO takes time, too.
        if self.device.type != 'cpu' or not has_engines() or find_spec('openvino') is None:
            return None
        torch_precision(precision, self.device)
        try:
            wanted = self._torch_precision(precision)
            compiler = make_compiler('openvino', wanted, self.device)
            engines = EngineSet(
                self._model,
                compiler,
                # Shared by all sizes that were not compiled: it takes any.
                fallback=cache(lambda: TorchEngine(self._model, compiler.precision)),
            )
            if not engines.is_cached(size) or isinstance(engines.prepare(size), TorchEngine):
                return None
        except Exception as error:  # a library's own, of any kind
            _logger.warning('backend openvino does not serve, torch does: %s', error)
            return None
        return engines

    def _predict(
        self, images: list[NDArray[np.uint8]], focal_px: list[float], size: tuple[int, int]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the depth of images, by one pass through the network at that input size."""
        pixels = torch.cat([self._resize(rgb, size) for rgb in images])  # [B, 3, h, w]
        # Rounding to patches may stretch a little; the geometric mean is exact to first order.
        scales = [math.sqrt(math.prod(size) / math.prod(rgb.shape[:2])) for rgb in images]
        focals = torch.tensor([f * s for f, s in zip(focal_px, scales)], device=self.device)
        self._end_stage('preprocess')
        depths = self._engine(pixels / 255.0, focals)  # [B, 1, h, w]
        self._end_stage('inference')
        for rgb, depth in zip(images, depths):
            resized = nn.functional.interpolate(depth[None], rgb.shape[:2], mode='bilinear')
            yield resized[0, 0].cpu().numpy()

    def _end_stage(self, name: str) -> None:
        if self.on_stage is not None:
            if self.device.type == 'cuda':
                torch.cuda.synchronize(self.device)
            self.on_stage(name)

    def _resize(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """Return an image at the network's input size, on its device, ``[1, 3, h, w]``."""
        image = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.device)
        return nn.functional.interpolate(
            image.permute(2, 0, 1)[None].float(),
            size,
            mode='bilinear',
            antialias=True,
            align_corners=False,
        )


def _check_image(rgb: NDArray[np.uint8], focal_px: float) -> None:
    """Refuse what is no image, and what is no focal length.

    :raises ValueError: for either.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(
            f'got an image of shape {rgb.shape} and type {rgb.dtype}, expected uint8 '
            '[H, W, 3] in RGB order'
        )
    if not (math.isfinite(focal_px) and focal_px > 0):
        raise ValueError(
            f'got a focal length of {focal_px}, expected positive pixels; calibrate the camera'
        )


def _resolve_device(name: str) -> torch.device:
    """Return the device of that name, after making sure that it is there."""
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        if device.type not in _DEVICE_TYPES:
            raise RuntimeError('no depth runs there')
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition('\n')[0]
        raise ValueError(
            f'got device {name!r}, which this machine does not have ({reason}); expected auto, '
            'cpu, cuda, cuda:N or mps'
        ) from error
    return device


def _check_precision(name: str) -> None:
    if name not in PRECISIONS:
        raise ValueError(f'got precision {name!r}, expected one of {", ".join(PRECISIONS)}')


def torch_precision(name: str, device: torch.device) -> str:
    """Return the precision that PyTorch computes in.

    :param name: one of :data:`PRECISIONS`.
    :raises ValueError: for another, or one that it does not compute in on that device.
    """
    _check_precision(name)
    if name == 'fp16' and device.type == 'cpu':
        raise ValueError('got precision fp16 on a CPU, expected fp32 or bf16 there')
    if name == 'int8':
        raise ValueError(
            'got precision int8 without a backend that computes in it, expected fp32 or bf16; set '
            'backend onnxruntime'
        )
    if name != 'auto':
        return name
    if device.type == 'cuda':
        # Of that very device; is_bf16_supported() looks at the current one and counts emulation.
        return 'bf16' if torch.cuda.get_device_capability(device) >= (8, 0) else 'fp16'
    if device.type == 'cpu' and _cpu_has_bf16():
        return 'bf16'
    return 'fp32'


def _cpu_has_bf16() -> bool:
    """Tell whether the CPU multiplies bf16 natively; elsewhere autocast only costs time."""
    checks = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    return any(getattr(torch.cpu, check, bool)() for check in checks)  # bool() is False
