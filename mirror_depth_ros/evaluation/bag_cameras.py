"""The cameras of a recording: which topics have their images, and how they are calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import (
    IMAGE_TYPES,
    INFO_TYPES,
    check_type,
    info_beside,
    names_rectified,
    picture_topics,
)
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.camera_info import (
    camera_fields,
    camera_from_info,
    image_fields,
    is_uncalibrated,
)
from mirror_depth_ros.depth.grey_levels import GreyLevels


class RecordedCamera:
    """The images of one topic, and what is known of their camera."""

    def __init__(self, image: str, prefix: str, infos: Sequence[Any], fov_deg: float) -> None:
        """Take the CameraInfo messages of all of the recording; none: the field of view counts."""
        self.image = image
        #: What its new topics begin with.
        self.prefix = prefix
        self.is_rectified = names_rectified(image)
        self.levels = GreyLevels()
        #: What the writer has of its new topics, by the rest of their names.
        self.outputs: dict[str, Any] = {}
        self._infos = sorted(infos, key=stamp_of)
        self._stamps = np.array([stamp_of(info) for info in self._infos], np.int64)
        self._fov_deg = fov_deg
        self._models: dict[CameraModel, CameraModel] = {}

    def at(self, stamp_ns: int, width: int, height: int) -> tuple[CameraModel, dict[str, Any]]:
        """Return the camera of an image, and the fields of its CameraInfo.

        :raises ValueError: if nothing is known of it, or not of images of this aspect.
        """
        if not self._infos:
            model = CameraModel.from_longer_side(width, height, self._fov_deg)
            return self._models.setdefault(model, model), camera_fields(model)
        info = self._infos[int(np.abs(self._stamps - stamp_ns).argmin())]
        model = camera_from_info(info, rectified=self.is_rectified, size=(width, height))
        # The same object as before, which has its rays.
        return self._models.setdefault(model, model), image_fields(info, width, height)


def find_cameras(
    reader: BagReader,
    *,
    images: Sequence[str],
    camera_infos: Sequence[str],
    fov_deg: float | None,
    prefix: str,
) -> dict[str, RecordedCamera]:
    """Return the cameras that are asked for by their images' topics.

    :param images: these topics; none: the only one in colour.
    :param camera_infos: topics of their CameraInfo in the same order; none: those beside them.
    :param fov_deg: field of view along the longer side where there is no calibration [degrees].
    :param prefix: what new topics begin with.
    :raises ValueError: for topics that are missing or ambiguous, and a camera without calibration.
    """
    images = _find_images(reader, images)
    beside = [info_beside(reader, image) for image in images]
    topics: dict[str, str | None] = dict(zip(images, camera_infos or beside))
    for topic in camera_infos:
        check_type(reader, '--camera-info', topic, INFO_TYPES)
    infos: dict[str, list[Any]] = {topic: [] for topic in topics.values() if topic is not None}
    for topic, _, message in reader.messages(infos):
        infos[topic].append(message)
    cameras = {}
    for image, start in zip(images, _prefixes(images, prefix)):
        own = infos.get(topics[image] or '', [])
        if all(is_uncalibrated(info, rectified=names_rectified(image)) for info in own):
            if fov_deg is None:
                raise _uncalibrated(reader, image, topics[image])
            own = []
        cameras[image] = RecordedCamera(image, start, own, fov_deg or 0.0)
    return cameras


def _uncalibrated(reader: BagReader, image: str, topic: str | None) -> ValueError:
    got = 'no CameraInfo beside it' if topic is None else f'no intrinsics (K is zero) on {topic}'
    return ValueError(
        f'got images on {image} in {reader.path} and {got}, expected a calibrated camera; give '
        'another topic with --image and --camera-info, or the field of view along the longer side '
        'with --fov (about 65 degrees for a phone)'
    )


def _find_images(reader: BagReader, given: Sequence[str]) -> list[str]:
    """Return the topics of the images.

    :raises ValueError: for topics that are not there, no images or given twice; if none is given,
        unless there is exactly one.
    """
    for topic in given:
        check_type(reader, '--image', topic, IMAGE_TYPES)
        if given.count(topic) > 1:
            raise ValueError(f'got --image {topic} twice, expected it once; leave one out')
    images = list(given) or picture_topics(reader)
    if not given and len(images) != 1:
        held = ', '.join(images) or ', '.join(reader.topics) or 'no message'
        raise ValueError(
            f'got {len(images)} topics of images in {reader.path}, expected one; add --image '
            f'TOPIC for each that is to have depth: {held}'
        )
    return images


def _prefixes(images: Sequence[str], prefix: str) -> list[str]:
    """Return what each camera's topics begin with: for several, with its name behind."""
    if len(images) == 1:
        return [prefix]
    plain = [image.removesuffix('/compressed').strip('/') for image in images]
    names = [topic.rpartition('/')[0].replace('/', '_') for topic in plain]
    if not all(names) or len(set(names)) < len(names):
        names = [topic.replace('/', '_') for topic in plain]
    return [f'{prefix}/{name}' for name in names]
