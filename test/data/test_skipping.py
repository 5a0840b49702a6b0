"""Samples that cannot be opened."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.data.lazy_sequence import LazySequence
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.data.skipping import Broken, open_each
from mirror_depth_ros.depth.camera import CameraModel


class Shelf(LazySequence[DepthSample]):
    """Samples of which some raise an error."""

    def __init__(self, *errors: Exception | None) -> None:
        self._errors = errors

    def __len__(self) -> int:
        return len(self._errors)

    def item(self, index: int) -> DepthSample:
        error = self._errors[index]
        if error is not None:
            raise error
        rgb = np.zeros((3, 5, 3), np.uint8)
        return DepthSample(rgb, None, CameraModel.from_fov(5, 3, 60.0), f'book {index}')

    def name_of(self, index: int) -> str:
        return f'book {index}'


SHELF = Shelf(FileNotFoundError('got no 0.png'), None, ValueError('got 2.png'), None)


def test_the_broken_are_passed_over_and_named() -> None:
    broken: list[Broken] = []
    names = [sample.name for sample in open_each(SHELF, range(4), broken=broken)]
    assert names == ['book 1', 'book 3']
    assert broken == [Broken('book 0', 'got no 0.png'), Broken('book 2', 'got 2.png')]


def test_the_first_broken_one_is_an_error_unless_they_are_wanted() -> None:
    samples = open_each(SHELF, [1, 2, 3])
    assert next(samples).name == 'book 1'
    with pytest.raises(ValueError, match='got 2.png'):
        next(samples)
    with pytest.raises(FileNotFoundError, match='got no 0.png'):
        next(open_each(SHELF, [0]))


def test_a_mistake_of_the_program_is_no_broken_file() -> None:
    with pytest.raises(TypeError, match='a mistake'):
        list(open_each(Shelf(TypeError('a mistake')), [0], broken=[]))


def test_nothing_but_broken_ones() -> None:
    with pytest.raises(
        ValueError, match='got 2 samples and none that can be opened, .*: got no 0.png'
    ):
        list(open_each(SHELF, [0, 2], broken=[]))
    assert list(open_each(SHELF, [], broken=[])) == []
