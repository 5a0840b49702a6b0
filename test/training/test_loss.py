"""SILog against its formula, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mirror_depth_ros.training.loss import LOSSES, log_l1_loss, relative_loss, silog_loss


def test_hand_computed_value() -> None:
    prediction = torch.tensor([[2.0, 4.0, 9.0]])
    truth = torch.tensor([[1.0, 4.0, 0.0]])
    valid = torch.tensor([[True, True, False]])
    # d = ln 2, 0: mean d^2 = ln(2)^2 / 2, mean d = ln(2) / 2
    expected = 10 * math.sqrt(math.log(2) ** 2 / 2 - 0.85 * math.log(2) ** 2 / 4)
    assert silog_loss(prediction, truth, valid).item() == pytest.approx(expected, rel=1e-5)


def test_a_common_factor_costs_little() -> None:
    truth = torch.rand(3, 5) + 1
    valid = torch.ones(3, 5, dtype=torch.bool)
    # d is constant: alpha sqrt((1 - 0.85) d^2)
    expected = 10 * math.sqrt(0.15) * math.log(3)
    assert silog_loss(3 * truth, truth, valid).item() == pytest.approx(expected, rel=1e-4)


def test_gradient_of_a_perfect_prediction_is_finite() -> None:
    prediction = torch.full((2, 3), 2.0, requires_grad=True)
    silog_loss(prediction, torch.full((2, 3), 2.0), torch.ones(2, 3, dtype=torch.bool)).backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


def test_log_l1_and_relative_by_hand() -> None:
    prediction = torch.tensor([[2.0, 4.0, 9.0]])
    truth = torch.tensor([[1.0, 8.0, 0.0]])
    valid = torch.tensor([[True, True, False]])
    # |ln 2| and |-ln 2|
    assert log_l1_loss(prediction, truth, valid).item() == pytest.approx(math.log(2), rel=1e-6)
    # |2 - 1| / 1 and |4 - 8| / 8
    assert relative_loss(prediction, truth, valid).item() == pytest.approx(0.75, rel=1e-6)


@pytest.mark.parametrize('name', LOSSES)
def test_nothing_valid(name: str) -> None:
    ones = torch.ones(2, 3)
    with pytest.raises(ValueError, match='got a batch without valid depth'):
        LOSSES[name](ones, ones, torch.zeros(2, 3, dtype=torch.bool))
