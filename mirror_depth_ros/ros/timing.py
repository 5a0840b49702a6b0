"""Counts and times of a recording."""

from __future__ import annotations

from typing import Any

import numpy as np


class Timing:
    """Counts images, and times the answers from the first depth image to the last."""

    def __init__(self, started_s: float) -> None:
        """Begin before any message.

        :param started_s: the time now; all times are of one monotonic clock [s].
        """
        #: When the first depth image arrived, None before that.
        self.first_depth_s: float | None = None
        #: When the latest depth image arrived, or the start.
        self.last_depth_s = started_s
        self._first_answered_ns = 0
        self._image_stamps_ns: list[int] = []
        self._latencies_ms: list[float] = []

    @property
    def processed(self) -> int:
        """How many depth images have arrived."""
        return len(self._latencies_ms)

    def add_image(self, stamp_ns: int) -> None:
        """Count an image."""
        self._image_stamps_ns.append(stamp_ns)

    def add_depth(self, now_s: float, stamp_ns: int, latency_ms: float) -> None:
        """Count a depth image.

        :param now_s: when it arrived [s].
        :param stamp_ns: of the image that it answers [ns].
        :param latency_ms: from that stamp to its arrival [ms].
        """
        self.last_depth_s = now_s
        if self.first_depth_s is None:
            self.first_depth_s, self._first_answered_ns = now_s, stamp_ns
        self._latencies_ms.append(latency_ms)

    def summary(self) -> dict[str, Any]:
        """Return the figures.

        :raises ValueError: if no depth image has arrived.
        """
        if self.first_depth_s is None:
            raise ValueError('got no depth image, expected at least one; record for longer')
        window_s, between = self.last_depth_s - self.first_depth_s, self.processed - 1
        p50, p95 = np.percentile(self._latencies_ms, [50, 95])
        return {
            'frames_published': sum(s >= self._first_answered_ns for s in self._image_stamps_ns),
            'frames_processed': self.processed,
            'seconds': round(window_s, 3),
            'fps': round(between / window_s, 2) if between else None,
            'latency_ms': {'p50': round(float(p50), 2), 'p95': round(float(p95), 2)},
            'counting': 'published: images received by a reliable subscriber, from the first that '
            'got a depth; latency: from the stamp of an image to the arrival of its depth',
        }
