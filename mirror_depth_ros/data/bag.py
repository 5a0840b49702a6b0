"""Recordings of an RGB-D camera (rosbag2): every image with the depth of the same moment."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.bag_messages import decode_colour, decode_depth
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import (
    check_registration,
    find_topics,
    registration_remedy,
    to_add,
)
from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.camera_info import (
    camera_from_info,
    has_intrinsics,
    has_projection,
    is_same_aspect,
    resize_camera,
)
from mirror_depth_ros.depth.grey_levels import GreyLevels

T = TypeVar('T')

# So many of the images without a depth image are named one by one.
_NAMED = 10

_log = logging.getLogger(__name__)


class _Times(NamedTuple):
    """What finds a message again."""

    #: The time in its header [ns].
    stamp_ns: int
    #: The time of its recording [ns].
    log_ns: int


class _Info(NamedTuple):
    """What one CameraInfo says."""

    #: The time in its header [ns].
    stamp_ns: int
    camera: CameraModel


class _Index(NamedTuple):
    """All messages of the three topics, by stamp."""

    images: list[_Times]
    depths: list[_Times]
    infos: list[_Info]


class _Pair(NamedTuple):
    """Where one sample lies."""

    #: The image's number among all images of the recording, by stamp.
    number: int
    image: _Times
    depth: _Times
    #: The number of the image's camera.
    camera: int


class BagFrames(LazySequence[DepthSample]):
    """The images of a recording that have depth, in the order of their stamps.

    Opening reads the recording once, for stamps and calibrations; images are read again when they
    are asked for. Every image goes with the depth image nearest in time and with the CameraInfo
    nearest in time: K and D, or P where the topic's name says that the images are rectified.

    Raw and compressed images are understood; depth as ``16UC1`` or ``mono16`` (millimetres),
    ``32FC1`` (metres) or ``compressedDepth``, and only if it is registered to the images: of their
    size and frame, or of their aspect on a topic that says ``aligned`` or ``registered``.

    :param path: a folder with ``metadata.yaml``, or one ``.db3`` or ``.mcap`` file.
    :param image: topic of the images; found if there is only one.
    :param depth: topic of the depth images; found if there is only one.
    :param camera_info: topic of the images' CameraInfo; the one beside ``image`` by default.
    :param tolerance_s: how far apart in time an image and its depth may be [s].
    :raises FileNotFoundError: if there is no recording at the path.
    :raises ValueError: for a file that is no recording or is damaged, topics that are missing or
        ambiguous, an uncalibrated camera, depth that is not registered, or no pair at all.
    :raises ModuleNotFoundError: without rosbags.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        image: str | None = None,
        depth: str | None = None,
        camera_info: str | None = None,
        tolerance_s: float = 0.02,
    ) -> None:
        if not (math.isfinite(tolerance_s) and tolerance_s >= 0):
            raise ValueError(f'got a tolerance of {tolerance_s} s, expected 0 or more')
        self._reader = BagReader(path)
        #: Where image, depth and camera come from.
        self.topics = find_topics(self._reader, image=image, depth=depth, camera_info=camera_info)
        check_registration(self._reader, self.topics)
        index = self._read_index()
        self._cameras = list(dict.fromkeys(info.camera for info in index.infos))
        self._pairs = self._pair(index, tolerance_s)
        self._levels = GreyLevels()
        #: How many images have no depth image within the tolerance, and are left out.
        self.unmatched = len(index.images) - len(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def item(self, index: int) -> DepthSample:
        """Read an image and its depth."""
        pair, topics = self._pairs[index], self.topics
        decode = partial(decode_colour, levels=self._levels)
        rgb = self._decode(decode, topics.image, pair.image)
        depth = self._decode(decode_depth, topics.depth, pair.depth)
        height, width = rgb.shape[:2]
        with self._naming(topics.image, pair.image.stamp_ns):
            camera = resize_camera(self._cameras[pair.camera], width, height)
            return DepthSample(rgb, self._fit(depth, width, height), camera, self.name_of(index))

    def name_of(self, index: int) -> str:
        """Return the image's number in the recording and its stamp [s]."""
        pair = self._pairs[index]
        return f'{pair.number:06d}-{_seconds(pair.image.stamp_ns)}'

    def _read_index(self) -> _Index:
        """Go through the recording once, and keep no image of it."""
        topics = self.topics
        times: dict[str, list[_Times]] = {topics.image: [], topics.depth: []}
        infos = []
        wanted = {topics.image, topics.depth, topics.camera_info}
        for topic, log_ns, message in self._reader.messages(wanted):
            stamp_ns = stamp_of(message)
            if topic == topics.camera_info:
                with self._naming(topic, stamp_ns):
                    infos.append(_Info(stamp_ns, self._camera(message)))
            else:
                times[topic].append(_Times(stamp_ns, log_ns))
        for topic, entries in times.items():
            if len(entries) > 1 and len({entry.stamp_ns for entry in entries}) == 1:
                raise ValueError(
                    f'got {len(entries)} messages with the stamp {entries[0].stamp_ns} ns on '
                    f'{topic} in {self._reader.path}, expected stamps that tell them apart; does '
                    'the driver fill in header.stamp?'
                )
        infos.sort(key=lambda info: info.stamp_ns)
        return _Index(sorted(times[topics.image]), sorted(times[topics.depth]), infos)

    def _camera(self, info: Any) -> CameraModel:
        """Return the camera of a CameraInfo, at the size that it speaks of."""
        is_rectified = self.topics.is_rectified
        if is_rectified and has_intrinsics(info) and not has_projection(info):
            raise ValueError(
                f'got a CameraInfo without focal lengths in P for images on {self.topics.image}, '
                'which are rectified by that name, expected their projection; where another topic '
                f'has it, {to_add(self._reader, "camera_info", ["TOPIC"])}, or take images that '
                'are not rectified'
            )
        return camera_from_info(info, rectified=is_rectified)

    def _pair(self, index: _Index, tolerance_s: float) -> list[_Pair]:
        """Return the images that have depth."""
        images, depths, infos = index
        stamps = _stamps(images)
        depth_of, info_of = _nearest(stamps, _stamps(depths)), _nearest(stamps, _stamps(infos))
        off_ns = np.abs(stamps - _stamps(depths)[depth_of])
        is_near = off_ns <= _nanoseconds(tolerance_s)
        if not is_near.any():
            # Enough for most: at the recording's ends an image may have no depth at all.
            enough_s = math.ceil(np.percentile(off_ns, 90) / 1e6) / 1000
            raise ValueError(
                f'got no image on {self.topics.image} with depth on {self.topics.depth} within '
                f'{tolerance_s} s in {self._reader.path}: the nearest are '
                f'{_range(off_ns)} s off, expected stamps of one clock; correct the stamps, or to '
                f'allow that, {to_add(self._reader, "tolerance_s", [f"{enough_s:.3f}"])}'
            )
        if not is_near.all():
            self._report(images, off_ns, tolerance_s)
        numbers = {camera: number for number, camera in enumerate(self._cameras)}
        return [
            _Pair(int(i), images[i], depths[depth_of[i]], numbers[infos[info_of[i]].camera])
            for i in np.flatnonzero(is_near)
        ]

    def _report(self, images: list[_Times], off_ns: NDArray[np.int64], tolerance_s: float) -> None:
        """Name in the log the images that have no depth."""
        left_out = np.flatnonzero(off_ns > _nanoseconds(tolerance_s))
        names = ', '.join(_seconds(images[i].stamp_ns) for i in left_out[:_NAMED])
        if len(left_out) > _NAMED:
            names += f' and {len(left_out) - _NAMED} more'
        where = (len(left_out), len(images), self.topics.image, self._reader.path)
        _log.warning(
            'left out %d of the %d images on %s in %s, which have no depth within %s s but %s s '
            'off (,tolerance_s= allows more): %s',
            *(*where, tolerance_s, _range(off_ns[left_out]), names),
        )

    def _decode(self, decode: Callable[[Any], T], topic: str, times: _Times) -> T:
        """Read a message and make an array of it."""
        message = self._reader.message(topic, times.log_ns, times.stamp_ns)
        with self._naming(topic, times.stamp_ns):
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

    @contextmanager
    def _naming(self, topic: str, stamp_ns: int) -> Iterator[None]:
        """Say in an error which message it is about."""
        try:
            yield
        except ValueError as error:
            where = f'{topic} at {_seconds(stamp_ns)} in {self._reader.path}'
            raise ValueError(f'{error} ({where})') from error


def _stamps(entries: Sequence[_Times | _Info]) -> NDArray[np.int64]:
    """Return the stamps [ns], ``[N]``."""
    return np.array([entry.stamp_ns for entry in entries], np.int64)


def _nearest(stamps: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return for each stamp the index of the nearest of the others, which are sorted, ``[N]``."""
    after = np.searchsorted(others, stamps).clip(max=len(others) - 1)
    before = (after - 1).clip(min=0)
    is_before = np.abs(stamps - others[before]) <= np.abs(stamps - others[after])
    return np.where(is_before, before, after)


def _nanoseconds(tolerance_s: float) -> int:
    return round(tolerance_s * 1e9)


def _range(off_ns: NDArray[np.int64]) -> str:
    """Return the least and the greatest of some times as text [s]."""
    return f'{off_ns.min() / 1e9:.3f} to {off_ns.max() / 1e9:.3f}'


def _seconds(stamp_ns: int) -> str:
    """Return a stamp [ns] as seconds with all of its digits."""
    return f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'
