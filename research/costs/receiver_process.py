"""Receives depth and clouds in a process of its own, and measures their way from the camera.

Reads one command a line, ``{"frames": 10}`` or ``{"seconds": 5, "rate_hz": 30}``, and answers
each with a line of JSON. In between it rests, and so do camera and node.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Empty, Float64

from mirror_depth_ros.ros.process import start_ros, startup_errors

# The first frame waits for the model to be loaded and verified.
_FIRST_FRAME_S = 240.0
_FRAME_S = 30.0
# After which a frame is asked for again: the camera may not have heard of it, or the node.
_RETRY_S = 5.0
_SETTLE_S = 1.5


class Receiver(Node):
    """Subscribes to ``depth`` and ``points`` and paces the camera."""

    def __init__(self) -> None:
        super().__init__('benchmark_receiver')
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._next = self.create_publisher(Empty, 'next', qos)
        self._rate = self.create_publisher(Float64, 'rate', qos)
        #: Of all clouds: when its image was taken, and when it came [ns].
        self._clouds: list[tuple[int, int]] = []
        self._depths: set[int] = set()
        self.create_subscription(PointCloud2, 'points', self._on_cloud, qos)
        self.create_subscription(Image, 'depth', self._on_depth, qos)

    def latencies_ms(self, frames: int) -> list[float]:
        """Ask for frames, each when depth and cloud of the last have come.

        :returns: from the image's stamp to the cloud's arrival [ms], for each.
        :raises TimeoutError: if nothing comes.
        """
        latencies = []
        for _ in range(frames):
            self._clouds.clear()
            self._depths.clear()
            self._ask()
            stamp, arrived = self._clouds[-1]
            latencies.append(1e-6 * (arrived - stamp))
        return latencies

    def frames_per_second(self, seconds: float, rate_hz: float) -> float:
        """Count the clouds that come of a camera that runs freely."""
        self._rate.publish(Float64(data=rate_hz))
        self._spin(lambda: False, _SETTLE_S)
        self._clouds.clear()
        started = time.monotonic()
        self._spin(lambda: False, seconds)
        rate = len(self._clouds) / (time.monotonic() - started)
        self._rate.publish(Float64(data=0.0))
        self._spin(lambda: False, _SETTLE_S)  # what is on its way is not of the next block
        return rate

    def wait_for_node(self) -> None:
        """Wait until a first frame has gone all the way.

        :raises TimeoutError: if none does.
        """
        deadline = time.monotonic() + _FIRST_FRAME_S
        while not self._clouds:
            if time.monotonic() > deadline:
                raise TimeoutError(f'no cloud came within {_FIRST_FRAME_S:.0f} s')
            self._next.publish(Empty())
            self._spin(lambda: bool(self._clouds), 1.0)
        self._spin(lambda: False, _SETTLE_S)

    def _ask(self) -> None:
        deadline = time.monotonic() + _FRAME_S
        while time.monotonic() < deadline:
            self._next.publish(Empty())
            if self._spin(self._is_whole, _RETRY_S):
                return
        raise TimeoutError(f'no cloud came within {_FRAME_S:.0f} s')

    def _is_whole(self) -> bool:
        return bool(self._clouds) and self._clouds[-1][0] in self._depths

    def _spin(self, is_done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not is_done() and (left := deadline - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)
        return is_done()

    def _on_cloud(self, cloud: PointCloud2) -> None:
        self._clouds.append((_nanoseconds(cloud), time.time_ns()))

    def _on_depth(self, depth: Image) -> None:
        self._depths.add(_nanoseconds(depth))


def _nanoseconds(message: Image | PointCloud2) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def main() -> int:
    """Answer commands until there are no more; return the process's exit code."""
    with startup_errors('receiver'):
        start_ros(sys.argv)
        receiver = Receiver()
    try:
        receiver.wait_for_node()
        print('{}', flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            answer: dict[str, object]
            if 'frames' in command:
                answer = {'latencies_ms': receiver.latencies_ms(command['frames'])}
            else:
                answer = {'fps': receiver.frames_per_second(**command)}
            print(json.dumps(answer), flush=True)
    except TimeoutError as error:
        print(f'receiver: {error}', file=sys.stderr)
        return 1
    finally:
        receiver.destroy_node()
        rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
