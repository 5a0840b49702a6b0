"""Recordings (rosbag2): every image with what the recording says of how far away things are."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.agreement import describe_agreement, describe_motion
from mirror_depth_ros.data.bag_calibration import Calibration, camera_of, check_stamps, naming
from mirror_depth_ros.data.bag_depth_images import DepthImages
from mirror_depth_ros.data.bag_lidar import LidarDepth
from mirror_depth_ros.data.bag_messages import decode_colour
from mirror_depth_ros.data.bag_pairs import Pair, Times, middles, nearest, nearest_in_time
from mirror_depth_ros.data.bag_range import RangeSensor
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import (
    LIDAR_TYPES,
    SCAN_TYPE,
    find_topics,
    list_topics,
    to_add,
)
from mirror_depth_ros.data.bag_transforms import CameraFrames
from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.camera_info import resize_camera
from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.transforms import ExtrapolationError, TransformError, stamp_text

T = TypeVar('T')

# So many images say how large the share of pixels with depth is.
_PROBED = 10

_log = logging.getLogger(__name__)

_DepthSource = DepthImages | LidarDepth
_Source = _DepthSource | RangeSensor


class _Index(NamedTuple):
    """All messages, by stamp."""

    images: list[Times]
    calibrations: list[Calibration]
    #: By the topics of what measured depth.
    measured: dict[str, list[Times]]


class _Frame(NamedTuple):
    """Where one sample lies."""

    #: Among all images of the recording, by stamp.
    number: int
    image: Times
    #: The number of the image's camera.
    camera: int
    #: By the topics of what measured its depth.
    measured: dict[str, Times]
    pose: NDArray[np.float64] | None


class BagFrames(LazySequence[DepthSample]):
    """The images of a recording of which it says something of depth, in the order of their stamps.

    Opening reads the recording once, for stamps and calibrations; images are read again when they
    are asked for. Every image goes with what was measured nearest in time and with the CameraInfo
    nearest in time: K and D, or P where the topic's name says that the images are rectified. Those
    of which nothing is known are left out.

    Raw and compressed images are understood. Depth comes from images, see :class:`.DepthImages`;
    where there are none, from the points of lidars, see :class:`.LidarDepth`. Range sensors and
    the camera's own motion, from ``/tf``, ``/tf_static`` and odometry, are enough to learn from,
    and no true depth. Of several that measure a pixel's depth, the first counts.

    :param path: a folder with ``metadata.yaml``, or one ``.db3`` or ``.mcap`` file.
    :param image: topic of the images; found if there is only one.
    :param depth: topic of the depth images; found if there is only one.
    :param camera_info: topic of the images' CameraInfo; the one beside ``image`` by default.
    :param lidar: topic of a lidar, or several joined by ``+``.
    :param range_sensor: topic of a range sensor, or several joined by ``+``.
    :param floor: a frame that lies on the floor, such as ``base_footprint``, to take the floor
        under the beams of a ``LaserScan`` for measured.
    :param motion: whether to take the images' poses; by default without depth images and lidar.
    :param frame_id: the images' optical frame, where they name another.
    :param odom_frame: the frame that does not move; ``odom`` by default, if the recording has it.
    :param odometry: topic of ``nav_msgs/Odometry``, where several could say where the robot is.
    :param tolerance_s: how far apart in time an image and its depth may be [s]; by default 0.02,
        and 0.05 between an image and the middle of a lidar's turn. Of depth images beside a lidar,
        the default counts.
    :raises FileNotFoundError: if there is no recording at the path.
    :raises ValueError: for a file that is no recording or is damaged, topics that are missing or
        ambiguous, an uncalibrated camera, depth that is not registered, a lidar that no transform
        joins to the camera, or no image of which anything is known.
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
        range_sensor: str | None = None,
        floor: str | None = None,
        motion: bool | None = None,
        frame_id: str | None = None,
        odom_frame: str | None = None,
        odometry: str | None = None,
        tolerance_s: float | None = None,
    ) -> None:
        if tolerance_s is not None and not (math.isfinite(tolerance_s) and tolerance_s >= 0):
            raise ValueError(f'got a tolerance of {tolerance_s} s, expected 0 or more')
        self._reader = BagReader(path)
        #: Where images, depth and camera come from.
        self.topics = find_topics(
            self._reader,
            image=image,
            depth=depth,
            camera_info=camera_info,
            lidar=lidar,
            range_sensor=range_sensor,
        )
        has_depth = bool(self.topics.depth or self.topics.lidars)
        self._with_motion = not has_depth if motion is None else motion
        # What was found, and not asked for, may be left out.
        self._needs_motion, self._needs_ranges = bool(motion), range_sensor is not None
        self._frames = self._open_frames(
            frame_id=frame_id, odom_frame=odom_frame, odometry=odometry
        )
        self._sources = self._open_sources(floor)
        if tolerance_s is not None and not self._sources:
            raise ValueError(
                f'got tolerance_s for {path}, which has no depth to be near in time, expected it '
                'with depth only; leave it out'
            )
        index = self._read_index()
        self._levels = GreyLevels()
        self._cameras = list(dict.fromkeys(info.camera for info in index.calibrations))
        self._samples = self._gather(index, tolerance_s)
        #: How many images are left out, as nothing is known of their depth.
        self.unmatched = len(index.images) - len(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    def item(self, index: int) -> DepthSample:
        """Read an image and what is known of its depth."""
        frame = self._samples[index]
        decode = partial(decode_colour, levels=self._levels)
        rgb = self._decode(decode, self.topics.image, frame.image)
        height, width = rgb.shape[:2]
        with naming(self._reader, self.topics.image, frame.image.stamp_ns):
            camera = resize_camera(self._cameras[frame.camera], width, height)
        depth = None
        for source in self._depth_sources(frame):
            more = self._depth(source, frame, camera)
            depth = more if depth is None else np.where(np.isnan(depth), more, depth)
        cones = tuple(
            self._decode(partial(sensor.cone, image=frame.image), sensor.topic, times)
            for sensor in self._sources
            if isinstance(sensor, RangeSensor)
            and (times := frame.measured.get(sensor.topic)) is not None
        )
        with naming(self._reader, self.topics.image, frame.image.stamp_ns):
            return DepthSample(rgb, depth, camera, self.name_of(index), frame.pose, cones)

    def name_of(self, index: int) -> str:
        """Return the image's number in the recording and its stamp [s]."""
        frame = self._samples[index]
        return f'{frame.number:06d}-{stamp_text(frame.image.stamp_ns)}'

    def has_depth(self, index: int) -> bool:
        """Say whether an image has depth: of range sensors and motion there is none."""
        return bool(self._depth_sources(self._samples[index]))

    @property
    def has_hints(self) -> bool:
        """Whether more than depth is known: poses, or range sensors' measurements."""
        return self._with_motion or any(isinstance(s, RangeSensor) for s in self._sources)

    @property
    def is_of_lidar(self) -> bool:
        """Whether some of the depth is a lidar's, which sees farther than a depth camera."""
        return any(isinstance(source, LidarDepth) for source in self._sources)

    def describe(self) -> list[tuple[str, str]]:
        """Return what is used of the recording, as the rows of a table."""
        n_images = len(self) + self.unmatched
        rows = [('images', self.topics.image), ('calibration', self.topics.camera_info)]
        for source in self._sources:
            count = sum(source.topic in frame.measured for frame in self._samples)
            rows += [*source.describe(), (f'with {source.kind}', f'{count} of {n_images} images')]
        if self._frames is not None and self._with_motion:
            count = sum(frame.pose is not None for frame in self._samples)
            rows.append(('motion', f'from {self._frames.fixed} -> {self._frames.camera}'))
            rows.append(('with pose', f'{count} of {n_images} images'))
        return rows + self._look()

    def _look(self) -> list[tuple[str, str]]:
        """Return what a few images say of how much depth there is and how well it agrees."""
        numbers = [i for i in range(len(self)) if self.has_depth(i)]
        if not (self.is_of_lidar or self._with_motion):
            return []
        # Each with the next, which shows the same.
        looks = [*zip(numbers, [*numbers[1:], *numbers[-1:]])][:: max(1, len(numbers) // _PROBED)]
        opened = {look[0]: pair for look in looks if (pair := self._try_open(*look)) is not None}
        if not opened:
            return []
        depths = [one.depth for one, _ in opened.values() if one.depth is not None]
        percent = 100 * float(np.mean([np.isfinite(depth).mean() for depth in depths]))
        rows = [('pixels with depth', f'{percent:.2g} %' if percent < 10 else f'{percent:.0f} %')]
        first, *others = (s for s in self._sources if not isinstance(s, RangeSensor))
        frames = [(self._samples[i], one.camera) for i, (one, _) in opened.items()]
        for other in others:
            both = [
                (self._depth(other, *frame), self._depth(first, *frame))
                for frame in frames
                if {first.topic, other.topic} <= {*frame[0].measured}
            ]
            if (agreement := describe_agreement(both)) is not None:
                rows.append((f'{other.topic} / {first.topic}', agreement))
        if (agreement := describe_motion(opened.values())) is not None:
            rows.append(('motion / depth', agreement))
        return rows

    def _try_open(self, number: int, other: int) -> tuple[DepthSample, DepthSample] | None:
        """Read two images; None where one cannot be, which is for those to say who need it."""
        try:
            return self[number], self[other]
        except (OSError, ValueError):
            return None

    def _open_frames(self, **options: str | None) -> CameraFrames | None:
        """Return where the frames were to the camera, where that is of use."""
        topics = self.topics
        if topics.lidars or topics.ranges or self._with_motion:
            frames = CameraFrames(self._reader, topics.image, **options)
            if self._needs_motion and frames.unknown is not None:
                raise ValueError(
                    f'got motion=yes for {self._reader.path}, which does not say where its camera '
                    'was, expected /tf and /tf_static, or odometry; record one of them, or where '
                    'the frame that does not move has another name than odom, '
                    f'{to_add(self._reader, "odom_frame", ["FRAME"])}: {frames.unknown}'
                )
            self._with_motion &= frames.unknown is None
            return frames
        unused = [name for name, value in options.items() if value is not None]
        if unused and topics.depth:
            raise ValueError(
                f'got {" and ".join(unused)} for the depth images on {topics.depth} in '
                f'{self._reader.path}, expected that with a lidar, a range sensor or motion only; '
                f'leave it out, or {to_add(self._reader, "lidar", ["TOPIC"])}'
            )
        return None

    def _open_sources(self, floor: str | None) -> list[_Source]:
        """Return what measured depth, the best first."""
        reader, topics, frames = self._reader, self.topics, self._frames
        sources: list[_Source] = []
        if topics.depth:
            sources.append(DepthImages(reader, topics))
        if frames is not None:
            sources += [
                LidarDepth(reader, topics.image, topic, frames, floor=floor)
                for topic in topics.lidars
            ]
            for topic in topics.ranges:
                try:
                    sources.append(RangeSensor(reader, topic, frames))
                except ValueError as error:
                    self._do_without(topic, error)
        if floor is not None and not any(isinstance(s, LidarDepth) and s.is_flat for s in sources):
            raise ValueError(
                f'got floor={floor} for {reader.path} without a lidar of one beam, expected it '
                f'with one ({SCAN_TYPE}); leave it out, or {to_add(reader, "lidar", ["TOPIC"])}'
            )
        return sources

    def _do_without(self, topic: str, error: ValueError) -> None:
        """Leave a range sensor out that nobody asked for.

        :raises ValueError: for one that somebody did.
        """
        if self._needs_ranges:
            raise ValueError(f'{error}; or {to_add(self._reader, "range", ["no"])}') from None
        _log.warning('left out %s in %s: %s', topic, self._reader.path, error)

    def _depth_sources(self, frame: _Frame) -> list[_DepthSource]:
        return [
            source
            for source in self._sources
            if not isinstance(source, RangeSensor) and source.topic in frame.measured
        ]

    def _depth(
        self, source: _DepthSource, frame: _Frame, camera: CameraModel
    ) -> NDArray[np.float32]:
        """Read what one source has of an image's depth, ``[H, W]``."""
        decode = partial(source.depth, image=frame.image, camera=camera)
        return self._decode(decode, source.topic, frame.measured[source.topic])

    def _read_index(self) -> _Index:
        """Go through the recording once, and keep no image of it."""
        topics, sources = self.topics, {source.topic: source for source in self._sources}
        images: list[Times] = []
        calibrations = []
        measured: dict[str, list[Times]] = {topic: [] for topic in sources}
        wanted = {topics.image, topics.camera_info, *sources}
        for topic, log_ns, message in self._reader.messages(wanted):
            stamp_ns = stamp_of(message)
            if topic == topics.image:
                images.append(Times(stamp_ns, log_ns))
                continue
            with naming(self._reader, topic, stamp_ns):
                if topic in sources:
                    measured[topic].append(sources[topic].times(message, log_ns))
                else:
                    camera = camera_of(message, self._reader, topics)
                    calibrations.append(Calibration(stamp_ns, camera))
        for topic, entries in {topics.image: images, **measured}.items():
            check_stamps(entries, topic, self._reader)
            entries.sort(key=lambda entry: entry.middle_ns)
        calibrations.sort(key=lambda info: info.stamp_ns)
        return _Index(images, calibrations, measured)

    def _gather(self, index: _Index, tolerance_s: float | None) -> list[_Frame]:
        """Return the images of which something is known."""
        info_of = nearest(
            middles(index.images), np.array([info.stamp_ns for info in index.calibrations])
        )
        numbers = {camera: number for number, camera in enumerate(self._cameras)}
        camera_of_image = [numbers[index.calibrations[i].camera] for i in info_of]
        poses = self._poses(index.images)
        measured: list[dict[str, Times]] = [{} for _ in index.images]
        for source in [*self._sources]:
            entries = index.measured[source.topic]
            within_s = source.tolerance_s
            # What a lidar needs is too much for depth images beside it.
            if tolerance_s is not None and not (
                isinstance(source, DepthImages) and len(self._sources) > 1
            ):
                within_s = tolerance_s
            try:
                near = nearest_in_time(
                    self._reader, self.topics.image, source.topic, index.images, entries, within_s
                )
                pairs = [Pair(i, index.images[i], entry, camera_of_image[i]) for i, entry in near]
                usable = source.usable(pairs, self._cameras)
            except ValueError as error:
                if not isinstance(source, RangeSensor):
                    raise
                self._do_without(source.topic, error)
                self._sources.remove(source)
                continue
            for pair in usable:
                measured[pair.number][source.topic] = pair.depth
        if not self._sources and not any(pose is not None for pose in poses):
            raise ValueError(self._without_anything(None))
        return [
            _Frame(i, *known)
            for i, known in enumerate(zip(index.images, camera_of_image, measured, poses))
            if known[2] or known[3] is not None
        ]

    def _poses(self, images: Sequence[Times]) -> Sequence[NDArray[np.float64] | None]:
        """Return where the camera was at each image, ``[4, 4]``, None where that is not known."""
        frames = self._frames
        poses: list[NDArray[np.float64] | None] = [None] * len(images)
        error = None if frames is None else frames.unknown
        if frames is None or not self._with_motion:
            if not self._sources:
                raise ValueError(self._without_anything(error))
            return poses
        for i, image in enumerate(images):
            try:
                poses[i] = frames.pose(image.stamp_ns)
            except ExtrapolationError as unknown:
                error = error or unknown
        count = sum(pose is None for pose in poses)
        if count == len(images) and not self._sources:
            raise ValueError(self._without_anything(error))
        if count:
            _log.warning(
                'no pose is known of %d of the %d images on %s in %s; the first: %s',
                *(count, len(images), self.topics.image, self._reader.path, error),
            )
        return poses

    def _without_anything(self, error: TransformError | None) -> str:
        """Return the error of a recording that says nothing of depth.

        :param error: why its images' poses are not known.
        """
        message = (
            f'got no topic in {self._reader.path} that may be the depth, expected depth images or '
            f'a lidar ({" or ".join(LIDAR_TYPES)}); it holds {list_topics(self._reader)}; record '
            f'one too, or {to_add(self._reader, "depth", ["TOPIC"])}'
        )
        if self._frames is None or error is None:
            return message
        return (
            f'{message}; or to learn from motion, record /tf and /tf_static, or odometry and the '
            f'transform from its child_frame_id to {self._frames.camera!r}, or where the frame '
            'that does not move has another name than odom, '
            f'{to_add(self._reader, "odom_frame", ["FRAME"])}: {error}'
        )

    def _decode(self, decode: Callable[[Any], T], topic: str, times: Times) -> T:
        """Read a message and make something of it."""
        message = self._reader.message(topic, times.log_ns, times.stamp_ns)
        with naming(self._reader, topic, times.stamp_ns):
            return decode(message)
