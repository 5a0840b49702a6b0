from __future__ import annotations

import math

import numpy as np
import pytest

from mirror_depth_ros.depth.metrics import METRIC_NAMES, depth_metrics, mean_metrics

# One row has no truth at all (0, NaN, infinity), one pixel lies beyond the cap of 10 m.
TRUTH = np.array([[1.0, 2.0, 4.0], [0.0, math.nan, math.inf], [5.0, 10.0, 80.0]], np.float32)


def test_all_metrics_by_hand():
    prediction = np.array([[1.2, 1.0, 4.0], [7.0, 7.0, 7.0], [8.0, 7.0, 7.0]], np.float32)
    got = depth_metrics(prediction, TRUTH, max_depth=10.0)
    # Valid: (p, g) = (1.2, 1), (1, 2), (4, 4), (8, 5); d = ln(1.2), -ln(2), 0, ln(1.6).
    d = [math.log(1.2), -math.log(2), 0.0, math.log(1.6)]
    mean, mean_square = sum(d) / 4, sum(x * x for x in d) / 4
    assert got == pytest.approx(
        {
            'abs_rel': (0.2 + 0.5 + 0.0 + 0.6) / 4,
            'sq_rel': (0.04 + 0.5 + 0.0 + 1.8) / 4,
            'rmse': math.sqrt((0.04 + 1.0 + 0.0 + 9.0) / 4),
            'rmse_log': math.sqrt(mean_square),
            'log10': (0.0791812 + 0.3010300 + 0.0 + 0.2041200) / 4,
            'silog': 100 * math.sqrt(mean_square - mean**2),
            'delta1': 2 / 4,  # ratios 1.2, 2, 1, 1.6 against 1.25, 1.5625, 1.953125
            'delta2': 2 / 4,
            'delta3': 3 / 4,
        },
        rel=1e-5,
    )
    assert tuple(got) == METRIC_NAMES


def test_predictions_are_clamped_before_they_count():
    truth = np.full((1, 3), 5.0)
    prediction = np.array([[math.inf, math.nan, -3.0]])
    got = depth_metrics(prediction, truth, max_depth=10.0, min_depth=0.5)
    # inf -> 10, NaN -> 0.5, -3 -> 0.5
    assert got['abs_rel'] == pytest.approx((1.0 + 0.9 + 0.9) / 3)
    assert got['rmse'] == pytest.approx(math.sqrt((25 + 2 * 4.5**2) / 3))


def test_negative_infinity_is_clamped_too():
    got = depth_metrics(np.array([[-math.inf]]), np.array([[5.0]]), max_depth=10.0, min_depth=0.5)
    assert got['abs_rel'] == pytest.approx(0.9)


def test_a_mask_restricts_and_is_left_as_it_was():
    prediction = np.array([[2.0, 2.0, 2.0], [1.0] * 3, [1.0] * 3])
    mask = np.array([[False, True, True], [True] * 3, [False] * 3])
    before = mask.copy()
    got = depth_metrics(prediction, TRUTH, max_depth=10.0, mask=mask)
    assert got['abs_rel'] == pytest.approx((0.0 + 0.5) / 2)
    np.testing.assert_array_equal(mask, before)


def test_median_scaling_removes_a_scale():
    truth = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
    got = depth_metrics(truth / 3, truth, max_depth=10.0, median_scaling=True)
    assert got['abs_rel'] == pytest.approx(0.0, abs=1e-12)
    assert got['delta1'] == 1.0


def test_silog_ignores_a_scale_that_the_others_see():
    truth = np.array([[1.0, 2.0, 3.0, 4.0]])
    got = depth_metrics(1.5 * truth, truth, max_depth=10.0)
    assert got['silog'] == pytest.approx(0.0, abs=1e-6)
    assert got['abs_rel'] == pytest.approx(0.5)


def test_each_image_counts_the_same():
    one = dict.fromkeys(METRIC_NAMES, 1.0)
    four = dict.fromkeys(METRIC_NAMES, 4.0)
    assert mean_metrics(iter([one, one, four])) == dict.fromkeys(METRIC_NAMES, 2.0)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r'shape \(3, 5\), expected \(5, 3\)'):
        depth_metrics(np.ones((3, 5)), np.ones((5, 3)), max_depth=10.0)
    truth = np.array([[900.0, 0.0, 5000.0], [np.nan, np.inf, 1200.0]])
    for wrong, extent in ((truth, '900 to 5000 m'), (np.zeros((2, 3)), 'no depth at all')):
        message = f'no pixel with 0.001 < truth < 10.0 m where it counts, in a truth of {extent}, '
        with pytest.raises(ValueError, match=f'{message}expected at least one; check the unit'):
            depth_metrics(np.ones((2, 3)), wrong, max_depth=10.0)
    with pytest.raises(ValueError, match='got no images'):
        mean_metrics([])
