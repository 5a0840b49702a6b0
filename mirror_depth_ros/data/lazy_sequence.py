"""A sequence whose items are made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T = TypeVar('T')


class LazySequence(Sequence[T]):
    """What indexing and slicing have in common, for classes that can make one item."""

    @abstractmethod
    def item(self, index: int) -> T:
        """Make the item of that number, 0 to ``len(self) - 1``."""

    def name_of(self, index: int) -> str:
        """Say which item that is, without making it; by its number where it has no name.

        :param index: 0 to ``len(self) - 1``.
        """
        return f'item {index}'

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return one item, counted from the end if negative, or a list of them.

        :raises IndexError: if there is no such item.
        """
        if isinstance(index, slice):
            return [self.item(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f'got item {index}, expected 0 to {len(self) - 1}')
        return self.item(index % len(self))


class Part(LazySequence[T]):
    """Items of another sequence that follow one another; no others are ever made.

    :param start: number of the first item.
    :param stop: number after the last one.
    :raises ValueError: if there is no such item, or none at all.
    """

    def __init__(self, whole: LazySequence[T], start: int, stop: int) -> None:
        if not 0 <= start < stop <= len(whole):
            raise ValueError(
                f'got items {start} to {stop} of {len(whole)}, expected at least one of them, '
                'the first before the last; correct the numbers'
            )
        self._whole, self._numbers = whole, range(start, stop)

    def __len__(self) -> int:
        return len(self._numbers)

    def item(self, index: int) -> T:
        """Make the item of the whole that is there."""
        return self._whole.item(self._numbers[index])

    def name_of(self, index: int) -> str:
        """Return the name that the item has in the whole."""
        return self._whole.name_of(self._numbers[index])
