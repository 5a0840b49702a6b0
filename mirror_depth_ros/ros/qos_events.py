"""Whom the middleware refuses to connect: what its QoS events say, topic by topic."""

from __future__ import annotations

from typing import Any

from rclpy.qos import qos_policy_name_from_kind

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # as the module was called up to Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks


class QosRefusals:
    """Remembers the policy of each topic that kept a publisher and a subscription apart.

    The middleware says that they do not fit, but not when one of them goes: whether anybody is
    still there is for the reader to see.
    """

    def __init__(self) -> None:
        #: The latest such policy by full topic name, such as ``reliability``.
        self.policies: dict[str, str] = {}

    def of_subscription(self, topic: str) -> SubscriptionEventCallbacks:
        """Return the callbacks for a new subscription; what was known of its topic is past."""
        self.policies.pop(topic, None)
        return SubscriptionEventCallbacks(incompatible_qos=lambda e: self._remember(topic, e))

    def of_publisher(self, topic: str) -> PublisherEventCallbacks:
        """Return the callbacks for a new publisher; what was known of its topic is past."""
        self.policies.pop(topic, None)
        return PublisherEventCallbacks(incompatible_qos=lambda e: self._remember(topic, e))

    def _remember(self, topic: str, event: Any) -> None:
        self.policies[topic] = qos_policy_name_from_kind(event.last_policy_kind).lower()
