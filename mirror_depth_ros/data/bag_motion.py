"""Recordings of a camera that moves: every image with where it was taken, and no depth."""

from __future__ import annotations

import logging
import os

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.bag_calibration import Calibration, camera_of, check_stamps, naming
from mirror_depth_ros.data.bag_messages import decode_colour
from mirror_depth_ros.data.bag_pairs import Times, nearest
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import find_picture_topics, to_add
from mirror_depth_ros.data.bag_transforms import ODOM_FRAME, read_transforms
from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera_info import resize_camera
from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.transforms import ExtrapolationError, TransformError, stamp_text

_log = logging.getLogger(__name__)


class BagMotion(LazySequence[DepthSample]):
    """The images of a recording whose camera's pose is known, in the order of their stamps.

    The pose is that of the images' frame in one that does not move, from ``/tf``, ``/tf_static``
    and odometry, interpolated at the image's stamp; images without one are left out.

    :param path: a folder with ``metadata.yaml``, or one ``.db3`` or ``.mcap`` file.
    :param image: topic of the images; found if there is only one.
    :param camera_info: topic of the images' CameraInfo; the one beside ``image`` by default.
    :param frame_id: the images' optical frame; the one that they name by default.
    :param odom_frame: the frame that does not move; ``odom`` by default.
    :param odometry: topic of ``nav_msgs/Odometry``, where several could say where the robot is.
    :raises FileNotFoundError: if there is no recording at the path.
    :raises ValueError: for a file that is no recording or is damaged, topics that are missing or
        ambiguous, an uncalibrated camera, or no image with a pose.
    :raises ModuleNotFoundError: without rosbags.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        image: str | None = None,
        camera_info: str | None = None,
        frame_id: str | None = None,
        odom_frame: str | None = None,
        odometry: str | None = None,
    ) -> None:
        self._reader = BagReader(path)
        self.topics = find_picture_topics(self._reader, image=image, camera_info=camera_info)
        self._frame: str = frame_id or self._reader.first(self.topics.image).header.frame_id
        self._fixed = odom_frame or ODOM_FRAME
        images, self._calibrations = self._read_index()
        stamps = np.array([info.stamp_ns for info in self._calibrations])
        calibration_of = nearest(np.array([times.stamp_ns for times in images]), stamps)
        poses = self._find_poses(images, odometry)
        # Of each image with a pose: its number, its place, the camera's number, and the pose.
        self._entries = [
            (i, images[i], int(calibration_of[i]), pose)
            for i, pose in enumerate(poses)
            if pose is not None
        ]
        self._levels = GreyLevels()
        #: How many images have no pose and are left out.
        self.unmatched = len(images) - len(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def item(self, index: int) -> DepthSample:
        """Read an image."""
        _, times, calibration, pose = self._entries[index]
        message = self._reader.message(self.topics.image, times.log_ns, times.stamp_ns)
        with naming(self._reader, self.topics.image, times.stamp_ns):
            rgb = decode_colour(message, levels=self._levels)
            height, width = rgb.shape[:2]
            camera = resize_camera(self._calibrations[calibration].camera, width, height)
            return DepthSample(rgb, None, camera, self.name_of(index), pose)

    def name_of(self, index: int) -> str:
        """Return the image's number in the recording and its stamp [s]."""
        number, times, *_ = self._entries[index]
        return f'{number:06d}-{stamp_text(times.stamp_ns)}'

    def describe(self) -> list[tuple[str, str]]:
        """Return what is used of the recording, as the rows of a table."""
        return [
            ('images', f'{self.topics.image} in {self._frame}'),
            ('calibration', self.topics.camera_info),
            ('motion', f'from {self._fixed} -> {self._frame}'),
            ('with pose', f'{len(self)} of {len(self) + self.unmatched} images'),
        ]

    def _read_index(self) -> tuple[list[Times], list[Calibration]]:
        """Go through the recording once, and keep no image of it."""
        topics, images, calibrations = self.topics, [], []
        for topic, log_ns, message in self._reader.messages({topics.image, topics.camera_info}):
            stamp_ns = stamp_of(message)
            if topic == topics.image:
                images.append(Times(stamp_ns, log_ns))
            else:
                with naming(self._reader, topic, stamp_ns):
                    camera = camera_of(message, self._reader, topics)
                calibrations.append(Calibration(stamp_ns, camera))
        check_stamps(images, topics.image, self._reader)
        return sorted(images), sorted(calibrations, key=lambda info: info.stamp_ns)

    def _find_poses(
        self, images: list[Times], odometry: str | None
    ) -> list[NDArray[np.float64] | None]:
        """Return where the camera was at each image, ``[4, 4]``, None where that is not known."""
        transforms = read_transforms(self._reader, odometry=odometry)
        poses: list[NDArray[np.float64] | None] = []
        unknown: ExtrapolationError | None = None
        for image in images:
            try:
                poses.append(transforms.lookup(self._fixed, self._frame, image.stamp_ns))
            except ExtrapolationError as error:
                unknown = unknown or error
                poses.append(None)
            except TransformError as error:
                raise ValueError(self._remedy(error)) from None
        count = sum(pose is None for pose in poses)
        if count == len(images):
            raise ValueError(self._remedy(unknown))
        if count:
            _log.warning(
                'left out %d of the %d images on %s in %s, whose pose is not known; the first: %s',
                *(count, len(images), self.topics.image, self._reader.path, unknown),
            )
        return poses

    def _remedy(self, error: TransformError | None) -> str:
        return (
            f'got {self._reader.path} without depth, and without the pose of its images on '
            f'{self.topics.image} in a frame that does not move, expected one of them to learn '
            'from; record depth, or /tf and /tf_static, or odometry and the transform from its '
            f'child_frame_id to {self._frame!r}; where the frame that does not move has another '
            f'name than {self._fixed}, {to_add(self._reader, "odom_frame", ["FRAME"])}: {error}'
        )
