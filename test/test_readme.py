"""The README's tables say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def rows(heading: str) -> dict[str, str]:
    """Return the first two cells of every row of the table below a heading, without backticks."""
    section = README.split(f'\n## {heading}\n')[1].split('\n## ')[0]
    cells = re.findall(r'^\| `([^`]+)` \|(.*?)\|', section, re.MULTILINE)
    return {name: value.strip(' `') for name, value in cells}


def text(default: object) -> str:
    """Return a parameter's default as the table has it; nothing for what is empty."""
    if isinstance(default, tuple):
        return ', '.join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_parameters_and_their_defaults() -> None:
    pytest.importorskip(
        'rclpy', reason='needs ROS 2: source an installation, or pip install .[ros]'
    )
    from mirror_depth_ros.ros.parameters import DepthParameters, parameter_specs

    defaults = {name: getattr(DepthParameters(), name) for name in parameter_specs()}
    assert rows('Parameters') == {name: text(value) for name, value in defaults.items()}


def test_every_output_is_listed() -> None:
    pytest.importorskip(
        'rclpy', reason='needs ROS 2: source an installation, or pip install .[ros]'
    )
    from mirror_depth_ros.ros.outputs import OUTPUTS

    listed = re.findall(r'^\| out \| `([^`]+)` \| sensor_msgs/(\w+)', README, re.MULTILINE)
    assert sorted(listed) == sorted((o.topic, o.message_type.__name__) for o in OUTPUTS)


@pytest.mark.parametrize('page', [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r'\]\(([^)#:]+)\)', page.read_text(encoding='utf-8')):
        assert (page.parent / target).exists(), target
