"""Where a camera was when an image was taken, from TF or from odometry. Nothing ever waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from std_msgs.msg import Header

from mirror_depth_ros.depth.poses import PoseTrack, pose_matrix
from mirror_depth_ros.ros.transform_lookup import TransformLookup

if TYPE_CHECKING:
    from nav_msgs.msg import Odometry

#: Remap it to the robot's odometry.
TOPIC = 'odom'

# Odometry that waits at most: what comes at 100 Hz while a callback takes half a second.
_DEPTH = 50
# Images without a pose before that is worth a warning: TF needs a moment to be heard of.
_PATIENCE = 30
# Cameras of one node are never this far apart: TF takes nothing that is older than what it has.
_JUMP_NS = 1_000_000_000


class CameraMotion:
    """Listens to TF and, where that does not know the camera, to ``nav_msgs/Odometry``.

    TF is heard where tf2_ros is installed, and odometry where nav_msgs is: a ROS installation has
    both. Odometry is of the robot's base: where the camera is on it has TF to say, unless
    ``child_frame_id`` is the camera's own frame.

    Messages are taken in the node's executor; poses may be looked up in another thread.
    """

    def __init__(self, node: Node, *, odom_frame: str) -> None:
        """Begin to listen.

        :param odom_frame: the frame of TF that does not move; it may drift.
        """
        #: Why the last images had no pose, for people; empty where they had one.
        self.lack = ''
        self._node = node
        self._odom_frame = odom_frame
        self._track = PoseTrack()
        self._child_frame = ''
        self._lock = threading.Lock()
        self._is_known_to_tf = False
        self._n_unknown = 0
        self._latest_ns = 0
        self._transforms = TransformLookup(node)
        self._subscription = _listen_to_odometry(node, self._take)

    def destroy(self) -> None:
        """Stop listening."""
        self._transforms.destroy()
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)

    def find_pose(self, header: Header) -> NDArray[np.float64] | None:
        """Return where the camera was, as its frame's pose in one that does not move.

        :param header: of an image: its stamp, and the camera's optical frame.
        :returns: ``[4, 4]`` [m], optical frame to ``odom``; None while that is not known, as when
            TF is late.
        """
        stamp = Time.from_msg(header.stamp)
        if self._latest_ns - stamp.nanoseconds > _JUMP_NS:  # as of a recording played again
            self._transforms.clear()
            self._latest_ns = 0
        self._latest_ns = max(self._latest_ns, stamp.nanoseconds)
        pose = self._from_tf(self._odom_frame, header.frame_id, stamp)
        if pose is not None:
            self._is_known_to_tf = True
        elif not self._is_known_to_tf:  # else the two would alternate, and they may differ
            pose = self._from_odometry(header)
        self._n_unknown = 0 if pose is not None else self._n_unknown + 1
        self.lack = self._explain(header.frame_id) if self._n_unknown >= _PATIENCE else ''
        return pose

    def _take(self, message: Odometry) -> None:
        position, turn = message.pose.pose.position, message.pose.pose.orientation
        try:
            pose = pose_matrix(
                (position.x, position.y, position.z), (turn.x, turn.y, turn.z, turn.w)
            )
        except ValueError as error:
            self._node.get_logger().warning(f'odometry ignored: {error}', once=True)
            return
        with self._lock:
            self._child_frame = message.child_frame_id
            self._track.add(Time.from_msg(message.header.stamp).nanoseconds, pose)

    def _from_tf(self, target: str, source: str, time: Time) -> NDArray[np.float64] | None:
        """Return what moves points from one frame to another, ``[4, 4]``, if TF knows by now."""
        try:
            return self._transforms.find(target, source, time)
        except ValueError:
            return None

    def _from_odometry(self, header: Header) -> NDArray[np.float64] | None:
        with self._lock:
            base = self._track.find(Time.from_msg(header.stamp).nanoseconds)
            child_frame = self._child_frame
        if base is None or child_frame == header.frame_id:
            return base
        mounting = self._from_tf(child_frame, header.frame_id, Time())  # the latest
        return None if mounting is None else base @ mounting

    def _explain(self, frame_id: str) -> str:
        """Return why there is no pose, for people, and what to do."""
        lacking = []
        if not self._transforms.is_available:
            lacking.append('tf2_ros is not installed')
        if self._subscription is None:
            lacking.append('nav_msgs is not installed')
        if self._child_frame not in ('', frame_id):
            lacking.append(f'TF does not know {frame_id} on {self._child_frame}')
        topic = self._node.resolve_topic_name(TOPIC)
        return (
            f'no pose of {frame_id} at the time of the last {_PATIENCE} images'
            + f' ({"; ".join(lacking)})' * bool(lacking)
            + f'; only the scale of still pictures is smoothed: publish TF from '
            f'{self._odom_frame} to {frame_id}, or odometry on {topic} and TF from its '
            f'child_frame_id to {frame_id}'
        )


def _listen_to_odometry(node: Node, take: Any) -> Any:
    """Return a subscription; None where there is no nav_msgs."""
    try:
        from nav_msgs.msg import Odometry
    except ImportError:
        return None
    # Best effort hears publishers of either kind.
    qos = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
    return node.create_subscription(Odometry, TOPIC, take, qos)
