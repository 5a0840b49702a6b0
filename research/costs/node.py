"""The node end to end: camera, depth node and receiver as processes over real DDS."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mirror_depth_ros.cli.processes import Child, Children, interruptible, module_command
from mirror_depth_ros.cli.ros_environment import private_environment

_PACKAGE = 'research.costs'
_ROOT = Path(__file__).parents[2]
# Frames of the node and estimates alone take turns, so many of each at a time.
_BLOCK = 5


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment where ``module_command`` finds research/, which is not installed."""
    others = environment.get('PYTHONPATH')
    return {**environment, 'PYTHONPATH': os.pathsep.join(filter(None, (str(_ROOT), others)))}


def measure_packing(height: int, width: int, *, rounds: int) -> dict[str, dict[str, float]]:
    """Return what ``copy``, ``cloud`` and ``depth`` of messages take [ms], as their spreads.

    :raises ChildFailedError: if that process fails.
    """
    command = [
        *module_command(f'{_PACKAGE}.packing_process'),
        str(height),
        str(width),
        str(rounds),
    ]
    with (
        TemporaryDirectory(prefix='mirror_depth_') as folder,
        interruptible(),
        Children(Path(folder), child_environment(os.environ)) as children,
    ):
        return _answer(children.start('packing', command, read_output=True), [])


def measure_node(
    subject: Mapping[str, Any],
    camera: tuple[int, int],
    estimate: Callable[[], float],
    *,
    blocks: int,
    seconds: float,
    rate_hz: float,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Measure the node against the estimator alone, in alternate blocks.

    :param subject: the model, see ``Subject.to_dict``.
    :param camera: height and width of its images [pixels].
    :param estimate: estimates once and returns what it took [ms].
    :param blocks: of each.
    :param seconds: how long the camera runs freely.
    :param rate_hz: of the camera when it does.
    :param advance: called after every block.
    :returns: ``node`` and ``estimator`` [ms], every measurement; ``fps``; ``rss_mb``.
    :raises ChildFailedError: if one of the processes fails.
    """
    from mirror_depth_ros.evaluation.benchmark.costs import resident_mb

    height, width = camera
    names = ('image', 'camera_info')
    topics = [part for name in names for part in ('-r', f'{name}:=/camera/{name}')]
    commands = {
        'camera': ['camera', '--ros-args', '-p', f'width:={width}', '-p', f'height:={height}'],
        'depth node': ['depth_node', json.dumps(subject), '--ros-args'],
    }
    outputs = ('depth:=/mirror_depth/depth/image', 'points:=/mirror_depth/points')
    receiver_topics = [part for remap in outputs for part in ('-r', remap)]
    node_ms: list[float] = []
    estimator_ms: list[float] = []
    with TemporaryDirectory(prefix='mirror_depth_') as folder, interruptible():
        logs = Path(folder)
        environment = child_environment(private_environment(os.environ, logs))
        with Children(logs, environment) as children:
            others = [
                children.start(
                    name,
                    [*module_command(f'{_PACKAGE}.{module}_process'), *arguments, *topics],
                )
                for name, (module, *arguments) in commands.items()
            ]
            command = [*module_command(f'{_PACKAGE}.receiver_process'), '--ros-args']
            receiver = children.start(
                'receiver', [*command, *receiver_topics], read_output=True, write_input=True
            )
            _answer(receiver, others)
            ask(receiver, others, frames=2)  # warm-up
            for _ in range(blocks):
                node_ms += ask(receiver, others, frames=_BLOCK)['latencies_ms']
                estimator_ms += [estimate() for _ in range(_BLOCK)]
                advance()
            fps = ask(receiver, others, seconds=seconds, rate_hz=rate_hz)['fps']
            rss_mb = resident_mb(others[-1].process.pid)
    return {'node': node_ms, 'estimator': estimator_ms, 'fps': fps, 'rss_mb': rss_mb}


def ask(child: Child, others: Sequence[Child], **command: Any) -> dict[str, Any]:
    """Send a child one line of JSON and return the line that it answers.

    :param others: children that it needs.
    :raises ChildFailedError: if one of them fails.
    """
    stream = child.process.stdin
    if stream is not None and child.process.poll() is None:
        stream.write(f'{json.dumps(command)}\n')
        stream.flush()
    return _answer(child, others)


def _answer(child: Child, others: Sequence[Child]) -> dict[str, Any]:
    """Return the next line of a child's output.

    :raises ChildFailedError: if it, or another that it needs, fails.
    """
    stream = child.process.stdout
    line = stream.readline() if stream is not None else ''
    if not line:
        child.process.wait()
        for other in others:
            other.check_no_error()
            other.check_running()
        child.check_running()
    return json.loads(line)
