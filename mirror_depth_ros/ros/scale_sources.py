"""What knows the true scale of an image: the ground, or another sensor of the robot."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import LaserScan, PointCloud2, Range
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.ground_plane import scale_from_ground
from mirror_depth_ros.depth.sensor_scale import scale_from_lidar, scale_from_range
from mirror_depth_ros.ros.adaptive_subscription import AdaptiveSubscription
from mirror_depth_ros.ros.transform_lookup import TransformLookup

# A lidar of 5 Hz stamps the beginning of a turn and publishes its end: an image that comes just
# before the next one is so long after the last [s].
_MAX_OFFSET_S = 0.4
# Messages that wait at most, and those that are kept: no more than one each so many seconds, for
# at least two seconds, which an image may be at work.
_DEPTH, _N_KEPT, _KEPT_PERIOD_S = 5, 40, 0.05


class ScaleSource:
    """Finds the factor of an image: what its depth must be multiplied by."""

    #: For people, such as ``the ground``.
    name: str
    #: What to check where factors are absurd.
    suspects: str
    #: What to do where they differ.
    advice: str

    @property
    def is_ready(self) -> bool:
        """Whether an image can be measured by now."""
        return True

    def explain(self) -> str:
        """Return why none can, for people, and what to do."""
        return ''

    def factor(self, depth: NDArray[np.float32], camera: CameraModel, header: Header) -> float:
        """Return the factor of one image.

        :param depth: metres along Z as the model has them, not scaled, ``[H, W]``.
        :param camera: the camera of that size.
        :param header: the image's stamp, and the camera's optical frame.
        :raises ValueError: where it cannot be found.
        """
        raise NotImplementedError

    def destroy(self) -> None:
        """Stop listening, if it does."""


class GroundSource(ScaleSource):
    """The ground in view, and the camera's height above it."""

    name = 'the ground'
    advice = 'measure where the ground is open and level'

    def __init__(self, camera_height: float) -> None:
        """Begin.

        :param camera_height: of the lens above the ground [m].
        """
        self.suspects = f'camera_height ({camera_height} m) and the focal length in camera_info'
        self._camera_height = camera_height
        # Other draws for each image: of a camera that stands still, too, the spread then says how
        # far the plane can be trusted.
        self._seeds = itertools.count()

    def factor(self, depth: NDArray[np.float32], camera: CameraModel, header: Header) -> float:
        """Return the factor of one image; see :class:`ScaleSource`."""
        return scale_from_ground(depth, camera, self._camera_height, seed=next(self._seeds))


class _Sensor(NamedTuple):
    """A kind of sensor."""

    message_type: type[Any]
    #: Returns the factor of a depth image, of a message and the pose of its frame in the camera's.
    scale: Callable[[NDArray[np.float32], Any, CameraModel, NDArray[np.float64]], float]


#: By the topic, which is also the value of the parameter ``scale_source``.
SENSORS = {
    'scan': _Sensor(LaserScan, scale_from_lidar),
    'cloud': _Sensor(PointCloud2, scale_from_lidar),
    'range': _Sensor(Range, scale_from_range),
}


class SensorSource(ScaleSource):
    """What a lidar or a range sensor measures in view of the camera.

    Messages are taken in the node's executor; images may be measured in another thread. How the
    robot moves between a message and an image is not accounted for.
    """

    def __init__(self, kind: str, node: Node, *, clock: Clock) -> None:
        """Subscribe.

        :param kind: one of :data:`SENSORS`.
        :param clock: steady; paces the looks at publishers.
        """
        self._sensor = SENSORS[kind]
        self.name = f'the {kind}'
        self.advice = 'drive slowly, where the sensor and the camera see the same surfaces'
        self._kind = kind
        self._kept: deque[Any] = deque(maxlen=_N_KEPT)
        self._lock = threading.Lock()
        self._subscription = AdaptiveSubscription(
            node,
            self._sensor.message_type,
            [node.resolve_topic_name(kind)],
            self._keep,
            clock=clock,
            depth=_DEPTH,
        )
        self._transforms = TransformLookup(node)
        self._topic = self._subscription.topic
        self.suspects = f'the unit of {self._topic} and the transform from its frame'

    @property
    def is_ready(self) -> bool:
        """Whether a message has come."""
        return bool(self._kept)

    def explain(self) -> str:
        """Return why none has, for people, and what to do."""
        status = self._subscription.observe()
        lack, remap = f'got no {self._kind} on {self._topic}', f'-r {self._kind}:=TOPIC'
        if status.n_publishers:
            return f'{lack}, though somebody publishes there; see: ros2 topic hz {self._topic}'
        if status.other_types:
            return (
                f'{lack}: {" and ".join(status.other_types)} is published there, expected '
                f'{status.type_name}; choose another scale_source, or remap it: {remap}'
            )
        return f'{lack}, where nobody publishes; start the sensor, or remap it: {remap}'

    def factor(self, depth: NDArray[np.float32], camera: CameraModel, header: Header) -> float:
        """Return the factor of one image; see :class:`ScaleSource`."""
        message, pose = self._nearest(header), np.eye(4)
        frame_id, stamp = message.header.frame_id, Time.from_msg(header.stamp)
        if frame_id != header.frame_id:
            pose = self._transforms.find(header.frame_id, frame_id, stamp)
        try:
            return self._sensor.scale(depth, message, camera, pose)
        except ValueError as error:
            frames = f'frame {frame_id!r}, for images in {header.frame_id!r}'
            raise ValueError(f'{error} ({self._topic}, {frames})') from None

    def destroy(self) -> None:
        """Stop listening."""
        self._subscription.destroy()
        self._transforms.destroy()

    def _keep(self, message: Any) -> None:
        with self._lock:
            if not self._kept or _offset_s(message.header, self._kept[-1].header) > _KEPT_PERIOD_S:
                self._kept.append(message)

    def _nearest(self, header: Header) -> Any:
        """Return the message that was measured nearest to an image in time.

        :raises ValueError: if that is too far away.
        """
        with self._lock:
            message = min(self._kept, key=lambda kept: _offset_s(kept.header, header))
        offset_s = _offset_s(message.header, header)
        if offset_s > _MAX_OFFSET_S:
            raise ValueError(
                f'got a {self._kind} on {self._topic} with a stamp {offset_s:.2f} s off that of '
                f'the image, expected one within {_MAX_OFFSET_S} s; see that it comes at '
                f'{1 / _MAX_OFFSET_S:.1f} Hz or more, and that one clock stamps both'
            )
        return message


def _offset_s(one: Header, other: Header) -> float:
    """Return how far apart two stamps are [s]."""
    return 1e-9 * abs(
        Time.from_msg(one.stamp).nanoseconds - Time.from_msg(other.stamp).nanoseconds
    )
