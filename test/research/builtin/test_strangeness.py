"""How well strangeness tells pictures apart, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('embreex', reason='only the laboratory needs it: pip install embreex trimesh')
pytest.importorskip('trimesh', reason='only the laboratory needs it: pip install embreex trimesh')

from research.builtin.strangeness import separation, spread


def test_separation_counts_pairs_in_order() -> None:
    # Of the six pairs, (0.5, 0.9) and so on, all but (1.2, 0.9) are in order.
    figures = separation([0.5, 1.2], [0.9, 1.5, 3.0])
    assert figures['auroc'] == pytest.approx(5 / 6)
    assert (figures['like'], figures['unlike']) == (2, 3)
    assert figures['like_above_limit'] == 0.5
    assert figures['unlike_above_limit'] == pytest.approx(2 / 3)


def test_spread_is_median_and_fraction_above_the_limit() -> None:
    expected = {'pictures': 4, 'median': 1.05, 'above_limit': 0.5}
    assert spread(np.array([0.5, 0.9, 1.2, 4.0])) == pytest.approx(expected)
