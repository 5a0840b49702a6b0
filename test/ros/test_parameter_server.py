from dataclasses import dataclass

import pytest
from rclpy.parameter import Parameter

from mirror_depth_ros.ros.parameter_server import (
    QOS_PREFIX,
    ParameterServer,
    as_double,
    declare,
    warn_of_unknown,
)
from mirror_depth_ros.ros.parameters import fixed_parameter

QOS = f'{QOS_PREFIX}/points.publisher.'


@dataclass(frozen=True)
class CameraLike:
    rate_hz: float = fixed_parameter(10.0, 'rate', (0.1, 120.0))
    n: int = fixed_parameter(3, '')


@pytest.mark.parametrize('value', [True, 'a', 2.5, [1, 2], ['a']])
def test_only_integers_become_doubles(value):
    parameter = Parameter('x', value=value)
    assert as_double(parameter) is parameter
    assert as_double(Parameter('x', value=3)).value == 3.0
    assert as_double(Parameter('x', value=3)).type_ == Parameter.Type.DOUBLE


def test_a_name_that_no_parameter_has_is_said_with_the_nearest(make_node, capfd):
    node = make_node(max_rnage=3.0, wholly_other=1, max_range=3.0, use_sim_time=False)
    ParameterServer(node)
    warn_of_unknown(node)
    lines = [line for line in ''.join(capfd.readouterr()).splitlines() if 'got a value' in line]
    assert len(lines) == 2, lines
    assert lines[0].endswith(
        'got a value for max_rnage, which is no parameter of /settings and changes nothing; did '
        'you mean max_range?'
    )
    assert lines[1].endswith(
        'got a value for wholly_other, which is no parameter of /settings and changes nothing; '
        'see: ros2 param list /settings'
    )


def test_qos_overrides_are_looked_at_once_they_are_declared(make_node, capfd):
    node = make_node(**{f'{QOS}depth': 3, f'{QOS}reliabilty': 'best_effort'})
    warn_of_unknown(node)
    assert 'got a value' not in ''.join(capfd.readouterr())
    for policy in ('depth', 'history', 'reliability'):
        node.declare_parameter(f'{QOS}{policy}', 3 if policy == 'depth' else 'x')
    warn_of_unknown(node, prefix=QOS_PREFIX)
    log = ''.join(capfd.readouterr())
    assert log.count('got a value') == 1
    assert f'{QOS}reliabilty, which is no parameter of /settings' in log
    assert f'did you mean {QOS}reliability?' in log


def test_parameters_that_are_fixed_take_integers_and_name_typing_errors(make_node, capfd):
    node = make_node(rate_hz=5, n=4, rate_Hz=3)
    values = declare(node, CameraLike)
    assert values == CameraLike(rate_hz=5.0, n=4)
    assert type(values.rate_hz) is float
    assert node.describe_parameter('n').read_only
    warn_of_unknown(node)
    assert 'got a value for rate_Hz, which is no' in ''.join(capfd.readouterr())
