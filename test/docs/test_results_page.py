"""Tables come from the measurements' files, and the page in the repository is up to date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from research.pages.results_page import with_tables

PAGE = 'Before.\n<!-- table {} -->\nold\n<!-- end -->\nAfter.\n'


def write(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def result(abs_rel: float) -> dict[str, object]:
    return {
        'metric': {'abs_rel': abs_rel, 'rmse': 0.5, 'delta1': 0.9},
        'median_scaled': {'abs_rel': abs_rel / 2},
    }


def test_accuracy_is_compared_with_the_built_in_model(tmp_path: Path) -> None:
    write(tmp_path / 'accuracy/builtin_indoor.json', result(0.1))
    write(tmp_path / 'accuracy/mean_indoor.json', result(0.42))
    page = with_tables(PAGE.format('accuracy'), tmp_path)
    assert page.startswith('Before.\n<!-- table accuracy -->\n|  | rooms: Abs Rel |')
    assert '| **first model** | 0.100 | 0.500 | 0.900 | 0.050 | 1.00 |' in page
    assert '| mean depth map | 0.420 | 0.500 | 0.900 | 0.210 | 4.20 |' in page
    assert 'old' not in page
    assert page.endswith('<!-- end -->\nAfter.\n')
    assert with_tables(page, tmp_path) == page


def test_photographs_are_told_by_recording(tmp_path: Path) -> None:
    write(tmp_path / 'photographs/builtin_desk.json', {**result(1.2), 'images': 5})
    write(tmp_path / 'photographs/mean_desk.json', {**result(1.4), 'images': 5})
    write(tmp_path / 'photographs/builtin_bins.json', {**result(0.8), 'images': 3})
    page = with_tables(PAGE.format('photographs'), tmp_path)
    assert (
        '| bins | 3 | 0.800 | 0.400 |  |  |\n| desk | 5 | 1.200 | 0.600 | 1.400 | 0.700 |' in page
    )


def test_ablations_are_means_over_seeds(tmp_path: Path) -> None:
    trainings = [
        {'variant': 'a', 'parameters': 1234, 'indoor/abs_rel': a, 'outdoor/abs_rel': 0.4}
        for a in (0.1, 0.3)
    ]
    write(tmp_path / 'ablations.json', {'trainings': trainings})
    page = with_tables(PAGE.format('ablations'), tmp_path)
    assert '| a | 2 | 1,234 | 0.2000 ± 0.1414 | 0.4000 ± 0.0000 |' in page


def test_convergence_is_told_by_what_is_there(tmp_path: Path) -> None:
    abs_rel = {'0.01': {'indoor': 0.3, 'outdoor': 0.4}, 'final': {'indoor': 0.2, 'outdoor': 0.1}}
    change = {'0.01': {'wall': 0.05, 'person': 0.25}, 'final': {'wall': 0.0, 'person': 0.0}}
    write(tmp_path / 'convergence.json', {'abs_rel': abs_rel, 'change': change})
    page = with_tables(PAGE.format('convergence'), tmp_path)
    assert '| mirror at | 1 % | final |' in page
    assert '| roads: Abs Rel | 0.4000 | 0.1000 |' in page
    assert '| change: person | 0.2500 | 0.0000 |\n| change: wall | 0.0500 | 0.0000 |' in page


def test_an_unknown_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got a table 'beauty', expected one of accuracy"):
        with_tables(PAGE.format('beauty'), tmp_path)


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parents[1] / 'docs' / 'results.md'
    assert with_tables(page.read_text(), page.with_suffix('')) == page.read_text()
