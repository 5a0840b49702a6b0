"""docs/launch.md and the launch files agree, and what these run; without launch itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mirror_depth_ros.cli.processes import module_command

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'launch.md').read_text(encoding='utf-8')
PATIENCE_S = 100.0


def constant(launch_file: str, name: str) -> ast.expr:
    """Return what a launch file gives a name at its top level."""
    tree = ast.parse((ROOT / 'launch' / launch_file).read_text(encoding='utf-8'))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    return value


def defaults(launch_file: str) -> dict[str, Any]:
    """Return the default of every argument; that of ``python`` as the page has it."""
    table = constant(launch_file, 'ARGUMENTS')
    assert isinstance(table, ast.Dict)
    found = {}
    for key, value in zip(table.keys, table.values, strict=True):
        assert key is not None
        assert isinstance(value, ast.Tuple)
        default = value.elts[0]
        own = ast.unparse(default) == 'sys.executable'
        found[ast.literal_eval(key)] = "the launch's own" if own else ast.literal_eval(default)
    return found


@pytest.mark.parametrize('launch_file', ['depth.launch.py', 'demo.launch.py'])
def test_every_argument_and_its_default_is_on_the_page(launch_file: str) -> None:
    section = PAGE.split(f'\n## {launch_file}\n')[1].split('\n## ')[0]
    rows = re.findall(r'^\| `([^`]+)` \|(.*?)\|', section, re.MULTILINE)
    assert {name: value.strip(' `') for name, value in rows} == defaults(launch_file)


@pytest.mark.parametrize(
    'command',
    [
        [sys.executable, '-c', ast.literal_eval(constant('depth.launch.py', 'RUN_NODE'))],
        [sys.executable, '-c', ast.literal_eval(constant('demo.launch.py', 'RUN_CAMERA'))],
        module_command('mirror_depth_ros.ros.demo.recorder'),
    ],
    ids=['depth_node', 'camera', 'children of a subcommand'],
)
def test_a_file_in_the_working_directory_stands_for_no_module(
    tmp_path: Path, command: list[str]
) -> None:
    pytest.importorskip(
        'rclpy', reason='needs ROS 2: source an installation, or pip install .[ros]'
    )
    for name in ('numpy', 'typing_extensions', 'argparse', 'mirror_depth_ros', 'runpy'):
        (tmp_path / f'{name}.py').write_text(f'raise SystemExit("got {name} of the user")')
    answer = subprocess.run(
        [*command, '--help'],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, '')
    assert answer.stdout.startswith('usage: ')
