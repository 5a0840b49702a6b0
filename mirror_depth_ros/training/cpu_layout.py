"""How what learns lies in memory, where a CPU trains it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def suit_cpu(model: nn.Module) -> None:
    """Lay out a model's learning convolutions as CPUs compute them fastest, in place.

    In channels-last order, and depthwise ones in fp32: in bf16 their gradients take four times as
    long. A step of the built-in model then takes 0.33 s in place of 0.74 s (16 pictures of 192 x
    256 on two cores with AMX).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            module.to(memory_format=torch.channels_last)
            if module.groups > 1:
                module.__class__ = _Fp32Conv2d


class _Fp32Conv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())
