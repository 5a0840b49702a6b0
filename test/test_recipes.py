"""docs/recipes.md shows files that can be read, and names of ours that there are."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mirror_depth_ros.ros.outputs import INTERFACE, OUTPUTS
from mirror_depth_ros.ros.parameters import DepthParameters

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'recipes.md').read_text(encoding='utf-8')
NODE = '/mirror_depth'
TOPICS = {output.topic: output.message_type.__name__ for output in OUTPUTS}


def blocks(language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)


#: Each by the name in its first line.
FILES = {text.split()[1].rstrip(','): yaml.safe_load(text) for text in blocks('yaml')}
COMMANDS = [
    shlex.split(line, comments=True)
    for text in blocks('sh')
    for line in text.replace('\\\n', ' ').splitlines()
]


def commands(*beginning: str) -> list[list[str]]:
    found = [c[len(beginning) :] for c in COMMANDS if c[: len(beginning)] == list(beginning)]
    assert found, beginning
    return found


def layer_of(name: str) -> dict[str, Any]:
    """Return what a block of Nav2's parameters has below ``ros__parameters``."""
    texts = [text for text in blocks('yaml') if text.splitlines()[1].startswith(f'{name}:')]
    (parameters,) = (yaml.safe_load(text)[name] for text in texts)
    return dict(parameters.get(name, parameters)['ros__parameters'])


def test_every_file_that_a_command_names_is_shown_and_says_something() -> None:
    assert all(FILES.values())
    named = {
        value
        for command in COMMANDS
        for name, _, value in (argument.partition(':=') for argument in command)
        if name in ('params_file', 'config_file', 'slam_params_file')
    }
    assert named == FILES.keys() - {'nav2_params.yaml'}


@pytest.mark.parametrize('arguments', commands('ros2', 'launch', 'mirror_depth_ros'))
def test_launch_files_have_the_arguments(arguments: list[str]) -> None:
    launch_file, *given = arguments
    tree = ast.parse((ROOT / 'launch' / launch_file).read_text(encoding='utf-8'))
    (table,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == 'ARGUMENTS'
    )
    assert isinstance(table, ast.Dict)
    known = {ast.literal_eval(key) for key in table.keys if key is not None}
    assert {argument.partition(':=')[0] for argument in given} <= known


def test_topics_are_those_of_the_node() -> None:
    private = set(re.findall(r'`(~/[\w/]+)`', PAGE))
    absolute = {f'~/{name}' for name in re.findall(rf'{NODE}/([\w/]+)', PAGE)}
    services = {line.partition(' ')[0] for line in INTERFACE['services']}
    assert absolute
    assert private | absolute <= TOPICS.keys() | services


@pytest.mark.parametrize('arguments', commands('ros2', 'param', 'set', NODE))
def test_parameters_can_be_set(arguments: list[str]) -> None:
    name, value = arguments
    replace(DepthParameters(), **{name: yaml.safe_load(value)})


@pytest.mark.parametrize('name', [name for name, content in FILES.items() if NODE in content])
def test_files_of_the_node_hold_what_it_accepts(name: str) -> None:
    DepthParameters(**FILES[name][NODE]['ros__parameters'])


def test_words_for_parameters_are_parameters() -> None:
    meant = ('hfov_deg', 'nav_clear_range', 'cloud_decimation')
    assert all(f'`{name}`' in PAGE and hasattr(DepthParameters(), name) for name in meant)
    assert f'`nav_clear_range` ({DepthParameters().nav_clear_range} m)' in PAGE


def test_obstacles_end_before_far_rays_do() -> None:
    """As in config/nav2_voxel_layer.yaml: two cells and the diagonal of a voxel."""
    farthest = DepthParameters().nav_clear_range - 0.1 - 0.15
    stvl = layer_of('local_costmap')['stvl_layer']
    sources = [stvl[name] for name in stvl['observation_sources'].split()]
    assert stvl['depth_marks']['obstacle_range'] <= farthest
    ranges = [a for c in commands('ros2', 'run', 'octomap_server') for a in c if 'max_range' in a]
    assert [float(value.partition(':=')[2]) <= farthest for value in ranges] == [True]

    monitor = layer_of('collision_monitor')
    sources += [monitor[name] for name in monitor['observation_sources']]
    for source in sources:
        assert TOPICS[source['topic'].replace(NODE, '~')] == 'PointCloud2'
    # Points that are no measurements would stop the robot.
    assert monitor['depth']['topic'] == f'{NODE}/points'
    corners = np.array(ast.literal_eval(monitor['stop_zone']['points']))
    assert corners.shape == (4, 2)


@pytest.mark.parametrize('page', ['recipes.md', 'cameras.md'])
def test_an_optical_frame_looks_forward(page: str) -> None:
    text = (ROOT / 'docs' / page).read_text(encoding='utf-8').replace('\\\n', ' ')
    (command,) = re.findall('static_transform_publisher (.*)', text)
    words = shlex.split(command)
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options['--child-frame-id'] == 'camera_optical_frame'
    roll, pitch, yaw = (float(options[f'--{name}']) for name in ('roll', 'pitch', 'yaw'))
    # Fixed axes, as tf2 has it: about x, then y, then z.
    rotation = _turn(2, yaw) @ _turn(1, pitch) @ _turn(0, roll)
    # Optical x, y and z are right, down and forward of a body with x forward, y left and z up.
    expected = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]).T
    np.testing.assert_allclose(rotation, expected, atol=1e-6)


def _turn(axis: int, angle: float) -> np.ndarray:
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turned = np.eye(3)
    turned[[one, other], [one, other]] = np.cos(angle)
    turned[other, one], turned[one, other] = np.sin(angle), -np.sin(angle)
    return turned
