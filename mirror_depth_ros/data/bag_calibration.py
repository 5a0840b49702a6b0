"""Which camera took the images of a recording, by its CameraInfo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mirror_depth_ros.data.bag_pairs import Times
from mirror_depth_ros.data.bag_reader import BagReader
from mirror_depth_ros.data.bag_topics import BagTopics, to_add
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.camera_info import camera_from_info, has_intrinsics, has_projection
from mirror_depth_ros.depth.transforms import stamp_text


class Calibration(NamedTuple):
    """What one CameraInfo says."""

    #: The time in its header [ns].
    stamp_ns: int
    camera: CameraModel


def camera_of(info: Any, reader: BagReader, topics: BagTopics) -> CameraModel:
    """Return the camera of a CameraInfo, at the size that it speaks of.

    :raises ValueError: if it is not calibrated, or says nothing of rectified images.
    """
    is_rectified = topics.is_rectified
    if is_rectified and has_intrinsics(info) and not has_projection(info):
        raise ValueError(
            f'got a CameraInfo without focal lengths in P for images on {topics.image}, '
            'which are rectified by that name, expected their projection; where another topic '
            f'has it, {to_add(reader, "camera_info", ["TOPIC"])}, or take images that '
            'are not rectified'
        )
    return camera_from_info(info, rectified=is_rectified)


def check_stamps(entries: list[Times], topic: str, reader: BagReader) -> None:
    """Refuse messages that all have the same stamp.

    :raises ValueError: for them.
    """
    if len(entries) > 1 and len({entry.stamp_ns for entry in entries}) == 1:
        raise ValueError(
            f'got {len(entries)} messages with the stamp {entries[0].stamp_ns} ns on '
            f'{topic} in {reader.path}, expected stamps that tell them apart; does '
            'the driver fill in header.stamp?'
        )


@contextmanager
def naming(reader: BagReader, topic: str, stamp_ns: int) -> Iterator[None]:
    """Say in an error which message it is about."""
    try:
        yield
    except ValueError as error:
        where = f'{topic} at {stamp_text(stamp_ns)} in {reader.path}'
        raise ValueError(f'{error} ({where})') from error
