"""Where the frames of a robot were while a recording was made: /tf, /tf_static, odometry."""

from __future__ import annotations

import logging
from typing import Any

from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import check_type, to_add
from mirror_depth_ros.depth.transforms import TransformBuffer

#: Where robots say they are, without jumps (REP-105).
ODOM_FRAME = 'odom'

_TF = 'tf2_msgs/msg/TFMessage'
_ODOMETRY = 'nav_msgs/msg/Odometry'

_log = logging.getLogger(__name__)


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
