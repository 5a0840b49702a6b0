"""What learns, laid out for a CPU, computes the same."""

from __future__ import annotations

import torch
from torch import nn

from mirror_depth_ros.training.cpu_layout import suit_cpu


def test_learning_convolutions_suit_a_cpu() -> None:
    learning = nn.Sequential(
        nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 2, 1)
    )
    images = torch.randn(2, 4, 7, 9)
    expected = learning(images)
    frozen = nn.Conv2d(4, 4, 3, groups=4).requires_grad_(False)
    suit_cpu(nn.ModuleList([learning, frozen]))
    torch.testing.assert_close(learning(images), expected)
    assert learning[0].weight.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast('cpu', torch.bfloat16):
        assert learning[:2](images).dtype == torch.float32
        assert learning(images).dtype == torch.bfloat16
        assert frozen(images).dtype == torch.bfloat16
