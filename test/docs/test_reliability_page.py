"""``docs/reliability.md`` says what the rows of the tests say; each row is of a test there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from research.pages.results_page import with_tables

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'reliability.md'
FILES = sorted((ROOT / 'docs' / 'reliability').glob('*.json'))


def test_a_table_is_made_of_its_rows(tmp_path: Path) -> None:
    rows = [
        {'what': 'no data', 'tried': 10, 'outcome': 'skipped', 'figures': ''},
        {'what': 'images', 'tried': 20_000, 'outcome': 'all arrive', 'figures': '3 ms'},
    ]
    page = '<!-- table faults -->\n<!-- end -->\n'
    (tmp_path / 'faults.json').write_text(json.dumps(rows[:1]))
    table = '| what | tried | outcome |\n| --- | --- | --- |\n| no data | 10 | skipped |\n'
    assert table in with_tables(page, tmp_path)
    (tmp_path / 'faults.json').write_text(json.dumps(rows))
    assert '| images | 20,000 | all arrive | 3 ms |' in with_tables(page, tmp_path)
    assert '| no data | 10 | skipped |  |' in with_tables(page, tmp_path)


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding='utf-8')
    assert with_tables(text, PAGE.with_suffix('')) == text
    assert {path.stem for path in FILES} == set(re.findall(r'<!-- table (\w+) -->', text))


def test_every_row_is_of_a_test_that_make_soak_runs() -> None:
    pytest.importorskip('rclpy', reason='the tests of the nodes need ROS 2')
    for package in ('open_clip', 'safetensors'):
        pytest.importorskip(package, reason=f'tests of models need {package}')
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8').replace('\\\n', ' ')
    (line,) = re.findall(r'^SOAK_TESTS := (.*)', makefile, re.MULTILINE)
    plain, prefix, prefixed = re.fullmatch(r'(.*)\$\(addprefix (\S+),(.*)\)', line).groups()
    files = [*plain.split(), *(f'{prefix}{name}' for name in prefixed.split())]
    command = [sys.executable, '-m', 'pytest', '--collect-only', '-q', '-m', '', *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    tests = set(done.stdout.splitlines())
    rows = [row for path in FILES for row in json.loads(path.read_text(encoding='utf-8'))]
    assert len(rows) > 40
    assert [row['what'] for row in rows if row['test'] not in tests] == []
