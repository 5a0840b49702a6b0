"""Where frames are to each other, as TF says, where tf2_ros is installed. Nothing ever waits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.time import Time

from mirror_depth_ros.depth.poses import pose_matrix


class TransformLookup:
    """Listens to TF in the node's executor; transforms may be looked up in another thread."""

    def __init__(self, node: Node) -> None:
        #: A ``tf2_ros.Buffer``; None where there is no tf2_ros.
        self.buffer, self._listener = _listen(node)

    @property
    def is_available(self) -> bool:
        """Whether tf2_ros is installed."""
        return self.buffer is not None

    def find(self, target: str, source: str, time: Time) -> NDArray[np.float64]:
        """Return what moves points from one frame to another, ``[4, 4]`` [m].

        :param time: zero: the latest at which all that leads there is known.
        :raises ValueError: without tf2_ros, or while TF does not know it.
        """
        if self.buffer is None:
            raise ValueError(
                f'got the frames {source!r} and {target!r} and no tf2_ros, expected the package '
                'that knows the transform between them; install ros-$ROS_DISTRO-tf2-ros-py'
            )
        import tf2_ros

        try:
            found = self.buffer.lookup_transform(target, source, time)
        except tf2_ros.TransformException as error:
            raise ValueError(
                f'got no transform from {source!r} to {target!r}, expected it in TF ({error}); '
                'publish it, for what does not move: ros2 run tf2_ros static_transform_publisher'
            ) from None
        shift, turn = found.transform.translation, found.transform.rotation
        return pose_matrix((shift.x, shift.y, shift.z), (turn.x, turn.y, turn.z, turn.w))

    def clear(self) -> None:
        """Forget all transforms but those that do not change."""
        if self.buffer is not None:
            self.buffer.clear()

    def destroy(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.unregister()


def _listen(node: Node) -> tuple[Any, Any]:
    """Return a buffer and the listener that fills it; None where there is no tf2_ros."""
    try:
        from tf2_ros import Buffer, TransformListener
    except ImportError:
        return None, None
    buffer = Buffer()
    return buffer, TransformListener(buffer, node)
