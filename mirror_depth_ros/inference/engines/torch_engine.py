"""The network by PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mirror_depth_ros.inference.engines.backend import check_precision
from mirror_depth_ros.model.clip import SelfAttention
from mirror_depth_ros.model.conv_encoder import FrozenConvEncoder
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.mirror_depth import MirrorDepth
from mirror_depth_ros.model.processor import has_native_bf16

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}

# Whose weights autocast casts on each call, unless they have its type already.
_PRODUCTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, SelfAttention, nn.MultiheadAttention)


class TorchEngine:
    """A folded network on a device, in a precision; any input size."""

    #: As in :data:`~mirror_depth_ros.inference.engines.backend.BACKENDS`.
    backend = 'torch'

    def __init__(self, network: DepthNetwork, precision: str) -> None:
        """Take over a network.

        :param precision: ``fp32``, ``bf16`` or ``fp16``; in the latter two the network's products
            keep their weights in it from now on: half the memory, and autocast would convert them
            all for every image.
        """
        self._network = network
        #: What it computes in.
        self.precision = precision
        self._device = next(network.parameters()).device
        self._dtype = DTYPES[precision]
        # Convolutions have their fastest kernels for this layout, of half precision on a GPU and
        # of fp32 on a CPU.
        is_faster = self._device.type == 'cuda' or is_convolutional(network)
        self._format = torch.channels_last if is_faster else torch.contiguous_format
        network.requires_grad_(False)
        if self._dtype != torch.float32:
            _hold_products(network.image_encoder, self._dtype)
            if isinstance(network, MirrorDepth):  # others decode in fp32, whatever the precision
                _hold_products(network.decoder, self._dtype)
        network.to(memory_format=self._format)  # type: ignore[call-overload]

    def compute(self, names: Sequence[str], images: Tensor, focal_px: Tensor) -> list[Tensor]:
        """Return what is asked for, see :class:`.Engine`."""
        images = images.contiguous(memory_format=self._format)
        is_reduced = self._dtype != torch.float32
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=is_reduced):
            return [part.float() for part in self._network.compute(names, images, focal_px)]


def is_convolutional(network: DepthNetwork) -> bool:
    """Say whether a network stands on a convolutional image tower."""
    return isinstance(network.image_encoder, FrozenConvEncoder)


def torch_precision(name: str, device: torch.device) -> str:
    """Return the precision that PyTorch computes in.

    :param name: one of :data:`~mirror_depth_ros.inference.engines.backend.PRECISIONS`.
    :raises ValueError: for another, or one that it does not compute in on that device.
    """
    check_precision(name)
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
    return 'bf16' if device.type == 'cpu' and has_native_bf16() else 'fp32'


def _hold_products(network: nn.Module, dtype: torch.dtype) -> None:
    """Keep the weights of matrix products and convolutions in a type; norms stay as they are."""
    for module in network.modules():
        if isinstance(module, _PRODUCTS):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
