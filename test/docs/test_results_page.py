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


def figures(abs_rel: float, pictures: int) -> dict[str, float]:
    return {
        'pictures': pictures,
        'abs_rel': abs_rel,
        'delta1': 0.5,
        'scaled_abs_rel': abs_rel / 2,
        'scaled_delta1': 0.75,
    }


def test_recordings_have_a_mean_without_what_is_rendered(tmp_path: Path) -> None:
    sets = {'desk': figures(0.2, 5), 'bins': figures(0.4, 3), 'indoor': figures(0.9, 40)}
    write(tmp_path / 'photographs_builtin.json', {'sets': sets})
    page = with_tables(PAGE.format('recordings'), tmp_path)
    assert page.startswith('Before.\n<!-- table recordings -->\n|  | pictures | Abs Rel |')
    assert (
        '| desk | 5 | 0.200 | 0.500 | 0.100 | 0.750 |\n'
        '| bins | 3 | 0.400 | 0.500 | 0.200 | 0.750 |\n'
        '| **mean of the recordings** | 8 | 0.300 | 0.500 | 0.150 | 0.750 |\n'
        '| rendered rooms, unseen | 40 | 0.900 | 0.500 | 0.450 | 0.750 |\n'
    ) in page
    assert 'old' not in page
    assert page.endswith('<!-- end -->\nAfter.\n')
    assert with_tables(page, tmp_path) == page


def test_consistency_is_told_by_video(tmp_path: Path) -> None:
    video = {'name': 'room', 'temporal_disagreement': 0.1, 'spatial_away': 0.02, 'abs_rel': 0.3}
    write(tmp_path / 'consistency.json', {'per_video': [{**video, 'spatial_at_edges': None}]})
    page = with_tables(PAGE.format('consistency'), tmp_path)
    assert '| room | 0.1000 | 0.0200 |  | 0.3000 |\n' in page


def test_what_sensors_are_worth_is_told_with_what_they_refuse(tmp_path: Path) -> None:
    def row(abs_rel: float, refused: int) -> dict[str, float]:
        return {'abs_rel': abs_rel, 'refused': refused, 'pictures': 5}

    sets = {
        'desk': {'none': row(0.5, 0), 'scan': row(0.25, 1)},
        'bins': {'none': row(0.7, 0), 'scan': row(0.15, 0)},
    }
    write(tmp_path / 'sensor_scale.json', sets)
    page = with_tables(PAGE.format('sensor_scale'), tmp_path)
    assert (
        '| desk | 0.500 | 0.250 (1 of 5 refused) |\n'
        '| bins | 0.700 | 0.150 |\n'
        '| **mean** | 0.600 | 0.200 |\n'
    ) in page


def test_an_unknown_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got a table 'beauty', expected one of recordings"):
        with_tables(PAGE.format('beauty'), tmp_path)


def test_the_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / 'docs' / 'results.md'
    assert with_tables(page.read_text(), page.with_suffix('')) == page.read_text()


def test_the_readme_has_the_figures_of_the_page() -> None:
    root = Path(__file__).parents[2]
    page = (root / 'docs/results.md').read_text()
    table = page.partition('<!-- table recordings -->\n')[2].partition('\n| rendered')[0]
    rows = table.splitlines()[2:]
    assert len(rows) == 8
    assert [row for row in rows if row not in (root / 'README.md').read_text()] == []
