"""The camera's two topics, and who else is there when nothing comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mirror_depth_ros.ros.camera_info import CalibrationTracker
from mirror_depth_ros.ros.observations import InputFacts, input_name
from mirror_depth_ros.ros.qos_events import QosRefusals

# Of images only the newest counts; of calibrations those of the last few images.
_IMAGE_DEPTH, _CAMERA_INFO_DEPTH = 1, 10
# How often it is looked whether somebody latches calibrations [s].
_LOOK_PERIOD_S = 0.5
# What a publisher that latches still has for those who come late.
_LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


class CameraInputs:
    """Subscriptions to images and to their calibration."""

    def __init__(
        self,
        node: Node,
        name: str = '',
        *,
        transport: str,
        calibrations: CalibrationTracker,
        on_image: Callable[[Image | CompressedImage], None],
        refusals: QosRefusals,
    ) -> None:
        """Subscribe.

        :param name: of the camera, before both topics; empty for none.
        :param transport: ``raw`` or ``compressed``.
        :param calibrations: gets every CameraInfo.
        :param on_image: called with every image, after the calibrations that came before it.
        :param refusals: gets to know whose QoS does not fit.
        """
        self._node = node
        self._calibrations = calibrations
        self._on_image = on_image
        self._refusals = refusals
        self._look: Timer | None = None
        self._subscriptions: list[Subscription] = []
        self._latched: Subscription | None = None
        image_name, info_name = (input_name(name, topic) for topic in ('image', 'camera_info'))
        # A remapping of ``image`` holds for ``image/compressed`` too.
        raw = node.resolve_topic_name(image_name).removesuffix('/compressed')
        if transport == 'raw':
            image_type, topic, self._alternative = Image, image_name, f'{raw}/compressed'
        else:
            image_type, topic, self._alternative = CompressedImage, f'{raw}/compressed', raw
        try:
            # An executor serves what waits in the order of creation: the calibration goes first.
            for message_type, topic_name, callback, depth in (
                (CameraInfo, info_name, calibrations.add, _CAMERA_INFO_DEPTH),
                (image_type, topic, self._take_image, _IMAGE_DEPTH),
            ):
                self._subscribe(message_type, topic_name, callback, depth)
            # By a clock of its own: simulated time may stand still.
            self._look = node.create_timer(
                _LOOK_PERIOD_S, self._follow_latched, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )
        except Exception:
            self.destroy()
            raise

    @property
    def topics(self) -> tuple[str, str]:
        """The full names of the topics of images and of calibrations."""
        camera_info, image = self._subscriptions
        return image.topic_name, camera_info.topic_name

    def observe(self) -> tuple[InputFacts, InputFacts]:
        """Return who is there on the topics of images and of calibrations."""
        camera_info, image = self._subscriptions
        return self._observe(image, self._alternative), self._observe(camera_info)

    def destroy(self) -> None:
        """Stop listening."""
        if self._look is not None:
            self._node.destroy_timer(self._look)
            self._look = None
        if self._latched is not None:
            self._node.destroy_subscription(self._latched)
            self._latched = None
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _subscribe(
        self, message_type: type[Any], topic: str, callback: Callable[[Any], None], depth: int
    ) -> None:
        self._subscriptions.append(
            self._node.create_subscription(
                message_type,
                topic,
                callback,
                QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT),
                event_callbacks=self._refusals.of_subscription(
                    self._node.resolve_topic_name(topic)
                ),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        )

    def _follow_latched(self) -> None:
        """Hear what was published once, before this node was there, while somebody latches it.

        Nobody is asked for it who does not: a volatile publisher would warn that it is refused.
        """
        topic = self.topics[1]
        publishers = self._node.get_publishers_info_by_topic(topic)
        is_latched = any(
            info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for info in publishers
        )
        if is_latched and self._latched is None:
            self._latched = self._node.create_subscription(
                CameraInfo,
                topic,
                self._calibrations.add,
                _LATCHED,
                # Others on the topic may be volatile; that is not worth a word.
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            )
        elif not is_latched and self._latched is not None:
            self._node.destroy_subscription(self._latched)
            self._latched = None

    def _take_image(self, message: Image | CompressedImage) -> None:
        """Take all calibrations first: an executor serves but one before the image of its turn."""
        handle = self._subscriptions[0].handle
        with handle:
            while taken := handle.take_message(CameraInfo, False):
                self._calibrations.add(taken[0])
        self._on_image(message)

    def _observe(self, subscription: Subscription, alternative: str = '') -> InputFacts:
        topic, own_type = subscription.topic_name, _type_name(subscription.msg_type)
        types = [info.topic_type for info in self._node.get_publishers_info_by_topic(topic)]
        n_publishers = types.count(own_type)
        is_elsewhere = alternative and self._node.count_publishers(alternative) > 0
        return InputFacts(
            topic,
            own_type,
            n_publishers=n_publishers,
            other_types=tuple(sorted({name for name in types if name != own_type})),
            refused_policy=self._refusals.policies.get(topic, '')
            if n_publishers and not _is_connected(subscription)
            else '',
            alternative=alternative if is_elsewhere else '',
        )


def _type_name(message_type: type[Any]) -> str:
    """Return a message's type as the graph names it: ``sensor_msgs/msg/Image``."""
    return f'{message_type.__module__.partition(".")[0]}/msg/{message_type.__name__}'


def _is_connected(subscription: Subscription) -> bool:
    """Whether any publisher is heard; Humble's rclpy does not say, and is taken at the worst."""
    count = getattr(subscription, 'get_publisher_count', None)
    return count is not None and count() > 0
