from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from rcl_interfaces.msg import ParameterType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from mirror_depth_ros.ros.parameter_server import ParameterServer
from mirror_depth_ros.ros.parameters import DepthParameters, parameter_specs

CONFIG = Path(__file__).parents[2] / 'config' / 'depth.yaml'


def test_the_config_file_states_every_parameter_at_its_default():
    text = CONFIG.read_text(encoding='utf-8')
    defaults = asdict(DepthParameters()) | {
        'cameras': ['']
    }  # YAML has no tuples, ROS no value for an empty list
    assert yaml.safe_load(text) == {'/**': {'ros__parameters': defaults}}


def test_the_config_file_says_which_parameters_are_fixed():
    lines = CONFIG.read_text(encoding='utf-8').splitlines()
    comments = {line.split(':')[0].strip(): lines[i - 1] for i, line in enumerate(lines)}
    for name, spec in parameter_specs().items():
        comment = comments[name]
        assert comment.endswith('Fixed.') == bool(spec.read_only), name
        assert comment.endswith('configured.') == bool(spec.in_use), name


@pytest.mark.parametrize(
    ('change', 'error'),
    [
        (
            {'precision': 'int4'},
            "got precision 'int4', expected one of auto, fp32, bf16, fp16, int8",
        ),
        ({'image_transport': 'theora'}, "got image_transport 'theora', expected one of raw, comp"),
        ({'max_range': float('nan')}, r'got max_range nan, expected 0\.1 to 1000\.0'),
        ({'min_range': -0.1}, r'got min_range -0\.1, expected 0\.0 to 100\.0'),
        (
            {'min_range': 5.0, 'max_range': 5.0},
            r'got min_range 5\.0 m and max_range 5\.0 m, expected min_range < max_range',
        ),
        ({'preview_min_depth': 10.0}, 'expected preview_min_depth < preview_max_depth'),
        *(
            (
                {'cameras': ('front', name)},
                f'got the camera name {name!r}, expected a letter and then letters, digits and '
                'single underscores; rename it in the parameter cameras',
            )
            for name in (
                '',
                '2nd',
                'a/b',
                '/left',
                '~',
                'a b',
                'links-hinten',
                '_left',
                'a__b',
                'ä',
            )
        ),
        (
            {'cameras': ('front', 'left', 'front')},
            "got the camera name 'front' 2 times, expected each once; rename one in",
        ),
        ({'out_of_range': 'zero'}, "got out_of_range 'zero', expected one of inf, nan, clamp"),
        ({'depth_scale': 0.0}, r'got depth_scale 0\.0, expected 0\.1 to 10\.0'),
        ({'camera_height': -0.4}, r'got camera_height -0\.4, expected 0\.0 to 100\.0'),
        ({'edge_filter': 1.1}, r'got edge_filter 1\.1, expected 0\.0 to 1\.0'),
        ({'hfov_deg': 180.0}, r'got hfov_deg 180\.0, expected 0\.0 to 179\.0'),
        ({'cloud_decimation': 0}, 'got cloud_decimation 0, expected 1 to 64'),
        ({'max_rate_hz': -1.0}, r'got max_rate_hz -1\.0, expected 0\.0 to 1000\.0'),
        ({'frame_id': '/lens'}, "got frame_id '/lens', expected no slash before it"),
        (
            {'cameras': ('front', 'left'), 'frame_id': 'lens'},
            r"got frame_id 'lens' for 2 cameras, expected \{camera\} in it",
        ),
        ({'nav_decimation': 0}, 'got nav_decimation 0, expected 1 to 64'),
        ({'nav_clear_range': float('inf')}, r'got nav_clear_range inf, expected 0\.1 to 1000\.0'),
    ],
)
def test_values_out_of_range_are_refused(change, error):
    with pytest.raises(ValueError, match=error):
        replace(DepthParameters(), **change)


def test_initial_values_come_from_ros(make_node):
    server = ParameterServer(
        make_node(max_range=20.0, device='cpu', rectified=True, cameras=['front', 'rear_left2'])
    )
    expected = DepthParameters(
        max_range=20.0, device='cpu', rectified=True, cameras=('front', 'rear_left2')
    )
    assert server.values == expected


@pytest.mark.parametrize(
    ('path', 'cameras'), [(CONFIG, ()), (CONFIG.with_name('two_cameras.yaml'), ('front', 'left'))]
)
def test_the_files_with_parameters_are_read(ros_context, path, cameras):
    arguments = ['--ros-args', '--params-file', str(path)]
    node = Node('mirror_depth', context=ros_context, cli_args=arguments)
    assert ParameterServer(node).values.cameras == cameras
    node.destroy_node()


@pytest.mark.parametrize('value', ['inf', '.inf', "'inf'", 'nan', 'clamp'])
def test_names_that_ros_takes_for_numbers_stay_names(ros_context, value):
    arguments = ['--ros-args', '-p', f'out_of_range:={value}']
    node = Node('mirror_depth', context=ros_context, cli_args=arguments)
    server = ParameterServer(node)
    assert server.values.out_of_range == value.strip(".'")
    assert set_all(node, out_of_range='clamp').successful
    assert set_all(node, out_of_range=float('nan')).successful
    assert server.values.out_of_range == 'nan'
    refused = set_all(node, out_of_range=3.5)
    assert not refused.successful
    assert "got out_of_range '3.5', expected one of inf, nan, clamp" in refused.reason
    node.destroy_node()


@pytest.mark.parametrize(
    ('overrides', 'exception', 'error'),
    [
        ({'precision': 'int4'}, ValueError, "got precision 'int4'"),
        ({'max_range': '20'}, InvalidParameterTypeException, "'max_range'.*expecting.*'DOUBLE'"),
        ({'max_range': 2000}, InvalidParameterValueException, 'max_range out of range'),
        ({'edge_filter': True}, InvalidParameterTypeException, "'edge_filter'.*'DOUBLE'"),
        ({'min_range': -1.0}, InvalidParameterValueException, 'min_range out of range'),
        (
            {'cameras': 'front'},
            InvalidParameterTypeException,
            "'cameras'.*expecting.*'STRING_ARRAY'",
        ),
    ],
)
def test_initial_values_that_are_not_allowed_are_refused(make_node, overrides, exception, error):
    with pytest.raises(exception, match=error):
        ParameterServer(make_node(**overrides))


DOUBLES = [name for name, value in asdict(DepthParameters()).items() if isinstance(value, float)]


@pytest.mark.parametrize('name', DOUBLES)
def test_an_integer_is_taken_for_a_double(make_node, name):
    first, other = (30, 40) if name == 'preview_max_depth' else (1, 2)
    node = make_node(**{name: first, **({'preview_min_depth': 0.1} if 'max' in name else {})})
    first, other = (0, 1) if name in ('edge_filter', 'min_confidence') else (first, other)
    server = ParameterServer(node)
    assert set_all(node, **{name: first}).successful
    assert type(getattr(server.values, name)) is float
    assert set_all(node, **{name: other}).successful
    assert getattr(server.values, name) == other
    assert node.get_parameter(name).type_ == Parameter.Type.DOUBLE


def test_integers_for_doubles_come_by_command_line_and_file(ros_context, tmp_path):
    file = tmp_path / 'integers.yaml'
    file.write_text('/**: {ros__parameters: {max_range: 20, min_range: 1}}')
    arguments = ['--ros-args', '--params-file', str(file), '-p', 'edge_filter:=0']
    node = Node('integers', context=ros_context, cli_args=arguments)
    try:
        values = ParameterServer(node).values
        assert values == DepthParameters(max_range=20.0, min_range=1.0, edge_filter=0.0)
        assert type(node.get_parameter('edge_filter').value) is float
        refused = set_all(node, edge_filter=2)
        assert not refused.successful
        assert 'edge_filter out of range' in refused.reason
    finally:
        node.destroy_node()


def test_descriptors_tell_tools_what_is_allowed(make_node):
    node = make_node()
    ParameterServer(node)
    limits = node.describe_parameter('max_range').floating_point_range[0]
    assert (limits.from_value, limits.to_value) == (0.1, 1000.0)
    assert node.describe_parameter('max_range').type == ParameterType.PARAMETER_DOUBLE
    blocks = node.describe_parameter('nav_decimation')
    assert blocks.type == ParameterType.PARAMETER_INTEGER
    assert (blocks.integer_range[0].from_value, blocks.integer_range[0].to_value) == (1, 64)
    assert list(blocks.floating_point_range) == []
    marks = node.describe_parameter('out_of_range').additional_constraints
    assert marks == 'One of: inf, nan, clamp.'
    precision = node.describe_parameter('precision')
    assert precision.additional_constraints == (
        'One of: auto, fp32, bf16, fp16, int8. Fixed while configured: the model is loaded for '
        'it; deactivate the node, clean it up, set, configure.'
    )
    transport = node.describe_parameter('image_transport')
    assert transport.read_only
    assert transport.additional_constraints == (
        'One of: raw, compressed. Read-only: subscriptions are made for it; restart the node.'
    )
    for name, spec in parameter_specs().items():
        descriptor = node.describe_parameter(name)
        assert descriptor.description == spec.description
        assert descriptor.read_only == bool(spec.read_only)


def set_all(node, **values):
    return node.set_parameters_atomically([Parameter(n, value=v) for n, v in values.items()])


def test_changes_are_taken_over_all_or_none(make_node):
    node = make_node()
    server = ParameterServer(node)
    assert set_all(node, min_range=90.0, max_range=95.0, preview_max_depth=5.0).successful
    assert server.values == DepthParameters(min_range=90.0, max_range=95.0, preview_max_depth=5.0)
    before = server.values
    refused = set_all(node, preview_max_depth=7.0, max_range=80.0)
    assert not refused.successful
    assert 'got min_range 90.0 m and max_range 80.0 m, expected min_range' in refused.reason
    assert server.values == before
    assert node.get_parameter('preview_max_depth').value == 5.0


def test_other_parameters_of_the_node_are_left_alone(make_node):
    node = make_node()
    ParameterServer(node)
    assert set_all(node, use_sim_time=True).successful


@pytest.mark.parametrize('name', [n for n, spec in parameter_specs().items() if spec.read_only])
def test_fixed_parameters_are_refused_by_name(make_node, name):
    node = make_node()
    server = ParameterServer(node)
    value = getattr(server.values, name)
    result = set_all(node, **{name: (not value) if isinstance(value, bool) else value})
    assert not result.successful
    assert 'read-only' in result.reason
    assert name in result.reason


IN_USE = {name: spec.in_use for name, spec in parameter_specs().items() if spec.in_use}
# Two values of each that has choices, but for those of a number format.
VALUES = {'backend': ('torch', 'openvino'), 'temporal_filter': ('scale', 'motion')}


@pytest.mark.parametrize('name', IN_USE)
def test_what_is_made_for_a_value_lets_it_change_only_before_that(make_node, name):
    node, configured = make_node(), []
    server = ParameterServer(node, is_configured=lambda: bool(configured))
    first, other = VALUES.get(name, ('fp32', 'bf16'))
    assert set_all(node, **{name: first}).successful
    assert getattr(server.values, name) == first
    configured.append(True)
    assert set_all(node, **{name: first}, max_range=20.0).successful  # as it was
    refused = set_all(node, **{name: other}, max_range=30.0)
    assert refused.reason == (
        f'got {name} {other!r}, expected {first!r} while the node is configured: {IN_USE[name]}'
    )
    assert (getattr(server.values, name), server.values.max_range) == (first, 20.0)


@pytest.mark.parametrize('overrides', [{}, {'cameras': ['front', 'left']}])
def test_every_parameter_has_a_value_to_tell(ros_context, overrides):
    node = Node(
        'asked',
        context=ros_context,
        parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()],
    )
    try:
        ParameterServer(node)
        # What `ros2 param dump` and rqt ask for: one without a value would silence all.
        told = {p.name: p.value for p in node.get_parameters([*parameter_specs()])}
    finally:
        node.destroy_node()
    assert told['cameras'] == overrides.get('cameras', [''])
    assert told['max_range'] == 80.0
    assert None not in told.values()
