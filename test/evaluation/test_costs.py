"""Operations, bytes and ceilings against what they are by hand."""

import pytest
import torch
from torch import nn

from mirror_depth_ros.evaluation import costs
from mirror_depth_ros.model.checkpoint import load_checkpoint


def test_a_multiplication_and_its_addition_are_two_operations() -> None:
    left, right = torch.ones(3, 5), torch.ones(5, 7)
    assert costs.count_flops(lambda: left @ right) == 2 * 3 * 5 * 7


def test_attention_is_counted_and_the_fast_path_is_as_before() -> None:
    q = torch.ones(1, 2, 6, 4)  # 2 heads, 6 tokens of 4
    attention = nn.functional.scaled_dot_product_attention
    assert costs.count_flops(lambda: attention(q, q, q)) == 2 * (2 * 2 * 6 * 6 * 4)
    assert torch.backends.mha.get_fastpath_enabled()


def test_twice_the_input_is_at_least_twice_the_work(tiny_model) -> None:
    network = load_checkpoint(tiny_model)
    small, large = (costs.network_flops(network, size) for size in ((48, 64), (96, 64)))
    assert small > 0
    assert large >= 2 * small


def test_bytes() -> None:
    layer = nn.Linear(3, 5)  # 15 weights and 5 biases
    assert costs.weight_bytes(layer, 'fp32') == 80
    assert costs.weight_bytes(layer, 'bf16') == 40
    # Of the encoder's blocks, matrices have one byte a weight and all else four.
    network = nn.ModuleDict({'image_encoder': nn.ModuleDict({'blocks': layer}), 'decoder': layer})
    assert costs.weight_bytes(network['image_encoder'], 'int8') == 80
    assert costs.weight_bytes(
        nn.ModuleDict({'image_encoder': network['image_encoder']}), 'int8'
    ) == (15 + 4 * 5)
    assert costs.image_bytes(480, 640) == {'image': 921600, 'depth': 1228800, 'cloud': 4915200}


def test_ceilings() -> None:
    # 2 * 2048^3 = 17.18e9 operations in 100 ms; 2 * 268 MB in 50 ms.
    found = costs.ceilings(gemm_ms=100.0, copy_ms=50.0)
    assert found['gemm_gflops'] == pytest.approx(171.8, abs=0.01)
    assert found['copy_gb_s'] == pytest.approx(10.737, abs=0.001)
