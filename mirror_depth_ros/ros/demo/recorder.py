"""A subscriber that measures a depth node and writes what it saw: pictures, clouds, figures."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2

from mirror_depth_ros.depth.files import make_folder
from mirror_depth_ros.depth.image_decoding import decode_image
from mirror_depth_ros.depth.point_cloud import POINT_FIELDS, read_cloud
from mirror_depth_ros.evaluation.album import Album, remove_earlier
from mirror_depth_ros.ros.demo.frame_camera import FrameParameters
from mirror_depth_ros.ros.messages import depth_array
from mirror_depth_ros.ros.parameter_server import declare, parse_arguments, warn_of_unknown
from mirror_depth_ros.ros.parameters import fixed_parameter
from mirror_depth_ros.ros.process import start_ros, startup_errors

_TOPICS = {
    'image': Image,
    'depth/image': Image,
    'depth/preview': Image,
    'points': PointCloud2,
}
# Stamps that may be incomplete, as of images that the node drops: 51 s of a camera of 10 Hz. Of an
# image only its number is kept.
_PENDING = 512


@dataclass(frozen=True)
class RecorderParameters(FrameParameters):
    """What is recorded, for how long, and whereto."""

    output: str = fixed_parameter('', 'folder to write into')
    seconds: float = fixed_parameter(
        10.0, 'time to record after the first depth [s]', (0.1, 86400.0)
    )
    wait_s: float = fixed_parameter(180.0, 'time to wait for the first depth [s]', (0.1, 3600.0))
    stall_s: float = fixed_parameter(
        30.0, 'time the node may be silent after that [s]', (0.1, 3600.0)
    )
    pictures: int = fixed_parameter(
        0, 'frames of each recording that get pictures; 0: all', (0, 1000)
    )
    max_depth: float = fixed_parameter(
        0.0, 'range of figures [m]; 0: as frames have it', (0.0, 1000.0)
    )
    status: bool = fixed_parameter(False, 'print the status as lines of JSON')


class Answer(NamedTuple):
    """A depth image."""

    #: When it arrived, on a monotonic clock [s].
    arrival_s: float
    #: Of the image that it answers [ns].
    stamp_ns: int
    #: From that stamp to its arrival [ms].
    latency_ms: float


def summarize_timing(images_ns: Sequence[int], answers: Sequence[Answer]) -> dict[str, Any]:
    """Count images and depth images, and time these from the first to the last.

    :param images_ns: stamps of all images received [ns].
    :param answers: at least one.
    """
    seconds = answers[-1].arrival_s - answers[0].arrival_s
    p50, p95 = np.percentile([answer.latency_ms for answer in answers], [50, 95])
    return {
        'frames_published': sum(stamp_ns >= answers[0].stamp_ns for stamp_ns in images_ns),
        'frames_processed': len(answers),
        'seconds': round(seconds, 3),
        'fps': round((len(answers) - 1) / seconds, 2) if len(answers) > 1 else None,
        'latency_ms': {'p50': round(float(p50), 2), 'p95': round(float(p95), 2)},
        'counting': 'published: images received by a reliable subscriber, from the first that '
        'got a depth; latency: from the stamp of an image to the arrival of its depth',
    }


class Recorder(Node):
    """Puts aside what the camera plays and what the depth node answers.

    :raises ValueError: for a missing output folder, or frames that cannot be read.
    :raises OSError: if the output folder cannot be written.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__('recorder', **node_options)
        settings = self._settings = declare(self, RecorderParameters)
        warn_of_unknown(self)
        if not settings.output:
            raise ValueError(
                "got no output folder, expected one; give it with -p output:='/a/folder'"
            )
        self.output = Path(settings.output)
        make_folder(self.output)
        self.album = Album(
            settings.open(),
            self.output,
            n_pictures=settings.pictures,
            max_depth=settings.max_depth,
        )
        self._pending: dict[int, dict[str, Any]] = {}
        self._received: Counter[str] = Counter()
        self._started_s = self._news_s = time.monotonic()
        self._images_ns: list[int] = []
        self._answers: list[Answer] = []
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
        now_s, answers, stall_s = time.monotonic(), self._answers, self._settings.stall_s
        if not answers:
            if now_s - self._started_s > self._settings.wait_s:
                raise TimeoutError(self._silence(now_s - self._started_s))
            return False
        if now_s - answers[-1].arrival_s > stall_s:
            raise TimeoutError(
                f'got {len(answers)} depth images and then none for {stall_s:.0f} s on '
                f'{self._inputs["depth/image"].topic_name}, expected more; look into the log of '
                'the depth node'
            )
        if now_s - answers[0].arrival_s < self._settings.seconds:
            return False
        return not self.album.missing or now_s - self._news_s > stall_s

    def report_progress(self) -> None:
        """Print how far the recording is, if somebody is to read it."""
        if not self._answers:
            self._report('waiting for the depth node', silent=self._silent_topics())
            return
        missing = len(self.album.missing)
        to_come = f', {missing} frames to come' if missing else ''
        self._report(
            f'recording: {len(self._answers)} frames{to_come}',
            done=round(time.monotonic() - self._answers[0].arrival_s, 2),
            of=self._settings.seconds,
        )

    def write(self) -> dict[str, Any]:
        """Write everything into the output folder; return the summary.

        :raises TimeoutError: if no frame came back whole; the message says which topic was silent.
        :raises OSError: if a file cannot be written; the message names it.
        """
        if self.album.is_empty:
            raise TimeoutError(self._silence(time.monotonic() - self._started_s))
        return self.album.write(
            summarize_timing(self._images_ns, self._answers),
            on_progress=lambda done, total: self._report('writing pictures', done=done, of=total),
        )

    def _report(self, doing: str, **status: Any) -> None:
        """Print a status as one line of JSON, if somebody is to read it."""
        if self._settings.status:
            print(json.dumps({'doing': doing, **status}), flush=True)

    def _on_message(self, topic: str, message: Any) -> None:
        now_ns = self.get_clock().now().nanoseconds
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        self._received[topic] += 1
        parts = self._pending.setdefault(stamp_ns, {})
        if topic == 'image':
            self._images_ns.append(stamp_ns)
            parts[topic] = self.album.find(decode_image(message))
        else:
            parts[topic] = message
        if topic == 'depth/image':
            parts['latency_ms'] = (now_ns - stamp_ns) / 1e6
            self._answers.append(Answer(time.monotonic(), stamp_ns, parts['latency_ms']))
        if parts.keys() >= _TOPICS.keys():
            del self._pending[stamp_ns]
            self._put_aside(parts)
        elif len(self._pending) > _PENDING:
            del self._pending[next(iter(self._pending))]

    def _put_aside(self, parts: dict[str, Any]) -> None:
        if parts['image'] is None:
            return  # a picture of another camera
        arrays: dict[str, NDArray[Any]] = {
            'depth': depth_array(parts['depth/image']),
            'preview': decode_image(parts['depth/preview']),
            'cloud': read_cloud(parts['points'], POINT_FIELDS),
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
            node.report_progress()
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
    parse_arguments(arguments, name='recorder', purpose=purpose, parameters=RecorderParameters)
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
