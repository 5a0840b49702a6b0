"""What this machine's processor computes in by itself."""

from __future__ import annotations

import torch


def has_native_bf16() -> bool:
    """Tell whether the CPU multiplies bf16; where it does not, PyTorch emulates it, slowly."""
    checks = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    return any(getattr(torch.cpu, check, bool)() for check in checks)  # bool() is False
