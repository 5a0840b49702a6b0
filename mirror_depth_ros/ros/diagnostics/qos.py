"""What the middleware's QoS events say: whom it refuses to connect, and what it loses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from rclpy import event_handler
except ImportError:  # as the module was called up to Humble
    from rclpy import qos_event as event_handler

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
