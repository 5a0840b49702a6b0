"""Runs a node as a process that ends promptly, quietly and with a meaningful exit code."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from mirror_depth_ros.inference.process_tuning import (
    find_shm_shortage,
    set_passive_omp_wait,
    tune_malloc,
)

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_node(make_node: Callable[[], Node], arguments: Sequence[str], *, name: str) -> int:
    """Spin a node until the process is interrupted; the process should then end.

    :param make_node: creates the node, once rclpy is initialised.
    :param arguments: the process's arguments, with those of ROS.
    :param name: of the executable, for errors.
    :returns: the exit code, 0 after Ctrl-C or SIGTERM.
    :raises SystemExit: with code 1 where ROS cannot start, or the node refused its parameters.
    """
    set_passive_omp_wait()
    tune_malloc()
    # Before rclpy.init, whose own handlers go on to these: loading a model can be interrupted too.
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    node = None
    shortage = find_shm_shortage(1, os.environ)  # before this process takes its part
    try:
        with startup_errors(name):
            start_ros(arguments)
            node = make_node()
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


class RosUnavailableError(Exception):
    """ROS cannot start on this machine as it is set up."""


@contextmanager
def startup_errors(name: str) -> Iterator[None]:
    """Turn what ROS or a node refuses at its start into one line and exit code 1.

    :param name: of the executable, for the line.
    """
    try:
        with warnings.catch_warnings():
            # Of rclpy, about what it could not undo after an error.
            warnings.filterwarnings('ignore', 'Failed to fini', RuntimeWarning)
            yield
    except (ValueError, ParameterException, RosUnavailableError) as error:
        message = str(error)
    except rclpy_implementation.RCLError as error:  # as for the keys of an enclave
        message = _unavailable(error)
    else:
        return
    print(f'{name}: {message}', file=sys.stderr)
    raise SystemExit(1)


def start_ros(arguments: Sequence[str]) -> None:
    """Initialise rclpy.

    :param arguments: the process's arguments, with those of ROS.
    :raises RosUnavailableError: if that fails, with the reason and the remedy.
    """
    try:
        rclpy.init(args=list(arguments))
    except RuntimeError as error:  # RCLError among them; the log library's errors are plain ones
        raise RosUnavailableError(_unavailable(error)) from error


def _unavailable(error: RuntimeError) -> str:
    """Return why ROS cannot start, and what to do."""
    reason = _reason(error)
    if reason.startswith(('failed to initialize logging', 'Failed opening file')):
        remedy = 'expected a folder for logs that can be written; set ROS_LOG_DIR to one'
    elif os.environ.get('ROS_SECURITY_ENABLE') == 'true':
        remedy = (
            'expected a keystore with this enclave, and a DDS built with security; correct '
            'ROS_SECURITY_KEYSTORE and --enclave, or unset ROS_SECURITY_ENABLE'
        )
    else:
        remedy = 'expected what ROS 2 can start with; correct the environment (ROS_..., RMW_...)'
    return f'ROS 2 does not start: got "{reason}", {remedy}'


def _reason(error: RuntimeError) -> str:
    """Return what ROS says, without where in its sources that was."""
    return ' '.join(str(error).split(', at /')[0].split())


def describe_error(error: Exception) -> str:
    """Return an error's text; for one not written for users, its kind and a remedy if known."""
    if isinstance(error, (ValueError, OSError)):
        return str(error)
    if isinstance(error, ImportError):
        return (
            f'{error} (with {sys.executable}); install the requirements for that interpreter, or '
            'name another one in the launch argument python'
        )
    return f'{type(error).__name__}: {error}'


def own_arguments(arguments: Sequence[str], *, name: str) -> list[str]:
    """Return a process's arguments without its path and those of ROS.

    Where ROS cannot read its own, one line says so and the process ends with exit code 2, as
    argparse does.

    :param name: of the executable, for the error.
    """
    try:
        return list(remove_ros_args(list(arguments))[1:])
    except RuntimeError as error:  # of rclpy's extension module, which names it differently
        reason = _reason(error).removeprefix('Failed to parse ROS arguments: ')
        print(
            f'{name}: got ROS arguments that cannot be read ({reason}), '
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
