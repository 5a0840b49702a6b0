"""Whom the middleware refuses to connect, and what it loses: what its QoS events say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import qos_policy_name_from_kind

try:
    from rclpy.event_handler import (
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )
except ImportError:  # as the module was called up to Humble
    from rclpy.qos_event import (
        PublisherEventCallbacks,
        SubscriptionEventCallbacks,
        UnsupportedEventTypeError,
    )


class QosRefusals:
    """Remembers the policy of each published topic that kept a subscription apart.

    The middleware says that they do not fit, but not when one of them goes: whether anybody is
    still there is for the reader to see.
    """

    def __init__(self) -> None:
        #: The latest such policy by full topic name, such as ``reliability``.
        self.policies: dict[str, str] = {}

    def of_publisher(self, topic: str) -> PublisherEventCallbacks:
        """Return the callbacks for a new publisher; what was known of its topic is past."""
        self.policies.pop(topic, None)
        return PublisherEventCallbacks(incompatible_qos=lambda e: self._remember(topic, e))

    def _remember(self, topic: str, event: Any) -> None:
        self.policies[topic] = qos_policy_name_from_kind(event.last_policy_kind).lower()


class LossEvents(SubscriptionEventCallbacks):
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
        """Make them; none where the middleware counts no losses, which is no reason to be deaf."""
        try:
            return super().create_event_handlers(*arguments, **options)
        except UnsupportedEventTypeError:
            return []
