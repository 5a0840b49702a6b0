"""Truth that lies beside the picture, by known degrees."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.evaluation.misalignment import Misalignment

H, W, FOCAL_PX = 96, 128, 114.6  # 2 pixels a degree


def scene(number: int) -> np.ndarray:
    """Return the depth of boxes before a slanted wall, another one for each number."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[:H, :W]
    depth = 4.0 + columns / W + rows / H
    for _ in range(12):
        top, left = random.integers(0, H - 15), random.integers(0, W - 20)
        depth[top : top + 15, left : left + 20] = random.uniform(1.0, 3.0)
    return depth


def beside(right_px: int, down_px: int, *, rows: slice = slice(None, None, 6)) -> Misalignment:
    """Look at five images whose truth lies beside; it is known in some rows."""
    misalignment = Misalignment()
    for number in range(5):
        truth = np.full((H, W), np.nan)
        truth[rows] = np.roll(scene(number), (down_px, right_px), axis=(0, 1))[rows]
        # Of half the scale, and as smooth as a network's.
        prediction = 0.5 * scene(number)
        misalignment.add(prediction, truth, FOCAL_PX, max_depth=10.0)
    return misalignment


def test_truth_that_lies_right_is_no_finding() -> None:
    assert beside(0, 0).find() is None


@pytest.mark.parametrize(('right_px', 'down_px'), [(10, 0), (-10, 0), (0, 8), (6, -6)])
def test_truth_that_lies_beside_is_to_be_moved_back(right_px: int, down_px: int) -> None:
    move = beside(right_px, down_px).find()
    assert move is not None
    assert (move.right_deg, move.down_deg) == (-right_px / 2, -down_px / 2)
    assert move.gain > 0.5
    assert (move.images, move.fraction) == (5, 1.0)


def test_the_finding_says_what_to_do() -> None:
    move = beside(10, 0).find()
    assert move is not None
    assert move.describe().startswith(
        f'the truth fits the predicted depth {100 * move.gain:.0f} % better when moved by 5 '
        'degrees to the left: the transform between sensor and camera may be wrong by as much, or '
    )


def test_one_row_does_not_tell() -> None:
    assert beside(10, 0, rows=slice(48, 49)).find() is None


def test_less_than_two_and_a_half_degrees_are_no_finding() -> None:
    assert beside(4, 0).find() is None


def test_too_few_images_do_not_tell() -> None:
    misalignment = Misalignment()
    for number in range(2):
        truth = np.roll(scene(number), 10, axis=1)
        misalignment.add(scene(number), truth, FOCAL_PX, max_depth=10.0)
    assert misalignment.find() is None


def test_where_nothing_is_predicted_does_not_count() -> None:
    misalignment = Misalignment()
    for number in range(4):
        prediction = scene(number)
        prediction[:30] = np.nan  # as around the window that a protocol shows the network
        truth = np.roll(scene(number), 10, axis=1)
        misalignment.add(prediction, truth, FOCAL_PX, max_depth=10.0)
    move = misalignment.find()
    assert move is not None
    assert (move.right_deg, move.down_deg) == (-5.0, 0.0)
