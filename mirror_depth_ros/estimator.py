"""RGB array in, metric depth out: the one door between arrays and the network."""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mirror_depth_ros.model.checkpoint import load_checkpoint
from mirror_depth_ros.model.depth_network import DepthNetwork

_DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
PRECISIONS = ('auto', *_DTYPES)
_DEVICE_TYPES = ('cpu', 'cuda', 'mps')


class DepthEstimator:
    """A loaded depth model on a device. One thread at a time may use it."""

    def __init__(
        self, model: DepthNetwork, *, device: str = 'auto', precision: str = 'auto'
    ) -> None:
        """Fold a network and put it on a device.

        :raises ValueError: for a device this machine lacks or a precision the device lacks.
        """
        self.device = _resolve_device(device)
        self.precision = _resolve_precision(precision, self.device)
        self.model_name = model.config.clip
        self._model = model.fold().to(self.device).eval()
        self._dtype = _DTYPES[self.precision]
        self._input_share = 1.0

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = 'builtin',
        *,
        device: str = 'auto',
        precision: str = 'auto',
        clip_weights: str | None = None,
    ) -> DepthEstimator:
        """Load a depth model.

        :param model: ``builtin``, ``clip2depth`` or the path of a checkpoint.
        :param device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        :param precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; ``auto`` takes the fastest that
            the device computes natively.
        :param clip_weights: where this machine has the CLIP weights (tag or file), if elsewhere
            than where the model was trained; None for a CLIP that brings its own.
        :raises FileNotFoundError: if there is no such model.
        :raises ValueError: for a damaged model, an unknown device or precision.
        """
        # Device and precision first: a typing error there should not cost a model's loading.
        resolved = _resolve_device(device)
        _resolve_precision(precision, resolved)
        network = load_checkpoint(model, clip_weights=clip_weights)
        estimator = cls(network, device=str(resolved), precision=precision)
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

    @torch.inference_mode()
    def estimate(self, rgb: NDArray[np.uint8], focal_px: float) -> NDArray[np.float32]:
        """Return the metric depth of one image.

        :param rgb: uint8 ``[H, W, 3]``.
        :param focal_px: focal length at the image's own size [pixels].
        :returns: metres along Z, float32 ``[H, W]``, finite and positive.
        :raises ValueError: for an array of another shape or type, or an impossible focal length.
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
        height, width = rgb.shape[:2]
        image = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.device)
        depth = self._predict(image.permute(2, 0, 1)[None], focal_px)
        depth = nn.functional.interpolate(depth, (height, width), mode='bilinear')
        return depth[0, 0].cpu().numpy()

    def _predict(self, image: Tensor, focal_px: float) -> Tensor:
        """Return depth at the network's input size, ``[1, 1, h, w]``."""
        height, width = image.shape[-2:]
        size = self.input_size(height, width)
        image = nn.functional.interpolate(
            image.float(), size, mode='bilinear', antialias=True, align_corners=False
        )
        # Rounding to patches may stretch a little; the geometric mean is exact to first order.
        focal = focal_px * math.sqrt(size[0] * size[1] / (height * width))
        with torch.autocast(
            self.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32
        ):
            return self._model(image / 255.0, torch.tensor([focal], device=self.device)).float()


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


def _resolve_precision(name: str, device: torch.device) -> str:
    """Return the precision to compute in."""
    if name not in PRECISIONS:
        raise ValueError(f'got precision {name!r}, expected one of {", ".join(PRECISIONS)}')
    if name == 'fp16' and device.type == 'cpu':
        raise ValueError('got precision fp16 on a CPU, expected fp32 or bf16 there')
    if name != 'auto':
        return name
    if device.type == 'cuda':
        return 'bf16' if torch.cuda.is_bf16_supported() else 'fp16'
    if device.type == 'cpu' and _cpu_has_bf16():
        return 'bf16'
    return 'fp32'


def _cpu_has_bf16() -> bool:
    """Tell whether the CPU multiplies bf16 natively; elsewhere autocast only costs time."""
    checks = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    return any(getattr(torch.cpu, check, bool)() for check in checks)  # bool() is False
