"""The depth images of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.bag_messages import decode_depth
from mirror_depth_ros.data.bag_pairs import Pair, Times
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_topics import BagTopics, check_registration, registration_remedy
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.camera_info import is_same_aspect


class DepthImages:
    """Depth as ``16UC1`` or ``mono16`` (millimetres), ``32FC1`` (metres) or ``compressedDepth``.

    It has to be registered to the images: of their size and frame, or of their aspect on a topic
    that says ``aligned`` or ``registered``.

    :raises ValueError: for depth that is not.
    """

    #: Synchronised cameras are closer in time [s].
    tolerance_s = 0.02
    #: For people.
    kind = 'depth'

    def __init__(self, reader: BagReader, topics: BagTopics) -> None:
        check_registration(reader, topics)
        self._reader, self._topics = reader, topics
        self.topic = topics.depth

    def describe(self) -> list[tuple[str, str]]:
        """Return what is used of the recording, as the rows of a table."""
        return [('depth', self.topic)]

    def times(self, message: Any, log_ns: int) -> Times:
        """Return when a depth image was taken."""
        return Times(stamp_of(message), log_ns)

    def usable(self, pairs: Sequence[Pair], cameras: Sequence[CameraModel]) -> list[Pair]:
        """Return all pairs of an image and its depth."""
        return [*pairs]

    def depth(self, message: Any, image: Times, camera: CameraModel) -> NDArray[np.float32]:
        """Return the depth of an image, ``[H, W]`` [m], NaN where it has none.

        It is resized only where its topic's name allows it.

        :raises ValueError: for depth of another size.
        """
        depth, (height, width) = decode_depth(message), (camera.height, camera.width)
        depth_height, depth_width = depth.shape
        if depth.shape == (height, width):
            return depth
        is_same = is_same_aspect((width, height), (depth_width, depth_height))
        if not (self._topics.is_registered and is_same):
            expected = 'its size' if not self._topics.is_registered else 'its size or aspect'
            raise ValueError(
                f'got depth of {depth_width} x {depth_height} pixels on {self.topic} and an image '
                f'of {width} x {height}, expected {expected}; {registration_remedy(self._reader)}'
            )
        # Nearest: between two depths there is nothing. Exact: with the pixels' centres in place.
        return cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
