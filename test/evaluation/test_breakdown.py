"""Errors by distance and place, against sums made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mirror_depth_ros.evaluation.breakdown import GRID, Breakdown

NAN = np.nan


@pytest.fixture
def halves() -> Breakdown:
    """A picture of 6 x 12: 1.5 m on its left, twice too far; 3 m on its right, right."""
    truth = np.full((6, 12), 1.5, np.float32)
    truth[:, 6:] = 3.0
    breakdown = Breakdown()
    breakdown.add(np.full((6, 12), 3.0, np.float32), truth, max_depth=10.0)
    return breakdown


def figures(part: Any) -> tuple[float, ...]:
    return part.fraction, part.abs_rel, part.bias, part.delta1


def test_bands_end_at_twice_where_they_begin(halves: Breakdown) -> None:
    near, far = halves.bands()
    assert (near.name, far.name) == ('1 to 2 m', '2 to 4 m')
    assert figures(near) == pytest.approx((0.5, 1.0, 1.0, 0.0))
    assert figures(far) == pytest.approx((0.5, 0.0, 0.0, 1.0))


def test_the_first_and_the_last_band_have_one_end() -> None:
    truth = np.array([[0.1, 0.2, 0.3, 600.0]], np.float32)
    breakdown = Breakdown()
    breakdown.add(truth, truth, max_depth=1000.0)
    names = [part.name for part in breakdown.bands()]
    assert names == ['up to 0.25 m', '0.25 to 0.5 m', 'from 256 m']


def test_places_are_ninths_of_the_picture(halves: Breakdown) -> None:
    places = {part.name: part for part in halves.places()}
    assert len(places) == 9
    assert figures(places['top left']) == pytest.approx((1 / 9, 1.0, 1.0, 0.0))
    assert figures(places['bottom right']) == pytest.approx((1 / 9, 0.0, 0.0, 1.0))
    # Half of it is twice too far: by the mean of the logarithms, sqrt(2) - 1.
    assert figures(places['middle centre']) == pytest.approx((1 / 9, 0.5, math.sqrt(2) - 1, 0.5))


def test_bias_knows_its_sign_and_pixels_are_added_over_pictures() -> None:
    breakdown, truth = Breakdown(), np.full((4, 5), 2.5, np.float32)
    breakdown.add(0.8 * truth, truth, max_depth=10.0)
    breakdown.add(np.full_like(truth, NAN), np.where(np.eye(4, 5) > 0, 5.0, NAN), max_depth=10.0)
    near, far = breakdown.bands()
    assert figures(near) == pytest.approx((20 / 24, 0.2, -0.2, 0.0), abs=1e-6)
    # No prediction counts as the smallest depth, as in all metrics.
    assert far.abs_rel == pytest.approx(1 - 1e-3 / 5)


def test_what_does_not_count_is_left_out() -> None:
    truth = np.full((4, 6), 2.5, np.float32)
    truth[0] = 20.0
    mask = np.zeros((4, 6), bool)
    mask[:2, :3] = True
    breakdown = Breakdown()
    breakdown.add(truth, truth, max_depth=10.0, mask=mask)
    (band,) = breakdown.bands()
    assert band.name == '2 to 4 m'
    # Row 1 of 4 lies in the second quarter of the grid's rows: of its thirds, in the first.
    assert [part.name for part in breakdown.places()] == ['top left', 'top centre']


def test_the_picture_shows_bias_and_error_and_black_where_nothing_is_known() -> None:
    truth = np.full((24, 30), 2.0, np.float32)
    truth[:, 15:] = NAN
    prediction = np.where(np.arange(24)[:, None] < 12, 4.0, 1.0) * np.ones((24, 30))
    breakdown = Breakdown()
    breakdown.add(prediction, truth, max_depth=10.0)
    picture = breakdown.picture()
    rows, columns = 20 * GRID[0], 20 * GRID[1]
    bias = picture[-rows:, :columns]
    assert tuple(bias[5, 5]) == (200, 40, 30)  # twice too far
    assert tuple(bias[-5, 5]) == (30, 70, 200)  # half
    assert tuple(bias[5, -5]) == (0, 0, 0)
    assert picture.shape[1] == 2 * columns + 4
