"""How nodes declare their parameters, follow their changes, and answer ``--help`` about them."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from mirror_depth_ros.ros.parameters import DepthParameters, ParameterSpec, parameter_specs
from mirror_depth_ros.ros.process import own_arguments

#: Parameters with this prefix are declared with publishers and subscriptions, not at the start.
QOS_PREFIX = 'qos_overrides.'

#: A dataclass of parameters.
Parameters = TypeVar('Parameters')


class ParameterServer:
    """Declares the parameters at a node and follows their changes."""

    def __init__(self, node: Node, *, is_configured: Callable[[], bool] = lambda: False) -> None:
        """Declare the parameters.

        :param is_configured: whether something is made for the values that are fixed then.
        :raises ValueError: for an initial value that is not allowed.
        :raises rclpy.exceptions.ParameterException: for one of a wrong type or outside its range.
        """
        #: The values now in force; replaced as a whole, so any thread may read it.
        self.values = declare(node, DepthParameters)
        self._is_configured = is_configured
        node.add_on_set_parameters_callback(self._set)
        if hasattr(node, 'add_pre_set_parameters_callback'):  # from Iron on
            node.add_pre_set_parameters_callback(self._as_declared)

    def _as_declared(self, parameters: list[Parameter]) -> list[Parameter]:
        """Make doubles of integers where rclpy would refuse their type."""
        return [as_double(p) if p.name in _doubles(DepthParameters) else p for p in parameters]

    def _set(self, parameters: list[Parameter]) -> SetParametersResult:
        """Take over all of the changes, or none and say why."""
        specs = parameter_specs()
        own = {p.name: _value(p, specs[p.name]) for p in parameters if p.name in specs}
        try:
            changed = replace(self.values, **own)
            if self._is_configured():
                _check_in_use(self.values, changed)
            self.values = changed
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def declare(node: Node, kind: type[Parameters]) -> Parameters:
    """Declare the parameters of a dataclass at a node and return their values.

    Integers are taken for doubles.

    :raises ValueError: for a value that the dataclass refuses.
    :raises rclpy.exceptions.ParameterException: for a value of a wrong type or outside its range.
    """
    defaults, given = kind(), node._parameter_overrides  # rclpy tells them in no other way
    for name in _doubles(kind) & given.keys():
        given[name] = as_double(given[name])
    values = {
        name: _declare(node, name, getattr(defaults, name), spec)
        for name, spec in parameter_specs(kind).items()
    }
    return kind(**values)


def _doubles(kind: type[Any]) -> set[str]:
    return {f.name for f in fields(kind) if isinstance(f.default, float)}


def parse_arguments(
    arguments: Sequence[str],
    *,
    name: str,
    purpose: str,
    parameters: type[Any],
    usage: str = '-p NAME:=VALUE',
    interface: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Answer ``--help`` and refuse what is no argument of ROS; either ends the process.

    :param name: of the executable.
    :param parameters: the dataclass of the node's.
    :param usage: those that most users give.
    :param interface: more lines of the help, by title.
    """
    defaults = parameters()
    lines = [
        f'{name}: {spec.description.rstrip(".")}; default {getattr(defaults, name)!r}'
        for name, spec in parameter_specs(parameters).items()
    ]
    sections = {**(interface or {}), 'parameters': lines}
    argparse.ArgumentParser(
        prog=name,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=f'%(prog)s [--help] [--ros-args {usage} ...]',
        description=purpose,
        epilog='\n\n'.join('\n  '.join((f'{title}:', *sections[title])) for title in sections),
    ).parse_args(own_arguments(arguments, name=name))


def as_double(parameter: Parameter) -> Parameter:
    """Return the double that an integer stands for; anything else as it is."""
    if parameter.type_ != Parameter.Type.INTEGER:
        return parameter
    return Parameter(parameter.name, Parameter.Type.DOUBLE, float(parameter.value))


def warn_of_unknown(node: Node, *, prefix: str = '') -> None:
    """Log which names that a user gave values for are no parameters of the node.

    :param prefix: looks at those that begin with it; without one, at all but QoS overrides.
    """
    known, full_name = node.list_parameters([], 0).names, node.get_fully_qualified_name()
    for name in sorted(node._parameter_overrides.keys() - known):
        if not (name.startswith(prefix) if prefix else not name.startswith(QOS_PREFIX)):
            continue
        nearest = difflib.get_close_matches(name, known, n=1)
        remedy = f'did you mean {nearest[0]}?' if nearest else f'see: ros2 param list {full_name}'
        node.get_logger().warning(
            f'got a value for {name}, which is no parameter of {full_name} and changes nothing; '
            f'{remedy}'
        )


def _declare(node: Node, name: str, default: Any, spec: ParameterSpec) -> Any:
    """Declare a parameter and return its value."""
    descriptor = _descriptor(spec, type(default))
    if not isinstance(default, tuple):
        return _value(node.declare_parameter(name, default, descriptor), spec)
    # By type: of an empty list rclpy takes the items for bytes, and a file's for no value.
    given = node.declare_parameter(name, Parameter.Type.STRING_ARRAY, ParameterDescriptor()).value
    node.undeclare_parameter(name)
    # A parameter without a value makes rclpy answer nothing for all the others that are asked for
    # with it: `ros2 param dump` and rqt would see none.
    stated = node.declare_parameter(name, list(given or ['']), descriptor, ignore_override=True)
    return tuple(item for item in stated.value if item)


def _value(parameter: Parameter, spec: ParameterSpec) -> Any:
    """Return a parameter's value; where a number was read for a name, the name."""
    return str(parameter.value) if spec.choices else parameter.value


def _check_in_use(current: DepthParameters, changed: DepthParameters) -> None:
    for name, spec in parameter_specs().items():
        before, after = getattr(current, name), getattr(changed, name)
        if spec.in_use and before != after:
            raise ValueError(
                f'got {name} {after!r}, expected {before!r} while the node is configured: '
                f'{spec.in_use}'
            )


def _descriptor(spec: ParameterSpec, value_type: type) -> ParameterDescriptor:
    constraints = []
    if spec.choices:
        constraints.append(f'One of: {", ".join(spec.choices)}.')
    if spec.read_only:
        constraints.append(f'Read-only: {spec.read_only}.')
    if spec.in_use:
        constraints.append(f'Fixed while configured: {spec.in_use}.')
    descriptor = ParameterDescriptor(
        description=spec.description,
        read_only=bool(spec.read_only),
        # ROS takes the inf and nan of a command line or a launch file for numbers.
        dynamic_typing=not {'inf', 'nan'}.isdisjoint(spec.choices),
        additional_constraints=' '.join(constraints),
    )
    if spec.limits is not None:
        low, high = spec.limits
        if value_type is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
