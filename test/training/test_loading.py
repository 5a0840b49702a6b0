"""The order of batches, and going on in it."""

from __future__ import annotations

from itertools import chain, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from mirror_depth_ros.training.loading import Draw, ResumableLoader


class Draws(Dataset[tuple[int, int]]):
    """Gives every draw back."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, draw: Draw) -> tuple[int, int]:
        return draw.number, draw.seed


def batches(loader: ResumableLoader, count: int) -> list[list[tuple[int, int]]]:
    """Take so many batches, through as many epochs as that needs."""
    taken: list[list[tuple[int, int]]] = []
    while len(taken) < count:
        for numbers, seeds in islice(loader, count - len(taken)):
            taken.append(list(zip(numbers.tolist(), seeds.tolist())))
    return taken


def loader(count: int, batch_size: int, **options: int) -> ResumableLoader:
    return ResumableLoader(Draws(count), batch_size, **options)


def test_every_epoch_shows_everything_in_another_order() -> None:
    epochs = batches(loader(12, 3), 8)
    first, second = (list(chain(*epoch)) for epoch in (epochs[:4], epochs[4:]))
    assert sorted(number for number, _ in first) == list(range(12))
    assert sorted(number for number, _ in second) == list(range(12))
    assert [number for number, _ in first] != [number for number, _ in second]
    assert len({seed for _, seed in first + second}) == 24  # nothing is varied alike twice


def test_what_does_not_fill_a_batch_is_left_out_of_its_epoch() -> None:
    some = loader(11, 4)
    assert len(some) == 2  # 8 of 11
    (first, second) = batches(some, 2)
    assert len({number for number, _ in first + second}) == 8
    assert len(list(some)) == 2


def test_the_seed_decides_the_order() -> None:
    assert batches(loader(12, 3, seed=1), 5) == batches(loader(12, 3, seed=1), 5)
    assert batches(loader(12, 3, seed=1), 5) != batches(loader(12, 3, seed=2), 5)


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(1, 9),
    batch_size=st.integers(1, 4),
    world=st.integers(1, 3),
    seed=st.integers(0, 2**31),
    taken=st.integers(0, 12),
    more=st.integers(1, 8),
)
def test_going_on_is_as_if_never_stopped(
    count: int, batch_size: int, world: int, seed: int, taken: int, more: int
) -> None:
    count += batch_size * world
    options = {'seed': seed, 'world': world, 'rank': world - 1}
    whole = batches(loader(count, batch_size, **options), taken + more)
    stopped, resumed = (loader(count, batch_size, **options) for _ in range(2))
    batches(stopped, taken)
    resumed.load_state_dict(stopped.state_dict())
    assert batches(resumed, more) == whole[taken:]


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(0, 9), batch_size=st.integers(1, 4), world=st.integers(2, 3), seed=st.just(7)
)
def test_processes_together_see_what_one_sees(
    count: int, batch_size: int, world: int, seed: int
) -> None:
    count += batch_size * world
    one = batches(loader(count, batch_size * world, seed=seed), 5)
    each = [
        batches(loader(count, batch_size, seed=seed, rank=rank, world=world), 5)
        for rank in range(world)
    ]
    for whole, *parts in zip(one, *each, strict=True):
        assert all(len(part) == batch_size for part in parts)
        assert sorted(chain(*parts)) == sorted(whole)


def test_what_processes_prepared_ahead_is_not_taken() -> None:
    ahead = loader(12, 2, workers=1)  # it has two batches ready beyond the one that is asked for
    batches(ahead, 2)
    assert ahead.state_dict()['taken'] == 2
    assert ahead.waited_s > 0
    on = loader(12, 2)
    on.load_state_dict(ahead.state_dict())
    assert batches(on, 1) == batches(loader(12, 2), 3)[2:]


def test_too_little_data() -> None:
    with pytest.raises(ValueError, match='got 5 images to train on, expected at least 6 to fill'):
        loader(5, 3, world=2)


def test_going_on_with_other_batches_is_refused() -> None:
    begun = loader(12, 2, world=2).state_dict()
    loader(12, 4).load_state_dict(begun)  # as many at once
    with pytest.raises(ValueError, match=r'got 2 images a step .* expected 4, with which'):
        loader(12, 2).load_state_dict(begun)
