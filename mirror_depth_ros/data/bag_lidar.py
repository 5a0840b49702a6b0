"""The depth images of a recording that has a lidar in place of a depth camera."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.bag_pairs import Pair, Times
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import SCAN_TYPE, BagTopics, to_add
from mirror_depth_ros.data.bag_transforms import ODOM_FRAME, read_transforms
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.lidar import LidarPoints, is_any_in_view, lidar_points, sparse_depth
from mirror_depth_ros.depth.poses import move_points
from mirror_depth_ros.depth.transforms import ExtrapolationError, TransformError

# Poses that are looked up in a turn of the lidar; between them, each point's is interpolated.
_KNOTS = 11

_log = logging.getLogger(__name__)


class LidarDepth:
    """What a camera would measure of a lidar's points, moved to their place at the image's time.

    The transform leads from the lidar at the time of each point (or of the scan, where that does
    not say more) through a frame that does not move to the camera at the time of the image. Where
    the recording does not know that frame, what moved between scan and image is off by as much.

    :param reader: the recording.
    :param topics: those of the images and of the lidar.
    :param frame_id: the images' optical frame; None: the one that they name.
    :param odom_frame: the frame that does not move; None: ``odom``, if TF or odometry have it.
    :param odometry: topic of odometry, see :func:`.read_transforms`.
    :raises ValueError: if the frames of lidar and camera are not joined by transforms.
    """

    def __init__(
        self,
        reader: BagReader,
        topics: BagTopics,
        *,
        frame_id: str | None,
        odom_frame: str | None,
        odometry: str | None,
    ) -> None:
        self._reader, self._topics = reader, topics
        self._camera_frame: str = frame_id or reader.first(topics.image).header.frame_id
        self._frame: str = reader.first(topics.depth).header.frame_id
        self._is_flat = reader.topics[topics.depth] == SCAN_TYPE
        self._transforms = read_transforms(reader, odometry=odometry)
        self._fixed = self._fixed_frame(odom_frame)

    def describe(self) -> list[tuple[str, str]]:
        """Return what is used of the recording, as the rows of a table."""
        topic, frame = self._topics.depth, self._frame
        kind = self._reader.topics[topic].rpartition('/')[2]
        is_static = self._transforms.is_static(self._camera_frame, frame)
        how = 'static' if is_static else 'moving'
        motion = f'from {self._fixed} -> {self._camera_frame}'
        if self._transforms.is_static(self._fixed, self._camera_frame):
            motion = 'not accounted for: no transform from a frame that stands, such as odom'
        return [
            ('lidar', f'{topic} ({kind}) in {frame}'),
            ('transform', f'{frame} -> {self._camera_frame}, {how}'),
            ('motion between them', motion),
        ]

    def times(self, message: Any, log_ns: int) -> Times:
        """Return when a scan was measured."""
        return Times(stamp_of(message), log_ns, lidar_points(message).span_ns)

    def usable(self, pairs: Sequence[Pair], cameras: Sequence[CameraModel]) -> list[Pair]:
        """Return the pairs of an image and a scan of which a point falls into the image.

        The others are named in the log.

        :param cameras: of the images, by their numbers.
        :raises ValueError: if there is no such pair, saying why.
        """
        return self._in_view(self._with_transform(pairs), cameras)

    def depth(self, message: Any, image: Times, camera: CameraModel) -> NDArray[np.float32]:
        """Return the depth image of a scan, ``[H, W]`` [m], NaN where it has no point.

        :raises TransformError: where no transform is known.
        """
        points = self._points(message, image.stamp_ns)
        return sparse_depth(points, camera, is_flat=self._is_flat)

    def _with_transform(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Return the pairs between which a transform is known."""
        known, error = [], None
        for pair in pairs:
            try:
                for offset_ns in set(pair.depth.span_ns):
                    self._find(pair.image.stamp_ns, pair.depth.stamp_ns + offset_ns)
                known.append(pair)
            except ExtrapolationError as unknown:
                error = error or unknown
        if not known:
            raise ValueError(
                f'{error}; of no image on {self._topics.image} in {self._reader.path} is the '
                f'transform to {self._topics.depth} known at its time; record /tf for as long as '
                'the images, or to take the robot for standing, '
                f'{to_add(self._reader, "odom_frame", [self._camera_frame])}'
            )
        if error is not None:
            self._report(len(pairs) - len(known), f'no transform is known; the first: {error}')
        return known

    def _in_view(self, pairs: Sequence[Pair], cameras: Sequence[CameraModel]) -> list[Pair]:
        """Return the pairs whose image has a point, which one pass through the lidar tells."""
        waiting: dict[tuple[int, int], list[Pair]] = {}
        for pair in pairs:
            waiting.setdefault((pair.depth.stamp_ns, pair.depth.log_ns), []).append(pair)
        seen: list[Pair] = []
        median: NDArray[np.float64] | None = None
        for _, log_ns, message in self._reader.messages({self._topics.depth}):
            for pair in waiting.pop((stamp_of(message), log_ns), ()):
                points = self._points(message, pair.image.stamp_ns)
                if is_any_in_view(points, cameras[pair.camera]):
                    seen.append(pair)
                elif len(points):
                    median = np.median(points, axis=0)
        if not seen:
            if median is not None:
                raise ValueError(self._none_in_view(median))
            raise ValueError(
                f'got no point on {self._topics.depth} in {self._reader.path} that is finite and '
                'within its range, expected some; check the lidar and its range_min and range_max'
            )
        if len(seen) < len(pairs):
            self._report(len(pairs) - len(seen), 'no point is in view')
        return sorted(seen)

    def _none_in_view(self, median: NDArray[np.float64]) -> str:
        x, y, z = median
        remedy = to_add(self._reader, 'frame_id', ['FRAME'])
        return (
            f'got no point of {self._topics.depth} (frame {self._frame!r}) in any image on '
            f'{self._topics.image} (frame {self._camera_frame!r}) in {self._reader.path}, '
            f'expected some: the median of one scan is at ({x:.2f}, {y:.2f}, {z:.2f}) m in the '
            "camera's frame, which must be the optical one: x right, y down, z forward "
            f'(REP-103); correct the transform, or {remedy}; the tree:\n'
            f'{self._transforms.describe()}'
        )

    def _report(self, count: int, reason: str) -> None:
        """Say in the log how many images are left out."""
        _log.warning(
            'left out %d of the images on %s in %s, for which of %s %s',
            *(count, self._topics.image, self._reader.path, self._topics.depth, reason),
        )

    def _fixed_frame(self, wanted: str | None) -> str:
        """Return the frame through which the transform leads; the camera's if there is none."""
        self._require(self._camera_frame, self._frame)
        if wanted is not None:
            self._require(wanted, self._camera_frame)
            return wanted
        try:
            self._transforms.is_static(ODOM_FRAME, self._camera_frame)
        except TransformError:
            return self._camera_frame
        return ODOM_FRAME

    def _require(self, target: str, source: str) -> None:
        try:
            self._transforms.is_static(target, source)
        except TransformError as error:
            raise TransformError(
                f'{error}\n(depth from {self._topics.depth}, in frame {self._frame!r}, for '
                f'images on {self._topics.image}, in frame {self._camera_frame!r}, in '
                f'{self._reader.path})'
            ) from None

    def _points(self, message: Any, image_ns: int) -> NDArray[np.float64]:
        """Return a scan's points in the camera's frame at the time of its image, ``[N, 3]``."""
        points, stamp_ns = lidar_points(message), stamp_of(message)
        first, last = points.span_ns
        if first == last or self._transforms.is_static(self._fixed, self._frame):
            return move_points(points.xyz, self._find(image_ns, stamp_ns + first))
        knots = [first + (last - first) * i // (_KNOTS - 1) for i in range(_KNOTS)]
        poses = [self._find(image_ns, stamp_ns + knot) for knot in knots]
        return _move_each(points, np.array(knots), poses)

    def _find(self, image_ns: int, scan_ns: int) -> NDArray[np.float64]:
        return self._transforms.lookup_between(
            self._camera_frame, image_ns, self._frame, scan_ns, fixed=self._fixed
        )


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
