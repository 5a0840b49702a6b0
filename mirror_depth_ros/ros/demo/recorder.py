"""A subscriber that measures a depth node and writes what it saw: pictures, clouds, figures."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2

from mirror_depth_ros.ros.decoding import decode_image
from mirror_depth_ros.ros.demo.album import Album, remove_earlier
from mirror_depth_ros.ros.demo.frame_camera import FRAME_PARAMETERS, open_frames
from mirror_depth_ros.ros.fixed_parameters import FixedParameter, declare, parse_arguments
from mirror_depth_ros.ros.messages import cloud_array, depth_array
from mirror_depth_ros.ros.process import start_ros, startup_errors
from mirror_depth_ros.ros.timing import Timing

_TOPICS = {
    'image': Image,
    'depth/image': Image,
    'depth/preview': Image,
    'points': PointCloud2,
}
# Stamps that may be incomplete: 51 s of a camera of 10 Hz. Of an image only its number is kept.
_PENDING = 512

_PARAMETERS = (
    *FRAME_PARAMETERS,
    FixedParameter('output', '', 'folder to write into'),
    FixedParameter('seconds', 10.0, 'time to record after the first depth [s]', (0.1, 86400.0)),
    FixedParameter('wait_s', 180.0, 'time to wait for the first depth [s]', (0.1, 3600.0)),
    FixedParameter('stall_s', 30.0, 'time the node may be silent after that [s]', (0.1, 3600.0)),
    FixedParameter('pictures', 0, 'frames of each recording that get pictures; 0: all', (0, 1000)),
    FixedParameter('max_depth', 0.0, 'range of figures [m]; 0: as frames have it', (0.0, 1000.0)),
    FixedParameter('status', False, 'print the status as lines of JSON'),
)


class Recorder(Node):
    """Puts aside what the camera plays and what the depth node answers.

    :raises ValueError: for a missing output folder, or frames that cannot be read.
    :raises OSError: if the output folder cannot be written.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__('recorder', **node_options)
        value = self._value = declare(self, _PARAMETERS)
        self.output = _output_folder(value['output'])
        self.album = Album(
            open_frames(value['images'], value['fov']),
            self.output,
            n_pictures=value['pictures'],
            max_depth=value['max_depth'],
        )
        self._pending: dict[int, dict[str, Any]] = {}
        self._received: Counter[str] = Counter()
        self._started_s = self._news_s = time.monotonic()
        self.timing = Timing(self._started_s)
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._inputs = {
            topic: self.create_subscription(kind, topic, partial(self._on_message, topic), qos)
            for topic, kind in _TOPICS.items()
        }

    def is_finished(self) -> bool:
        """Say whether everything is recorded.

        The time is extended until each frame has come back, as long as new ones do.

        :raises TimeoutError: if a topic stays silent; the message says which.
        """
        now_s, timing = time.monotonic(), self.timing
        if timing.first_depth_s is None:
            if now_s - self._started_s > self._value['wait_s']:
                raise TimeoutError(self._silence(now_s - self._started_s))
            return False
        stall_s = self._value['stall_s']
        if now_s - timing.last_depth_s > stall_s:
            raise TimeoutError(
                f'got {timing.processed} depth images and then none for {stall_s:.0f} s on '
                f'{self._inputs["depth/image"].topic_name}, expected more; look into the log of '
                'the depth node'
            )
        if now_s - timing.first_depth_s < self._value['seconds']:
            return False
        return not self.album.missing or now_s - self._news_s > stall_s

    def status(self) -> dict[str, Any]:
        """Return how far the recording is."""
        if self.timing.first_depth_s is None:
            return {'stage': 'waiting', 'silent': self._silent_topics()}
        return {
            'stage': 'recording',
            'done': round(time.monotonic() - self.timing.first_depth_s, 2),
            'of': self._value['seconds'],
            'frames': self.timing.processed,
            'missing': len(self.album.missing),
        }

    def write(self) -> dict[str, Any]:
        """Write everything into the output folder; return the summary.

        :raises TimeoutError: if no frame came back whole; the message says which topic was silent.
        :raises OSError: if a file cannot be written; the message names it.
        """
        if self.album.is_empty:
            raise TimeoutError(self._silence(time.monotonic() - self._started_s))
        return self.album.write(
            self.timing.summary(),
            on_progress=lambda done, total: self.report_status(
                {'stage': 'writing', 'done': done, 'of': total}
            ),
        )

    def report_status(self, status: dict[str, Any]) -> None:
        """Print a status as one line of JSON, if somebody is to read it."""
        if self._value['status']:
            print(json.dumps(status), flush=True)

    def _on_message(self, topic: str, message: Any) -> None:
        now_ns = self.get_clock().now().nanoseconds
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        self._received[topic] += 1
        parts = self._pending.setdefault(stamp_ns, {})
        if topic == 'image':
            self.timing.add_image(stamp_ns)
            parts[topic] = self.album.find(decode_image(message))
        else:
            parts[topic] = message
        if topic == 'depth/image':
            parts['latency_ms'] = (now_ns - stamp_ns) / 1e6
            self.timing.add_depth(time.monotonic(), stamp_ns, parts['latency_ms'])
            self._forget_unanswered(before_ns=stamp_ns)
        if parts.keys() >= _TOPICS.keys():
            del self._pending[stamp_ns]
            self._put_aside(parts)
        elif len(self._pending) > _PENDING:
            del self._pending[next(iter(self._pending))]

    def _forget_unanswered(self, before_ns: int) -> None:
        """Forget images that the node has dropped: a later one is answered already."""
        for stamp_ns in [s for s in self._pending if s < before_ns]:
            if 'depth/image' not in self._pending[stamp_ns]:
                del self._pending[stamp_ns]

    def _put_aside(self, parts: dict[str, Any]) -> None:
        if parts['image'] is None:
            return  # a picture of another camera
        arrays: dict[str, NDArray[Any]] = {
            'depth': depth_array(parts['depth/image']),
            'preview': decode_image(parts['depth/preview']),
            'cloud': cloud_array(parts['points']),
        }
        if self.album.add(parts['image'], arrays, parts['latency_ms']):
            self._news_s = time.monotonic()

    def _silent_topics(self) -> list[str]:
        return [self._inputs[t].topic_name for t in _TOPICS if not self._received[t]]

    def _silence(self, waited_s: float) -> str:
        """Say what did not arrive, and what to do."""
        heard = ', '.join(f'{self._received[t]} on {self._inputs[t].topic_name}' for t in _TOPICS)
        silent = self._silent_topics()
        if not silent:
            return (
                f'got no picture of the folder with its depth within {waited_s:.0f} s ({heard}), '
                'expected the frames that the camera plays, and every output to carry the stamp '
                'of its image'
            )
        return (
            f'got nothing on {", ".join(silent)} within {waited_s:.0f} s (messages: {heard}), '
            'expected an image and its depth; check that the camera and the depth node run and '
            'that the names match (ros2 topic list)'
        )


def _output_folder(path: str) -> Path:
    """Make the output folder."""
    if not path:
        raise ValueError("got no output folder, expected one; give it with -p output:='/a/folder'")
    output = Path(path)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f'could not make the output folder {output}: {error.strerror}; choose another one'
        ) from error
    return output


def record(node: Recorder) -> int:
    """Record, write, and return the process's exit status."""
    remove_earlier(node.output)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    next_status_s = 0.0
    while not node.is_finished():
        executor.spin_once(timeout_sec=0.1)
        if time.monotonic() > next_status_s:
            next_status_s = time.monotonic() + 0.2
            node.report_status(node.status())
    executor.remove_node(node)
    summary = node.write()
    if summary['missing']:
        print(f'recorder: no depth came for {", ".join(summary["missing"])}', file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Record until done; return the process's exit code, 0 if every picture came back."""
    arguments = sys.argv if arguments is None else arguments
    purpose = 'Records image, depth and cloud; writes pictures, clouds and figures.'
    parse_arguments(arguments, name='recorder', purpose=purpose, parameters=_PARAMETERS)
    node = None
    try:
        with startup_errors('recorder'):
            start_ros(arguments)
            node = Recorder()
        with node.album:
            return record(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    except (OSError, ValueError) as error:
        print(f'recorder: {error}', file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    sys.exit(main())
