"""Several things timed in turn, A B C A B C, so that a machine that drifts wrongs none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

#: Does something once and says what each part of it took [ms].
Step = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Spread:
    """What most of several measurements lie between, in their own unit."""

    median: float
    #: 5 % lie below this, by linear interpolation.
    p5: float
    #: 5 % lie above this.
    p95: float
    #: How many there were.
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one measurement.

        :raises ValueError: for none.
        """
        if not len(values):
            raise ValueError('got no measurements, expected at least one; raise the rounds')
        p5, median, p95 = np.percentile(values, (5, 50, 95))
        return cls(float(median), float(p5), float(p95), len(values))

    def to_dict(self) -> dict[str, float]:
        """Return plain values, as JSON holds them."""
        return asdict(self)


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


def medians(measured: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return the spread of each part, as JSON holds it."""
    return {name: Spread.of(values).to_dict() for name, values in measured.items()}
