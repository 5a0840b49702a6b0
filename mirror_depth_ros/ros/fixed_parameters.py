"""Parameters that a node reads once, at its start: declaration, ranges and ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from mirror_depth_ros.ros.overrides import take_integers_for_doubles, warn_of_unknown
from mirror_depth_ros.ros.process import own_arguments


@dataclass(frozen=True)
class FixedParameter:
    """One parameter."""

    name: str
    #: Gives the type, too.
    default: Any
    #: Shown by ``--help`` and ``ros2 param describe``.
    description: str
    #: Smallest and largest value, inclusive.
    limits: tuple[float, float] | None = None


def declare(node: Node, parameters: Sequence[FixedParameter]) -> dict[str, Any]:
    """Declare the parameters at a node and return their values by name.

    Integers are taken for doubles; values for names that are none of them are warned about.

    :raises rclpy.exceptions.ParameterException: for a value of a wrong type or outside its range.
    """
    take_integers_for_doubles(node, (p.name for p in parameters if isinstance(p.default, float)))
    for parameter in parameters:
        node.declare_parameter(parameter.name, parameter.default, _descriptor(parameter))
    warn_of_unknown(node)
    return {p.name: node.get_parameter(p.name).value for p in parameters}


def parse_arguments(
    arguments: Sequence[str], *, name: str, purpose: str, parameters: Sequence[FixedParameter]
) -> None:
    """Answer ``--help`` and refuse what is no argument of ROS; either ends the process."""
    lines = [f'  {p.name}: {p.description}, default {p.default!r}' for p in parameters]
    argparse.ArgumentParser(
        prog=name,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='%(prog)s [--help] [--ros-args -p NAME:=VALUE ...]',
        description=purpose,
        epilog='parameters:\n' + '\n'.join(lines),
    ).parse_args(own_arguments(arguments, name=name))


def _descriptor(parameter: FixedParameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=parameter.description,
        read_only=True,
        additional_constraints='Read-only: it acts at start only; restart the node.',
    )
    if parameter.limits is None:
        return descriptor
    low, high = parameter.limits
    if isinstance(parameter.default, int):
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    else:
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
