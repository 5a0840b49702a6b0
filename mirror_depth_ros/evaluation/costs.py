"""What is counted rather than timed, and how fast this machine could at best be."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mirror_depth_ros.evaluation.interleaved_timing import Step, timed
from mirror_depth_ros.inference.engines.torch_engine import DTYPES
from mirror_depth_ros.inference.estimator import DepthEstimator

#: Rows and columns of the matrices that show how fast this machine multiplies.
GEMM_SIZE = 2048
#: What is copied to show how fast this machine's memory is: far more than its caches hold.
COPY_BYTES = 256 * 2**20
_POINT_BYTES = 16  # x y z rgb


def count_flops(work: Callable[[], Any]) -> int:
    """Return the floating-point operations of PyTorch's matrix products and convolutions.

    A multiplication and its addition are two. What is element by element is not counted.
    """
    # Fused attention hides its products from the counter; written out they are the same.
    had_fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            work()
    finally:
        torch.backends.mha.set_fastpath_enabled(had_fast_path)
    return int(counter.get_total_flops())


@torch.inference_mode()
def network_flops(network: nn.Module, size: tuple[int, int]) -> int:
    """Return the operations of one image through a depth network.

    :param network: in fp32 on the CPU.
    """
    images, focal_px = torch.rand(1, 3, *size), torch.tensor([300.0])
    return count_flops(lambda: network(images, focal_px))


def weight_bytes(module: nn.Module, precision: str) -> int:
    """Return the bytes of a module's weights in a precision.

    In int8 only the matrices of the image encoder's blocks are integers; the rest is fp32.
    """
    if precision in DTYPES:
        return sum(p.numel() for p in module.parameters()) * DTYPES[precision].itemsize
    return sum(
        p.numel() * (1 if name.startswith('image_encoder.blocks') and p.ndim == 2 else 4)
        for name, p in module.named_parameters()
    )


def image_bytes(height: int, width: int) -> dict[str, int]:
    """Return the bytes of what goes in and comes out for a camera's image."""
    pixels = height * width
    return {'image': 3 * pixels, 'depth': 4 * pixels, 'cloud': _POINT_BYTES * pixels}


def ceiling_steps(precision: str, device: torch.device) -> list[Step]:
    """Return the steps ``gemm`` and ``copy`` of a round; see :func:`ceilings`."""
    left = torch.rand(GEMM_SIZE, GEMM_SIZE, device=device).to(DTYPES[precision])
    product = torch.empty_like(left)
    source, target = (np.ones(COPY_BYTES, np.uint8) for _ in range(2))

    def multiply() -> None:
        torch.matmul(left, left, out=product)
        if device.type == 'cuda':
            torch.cuda.synchronize(device)

    return [timed('gemm', multiply), timed('copy', lambda: np.copyto(target, source))]


def ceilings(gemm_ms: float, copy_ms: float) -> dict[str, float]:
    """Return what one matrix product and one copy say: GFLOP/s, and GB/s read and written."""
    return {
        'gemm_gflops': 2 * GEMM_SIZE**3 / gemm_ms / 1e6,
        'copy_gb_s': 2 * COPY_BYTES / copy_ms / 1e6,
    }


def describe_machine(estimator: DepthEstimator) -> dict[str, Any]:
    """Return what the figures belong to, and nothing that tells whose machine it is."""
    device = estimator.device
    return {
        'cpu': _cpu_name(),
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1,
        'threads': torch.get_num_threads(),
        'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type,
        'python': platform.python_version(),
        'torch': torch.__version__,
        'precision': estimator.precision,
        'backend': estimator.backend,
    }


def _cpu_name() -> str:
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(':')[2].strip() for line in text.splitlines() if 'model name' in line]
    return names[0] if names else platform.machine()
