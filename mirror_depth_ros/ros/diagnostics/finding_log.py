"""Which findings are worth a line in the log, and how often. Without ROS."""

from __future__ import annotations

from collections.abc import Iterable

from mirror_depth_ros.ros.diagnostics.health import Cause, Finding, Level

# The worker logs what it skips, and the node its transitions, at once and in more detail; and
# that somebody paused it, or that a camera is faster than the model, is no news.
_NOT_LOGGED = (Cause.STATE, Cause.SKIPPED, Cause.PAUSED, Cause.SLOW)
# Twice as long after each line: what nobody mends must not fill the disk.
_FIRST_INTERVAL_S = 10.0


class FindingLog:
    """Chooses the findings to log: new ones at once, the same again at growing intervals.

    What is no fault (level OK) is said only once, however often it comes and goes.
    """

    def __init__(self) -> None:
        #: When a finding is due again, and the interval after that [s].
        self._next: dict[tuple[Cause, str], tuple[float, float]] = {}
        self._said: set[tuple[Cause, str]] = set()

    def choose(self, findings: Iterable[Finding], now_s: float) -> list[Finding]:
        """Return those to log now.

        :param findings: all that there are; one that is missing is over.
        :param now_s: of a monotonic clock [s].
        """
        current = {(f.cause, f.topic): f for f in findings if f.cause not in _NOT_LOGGED}
        self._next = {key: due for key, due in self._next.items() if key in current}
        return [finding for key, finding in current.items() if self._is_due(key, finding, now_s)]

    def _is_due(self, key: tuple[Cause, str], finding: Finding, now_s: float) -> bool:
        if finding.level == Level.OK:
            is_new = key not in self._said
            self._said.add(key)
            return is_new
        due_s, interval_s = self._next.get(key, (now_s, _FIRST_INTERVAL_S))
        if now_s < due_s:
            return False
        self._next[key] = (now_s + interval_s, 2 * interval_s)
        return True
