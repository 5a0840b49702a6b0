"""Receives messages of the sender, and measures how long they were on their way.

Takes two arguments, the reliability to ask for and the kind of message. Answers each line of
input with what has come since the last: ``{"latencies_ms": [...]}``.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image, PointCloud2

from mirror_depth_ros.ros.process import start_ros, startup_errors

#: What is sent, by name.
KINDS: dict[str, type[Any]] = {'image': Image, 'depth': Image, 'points': PointCloud2}
_SETTLE_S = 1.0


def main() -> int:
    """Answer until there is no more input; return the process's exit code."""
    reliability, kind = remove_ros_args(sys.argv)[1:3]
    with startup_errors('taker'):
        start_ros(sys.argv)
        node = rclpy.create_node(f'benchmark_taker_{reliability}')
    latencies_ms: list[float] = []

    def take(message: Any) -> None:
        arrived_ns = time.time_ns()
        stamp = message.header.stamp
        latencies_ms.append(1e-6 * (arrived_ns - stamp.sec * 10**9 - stamp.nanosec))

    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy[reliability.upper()])
    node.create_subscription(KINDS[kind], kind, take, qos)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):  # the way it is meant to end
            rclpy.spin(node)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    for _ in sys.stdin:
        time.sleep(_SETTLE_S)  # what is on its way
        print(json.dumps({'latencies_ms': latencies_ms}), flush=True)
        latencies_ms.clear()
    rclpy.shutdown()
    thread.join()
    return 0


if __name__ == '__main__':
    sys.exit(main())
