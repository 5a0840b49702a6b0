"""Steps take turns, and what they took is summed up as by hand."""

import pytest

from mirror_depth_ros.evaluation.interleaved_timing import interleave, summarize_times


def test_steps_take_turns_and_warm_up_does_not_count() -> None:
    order: list[str] = []

    def step(name: str):
        def run() -> dict[str, float]:
            order.append(name)
            return {name: float(len(order))}

        return run

    advanced: list[int] = []
    measured = interleave(
        [step('a'), step('b')], rounds=2, warm_up=1, advance=lambda: advanced.append(len(order))
    )
    assert order == ['a', 'b'] * 3
    assert measured == {'a': [3.0, 5.0], 'b': [4.0, 6.0]}
    assert advanced == [2, 4, 6]


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match='got 0 rounds, expected at least 1'):
        interleave([], rounds=0)


def test_times_are_summarised() -> None:
    # Of 0, 1 .. 20: the 5 % point is 0.05 * 20 = 1, the 95 % point 19.
    times = {'a': [float(n) for n in range(20, -1, -1)], 'b': [4.0, 2.0]}
    assert summarize_times(times) == {
        'a': {'median': 10.0, 'p5': 1.0, 'p95': 19.0, 'count': 21},
        'b': {'median': 3.0, 'p5': pytest.approx(2.1), 'p95': pytest.approx(3.9), 'count': 2},
    }
    with pytest.raises(ValueError, match='got no measurements of a'):
        summarize_times({'a': []})
