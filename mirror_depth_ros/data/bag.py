"""Recordings (rosbag2): every image with the depth of the same moment, of a camera or a lidar."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.agreement import describe_agreement
from mirror_depth_ros.data.bag_calibration import Calibration, camera_of, check_stamps, naming
from mirror_depth_ros.data.bag_lidar import LidarDepth
from mirror_depth_ros.data.bag_messages import decode_colour, decode_depth
from mirror_depth_ros.data.bag_pairs import Pair, Times, middles, nearest, nearest_in_time
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import (
    check_registration,
    find_topics,
    registration_remedy,
    to_add,
)
from mirror_depth_ros.data.sample import DepthSample, LazySequence, open_each
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.camera_info import (
    is_same_aspect,
    resize_camera,
)
from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.transforms import stamp_text

T = TypeVar('T')

# So many images say how large the share of pixels with depth is.
_PROBED = 10
# How far apart in time an image and its depth may be: synchronised cameras are closer than the
# first [s], and a lidar of 10 Hz is never farther from an image than the second [s].
_DEPTH_TOLERANCE_S, _LIDAR_TOLERANCE_S = 0.02, 0.05


class _Index(NamedTuple):
    """All messages of the three topics, by stamp."""

    images: list[Times]
    depths: list[Times]
    infos: list[Calibration]


class BagFrames(LazySequence[DepthSample]):
    """The images of a recording that have depth, in the order of their stamps.

    Opening reads the recording once, for stamps and calibrations; images are read again when they
    are asked for. Every image goes with the depth image nearest in time and with the CameraInfo
    nearest in time: K and D, or P where the topic's name says that the images are rectified.

    Raw and compressed images are understood; depth as ``16UC1`` or ``mono16`` (millimetres),
    ``32FC1`` (metres) or ``compressedDepth``, and only if it is registered to the images: of their
    size and frame, or of their aspect on a topic that says ``aligned`` or ``registered``. Where
    there is no depth image, the scans or clouds of a lidar are projected into the images, see
    :class:`.LidarDepth`; images into which no point falls are left out.

    :param path: a folder with ``metadata.yaml``, or one ``.db3`` or ``.mcap`` file.
    :param image: topic of the images; found if there is only one.
    :param depth: topic of the depth images; found if there is only one.
    :param camera_info: topic of the images' CameraInfo; the one beside ``image`` by default.
    :param lidar: topic of a lidar, in place of depth images; found if there is only one.
    :param frame_id: the images' optical frame, where they name another; for a lidar only, as the
        next two.
    :param odom_frame: the frame by which motion between a scan and its image is accounted for;
        ``odom`` by default, if the recording has it.
    :param odometry: topic of ``nav_msgs/Odometry``, where several could say where the robot is.
    :param tolerance_s: how far apart in time an image and its depth may be [s]; by default 0.02,
        and 0.05 between an image and the middle of a lidar's turn.
    :raises FileNotFoundError: if there is no recording at the path.
    :raises ValueError: for a file that is no recording or is damaged, topics that are missing or
        ambiguous, an uncalibrated camera, depth that is not registered, a lidar that no transform
        joins to the camera, or no pair at all.
    :raises ModuleNotFoundError: without rosbags.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        image: str | None = None,
        depth: str | None = None,
        camera_info: str | None = None,
        lidar: str | None = None,
        frame_id: str | None = None,
        odom_frame: str | None = None,
        odometry: str | None = None,
        tolerance_s: float | None = None,
    ) -> None:
        if tolerance_s is not None and not (math.isfinite(tolerance_s) and tolerance_s >= 0):
            raise ValueError(f'got a tolerance of {tolerance_s} s, expected 0 or more')
        self._reader = BagReader(path)
        #: Where image, depth and camera come from.
        self.topics = find_topics(
            self._reader, image=image, depth=depth, camera_info=camera_info, lidar=lidar
        )
        self._lidar = self._open_lidar(frame_id=frame_id, odom_frame=odom_frame, odometry=odometry)
        index = self._read_index()
        self._cameras = list(dict.fromkeys(info.camera for info in index.infos))
        self._pairs = self._pair(index, tolerance_s)
        if self._lidar is not None:
            self._pairs = self._lidar.usable(self._pairs, self._cameras)
        self._levels = GreyLevels()
        #: How many images have no depth within the tolerance, or none at all, and are left out.
        self.unmatched = len(index.images) - len(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def item(self, index: int) -> DepthSample:
        """Read an image and its depth."""
        pair, topics = self._pairs[index], self.topics
        decode = partial(decode_colour, levels=self._levels)
        rgb = self._decode(decode, topics.image, pair.image)
        height, width = rgb.shape[:2]
        with naming(self._reader, topics.image, pair.image.stamp_ns):
            camera = resize_camera(self._cameras[pair.camera], width, height)
        depth = self._depth(pair, camera)
        with naming(self._reader, topics.image, pair.image.stamp_ns):
            return DepthSample(rgb, self._fit(depth, width, height), camera, self.name_of(index))

    def name_of(self, index: int) -> str:
        """Return the image's number in the recording and its stamp [s]."""
        pair = self._pairs[index]
        return f'{pair.number:06d}-{stamp_text(pair.image.stamp_ns)}'

    def describe(self) -> list[tuple[str, str]]:
        """Return what is used of the recording, as the rows of a table."""
        topics, lidar = self.topics, self._lidar
        rows = [('images', topics.image), ('calibration', topics.camera_info)]
        rows += [('depth', topics.depth)] if lidar is None else lidar.describe()
        rows.append(('with depth', f'{len(self)} of {len(self) + self.unmatched} images'))
        if lidar is None:
            return rows
        some = range(0, len(self), max(1, len(self) // _PROBED))
        samples = [*open_each(self, some, broken=[])]  # who reads all of them says which cannot be
        depths = [sample.depth for sample in samples if sample.depth is not None]
        share = float(np.mean([np.isfinite(depth).mean() for depth in depths]))
        rows.append(('pixels with depth', f'{100 * share:.2g} %'))
        others = self._depth_images()
        agreement = describe_agreement(samples, others) if others is not None else None
        if others is not None and agreement is not None:
            rows.append((f'lidar / {others.topics.depth}', agreement))
        return rows

    def _open_lidar(self, **options: str | None) -> LidarDepth | None:
        """Return what makes depth images of a lidar; None where there are depth images."""
        if self.topics.is_lidar:
            return LidarDepth(self._reader, self.topics, **options)
        unused = [name for name, value in options.items() if value is not None]
        if unused:
            raise ValueError(
                f'got {" and ".join(unused)} for the depth images on {self.topics.depth} in '
                f'{self._reader.path}, expected that with a lidar only; leave it out, or '
                f'{to_add(self._reader, "lidar", ["TOPIC"])}'
            )
        check_registration(self._reader, self.topics)
        return None

    def _depth_images(self) -> BagFrames | None:
        """Return the same images with depth images, where the recording has those as well."""
        image, info = self.topics.image, self.topics.camera_info
        try:
            found = find_topics(self._reader, image=image, depth=None, camera_info=info)
            if found.is_lidar:
                return None
            path = self._reader.path
            return BagFrames(path, image=image, depth=found.depth, camera_info=info)
        except ValueError:
            return None

    def _depth(self, pair: Pair, camera: CameraModel) -> NDArray[np.float32]:
        """Read the depth of an image, ``[H, W]``."""
        if self._lidar is None:
            return self._decode(decode_depth, self.topics.depth, pair.depth)
        decode = partial(self._lidar.depth, image=pair.image, camera=camera)
        return self._decode(decode, self.topics.depth, pair.depth)

    def _read_index(self) -> _Index:
        """Go through the recording once, and keep no image of it."""
        topics = self.topics
        times: dict[str, list[Times]] = {topics.image: [], topics.depth: []}
        infos = []
        wanted = {topics.image, topics.depth, topics.camera_info}
        for topic, log_ns, message in self._reader.messages(wanted):
            stamp_ns = stamp_of(message)
            if topic == topics.camera_info:
                with naming(self._reader, topic, stamp_ns):
                    infos.append(Calibration(stamp_ns, camera_of(message, self._reader, topics)))
            elif topic == topics.depth and self._lidar is not None:
                with naming(self._reader, topic, stamp_ns):
                    times[topic].append(self._lidar.times(message, log_ns))
            else:
                times[topic].append(Times(stamp_ns, log_ns))
        for topic, entries in times.items():
            check_stamps(entries, topic, self._reader)
        infos.sort(key=lambda info: info.stamp_ns)
        images, depths = (
            sorted(times[topic], key=lambda entry: entry.middle_ns)
            for topic in (topics.image, topics.depth)
        )
        return _Index(images, depths, infos)

    def _pair(self, index: _Index, tolerance_s: float | None) -> list[Pair]:
        """Return the images that have depth, and to each its depth and its camera."""
        if tolerance_s is None:
            tolerance_s = _DEPTH_TOLERANCE_S if self._lidar is None else _LIDAR_TOLERANCE_S
        images, depths, infos = index
        info_of = nearest(middles(images), np.array([info.stamp_ns for info in infos]))
        numbers = {camera: number for number, camera in enumerate(self._cameras)}
        return [
            Pair(i, images[i], depth, numbers[infos[info_of[i]].camera])
            for i, depth in nearest_in_time(self._reader, self.topics, images, depths, tolerance_s)
        ]

    def _decode(self, decode: Callable[[Any], T], topic: str, times: Times) -> T:
        """Read a message and make an array of it."""
        message = self._reader.message(topic, times.log_ns, times.stamp_ns)
        with naming(self._reader, topic, times.stamp_ns):
            return decode(message)

    def _fit(self, depth: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """Return depth at the size of its image, resized only where its topic's name allows it."""
        depth_height, depth_width = depth.shape
        if depth.shape == (height, width):
            return depth
        is_same = is_same_aspect((width, height), (depth_width, depth_height))
        if not (self.topics.is_registered and is_same):
            expected = 'its size' if not self.topics.is_registered else 'its size or aspect'
            raise ValueError(
                f'got depth of {depth_width} x {depth_height} pixels on {self.topics.depth} and '
                f'an image of {width} x {height}, expected {expected}; '
                f'{registration_remedy(self._reader)}'
            )
        # Nearest: between two depths there is nothing. Exact: with the pixels' centres in place.
        return cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
