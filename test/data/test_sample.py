"""Samples, sequences that open them when asked for, and samples that cannot be opened."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mirror_depth_ros.data.sample import Broken, DepthSample, LazySequence, Selection, open_each
from mirror_depth_ros.depth.camera import CameraModel

CAMERA = CameraModel.from_fov(7, 5, 60.0)
RGB = np.zeros((5, 7, 3), np.uint8)


def test_a_sample_may_lack_truth():
    assert DepthSample(RGB, None, CAMERA, 'a').depth is None


@pytest.mark.parametrize(
    ('rgb', 'depth', 'message'),
    [
        (RGB.transpose(1, 0, 2), None, 'got uint8 (7, 5, 3) as the image of a, expected uint8 (5'),
        (RGB.astype(np.float32), None, 'got float32 (5, 7, 3) as the image of a'),
        (RGB, np.zeros((7, 5), np.float32), 'got float32 (7, 5) as the depth of a, expected'),
        (RGB, np.zeros((5, 7), np.uint16), 'got uint16 (5, 7) as the depth of a'),
    ],
)
def test_arrays_that_do_not_fit_the_camera_are_refused(rgb, depth, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DepthSample(rgb, depth, CAMERA, 'a')


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


def test_a_selection_makes_its_own_items_only() -> None:
    squares = Squares()
    part = Selection(squares, range(1, 3))
    assert len(part) == 2
    assert [part.name_of(i) for i in range(2)] == ['item 1', 'item 2']
    assert squares.made == []
    assert [*part] == [1, 4]
    assert (part[-1], part[:1]) == (4, [1])
    assert squares.made == [1, 2, 2, 1]
    with pytest.raises(IndexError, match='got item 2, expected 0 to 1'):
        part[2]
    assert [*Selection(part, [1, 0, 1])] == [4, 1, 4]


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


def test_a_pose_that_is_none_is_refused() -> None:
    pose = np.eye(4)
    pose[0, 0] = -1
    with pytest.raises(ValueError, match=r'got the pose .*, expected 4 x 4 .*\(hall/3\)'):
        DepthSample(RGB, None, CAMERA, 'hall/3', pose)
    assert DepthSample(RGB, None, CAMERA, 'hall/3', np.eye(4)).sequence == 'hall'
    assert DepthSample(RGB, None, CAMERA, '3').sequence == ''
