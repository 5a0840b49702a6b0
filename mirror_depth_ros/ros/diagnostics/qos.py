"""What the middleware's QoS events say: whom it refuses to connect, and what it loses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import qos_policy_name_from_kind

try:
    from rclpy import event_handler
except ImportError:  # as the module was called up to Humble
    from rclpy import qos_event as event_handler


class QosRefusals:
    """Remembers the policy of each published topic that kept a subscription apart.

    The middleware says that they do not fit, but not when one of them goes: whether anybody is
    still there is for the reader to see.
    """

    def __init__(self) -> None:
        #: The latest such policy by full topic name, such as ``reliability``.
        self.policies: dict[str, str] = {}

    def of_publisher(self, topic: str) -> event_handler.PublisherEventCallbacks:
        """Return the callbacks for a new publisher; what was known of its topic is past."""
        self.policies.pop(topic, None)
        return event_handler.PublisherEventCallbacks(
            incompatible_qos=lambda event: self._remember(topic, event)
        )

    def _remember(self, topic: str, event: Any) -> None:
        self.policies[topic] = qos_policy_name_from_kind(event.last_policy_kind).lower()


class LossEvents(event_handler.SubscriptionEventCallbacks):
    """The events of a subscription that counts what is lost on its way.

    Whose QoS does not fit is for the subscriber to find on the graph, before it asks.
    """

    def __init__(self, on_lost: Callable[[int], None]) -> None:
        """Count.

        :param on_lost: called with how many messages were lost since the last call.
        """
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
