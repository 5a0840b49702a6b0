"""The camera's two topics, and who else is there when nothing comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mirror_depth_ros.ros.camera_info import CalibrationTracker
from mirror_depth_ros.ros.following import LOOK_PERIOD_S, FollowingSubscription
from mirror_depth_ros.ros.measurements import Measurements
from mirror_depth_ros.ros.observations import IMAGE_TYPES, InputFacts, input_name

# Of images only the newest counts; of calibrations those of the last few images.
_IMAGE_DEPTH, _CAMERA_INFO_DEPTH = 1, 10
# What image_transport appends to the name of the topic that it compresses.
_SUFFIX = '/compressed'


class CameraInputs:
    """Subscriptions to images and to their calibration."""

    def __init__(
        self,
        node: Node,
        name: str = '',
        *,
        transport: str,
        reliability: Callable[[], str],
        calibrations: CalibrationTracker,
        measurements: Measurements,
        on_image: Callable[[Image | CompressedImage], None],
    ) -> None:
        """Subscribe.

        :param name: of the camera, before both topics; empty for none.
        :param transport: ``raw`` or ``compressed``.
        :param reliability: returns the parameter ``image_reliability`` of now.
        :param calibrations: gets every CameraInfo.
        :param measurements: get to know what is lost.
        :param on_image: called with every image, after the calibrations that came before it.
        """
        self._node = node
        self._calibrations = calibrations
        self._measurements = measurements
        self._on_image = on_image
        self._transport = transport
        self._topics = _image_topics(node, input_name(name, 'image'))
        self._look: Timer | None = None
        self._followed: list[FollowingSubscription] = []
        try:
            # An executor serves what waits in the order of creation: the calibration goes first.
            self._infos = self._follow(
                FollowingSubscription(
                    node,
                    CameraInfo,
                    [node.resolve_topic_name(input_name(name, 'camera_info'))],
                    self._take_info,
                    depth=_CAMERA_INFO_DEPTH,
                    wants_latched=True,
                )
            )
            self._images = self._follow(
                FollowingSubscription(
                    node,
                    Image if transport == 'raw' else CompressedImage,
                    self._topics[transport],
                    self._take_image,
                    depth=_IMAGE_DEPTH,
                    reliability=reliability,
                    on_lost=lambda n: measurements.lose(time.monotonic(), n),
                )
            )
            # By a clock of its own: simulated time may stand still.
            self._look = node.create_timer(
                LOOK_PERIOD_S, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )
        except Exception:
            self.destroy()
            raise

    @property
    def topics(self) -> tuple[str, str]:
        """The full names of the topics of images and of calibrations."""
        return self._images.topic, self._infos.topic

    def observe(self) -> tuple[InputFacts, InputFacts]:
        """Return who is there on the topics of images and of calibrations."""
        images = self._images.observe()
        if not images.n_publishers:
            images = replace(images, alternative=self._alternative())
        return images, self._infos.observe()

    def destroy(self) -> None:
        """Stop listening."""
        if self._look is not None:
            self._node.destroy_timer(self._look)
            self._look = None
        while self._followed:
            self._followed.pop().destroy()

    def _follow(self, subscription: FollowingSubscription) -> FollowingSubscription:
        self._followed.append(subscription)
        return subscription

    def _look_around(self) -> None:
        for subscription in self._followed:
            subscription.look()

    def _take_info(self, message: CameraInfo) -> None:
        self._calibrations.add(message)
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        self._measurements.announce(time.monotonic(), stamp_ns)

    def _take_image(self, message: Image | CompressedImage) -> None:
        """Take all calibrations first: an executor serves but one before the image of its turn."""
        self._infos.take_waiting()
        self._on_image(message)

    def _alternative(self) -> str:
        """Return where images come in the other transport, if they do: types say so, not names."""
        other = 'raw' if self._transport == 'compressed' else 'compressed'
        for topic in self._topics[other]:
            publishers = self._node.get_publishers_info_by_topic(topic)
            if any(info.topic_type == IMAGE_TYPES[other] for info in publishers):
                return topic
        return ''


def _image_topics(node: Node, name: str) -> dict[str, list[str]]:
    """Return where images may be, by transport, the likely place first.

    A remapping of ``image`` holds for ``image/compressed`` too, unless that has one of its own. It
    may also name the topic of compressed images itself, whatever that is called.
    """
    image = node.resolve_topic_name(name)
    beside = node.resolve_topic_name(name + _SUFFIX)
    if beside != node.resolve_topic_name(name + _SUFFIX, only_expand=True):
        compressed = [beside]
    elif image.endswith(_SUFFIX):
        compressed = [image, image + _SUFFIX]
    else:
        compressed = [image + _SUFFIX, image]
    return {'raw': [image], 'compressed': compressed}
