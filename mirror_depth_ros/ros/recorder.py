"""A subscriber that measures a depth node and writes what it saw: pictures, clouds, figures."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.ros.decoding import decode_image
from mirror_depth_ros.ros.fixed_parameters import FixedParameter, declare, parse_arguments
from mirror_depth_ros.ros.process import start_ros, startup_errors
from mirror_depth_ros.ros.recording import (
    FrameSpool,
    PhotographAlbum,
    SceneAlbum,
    Shot,
    StampMatcher,
)
from mirror_depth_ros.ros.report import remove_earlier, write_recording
from mirror_depth_ros.ros.tally import Tally
from mirror_depth_ros.writers import write_json

# What waits for its depth: 24 s of 640 x 480 images with their truth at 10 Hz.
_PENDING_BYTES = 512 * 2**20

_TOPICS = {
    'image': Image,
    'camera_info': CameraInfo,
    'true_depth': Image,
    'depth/image': Image,
    'depth/preview': Image,
    'points': PointCloud2,
}
# Photographs need not have a true depth.
_REQUIRED = tuple(topic for topic in _TOPICS if topic != 'true_depth')


_PARAMETERS = (
    FixedParameter('output', '', 'folder to write into'),
    FixedParameter('seconds', 10.0, 'time to record after the first depth [s]', (0.1, 86400.0)),
    FixedParameter('wait_s', 180.0, 'time to wait for the first depth [s]', (0.1, 3600.0)),
    FixedParameter('stall_s', 30.0, 'time the node may be silent after that [s]', (0.1, 3600.0)),
    FixedParameter('pictures', 6, 'frames of a scene that get pictures', (1, 1000)),
    FixedParameter('max_depth', 10.0, 'range of metrics and colours [m]', (0.1, 1000.0)),
    FixedParameter('images', '', 'folder of the photographs played; each is kept once'),
    FixedParameter('fov', 0.0, 'field of view of images without meta.json [deg]', (0.0, 179.0)),
    FixedParameter('status', False, 'print the status as lines of JSON'),
)


class Recorder(Node):
    """Puts aside what the camera sends and what the depth node answers.

    :raises ValueError: for a missing output folder, or a folder without photographs.
    :raises OSError: if the output folder cannot be written.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__('recorder', **node_options)
        self._value = declare(self, _PARAMETERS)
        self.output = _output_folder(self._value['output'])
        images, fov_deg = self._value['images'], self._value['fov']
        self.spool = FrameSpool(self.output)
        self.album = (
            PhotographAlbum(self.spool, FrameFolder(Path(images), hfov_deg=fov_deg or None))
            if images
            else SceneAlbum(self.spool)
        )
        self._matcher: StampMatcher[tuple[Any, int]] = StampMatcher(
            _REQUIRED, answer='depth/image', capacity_bytes=_PENDING_BYTES
        )
        self._latest: dict[str, Any] = {}
        self._started_s = self._news_s = time.monotonic()
        self.tally = Tally(self._started_s)
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._inputs = {
            topic: self.create_subscription(kind, topic, partial(self._on_message, topic), qos)
            for topic, kind in _TOPICS.items()
        }

    def is_finished(self) -> bool:
        """Say whether everything is recorded.

        Photographs extend the time until each has come back, as long as new ones do.

        :raises TimeoutError: if a topic stays silent; the message says which.
        """
        now_s, tally = time.monotonic(), self.tally
        if tally.first_depth_s is None:
            if now_s - self._started_s > self._value['wait_s']:
                raise TimeoutError(self._silence(now_s - self._started_s))
            return False
        stall_s = self._value['stall_s']
        if now_s - tally.last_depth_s > stall_s:
            raise TimeoutError(
                f'got {tally.processed} depth images and then none for {stall_s:.0f} s on '
                f'{self._inputs["depth/image"].topic_name}, expected more; look into the log of '
                'the depth node'
            )
        if now_s - tally.first_depth_s < self._value['seconds']:
            return False
        return not self.album.missing or now_s - self._news_s > stall_s

    def status(self) -> dict[str, Any]:
        """Return how far the recording is."""
        if self.tally.first_depth_s is None:
            return {'stage': 'waiting', 'silent': self._silent_topics()}
        return {
            'stage': 'recording',
            'done': round(time.monotonic() - self.tally.first_depth_s, 2),
            'of': self._value['seconds'],
            'frames': self.tally.processed,
            'missing': len(self.album.missing),
        }

    def write(self) -> dict[str, Any]:
        """Write everything into the output folder; return the summary.

        :raises TimeoutError: if no frame came back whole; the message says which topic was silent.
        :raises OSError: if a file cannot be written; the message names it.
        """
        if not self.album.frames:
            raise TimeoutError(self._silence(self.tally.window_s))
        report = write_recording(
            self.album.frames,
            self.output,
            max_depth=self._value['max_depth'],
            n_pictures=len(self.album.frames)
            if self._value['images']
            else self._value['pictures'],
            on_progress=lambda done, total: self.report_status(
                {'stage': 'writing', 'done': done, 'of': total}
            ),
        )
        summary = {**self.tally.summary(), **report, 'missing': list(self.album.missing)}
        write_json(self.output / 'summary.json', summary)
        return summary

    def report_status(self, status: dict[str, Any]) -> None:
        """Print a status as one line of JSON, if somebody is to read it."""
        if self._value['status']:
            print(json.dumps(status), flush=True)

    def _on_message(self, topic: str, message: Any) -> None:
        now_ns = self.get_clock().now().nanoseconds
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        self.tally.count(topic)
        if topic == 'image':
            self.tally.count_image(stamp_ns)
        elif topic == 'depth/image':
            self.tally.count_depth(time.monotonic(), stamp_ns, (now_ns - stamp_ns) / 1e6)
        n_bytes = self._share_data(topic, message)
        parts = self._matcher.add(topic, stamp_ns, (message, now_ns), n_bytes)
        if parts is not None:
            self._put_aside(
                {name: part for name, (part, _) in parts.items()}, parts['depth/image'][1]
            )

    def _share_data(self, topic: str, message: Any) -> int:
        """Let a picture that is shown again share its pixels; return the bytes that are new."""
        if topic not in ('image', 'true_depth'):
            return len(getattr(message, 'data', ()))
        latest, self._latest[topic] = self._latest.get(topic), message
        if latest is not None and latest.data == message.data:
            message.data = latest.data
            return 0
        return len(message.data)

    def _put_aside(self, messages: dict[str, Any], received_ns: int) -> None:
        arrays: dict[str, NDArray[Any]] = {
            'rgb': decode_image(messages['image']),
            'depth': depth_array(messages['depth/image']),
            'preview': decode_image(messages['depth/preview']),
            'cloud': cloud_array(messages['points']),
        }
        if 'true_depth' in messages:
            arrays['truth'] = depth_array(messages['true_depth'])
        stamp_ns = Time.from_msg(messages['image'].header.stamp).nanoseconds
        shot = Shot(stamp_ns, latency_ms=(received_ns - stamp_ns) / 1e6)
        if self.album.offer(arrays, shot):
            self._news_s = time.monotonic()

    def _silent_topics(self) -> list[str]:
        return [self._inputs[t].topic_name for t in _REQUIRED if not self.tally.received[t]]

    def _silence(self, waited_s: float) -> str:
        """Say what did not arrive, and what to do."""
        heard = ', '.join(
            f'{self.tally.received[t]} on {self._inputs[t].topic_name}' for t in _REQUIRED
        )
        silent = self._silent_topics()
        if not silent:
            return (
                f'got messages whose stamps never agree within {waited_s:.0f} s ({heard}), '
                'expected every output to carry the stamp of its image'
            )
        return (
            f'got nothing on {", ".join(silent)} within {waited_s:.0f} s (messages: {heard}), '
            'expected an image and its depth; check that the camera and the depth node run and '
            'that the names match (ros2 topic list)'
        )


def depth_array(message: Image) -> NDArray[np.float32]:
    """Return the metres of a 32FC1 image, ``[H, W]``, as a view.

    :raises ValueError: for another encoding.
    """
    if message.encoding != '32FC1':
        raise ValueError(f'got a depth image of {message.encoding!r}, expected 32FC1 [m]')
    kind = np.dtype('>f4' if message.is_bigendian else '<f4')
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return rows[:, : 4 * message.width].view(kind)


def cloud_array(message: PointCloud2) -> NDArray[Any]:
    """Return an organised cloud as records ``x, y, z, rgb``, ``[H, W]``, as a view.

    :raises ValueError: if a field is missing.
    """
    offsets = {field.name: field.offset for field in message.fields}
    names = ['x', 'y', 'z', 'rgb']
    if not offsets.keys() >= set(names):
        raise ValueError(f'got a cloud with the fields {sorted(offsets)}, expected {names}')
    kind = np.dtype(
        {
            'names': names,
            'formats': ['>f4' if message.is_bigendian else '<f4'] * 4,
            'offsets': [offsets[name] for name in names],
            'itemsize': message.point_step,
        }
    )
    return np.frombuffer(message.data, kind).reshape(message.height, message.width)


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
        with node.spool:
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
