"""The optimiser's groups, the course of its learning rate, and the average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mirror_depth_ros.training.schedule import adamw_warmup_cosine, warmed_up_average


def test_weight_decay_spares_vectors_and_the_frozen_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    model[2].requires_grad_(False)
    parts = adamw_warmup_cosine(model.parameters(), lr=0.1, weight_decay=0.3, total_steps=40)
    matrices, vectors = parts['optimizer'].param_groups
    assert [weight.shape for weight in matrices['params']] == [(5, 3)]
    assert [weight.shape for weight in vectors['params']] == [(5,), (5,), (5,)]
    assert (matrices['weight_decay'], vectors['weight_decay']) == (0.3, 0.0)


def test_the_learning_rate_rises_and_falls() -> None:
    weight = nn.Parameter(torch.ones(2, 3))
    parts = adamw_warmup_cosine([weight], lr=0.1, weight_decay=0.0, total_steps=60)
    optimizer, scheduler = parts['optimizer'], parts['lr_scheduler']['scheduler']
    rates = [optimizer.param_groups[0]['lr']]
    for _ in range(59):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]['lr'])
    # The third of the first 5 %, 0.05 * 60 = 3, has the highest; it begins with a 25th.
    assert rates[:3] == pytest.approx([0.004, 0.052, 0.1])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 1e-5


def test_the_average_forgets_the_start_and_reaches_far_later() -> None:
    averaged, current = torch.tensor([4.0]), torch.tensor([8.0])
    # After no step (1 + 0) / (10 + 0) of the average is kept, after 90 steps 91 / 100.
    assert warmed_up_average(averaged, current, 0).item() == pytest.approx(0.1 * 4 + 0.9 * 8)
    average = warmed_up_average(averaged, current, torch.tensor(90)).item()
    assert average == pytest.approx(0.91 * 4 + 0.09 * 8)
    average = warmed_up_average(averaged, current, 10**6).item()
    assert average == pytest.approx(0.999 * 4 + 0.001 * 8)
