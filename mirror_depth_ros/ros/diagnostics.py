"""Says on ``/diagnostics``, once a second, how the node is; and in the log what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.node import Node

from mirror_depth_ros.ros.diagnostic_values import diagnostic_values
from mirror_depth_ros.ros.finding_log import FindingLog
from mirror_depth_ros.ros.judgement import Judgement, Level, judge
from mirror_depth_ros.ros.observations import Snapshot

_PERIOD_S = 1.0


class Diagnostics:
    """Publishes a node's diagnostics as ``diagnostic_updater`` does.

    The topic is absolute, because all nodes of a robot share it, and the stamps are of the node's
    clock. In two things this differs. The node's name is its full one, without which two cameras
    would look like one; and the timer is a steady one, as simulated time may stand still.
    """

    def __init__(self, node: Node, observe: Callable[[], Snapshot], *, clock: Clock) -> None:
        """Begin to publish.

        :param observe: returns the facts of now.
        :param clock: steady; paces the publishing.
        """
        self._node = node
        self._observe = observe
        self._log = FindingLog()
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 1)
        self._timer = node.create_timer(_PERIOD_S, self._report, clock=clock)

    def stop(self) -> None:
        """Publish no more."""
        self._timer.cancel()

    def _report(self) -> None:
        try:
            snapshot = self._observe()
            judgement = judge(snapshot)
            self._publish(snapshot, judgement)
            for finding in self._log.choose(judgement.findings, time.monotonic()):
                self._node.get_logger().warning(finding.message)
        except Exception:
            if self._node.context.ok():
                raise
            # The process is ending: nothing can be published or logged any more.

    def _publish(self, snapshot: Snapshot, judgement: Judgement) -> None:
        values = diagnostic_values(snapshot)
        if judgement.level > Level.OK and len(judgement.findings) > 1:
            values['also'] = ' | '.join(f.message for f in judgement.findings[1:])
        status = DiagnosticStatus(
            level=bytes([judgement.level]),
            name=f'{snapshot.node.lstrip("/")}: depth',
            message=judgement.message,
            hardware_id=_hardware_id(snapshot),
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def _hardware_id(snapshot: Snapshot) -> str:
    """Name the camera: by its frame, or by its topic until an image says it."""
    latest = snapshot.measured.latest
    if latest is not None and latest.frame_id:
        return latest.frame_id
    return '' if snapshot.image is None else snapshot.image.topic
