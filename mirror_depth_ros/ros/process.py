"""Runs a node as a process that ends promptly, quietly and with a meaningful exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from mirror_depth_ros.heap import keep_freed_memory
from mirror_depth_ros.shared_memory import find_shortage
from mirror_depth_ros.threads import let_idle_threads_sleep

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_node(make_node: Callable[[], Node], arguments: Sequence[str], *, name: str) -> int:
    """Spin a node until the process is interrupted; the process should then end.

    :param make_node: creates the node, once rclpy is initialised.
    :param arguments: the process's arguments, with those of ROS.
    :param name: of the executable, for errors.
    :returns: the exit code: 0 after Ctrl-C or SIGTERM, 1 if the node refused its parameters.
    """
    let_idle_threads_sleep()
    keep_freed_memory()
    # Before rclpy.init, whose own handlers go on to these: loading a model can be interrupted too.
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    node = None
    shortage = find_shortage(1, os.environ)  # before this process takes its part
    try:
        rclpy.init(args=list(arguments))
        try:
            node = make_node()
        except (ValueError, ParameterException) as error:
            print(f'{name}: {error}', file=sys.stderr)
            return 1
        if shortage:
            node.get_logger().warning(shortage)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the ways a node is meant to end
    finally:
        if node is not None:
            node.destroy_node()
        if rclpy.ok():
            rclpy.shutdown()
        # A late signal must not turn the exit code into its own while the interpreter ends.
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return 0


def own_arguments(arguments: Sequence[str], *, name: str) -> list[str]:
    """Return a process's arguments without its path and those of ROS.

    Where ROS cannot read its own, one line says so and the process ends with exit code 2, as
    argparse does.

    :param name: of the executable, for the error.
    """
    try:
        return list(remove_ros_args(list(arguments))[1:])
    except RuntimeError as error:  # of rclpy's extension module, which names it differently
        # Without what it was doing, and where in the sources of rcl.
        reason = str(error).removeprefix('Failed to parse ROS arguments: ').split(', at /')[0]
        print(
            f'{name}: got ROS arguments that cannot be read ({" ".join(reason.split())}), '
            'expected -p NAME:=VALUE, -r FROM:=TO, --params-file FILE; correct them',
            file=sys.stderr,
        )
        raise SystemExit(2) from None


def _interrupt(*_: object) -> None:
    """End the program wherever it is; a second signal must not disturb its clearing up."""
    for number in _STOP_SIGNALS:
        # Not SIG_IGN: Python prints a traceback if a signal is pending while it is set to that.
        signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt
