"""A topic that is subscribed to as its publishers offer it, and anew when they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from mirror_depth_ros.ros.diagnostics.statistics import SubscriptionStatus

try:
    from rclpy import event_handler
except ImportError:  # as the module was called up to Humble
    from rclpy import qos_event as event_handler

# How often to look whether publishers have changed [s].
_LOOK_PERIOD_S = 0.25
#: Names of reliabilities as parameters have them; the first: as the publishers offer.
RELIABILITIES = ('auto', 'reliable', 'best_effort')
# Without the reliability, whose parameter would keep what was subscribed first.
_OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)
# What image_transport appends to the name of the topic that it compresses.
_SUFFIX = '/compressed'
#: The events of a publisher.
PublisherEvents = event_handler.PublisherEventCallbacks


class LossEvents(event_handler.SubscriptionEventCallbacks):
    """The events of a subscription that counts what is lost on its way.

    Whose QoS does not fit is for the subscriber to find on the graph, before it asks.
    """

    def __init__(self, on_lost: Callable[[int], None]) -> None:
        """Call ``on_lost`` with how many messages were lost since the last call."""
        super().__init__(
            message_lost=lambda event: on_lost(event.total_count_change),
            use_default_callbacks=False,
        )

    def create_event_handlers(self, *arguments: Any, **options: Any) -> list[Any]:
        """Return them; none where the middleware counts no losses."""
        try:
            return super().create_event_handlers(*arguments, **options)
        except event_handler.UnsupportedEventTypeError:
            return []


class _Offer(NamedTuple):
    """What one subscription asks for."""

    topic: str
    reliability: ReliabilityPolicy
    durability: DurabilityPolicy


class AdaptiveSubscription:
    """Subscriptions to one of several topics, as whoever publishes there can serve them.

    Reliable where all publishers are, because best effort loses what does not fit into the
    publisher's share of memory; best effort where any is not, which a reliable subscription would
    never hear. What a publisher latches is asked for as well, but only while somebody does.
    """

    def __init__(
        self,
        node: Node,
        message_type: type[Any],
        topics: Sequence[str],
        callback: Callable[[Any], None],
        *,
        clock: Clock,
        depth: int,
        wants_latched: bool = False,
        reliability: Callable[[], str] = lambda: RELIABILITIES[0],
        on_lost: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Subscribe.

        :param topics: full names; the first on which somebody publishes this type is taken.
        :param clock: steady, as simulated time may stand still; paces the looks at publishers.
        :param depth: how many messages wait at most.
        :param wants_latched: whether to hear what was published before; it may come twice.
        :param reliability: returns one of :data:`RELIABILITIES`, the value of the parameter
            ``image_reliability`` of now; the QoS override of the topic precedes.
        :param on_lost: called with how many messages the middleware has lost since the last call.
        :raises ValueError: for an override that is no reliability.
        """
        self._node = node
        self._type = message_type
        # As the graph names it: sensor_msgs/msg/Image.
        package = message_type.__module__.partition('.')[0]
        self._type_name = f'{package}/msg/{message_type.__name__}'
        self._topics = tuple(topics)
        self._callback = callback
        self._depth = depth
        self._wants_latched = wants_latched
        self._reliability = reliability
        self._on_lost = on_lost
        self._subscriptions: dict[_Offer, Subscription] = {}
        self._topic = self._topics[0]
        for topic in self._topics:
            self._override(topic)
        self._look()
        self._timer = node.create_timer(_LOOK_PERIOD_S, self._look, clock=clock)

    @property
    def topic(self) -> str:
        """The full name of the topic subscribed to."""
        return self._topic

    def observe(self) -> SubscriptionStatus:
        """Return who publishes on the topic, and what keeps them from being heard."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        types = {info.topic_type for info in publishers}
        # Another thread may be at changing them.
        asked = [offer.reliability for offer in [*self._subscriptions]]
        offered = self._offered(self.topic)
        is_reliable = all(reliability == ReliabilityPolicy.RELIABLE for reliability in asked)
        is_refused = is_reliable and offered and all(map(_is_lossy, offered))
        forced_by = self._forced_by()
        return SubscriptionStatus(
            self.topic,
            self._type_name,
            n_publishers=len(offered),
            other_types=tuple(sorted(types - {self._type_name})),
            # Else it is a publisher that has just come, and will be followed.
            is_refused=bool(is_refused and forced_by),
            is_reliable=is_reliable,
            reliability_forced_by=forced_by,
        )

    def _look(self) -> None:
        """Subscribe anew if the publishers have changed."""
        offers = self._offers()
        self._topic = offers[0].topic
        # The others first: for a moment, two subscriptions would have each message twice.
        for offer in self._subscriptions.keys() - offers:
            self._node.destroy_subscription(self._subscriptions.pop(offer))
        for offer in offers:
            if offer not in self._subscriptions:
                self._subscriptions[offer] = self._subscribe(offer)

    def take_waiting(self) -> None:
        """Hand over all messages that have come, without waiting for the executor."""
        for subscription in self._subscriptions.values():
            handle = subscription.handle
            with handle:
                while taken := handle.take_message(self._type, False):
                    self._callback(taken[0])

    def destroy(self) -> None:
        """Stop listening."""
        self._node.destroy_timer(self._timer)
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.popitem()[1])

    def _offers(self) -> list[_Offer]:
        """Return what to ask for, of the first topic with a publisher."""
        offered = {topic: self._offered(topic) for topic in self._topics}
        topic = next((t for t, qos in offered.items() if qos), self._topics[0])
        name = self._override(topic) or self._reliability()
        if name == RELIABILITIES[0]:
            name = RELIABILITIES[1 + any(map(_is_lossy, offered[topic]))]
        offer = _Offer(topic, ReliabilityPolicy[name.upper()], DurabilityPolicy.VOLATILE)
        latching = [_is_latching(qos) for qos in offered[topic]]
        if not self._wants_latched or not any(latching):
            return [offer]
        latched = _Offer(topic, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
        # Only those that latch are asked for it: a volatile one would warn that it is refused.
        return [latched] if all(latching) else [offer, latched]

    def _offered(self, topic: str) -> list[QoSProfile]:
        publishers = self._node.get_publishers_info_by_topic(topic)
        return [info.qos_profile for info in publishers if info.topic_type == self._type_name]

    def _subscribe(self, offer: _Offer) -> Subscription:
        return self._node.create_subscription(
            self._type,
            offer.topic,
            self._callback,
            QoSProfile(
                depth=self._depth, reliability=offer.reliability, durability=offer.durability
            ),
            event_callbacks=LossEvents(self._on_lost),
            qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE),
        )

    def _forced_by(self) -> str:
        """Return the parameter that says the reliability; empty if the publishers do."""
        if self._override(self.topic):
            return _override_name(self.topic)
        return '' if self._reliability() == RELIABILITIES[0] else 'image_reliability'

    def _override(self, topic: str) -> str:
        """Return what the topic's QoS override says of the reliability, empty if nothing."""
        name = _override_name(topic)
        if not self._node.has_parameter(name):
            description = 'reliable or best_effort; empty: as the publishers offer'
            descriptor = ParameterDescriptor(description=description, read_only=True)
            self._node.declare_parameter(name, '', descriptor)
        value = str(self._node.get_parameter(name).value)
        if value not in ('', *RELIABILITIES[1:]):
            raise ValueError(
                f'got {name} {value!r}, expected {" or ".join(RELIABILITIES[1:])}; correct the '
                'parameter or leave it out'
            )
        return value


def _is_lossy(qos: QoSProfile) -> bool:
    return qos.reliability != ReliabilityPolicy.RELIABLE


def _is_latching(qos: QoSProfile) -> bool:
    return qos.durability == DurabilityPolicy.TRANSIENT_LOCAL and not _is_lossy(qos)


def _override_name(topic: str) -> str:
    return f'qos_overrides.{topic}.subscription.reliability'


def image_topics(node: Node, name: str) -> dict[str, list[str]]:
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
