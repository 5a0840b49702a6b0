"""Says on ``/diagnostics``, once a second, how the node is; and in the log what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.node import Node

from mirror_depth_ros.ros.camera_stream import CameraStream
from mirror_depth_ros.ros.diagnostics.diagnostic_values import (
    camera_values,
    diagnostic_values,
    node_values,
)
from mirror_depth_ros.ros.diagnostics.finding_log import FindingLog
from mirror_depth_ros.ros.diagnostics.health import Judgement, Level, judge, judge_node
from mirror_depth_ros.ros.diagnostics.status import NodeFacts, Snapshot

_PERIOD_S = 1.0


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
        observe: Callable[[], NodeFacts],
        *,
        clock: Clock,
    ) -> None:
        """Begin to publish.

        :param observe: returns the node's facts of now.
        :param clock: steady; paces the publishing.
        """
        self._node = node
        self._observe = observe
        self._logs = {camera: FindingLog() for camera in cameras}
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 1)
        self._timer = node.create_timer(_PERIOD_S, self._report, clock=clock)

    def stop(self) -> None:
        """Publish no more."""
        self._timer.cancel()

    def _report(self) -> None:
        try:
            facts = self._observe()
            statuses = []
            for camera, log in self._logs.items():
                snapshot = camera.observe(facts)
                judgement = judge(snapshot)
                statuses.append(_camera_status(snapshot, judgement))
                for finding in log.choose(judgement.findings, time.monotonic()):
                    camera.logger.warning(finding.message)
            if any(camera.name for camera in self._logs):
                statuses.insert(0, _node_status(facts, len(self._logs)))
            message = DiagnosticArray(status=statuses)
            message.header.stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(message)
        except Exception:
            if self._node.context.ok():
                raise
            # The process is ending: nothing can be published or logged any more.


def _node_status(facts: NodeFacts, n_cameras: int) -> DiagnosticStatus:
    return _status(
        f'{facts.node}: depth',
        judge_node(facts, n_cameras),
        hardware_id=facts.device,
        values=node_values(facts),
    )


def _camera_status(snapshot: Snapshot, judgement: Judgement) -> DiagnosticStatus:
    """Return the status of a camera; where it is the only one, with all that is the node's."""
    return _status(
        f'{snapshot.node}: {snapshot.camera or "depth"}',
        judgement,
        hardware_id=_hardware_id(snapshot),
        values=camera_values(snapshot) if snapshot.camera else diagnostic_values(snapshot),
    )


def _status(
    name: str, judgement: Judgement, *, hardware_id: str, values: dict[str, str]
) -> DiagnosticStatus:
    if judgement.level > Level.OK and len(judgement.findings) > 1:
        values['also'] = ' | '.join(f.message for f in judgement.findings[1:])
    return DiagnosticStatus(
        level=bytes([judgement.level]),
        name=name.lstrip('/'),
        message=judgement.message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _hardware_id(snapshot: Snapshot) -> str:
    """Name the camera: by its frame, or by its topic until an image says it."""
    latest = snapshot.measured.latest
    if latest is not None and latest.frame_id:
        return latest.frame_id
    return '' if snapshot.image is None else snapshot.image.topic
