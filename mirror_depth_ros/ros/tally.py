"""Counts and times of a recording."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import numpy as np


class Tally:
    """Counts messages, and times the answers from the first depth image to the last."""

    def __init__(self, started_s: float) -> None:
        """Begin before any message.

        :param started_s: the time now; all times are of one monotonic clock [s].
        """
        #: Messages of each topic since the start.
        self.received: Counter[str] = Counter()
        #: When the first depth image arrived, None before that.
        self.first_depth_s: float | None = None
        #: When the latest depth image arrived, or the start.
        self.last_depth_s = started_s
        self._published = 0
        self._before_ns: deque[int] = deque(maxlen=1000)
        self._latencies_ms: list[float] = []

    @property
    def processed(self) -> int:
        """How many depth images have arrived."""
        return len(self._latencies_ms)

    @property
    def window_s(self) -> float:
        """The time from the first depth image to the latest [s]."""
        return 0.0 if self.first_depth_s is None else self.last_depth_s - self.first_depth_s

    def count(self, topic: str) -> None:
        """Count a message."""
        self.received[topic] += 1

    def count_image(self, stamp_ns: int) -> None:
        """Count an image; those older than the first that is answered do not count in the end."""
        if self.first_depth_s is None:
            self._before_ns.append(stamp_ns)
        else:
            self._published += 1

    def count_depth(self, now_s: float, stamp_ns: int, latency_ms: float) -> None:
        """Count a depth image; the first one opens the window.

        :param now_s: when it arrived [s].
        :param stamp_ns: of the image that it answers [ns].
        :param latency_ms: from that stamp to its arrival [ms].
        """
        self.last_depth_s = now_s
        if self.first_depth_s is None:
            self.first_depth_s = now_s
            self._published = sum(before_ns >= stamp_ns for before_ns in self._before_ns)
        self._latencies_ms.append(latency_ms)

    def summary(self) -> dict[str, Any]:
        """Return the figures of the recording.

        :raises ValueError: if nothing was recorded.
        """
        if not self._latencies_ms:
            raise ValueError('got no depth image, expected at least one; record for longer')
        p50, p95 = np.percentile(self._latencies_ms, [50, 95])
        between = self.processed - 1
        return {
            'frames_published': self._published,
            'frames_processed': self.processed,
            'seconds': round(self.window_s, 3),
            'fps': round(between / self.window_s, 2) if between else None,
            'latency_ms': {'p50': round(float(p50), 2), 'p95': round(float(p95), 2)},
            'counting': 'published: images received by a reliable subscriber, from the first that '
            'got a depth; latency: from the stamp of an image to the arrival of its depth',
        }
