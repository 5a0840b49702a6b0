"""``docs/architecture.md`` names the files and functions that there are, and counts them right."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / 'mirror_depth_ros'
PAGE = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')
NAMED = set(re.findall(r'`([\w/]+\.py)`', PAGE))
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob('*.py'))
#: Of one row each, which says of what kind their modules are.
NOT_LISTED = ('cli/', 'ros/demo/')


def step_rows() -> list[tuple[str, str]]:
    """Return file and function of each step of an image's path."""
    section = PAGE.split('\n## The path of one image\n')[1].split('\n## ')[0]
    rows = re.findall(r'^\| (\d+) \| (?:`(.+?)`)? ?\| `(.+?)` \|', section, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, len(rows) + 1))
    steps: list[tuple[str, str]] = []
    for _, file, function in rows:
        steps.append((file or steps[-1][0], function))  # an empty cell is that above it
    return steps


def names_in(path: Path) -> set[str]:
    """Return functions of a module, and methods and fields of its classes as ``Class.name``."""
    names = set()
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    names.add(f'{node.name}.{member.name}')
                elif isinstance(member, ast.AnnAssign):
                    names.add(f'{node.name}.{ast.unparse(member.target)}')
    return names


def table_value(row: str) -> str:
    return re.findall(rf'^\| {row} \| [^|]+ \| (.+) \|$', PAGE, re.MULTILINE)[0]


def is_end_of_one(name: str, paths: list[str]) -> bool:
    return any(f'/{path}'.endswith(f'/{name}') for path in paths)


def test_files_that_are_named_are_there() -> None:
    research = [path.as_posix() for path in (ROOT / 'research').rglob('*.py')]
    assert {name for name in NAMED if not is_end_of_one(name, [*FILES, *research])} == set()


def test_every_module_is_named() -> None:
    modules = [f for f in FILES if not f.startswith(NOT_LISTED) and '__init__' not in f]
    assert [f for f in modules if not any(is_end_of_one(name, [f]) for name in NAMED)] == []


def test_an_image_passes_the_functions_that_are_listed() -> None:
    steps = step_rows()
    assert [s for s in steps if s[1] not in names_in(PACKAGE / s[0])] == []
    assert table_value('functions that an image passes') == str(len(steps)) == '11'
    assert 'to the publishers: eleven functions' in PAGE


def test_the_package_is_as_large_as_it_says() -> None:
    lines = sum(len((PACKAGE / f).read_text(encoding='utf-8').splitlines()) for f in FILES)
    assert table_value('files of the package') == str(len(FILES))
    assert abs(int(table_value('lines of the package').replace(',', '')) - lines) <= 100
    top, all_in_ros = (len([*(PACKAGE / 'ros').glob(p)]) for p in ('*.py', '**/*.py'))
    assert table_value('files in `ros/`, with those of its folders') == f'{top}, {all_in_ros}'
