"""Several things timed in turn, A B C A B C, so that a machine that drifts wrongs none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

#: Does something once and says what each part of it took [ms].
Step = Callable[[], Mapping[str, float]]


def timed(name: str, work: Callable[[], Any]) -> Step:
    """Return a step of one part."""

    def step() -> dict[str, float]:
        started = time.perf_counter()
        work()
        return {name: 1e3 * (time.perf_counter() - started)}

    return step


def interleave(
    steps: Sequence[Step],
    *,
    rounds: int,
    warm_up: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Run every step once in each round, in their order.

    :param rounds: that count, at least 1.
    :param warm_up: rounds before those, which do not.
    :param advance: called after every round.
    :returns: what each part took in every round that counts [ms], by name.
    :raises ValueError: for no rounds.
    """
    if rounds < 1:
        raise ValueError(f'got {rounds} rounds, expected at least 1')
    measured: dict[str, list[float]] = {}
    for number in range(warm_up + rounds):
        for step in steps:
            for name, elapsed_ms in step().items():
                if number >= warm_up:
                    measured.setdefault(name, []).append(elapsed_ms)
        advance()
    return measured


def summarize_times(measured: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return ``median``, ``p5`` (5 % lie below), ``p95`` and ``count`` of what each part took.

    :raises ValueError: for a part without measurements.
    """
    spreads = {}
    for name, values in measured.items():
        if not len(values):
            raise ValueError(f'got no measurements of {name}, expected some; raise the rounds')
        p5, median, p95 = map(float, np.percentile(values, (5, 50, 95)))
        spreads[name] = {'median': median, 'p5': p5, 'p95': p95, 'count': len(values)}
    return spreads
