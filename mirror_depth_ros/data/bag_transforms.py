"""Where a robot's frames were while a recording was made: /tf, /tf_static, odometry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.bag_pairs import Pair
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import check_type, to_add
from mirror_depth_ros.depth.transforms import ExtrapolationError, TransformBuffer, TransformError

#: Where robots say they are, without jumps (REP-105).
ODOM_FRAME = 'odom'

_TF = 'tf2_msgs/msg/TFMessage'
_ODOMETRY = 'nav_msgs/msg/Odometry'

_log = logging.getLogger(__name__)


class CameraFrames:
    """Where the frames of a recording were to its camera.

    Between two times, transforms lead through a frame that does not move. Where the recording does
    not know one, what moved in between is off by as much.

    :param image: topic of the images.
    :param frame_id: the images' optical frame; None: the one that they name.
    :param odom_frame: the frame that does not move; None: ``odom``, if TF or odometry have it.
    :param odometry: topic of odometry, see :func:`read_transforms`.
    :raises ValueError: if no transform joins ``odom_frame`` to the camera.
    """

    def __init__(
        self,
        reader: BagReader,
        image: str,
        *,
        frame_id: str | None = None,
        odom_frame: str | None = None,
        odometry: str | None = None,
    ) -> None:
        self._where = f'for images on {image}'
        self._path = reader.path
        #: The images' optical frame.
        self.camera: str = frame_id or reader.first(image).header.frame_id
        self._transforms = read_transforms(reader, odometry=odometry)
        #: The frame that does not move; the camera's own where none is known.
        self.fixed = odom_frame or ODOM_FRAME
        try:
            self._transforms.is_static(self.fixed, self.camera)
        except TransformError as error:
            #: Why none is known.
            self.unknown: TransformError | None = error
            if odom_frame is not None:
                raise
            self.fixed = self.camera
        else:
            self.unknown = None

    def describe(self) -> str:
        """Return the tree of all frames, for people."""
        return self._transforms.describe()

    def is_static(self, frame: str) -> bool:
        """Say whether a frame never moves to the camera.

        :raises TransformError: if no transform joins them.
        """
        try:
            return self._transforms.is_static(self.camera, frame)
        except TransformError as error:
            raise TransformError(
                f'{error}\n(frame {frame!r}, {self._where}, in frame {self.camera!r}, in '
                f'{self._path})'
            ) from None

    def stands_still(self, frame: str) -> bool:
        """Say whether a frame never moves in the one that does not move."""
        return self._transforms.is_static(self.fixed, frame)

    def find(self, camera_ns: int, frame: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return the pose of a frame at one time in the camera's at another, ``[4, 4]``.

        :raises TransformError: if it is not known.
        """
        return self._transforms.lookup_between(
            self.camera, camera_ns, frame, stamp_ns, fixed=self.fixed
        )

    def pose(self, stamp_ns: int) -> NDArray[np.float64]:
        """Return the camera's pose in the frame that does not move, ``[4, 4]``.

        :raises TransformError: if it is not known.
        """
        return self._transforms.lookup(self.fixed, self.camera, stamp_ns)


def with_transform(
    frames: CameraFrames, frame: str, pairs: Sequence[Pair], topic: str, path: Path
) -> list[Pair]:
    """Return the pairs at whose times a sensor's transform to the camera is known.

    The others are counted in the log.

    :param frame: the sensor's.
    :param topic: the sensor's.
    :param path: of the recording.
    :raises ValueError: if there is none, saying why.
    """
    known, error = [], None
    for pair in pairs:
        try:
            for offset_ns in set(pair.depth.span_ns):
                frames.find(pair.image.stamp_ns, frame, pair.depth.stamp_ns + offset_ns)
            known.append(pair)
        except ExtrapolationError as unknown:
            error = error or unknown
    if not known:
        raise ValueError(
            f'{error}; of no image in {path} is the transform to {topic} known at its time; '
            'record /tf for as long as the images, or to take the robot for standing, add '
            f',odom_frame={frames.camera} to bag:{path}'
        )
    if error is not None:
        _log.warning(
            'no transform from %s in %s is known for %d of %d images; the first: %s',
            *(topic, path, len(pairs) - len(known), len(pairs), error),
        )
    return known


def read_transforms(reader: BagReader, *, odometry: str | None = None) -> TransformBuffer:
    """Read all transforms of a recording, once.

    Topics are found by their type; one whose name ends in ``tf_static`` is static. Odometry is the
    transform from its ``header.frame_id`` to its ``child_frame_id``, and is read where TF does not
    say where that frame is.

    :param odometry: topic of ``nav_msgs/Odometry``; of several, the first by default, with a
        warning.
    :raises ValueError: where the recording is damaged, or that topic is of another type.
    """
    if odometry is not None:
        check_type(reader, 'odometry', odometry, (_ODOMETRY,))
    buffer = TransformBuffer()
    topics = {topic for topic, kind in reader.topics.items() if kind == _TF}
    for topic, _, message in reader.messages(topics):
        is_static = topic.endswith('tf_static')
        for stamped in message.transforms:
            _add(buffer, stamped, stamped.transform, is_static=is_static)
    for topic in _odometry_to_read(reader, odometry, buffer):
        for _, _, message in reader.messages({topic}):
            _add(buffer, message, message.pose.pose, is_static=False)
    return buffer


def _add(buffer: TransformBuffer, stamped: Any, pose: Any, *, is_static: bool) -> None:
    """Add a ``geometry_msgs/Transform`` or ``Pose`` of a message with header and child frame."""
    shift = getattr(pose, 'translation', None) or pose.position
    turn = getattr(pose, 'rotation', None) or pose.orientation
    buffer.add(
        stamped.header.frame_id,
        stamped.child_frame_id,
        stamp_of(stamped),
        (shift.x, shift.y, shift.z),
        (turn.x, turn.y, turn.z, turn.w),
        is_static=is_static,
    )


def _odometry_to_read(reader: BagReader, wanted: str | None, buffer: TransformBuffer) -> list[str]:
    """Return a topic of odometry for each frame that TF leaves without a parent."""
    topics = [topic for topic, kind in reader.topics.items() if kind == _ODOMETRY]
    by_child: dict[str, list[str]] = {}
    for topic in topics if wanted is None else [wanted]:
        child = reader.first(topic).child_frame_id
        if not buffer.has_parent(child):
            by_child.setdefault(child, []).append(topic)
        elif wanted is not None:
            raise ValueError(
                f'got odometry {wanted} for {reader.path}, whose TF says where {child!r} is, '
                'expected one of the two; leave odometry out, or record without TF of that frame'
            )
    for child, several in by_child.items():
        if len(several) > 1:
            _log.warning(
                'took odometry of %s from %s; for another, %s',
                *(child, several[0], to_add(reader, 'odometry', several[1:])),
            )
    return [several[0] for several in by_child.values()]
