"""Indexing and slicing of sequences that make their items."""

from __future__ import annotations

import pytest

from mirror_depth_ros.data.lazy_sequence import LazySequence, Part


class Squares(LazySequence[int]):
    def __init__(self) -> None:
        self.made: list[int] = []

    def __len__(self) -> int:
        return 4

    def item(self, index: int) -> int:
        self.made.append(index)
        return index * index


def test_items_are_made_when_asked_for() -> None:
    squares = Squares()
    assert (squares[2], squares[-1]) == (4, 9)
    assert squares[1:] == [1, 4, 9]
    assert squares[::-2] == [9, 1]
    assert squares.made == [2, 3, 1, 2, 3, 3, 1]
    assert [*squares] == [0, 1, 4, 9]
    assert 9 in squares
    assert squares.index(4) == 2


def test_items_are_named_without_making_them() -> None:
    squares = Squares()
    assert squares.name_of(2) == 'item 2'
    assert squares.made == []


@pytest.mark.parametrize('index', [4, -5])
def test_items_that_are_not_there(index: int) -> None:
    with pytest.raises(IndexError, match=f'got item {index}, expected 0 to 3'):
        Squares()[index]


def test_a_part_makes_its_own_items_only() -> None:
    squares = Squares()
    part = Part(squares, 1, 3)
    assert len(part) == 2
    assert [part.name_of(i) for i in range(2)] == ['item 1', 'item 2']
    assert squares.made == []
    assert [*part] == [1, 4]
    assert (part[-1], part[:1]) == (4, [1])
    assert squares.made == [1, 2, 2, 1]
    with pytest.raises(IndexError, match='got item 2, expected 0 to 1'):
        part[2]
    assert [*Part(part, 1, 2)] == [4]


@pytest.mark.parametrize(('start', 'stop'), [(2, 2), (3, 1), (-1, 2), (0, 5)])
def test_parts_that_are_none(start: int, stop: int) -> None:
    with pytest.raises(
        ValueError, match=f'got items {start} to {stop} of 4, expected at least one'
    ):
        Part(Squares(), start, stop)
