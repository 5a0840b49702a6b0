"""Says on ``/diagnostics``, once a second, how the node is; and in the log what is wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.node import Node

from mirror_depth_ros.ros.camera_stream import CameraStream
from mirror_depth_ros.ros.diagnostics.health import (
    OTHER_CLOCK_S,
    Cause,
    Health,
    Issue,
    Level,
    check_health,
    check_node_health,
)
from mirror_depth_ros.ros.diagnostics.statistics import (
    ARRIVAL_AGE,
    FATES,
    PUBLISHING_AGE,
    TIMES,
    CameraStatus,
    NodeStatus,
)

_PERIOD_S = 1.0
# Of what has no value, as yet or at all. Not 0, which would be one.
_UNKNOWN = 'unknown'
# The worker logs what it skips, and the node its transitions, at once and in more detail; and
# that somebody paused it, or that a camera is faster than the model, is no news.
_NOT_LOGGED = (Cause.STATE, Cause.SKIPPED, Cause.PAUSED, Cause.SLOW)
# Twice as long after each line: what nobody mends must not fill the disk.
_FIRST_INTERVAL_S = 10.0


class Diagnostics:
    """Publishes a node's diagnostics as ``diagnostic_updater`` does.

    The topic is absolute, because all nodes of a robot share it, and the stamps are of the node's
    clock. In two things this differs. The node's name is its full one, without which two nodes
    would look like one; and the timer is a steady one, as simulated time may stand still.

    A camera with a name has a status of its own, beside the node's; one without shares it.
    """

    def __init__(
        self,
        node: Node,
        cameras: Sequence[CameraStream],
        observe: Callable[[], NodeStatus],
        *,
        clock: Clock,
    ) -> None:
        """Begin to publish.

        :param observe: returns the node's status of now.
        :param clock: steady; paces the publishing.
        """
        self._node = node
        self._observe = observe
        self._logs = {camera: IssueLog() for camera in cameras}
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 1)
        self._timer = node.create_timer(_PERIOD_S, self._report, clock=clock)

    def stop(self) -> None:
        """Publish no more."""
        self._timer.cancel()

    def _report(self) -> None:
        """Publish how node and cameras are, and log what is wrong."""
        try:
            node, message = self._observe(), DiagnosticArray()
            if any(stream.name for stream in self._logs):
                health = check_node_health(node, len(self._logs))
                message.status.append(_status(node, health, node_values(node), node.device))
            for stream, log in self._logs.items():
                camera = stream.observe(node)
                health = check_health(camera)
                values = camera_values(camera)
                if not camera.name:
                    values = node_values(node) | values
                status = _status(node, health, values, _hardware_id(camera), camera.name)
                message.status.append(status)
                for issue in log.choose(health.issues, time.monotonic()):
                    stream.logger.warning(issue.message)
            message.header.stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(message)
        except Exception:
            if self._node.context.ok():
                raise
            # The process is ending: nothing can be published or logged any more.


class IssueLog:
    """Chooses the issues to log: new ones at once, the same again at growing intervals.

    What is no fault (level OK) is said only once, however often it comes and goes.
    """

    def __init__(self) -> None:
        # When an issue is due again, and the interval after that [s].
        self._next: dict[tuple[Level, Cause, str], tuple[float, float]] = {}

    def choose(self, issues: Iterable[Issue], now_s: float) -> list[Issue]:
        """Return those to log now, of all that there are: one that is missing is over.

        :param now_s: of a monotonic clock [s].
        """
        current = {(i.level, i.cause, i.topic): i for i in issues if i.cause not in _NOT_LOGGED}
        self._next = {
            key: due for key, due in self._next.items() if key in current or key[0] == Level.OK
        }
        chosen = []
        for key, issue in current.items():
            due_s, interval_s = self._next.get(key, (now_s, _FIRST_INTERVAL_S))
            if now_s >= due_s:
                again_s = math.inf if issue.level == Level.OK else now_s + interval_s
                self._next[key] = (again_s, 2 * interval_s)
                chosen.append(issue)
        return chosen


def _hardware_id(camera: CameraStatus) -> str:
    """Return the frame of a camera's images; its topic where that is not known."""
    latest, topic = camera.statistics.latest, '' if camera.image is None else camera.image.topic
    return topic if latest is None else latest.frame_id or topic


def _status(
    node: NodeStatus, health: Health, values: dict[str, str], hardware_id: str, name: str = ''
) -> DiagnosticStatus:
    """Return the message of a camera of this name, or of the node."""
    if health.level > Level.OK and len(health.issues) > 1:
        values['also'] = ' | '.join(issue.message for issue in health.issues[1:])
    return DiagnosticStatus(
        level=bytes([health.level]),
        name=f'{node.name}: {name or "depth"}'.lstrip('/'),
        message=health.message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


# Figures by name, in the order of reading; the names are always the same


def node_values(node: NodeStatus) -> dict[str, str]:
    """Return those that are the same for all cameras of a node."""
    names = ('state', 'model', 'device', 'precision', 'backend')
    values = {name: str(getattr(node, name)) for name in names}
    values['device'] += ' (no GPU found)' * node.lacks_gpu
    for name, n_bytes in (('resident', node.resident_bytes), ('GPU', node.gpu_bytes)):
        values[f'{name} memory [MB]'] = '' if n_bytes is None else f'{n_bytes / 1e6:.1f}'
    return {name: value or _UNKNOWN for name, value in values.items()}


def camera_values(camera: CameraStatus) -> dict[str, str]:
    """Return those of one camera.

    Durations and ages are those of the last seconds, counts those since the activation.
    """
    statistics = camera.statistics
    values = {name: str(statistics.counts[fate]) for fate, name in FATES.items()}
    values |= {
        'CameraInfo without an image, last seconds': str(statistics.n_missing),
        'input rate [Hz]': f'{statistics.input_hz:.2f}',
        'output rate [Hz]': f'{statistics.output_hz:.2f}',
    }
    for name in TIMES:
        stats = statistics.times.get(name)
        if name in (ARRIVAL_AGE, PUBLISHING_AGE) and stats and abs(stats.p50) > OTHER_CLOCK_S:
            stats = None  # no age, but the difference of two clocks
        for p in ('p50', 'p95'):
            known = f'{1e3 * getattr(stats, p):.2f}' if stats else _UNKNOWN
            values[f'{name}, {p} [ms]'] = known
    strangeness = statistics.strangeness
    values['strangeness (above 1: unlike the training)'] = (
        _UNKNOWN if strangeness is None else f'{strangeness:.2f}'
    )
    values['values of 16-bit images fill'] = camera.grey_levels or 'none came'
    values['last skipped because'] = statistics.skip_reason or 'none was'
    return values
