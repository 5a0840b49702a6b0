"""What range sensors of a recording measured of its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mirror_depth_ros.data.bag_pairs import Pair, Times, with_messages
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_transforms import CameraFrames, with_transform
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.range_cone import RangeCone, range_cone


class RangeSensor:
    """A sonar, infrared or time-of-flight sensor with one number for all of its cone.

    :param reader: the recording.
    :param topic: of ``sensor_msgs/Range``.
    :raises ValueError: if the frames of sensor and camera are not joined by transforms.
    """

    #: As of a lidar [s].
    tolerance_s = 0.05
    #: For people.
    kind = 'range'

    def __init__(self, reader: BagReader, topic: str, frames: CameraFrames) -> None:
        self._reader, self.topic, self._frames = reader, topic, frames
        self._frame: str = reader.first(topic).header.frame_id
        frames.is_static(self._frame)

    def describe(self) -> list[tuple[str, str]]:
        """Return what is used of the recording, as the rows of a table."""
        return [('range sensor', f'{self.topic} in {self._frame}')]

    def times(self, message: Any, log_ns: int) -> Times:
        """Return when something was measured."""
        return Times(stamp_of(message), log_ns)

    def usable(self, pairs: Sequence[Pair], cameras: Sequence[CameraModel]) -> list[Pair]:
        """Return the pairs of an image and a measurement in its view.

        :raises ValueError: if there is none, saying why.
        """
        known = with_transform(self._frames, self._frame, pairs, self.topic, self._reader.path)
        seen, error = [], None
        for message, pair in with_messages(self._reader, self.topic, known):
            try:
                if self.cone(message, pair.image).is_in_view(cameras[pair.camera]):
                    seen.append(pair)
            except ValueError as nothing:  # most sonars say so by the largest range
                error = nothing
        if not seen:
            raise ValueError(
                f'got nothing on {self.topic} in {self._reader.path} that is measured in view of '
                'the camera, expected some; let the sensor look where the camera does'
                + (f' ({error})' if error is not None else '')
            )
        return sorted(seen)

    def cone(self, message: Any, image: Times) -> RangeCone:
        """Return what was measured, in the camera's frame at the time of its image.

        :raises ValueError: where nothing was.
        """
        pose = self._frames.find(image.stamp_ns, self._frame, stamp_of(message))
        return range_cone(message, pose)
