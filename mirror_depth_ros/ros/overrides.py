"""What a user gave a node's parameters at its start: integers for doubles, and names of none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from rclpy.node import Node
from rclpy.parameter import Parameter

#: Parameters with this prefix are declared with publishers and subscriptions, not at the start.
QOS_PREFIX = 'qos_overrides.'


def take_integers_for_doubles(node: Node, names: Iterable[str]) -> None:
    """Make doubles of the integers that a user gave for doubles, before they are declared.

    :param names: of the parameters that are doubles.
    """
    given = node._parameter_overrides  # rclpy tells them in no other way
    for name in names:
        if name in given:
            given[name] = as_double(given[name])


def as_double(parameter: Parameter) -> Parameter:
    """Return the double that an integer stands for; anything else as it is."""
    if parameter.type_ != Parameter.Type.INTEGER:
        return parameter
    return Parameter(parameter.name, Parameter.Type.DOUBLE, float(parameter.value))


def warn_of_unknown(node: Node, *, prefix: str = '') -> None:
    """Log which names that a user gave values for are no parameters of the node.

    :param prefix: looks at those that begin with it; without one, at all but QoS overrides.
    """
    known = node.list_parameters([], 0).names
    for name in sorted(node._parameter_overrides):
        is_meant = name.startswith(prefix) if prefix else not name.startswith(QOS_PREFIX)
        if is_meant and name not in known:
            node.get_logger().warning(_describe(name, known, node.get_fully_qualified_name()))


def _describe(name: str, known: Iterable[str], node: str) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    remedy = f'did you mean {nearest[0]}?' if nearest else f'see: ros2 param list {node}'
    return f'got a value for {name}, which is no parameter of {node} and changes nothing; {remedy}'
