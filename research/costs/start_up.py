"""How soon the command line answers, and the depth node listens."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mirror_depth_ros.cli.processes import (
    ChildFailedError,
    Children,
    interruptible,
    lines_of,
    module_command,
)
from mirror_depth_ros.cli.ros_environment import private_environment

# What the node says once it is active.
_ACTIVE = 'listening to'


def measure(model: str, rounds: int, *, advance: Callable[[], None]) -> dict[str, Any]:
    """Start both in turn, each in a process of its own.

    :param model: ``builtin`` or the path of a checkpoint, for the node.
    :param advance: called after every round.
    :returns: ``help_s``, until ``mirror_depth --help`` has ended, and ``node_active_s``, until the
        node is active: the spreads, from the start of the process [s].
    :raises ChildFailedError: if the node ends before.
    """
    from mirror_depth_ros.evaluation.interleaved_timing import summarize_times

    taken: dict[str, list[float]] = {'help_s': [], 'node_active_s': []}
    for number in range(rounds + 1):
        figures = {'help_s': _help_s(), 'node_active_s': _node_active_s(model)}
        if number:  # the first one reads the disk
            for name, seconds in figures.items():
                taken[name].append(seconds)
        advance()
    return {
        'model': model if not Path(model).is_file() else Path(model).stem,
        **summarize_times(taken),
    }


def _help_s() -> float:
    started = time.perf_counter()
    command = [*module_command('mirror_depth_ros.cli.main'), '--help']
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _node_active_s(model: str) -> float:
    """Return how long a depth node takes to be active [s].

    :raises ChildFailedError: if it ends before.
    """
    command = [*module_command('mirror_depth_ros.ros.depth_node'), '--ros-args']
    command += ['-p', f'model:={model}']
    with TemporaryDirectory(prefix='mirror_depth_') as folder, interruptible():
        environment = private_environment(os.environ, Path(folder))
        environment['RCUTILS_LOGGING_USE_STDOUT'] = '1'
        with Children(Path(folder), environment) as children:
            started = time.perf_counter()
            node = children.start('depth node', command, read_output=True)
            said = []
            for line in lines_of(node.process.stdout):
                said.append(line)
                if _ACTIVE in line:
                    return time.perf_counter() - started
            node.process.wait()
            node.check_running()
            raise ChildFailedError(f'The depth node was not active; it said: {"".join(said)}')
