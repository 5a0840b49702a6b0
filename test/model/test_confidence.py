"""What the second number means, by hand and against a Laplace distribution drawn at random."""

from __future__ import annotations

import math

import pytest
import torch

from mirror_depth_ros.model.confidence import confidence_of, laplace_scale


def test_confidence_by_hand() -> None:
    # b = ln 1.25: 1 - 1/e. b = ln 1.25 / ln 2: a half. b = 0.1: 1 - exp(-0.22314 / 0.1).
    scales = torch.tensor([[0.22314, 0.32193, 0.1]])
    expected = torch.tensor([[0.63212, 0.5, 0.89264]])
    torch.testing.assert_close(confidence_of(scales.log()), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(laplace_scale(scales.log()), scales)


def test_it_is_the_delta1_of_errors_of_that_distribution() -> None:
    torch.manual_seed(3)
    for scale in (0.05, 0.3, 1.2):
        log_errors = torch.distributions.Laplace(0.0, scale).sample((200_000,))
        depth, truth = log_errors.exp(), torch.ones(200_000)
        delta1 = (torch.maximum(depth / truth, truth / depth) < 1.25).float().mean()
        sure = confidence_of(torch.tensor(scale).log())
        assert float(sure) == pytest.approx(float(delta1), abs=0.005)
        assert float(log_errors.abs().mean()) == pytest.approx(scale, rel=0.01)


def test_no_pixel_is_believed_beyond_reason() -> None:
    extremes = torch.tensor([-80.0, 80.0])
    torch.testing.assert_close(laplace_scale(extremes), torch.tensor([-5.0, 2.0]).exp())
    # 1 - exp(-ln 1.25 * e^5) and 1 - exp(-ln 1.25 * e^-2)
    least = 1 - math.exp(-math.log(1.25) * math.exp(-2))
    torch.testing.assert_close(confidence_of(extremes), torch.tensor([1.0, least]))
