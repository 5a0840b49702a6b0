"""Slopes of known laws, and the rows of a small model."""

import pytest

from mirror_depth_ros.evaluation.benchmark.subject import Subject
from research.costs import growth


def test_exponent_of_a_power_law() -> None:
    pixels = [100.0, 400.0, 900.0]
    assert growth.exponent(pixels, [0.3 * p**1.5 for p in pixels]) == pytest.approx(1.5)


def test_slope_of_a_line() -> None:
    assert growth.per_unit([1, 2, 4], [10.0, 13.0, 19.0]) == pytest.approx(3.0)


def test_rows_of_all_sizes(tiny_model, monkeypatch) -> None:
    monkeypatch.setattr(growth, 'INPUTS', (48, 96))
    monkeypatch.setattr(growth, 'CAMERAS', {'VGA': (64, 48), 'HD': (128, 72)})
    rounds = []
    subject = Subject(str(tiny_model), device='cpu', precision='fp32', backend='torch')
    result = growth.measure(subject, rounds=2, most_cameras=3, advance=lambda: rounds.append(1))
    assert len(rounds) == growth.n_rounds(2)
    assert [row['input'] for row in result['input']['rows']] == ['48 x 48', '96 x 96']
    assert [row['camera'] for row in result['camera']['rows']] == ['VGA, 64 x 48', 'HD, 128 x 72']
    assert [row['cameras'] for row in result['cameras']['rows']] == [1, 2, 3]
    for row in result['cameras']['rows']:
        assert row['ratio'] == pytest.approx(row['at_once_ms'] / row['one_by_one_ms'])
    assert set(result['cameras']['slopes']) == {'ms_per_camera'}
