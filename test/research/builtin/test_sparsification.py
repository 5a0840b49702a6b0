"""What is left when the least sure pixels are left out."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('matplotlib', reason="needs pip install '.[research]'")

from research.builtin.sparsification import FRACTIONS, mean_curves, picture_curves, table


def curves(scale: np.ndarray) -> dict:
    truth = np.full((10, 20), 2.0, np.float32)
    truth[0] = np.nan
    depth = truth * np.linspace(1.0, 1.19, 20, dtype=np.float32)  # errors of 0 to 0.19
    return picture_curves(depth, np.broadcast_to(scale, (10, 20)).astype(np.float32), truth, 10.0)


def test_a_model_that_knows_its_errors_is_the_oracle() -> None:
    known = curves(np.arange(20.0))
    np.testing.assert_allclose(known['sure'], known['oracle'], rtol=1e-4)
    assert known['sure'][0] == pytest.approx(0.095, abs=1e-4)  # the mean of 0, 0.01 ... 0.19
    half = int(np.argmin(np.abs(FRACTIONS - 0.5)))
    assert known['sure'][half] == pytest.approx(0.045, abs=1e-3)  # that of 0 ... 0.09
    figures = mean_curves([known])
    assert figures['ause'] == pytest.approx(0.0, abs=1e-4)
    assert '| desk | 0.095 | 0.045 | 0.045 | 0.000 |' in table({'desk': figures})


def test_a_model_that_is_sure_of_its_worst() -> None:
    wrong = curves(-np.arange(20.0))
    assert wrong['sure'][-1] == pytest.approx(0.19, abs=1e-3)
    assert mean_curves([wrong, curves(np.arange(20.0))])['ause'] > 0.02


def test_what_has_no_truth_has_no_curve() -> None:
    nothing = np.full((5, 5), np.nan, np.float32)
    assert picture_curves(nothing, nothing, nothing, 10.0) is None
