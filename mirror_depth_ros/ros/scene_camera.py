"""A simulated camera: a rendered scene with its true depth, or photographs from a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.fixed_parameters import FixedParameter, declare, parse_arguments
from mirror_depth_ros.ros.messages import depth_message, rgb_message
from mirror_depth_ros.ros.process import run_node

#: The first seed of the test split: no model is ever trained on it.
DEFAULT_SEED = 11_000_000

_PARAMETERS = (
    FixedParameter('scene', 'indoor', 'indoor or outdoor'),
    FixedParameter('seed', DEFAULT_SEED, 'which scene; test scenes begin there', (0, 2**31 - 1)),
    FixedParameter('width', 640, 'width of the scene images [pixels]', (16, 4096)),
    FixedParameter('height', 480, 'height of the scene images [pixels]', (16, 4096)),
    FixedParameter(
        'hfov_deg', 0.0, "horizontal field of view [deg]; 0: each scene's own", (0.0, 150.0)
    ),
    FixedParameter('rate_hz', 10.0, 'frames per second', (0.1, 120.0)),
    FixedParameter('n_frames', 44, 'frames of the loop, all rendered before the first', (1, 3600)),
    FixedParameter(
        'n_scenes', 1, 'scenes to visit, from that seed on, with as many frames each', (1, 1000)
    ),
    FixedParameter('images', '', 'folder of photographs to play in place of the scene'),
    FixedParameter('fov', 0.0, 'field of view of images without meta.json [deg]', (0.0, 179.0)),
    FixedParameter('frame_id', 'camera_optical_frame', 'frame_id of all messages'),
    FixedParameter(
        'hold', False, 'show each frame until depth/camera_info answers it, so that none is missed'
    ),
)

# A photograph that the node does not answer within this time is left for the next one.
_HOLD_LIMIT_NS = 10_000_000_000
_COMPLAINT_PERIOD_S = 5.0


@dataclass(frozen=True)
class CameraFrame:
    """The messages of one frame, encoded once, so that publishing them again costs little."""

    #: Shared by the messages; its stamp is set at publication.
    header: Header
    image: Image
    info: CameraInfo
    truth: Image | None

    @classmethod
    def from_sample(cls, sample: DepthSample, frame_id: str) -> CameraFrame:
        """Encode a sample."""
        header = Header(frame_id=frame_id)
        return cls(
            header=header,
            image=rgb_message(header, sample.rgb),
            info=info_from_camera(sample.camera, header),
            truth=None if sample.depth is None else depth_message(header, sample.depth),
        )


class _Photographs(Sequence[CameraFrame]):
    """A folder's photographs, each read and encoded when its turn comes: there may be many.

    One that cannot be read raises a :class:`ValueError` that names it.
    """

    def __init__(self, folder: FrameFolder, frame_id: str) -> None:
        self._folder = folder
        self._frame_id = frame_id

    def __len__(self) -> int:
        return len(self._folder)

    def __getitem__(self, index: Any) -> Any:
        try:
            return CameraFrame.from_sample(self._folder[index], self._frame_id)
        except (OSError, ValueError) as error:
            name = self._folder.names[index]
            raise ValueError(f'photograph {name} skipped: {error}') from error


class SceneCamera(Node):
    """Publishes ``image``, ``camera_info`` and ``true_depth`` with equal stamps, in a loop.

    A photograph that cannot be read is reported once and passed over.

    :raises ValueError: for parameters that make no scene, or a folder in which no photograph can
        be read.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__('scene_camera', **node_options)
        self._value = declare(self, _PARAMETERS)
        self._frame_id: str = self._value['frame_id']
        self._hold: bool = self._value['hold']
        self._frames = self._photographs() if self._value['images'] else self._rendered_scene()
        self._index = 0
        self._current: CameraFrame | None = None
        self._shown_since_ns: int | None = None
        self._answered = False
        self._complaints: set[str] = set()
        self._frame()  # refuses a folder of which nothing can be read

        # Reliable serves every subscriber, best effort included.
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._image_publisher = self.create_publisher(Image, 'image', qos)
        self._info_publisher = self.create_publisher(CameraInfo, 'camera_info', qos)
        self._truth_publisher = self.create_publisher(Image, 'true_depth', qos)
        if self._hold:
            self.create_subscription(CameraInfo, 'depth/camera_info', self._on_answer, qos)
        rate_hz = self._value['rate_hz']
        self.create_timer(1.0 / rate_hz, self._publish_next)
        self.get_logger().info(f'publishing {len(self._frames)} frames in a loop at {rate_hz} Hz')

    def _photographs(self) -> Sequence[CameraFrame]:
        try:
            folder = FrameFolder(self._value['images'], hfov_deg=self._value['fov'] or None)
        except OSError as error:
            raise ValueError(str(error)) from error
        return _Photographs(folder, self._frame_id)

    def _rendered_scene(self) -> Sequence[CameraFrame]:
        """Render all loops before the first frame goes out: rendering takes long."""
        import torch

        from mirror_depth_ros.scenes.video import SceneVideo, make_scene

        value = self._value
        kind, width, height = value['scene'], value['width'], value['height']
        n_each = max(1, value['n_frames'] // value['n_scenes'])
        views = []
        for seed in range(value['seed'], value['seed'] + value['n_scenes']):
            hfov_deg = value['hfov_deg'] or make_scene(kind, seed).hfov_deg
            camera = CameraModel.from_fov(width, height, hfov_deg)
            video = SceneVideo(kind, seed, camera, n_each)
            views += [(video, i) for i in range(n_each)]
        frames: list[CameraFrame] = []
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a frame per core is faster than all cores on each frame
        try:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for frame in pool.map(lambda view: view[0][view[1]], views):
                    if not self.context.ok():
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise ExternalShutdownException  # interrupted while rendering
                    sample = DepthSample(frame.rgb, frame.depth, frame.camera, name='')
                    frames.append(CameraFrame.from_sample(sample, self._frame_id))
                    self.get_logger().info(f'rendered {len(frames)} of {len(views)} frames')
        finally:
            torch.set_num_threads(n_threads)  # it is the whole process's
        return frames

    def _publish_next(self) -> None:
        now = self.get_clock().now()
        if self._is_overdue(now.nanoseconds):
            self.get_logger().warning(
                f'frame {self._index} got no depth within {_HOLD_LIMIT_NS / 1e9:.0f} s; '
                'going on with the next one'
            )
            self._advance()
        try:
            frame = self._frame()
        except ValueError as error:  # they were there at the start and may come back
            self.get_logger().error(str(error), throttle_duration_sec=_COMPLAINT_PERIOD_S)
            return
        frame.header.stamp = now.to_msg()
        # The image goes last: what belongs to it is there when it arrives.
        if frame.truth is not None:
            self._truth_publisher.publish(frame.truth)
        self._info_publisher.publish(frame.info)
        self._image_publisher.publish(frame.image)
        if self._shown_since_ns is None:
            self._shown_since_ns = now.nanoseconds
        if not self._hold:
            self._advance()

    def _is_overdue(self, now_ns: int) -> bool:
        if not (self._hold and self._answered) or self._shown_since_ns is None:
            return False  # a node that has not answered yet is still loading its model
        return now_ns - self._shown_since_ns > _HOLD_LIMIT_NS

    def _frame(self) -> CameraFrame:
        """Return the current frame, or the next that can be read; it is prepared only once.

        :raises ValueError: if none can be read.
        """
        for _ in range(len(self._frames)):
            if self._current is not None:
                break
            try:
                self._current = self._frames[self._index]
            except ValueError as error:
                self._complain_once(str(error))
                self._advance()
        if self._current is None:
            raise ValueError(
                f'got no photograph in {self._value["images"]} that can be read, expected at '
                'least one; replace them or choose another folder'
            )
        return self._current

    def _complain_once(self, complaint: str) -> None:
        if complaint not in self._complaints:
            self._complaints.add(complaint)
            self.get_logger().error(complaint)

    def _advance(self) -> None:
        self._index = (self._index + 1) % len(self._frames)
        self._current = None
        self._shown_since_ns = None

    def _on_answer(self, info: CameraInfo) -> None:
        """Go on when the depth of the picture now shown has arrived."""
        self._answered = True
        stamp_ns = Time.from_msg(info.header.stamp).nanoseconds
        if self._shown_since_ns is not None and stamp_ns >= self._shown_since_ns:
            self._advance()


def main(arguments: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the process's exit code."""
    arguments = sys.argv if arguments is None else arguments
    purpose = 'Publishes image, camera_info and true_depth of a rendered scene, or photographs.'
    parse_arguments(arguments, name='scene_camera', purpose=purpose, parameters=_PARAMETERS)
    return run_node(SceneCamera, arguments, name='scene_camera')


if __name__ == '__main__':
    sys.exit(main())
