"""What is out of range, in each of the ways to say it."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.depth.depth_range import OUT_OF_RANGE, apply_range

NAN, INF = np.nan, np.inf
DEPTH = np.array([[0.2, 0.5, 8.0, 8.1, NAN, INF, -INF]], np.float32)


@pytest.mark.parametrize(
    ('out_of_range', 'expected'),
    [
        ('inf', [-INF, 0.5, 8.0, INF, NAN, INF, -INF]),  # REP-117
        ('nan', [NAN, 0.5, 8.0, NAN, NAN, NAN, NAN]),
        ('clamp', [0.5, 0.5, 8.0, 8.0, NAN, 8.0, 0.5]),
    ],
)
def test_each_way_to_say_out_of_range(out_of_range: str, expected: list[float]) -> None:
    before = DEPTH.copy()
    ranged = apply_range(DEPTH, min_range=0.5, max_range=8.0, out_of_range=out_of_range)
    np.testing.assert_array_equal(ranged, np.array([expected], np.float32))
    assert ranged.dtype == np.float32
    np.testing.assert_array_equal(DEPTH, before)


def test_rep_117_is_the_default() -> None:
    ranged = apply_range(DEPTH, min_range=0.5, max_range=8.0)
    np.testing.assert_array_equal(
        ranged, apply_range(DEPTH, min_range=0.5, max_range=8.0, out_of_range='inf')
    )
    assert OUT_OF_RANGE[0] == 'inf'


def test_depth_that_is_in_range_is_a_copy_too() -> None:
    depth = np.full((3, 5), 2.0, np.float32)
    for out_of_range in OUT_OF_RANGE:
        ranged = apply_range(depth, min_range=0.5, max_range=8.0, out_of_range=out_of_range)
        assert not np.shares_memory(ranged, depth)
        np.testing.assert_array_equal(ranged, depth)


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="got out_of_range 'zero', expected one of inf, nan, cla"):
        apply_range(DEPTH, min_range=0.5, max_range=8.0, out_of_range='zero')
