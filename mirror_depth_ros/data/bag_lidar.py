"""The depth images of a lidar."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.bag_pairs import Pair, Times, with_messages
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import SCAN_TYPE, to_add
from mirror_depth_ros.data.bag_transforms import CameraFrames, with_transform
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.lidar import (
    LidarPoints,
    free_floor,
    is_any_in_view,
    lidar_points,
    sparse_depth,
)
from mirror_depth_ros.depth.poses import move_points

# Poses that are looked up in a turn of the lidar; between them, each point's is interpolated.
_KNOTS = 11

_log = logging.getLogger(__name__)


class LidarDepth:
    """What a camera would measure of a lidar's points, moved to their place at the image's time.

    The transform leads from the lidar at the time of each point (or of the scan, where that does
    not say more) to the camera at the time of the image, see :class:`.CameraFrames`.

    :param reader: the recording.
    :param image: topic of the images.
    :param topic: that of the lidar.
    :param floor: a frame that lies on the floor: of a lidar of one beam, the floor under its
        beams is depth as well, see :func:`.free_floor`.
    :raises ValueError: if the frames of lidar, floor and camera are not joined by transforms.
    """

    #: A lidar of 10 Hz is never farther from an image in time [s].
    tolerance_s = 0.05
    #: For people.
    kind = 'lidar'

    def __init__(
        self,
        reader: BagReader,
        image: str,
        topic: str,
        frames: CameraFrames,
        *,
        floor: str | None = None,
    ) -> None:
        self._reader, self._image, self.topic, self._frames = reader, image, topic, frames
        self._frame: str = reader.first(topic).header.frame_id
        self._is_moving = not frames.is_static(self._frame)
        #: Whether it has one beam, which sees a line of the image.
        self.is_flat = reader.topics[topic] == SCAN_TYPE
        self._floor = floor if self.is_flat else None
        if self._floor is not None:
            frames.is_static(self._floor)  # they are joined

    def describe(self) -> list[tuple[str, str]]:
        """Return what is used of the recording, as the rows of a table."""
        frames, kind = self._frames, self._reader.topics[self.topic].rpartition('/')[2]
        motion = f'from {frames.fixed} -> {frames.camera}'
        if frames.stands_still(frames.camera):
            motion = 'not accounted for: no transform from a frame that stands, such as odom'
        how = 'moving' if self._is_moving else 'static'
        rows = [
            ('lidar', f'{self.topic} ({kind}) in {self._frame}'),
            ('transform', f'{self._frame} -> {frames.camera}, {how}'),
            ('motion between them', motion),
        ]
        if self._floor is not None:
            rows.append(('floor', f'under its beams, where {self._floor} is'))
        return rows

    def times(self, message: Any, log_ns: int) -> Times:
        """Return when a scan was measured."""
        return Times(stamp_of(message), log_ns, lidar_points(message).span_ns)

    def usable(self, pairs: Sequence[Pair], cameras: Sequence[CameraModel]) -> list[Pair]:
        """Return the pairs of an image and a scan of which a point falls into the image.

        The others are named in the log.

        :param cameras: of the images, by their numbers.
        :raises ValueError: if there is no such pair, saying why.
        """
        known = pairs
        for frame in filter(None, (self._frame, self._floor)):
            known = with_transform(self._frames, frame, known, self.topic, self._reader.path)
        return self._in_view(known, cameras)

    def depth(self, message: Any, image: Times, camera: CameraModel) -> NDArray[np.float32]:
        """Return the depth image of a scan, ``[H, W]`` [m], NaN where it has no point.

        :raises TransformError: where no transform is known.
        """
        points = self._points(message, image.stamp_ns)
        depth = sparse_depth(points, camera, is_flat=self.is_flat)
        if self._floor is None:
            return depth
        lidar = self._frames.find(image.stamp_ns, self._frame, stamp_of(message))
        floor = self._frames.find(image.stamp_ns, self._floor, stamp_of(message))
        return _join_floor(depth, free_floor(message, camera, lidar, floor))

    def _in_view(self, pairs: Sequence[Pair], cameras: Sequence[CameraModel]) -> list[Pair]:
        """Return the pairs whose image has a point, which one pass through the lidar tells."""
        seen: list[Pair] = []
        median: NDArray[np.float64] | None = None
        for message, pair in with_messages(self._reader, self.topic, pairs):
            points = self._points(message, pair.image.stamp_ns)
            if is_any_in_view(points, cameras[pair.camera]):
                seen.append(pair)
            elif len(points):
                median = np.median(points, axis=0)
        if not seen:
            if median is not None:
                raise ValueError(self._none_in_view(median))
            raise ValueError(
                f'got no point on {self.topic} in {self._reader.path} that is finite and '
                'within its range, expected some; check the lidar and its range_min and range_max'
            )
        if len(seen) < len(pairs):
            _log.warning(
                'no point on %s in %s is in view of %d of %d images',
                *(self.topic, self._reader.path, len(pairs) - len(seen), len(pairs)),
            )
        return sorted(seen)

    def _none_in_view(self, median: NDArray[np.float64]) -> str:
        x, y, z = median
        remedy = to_add(self._reader, 'frame_id', ['FRAME'])
        return (
            f'got no point of {self.topic} (frame {self._frame!r}) in any image on {self._image} '
            f'(frame {self._frames.camera!r}) in {self._reader.path}, expected some: the median '
            f"of one scan is at ({x:.2f}, {y:.2f}, {z:.2f}) m in the camera's frame, which must "
            'be the optical one: x right, y down, z forward (REP-103); correct the transform, or '
            f'{remedy}; the tree:\n{self._frames.describe()}'
        )

    def _points(self, message: Any, image_ns: int) -> NDArray[np.float64]:
        """Return a scan's points in the camera's frame at the time of its image, ``[N, 3]``."""
        points, stamp_ns, frames = lidar_points(message), stamp_of(message), self._frames
        first, last = points.span_ns
        if first == last or frames.stands_still(self._frame):
            return move_points(points.xyz, frames.find(image_ns, self._frame, stamp_ns + first))
        knots = [first + (last - first) * i // (_KNOTS - 1) for i in range(_KNOTS)]
        poses = [frames.find(image_ns, self._frame, stamp_ns + knot) for knot in knots]
        return _move_each(points, np.array(knots), poses)


def _join_floor(depth: NDArray[np.float32], floor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a scan's depth image with so much of the floor that neither outweighs the other."""
    more, fewer = (int(np.count_nonzero(~np.isnan(image))) for image in (floor, depth))
    step = max(1, math.ceil(math.sqrt(more / max(1, fewer))))
    thinned = np.full_like(floor, np.nan)
    on_grid = np.s_[step // 2 :: step, step // 2 :: step]
    thinned[on_grid] = floor[on_grid]
    return np.where(np.isnan(depth), thinned, depth)


def _move_each(
    points: LidarPoints, knots: NDArray[np.int64], poses: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Move each point by the poses before and after its time, weighed by how near they are."""
    assert points.offsets_ns is not None  # they have a span
    moved = np.empty_like(points.xyz)
    before = (np.searchsorted(knots, points.offsets_ns, 'right') - 1).clip(0, len(knots) - 2)
    for i in range(len(knots) - 1):
        chosen = before == i
        share = (points.offsets_ns[chosen] - knots[i]) / (knots[i + 1] - knots[i])
        one, other = (move_points(points.xyz[chosen], pose) for pose in poses[i : i + 2])
        moved[chosen] = one + share[:, None] * (other - one)
    return moved
