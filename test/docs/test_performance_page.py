"""``docs/performance.md`` says what its files say."""

from __future__ import annotations

import json
import re
from pathlib import Path

from research.pages.performance_tables import TABLES
from research.pages.results_page import with_tables

PAGE = Path(__file__).parents[2] / 'docs' / 'performance.md'


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding='utf-8')
    assert with_tables(text, PAGE.with_suffix('')) == text
    assert set(re.findall(r'<!-- table (\w+) -->', text)) == set(TABLES)


def test_no_file_names_a_machine() -> None:
    files = list(PAGE.with_suffix('').rglob('*.json'))
    assert files
    for path in files:
        assert not re.search(r'/(root|home|work|tmp)\b', path.read_text(encoding='utf-8')), path


def test_slopes_are_the_last_rows(tmp_path: Path) -> None:
    part = {
        'rows': [{'cameras': 1, 'at_once_ms': 10.0}, {'cameras': 2, 'at_once_ms': 17.256}],
        'slopes': {'ms_per_camera': 7.256},
    }
    (tmp_path / 'growth.json').write_text(json.dumps({'cameras': part}))
    assert TABLES['growth_cameras'](tmp_path) == (
        '| cameras | at once ms |\n| --- | --- |\n| 1 | 10.00 |\n| 2 | 17.26 |\n'
        '| **ms per camera** | **7.26** |\n'
    )


def test_what_did_not_arrive_has_no_latency(tmp_path: Path) -> None:
    row = {'settings': 'default', 'message': 'points', 'subscriber': 'best_effort'}
    rows = [{**row, 'latency_ms': None, 'sent': 30, 'received': 0}]
    (tmp_path / 'transport.json').write_text(json.dumps({'rows': rows}))
    expected = '| default | points | best_effort |  | 0 of 30 |\n'
    assert TABLES['transport'](tmp_path).endswith(expected)


def test_accuracy_is_compared_with_pytorch_in_fp32(tmp_path: Path) -> None:
    (tmp_path / 'accuracy').mkdir()
    for name, value in (('torch_fp32', 0.1), ('openvino_bf16', 0.1005)):
        result = {'metric': {'abs_rel': value}}
        (tmp_path / 'accuracy' / f'{name}_indoor.json').write_text(json.dumps(result))
    table = TABLES['unchanged'](tmp_path)
    assert '| openvino, bf16 | 0.10050 | +0.50 % |  |  |' in table
    assert '| torch, fp32 | 0.10000 | +0.00 % |  |  |' in table
