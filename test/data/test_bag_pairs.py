"""Which messages of a recording belong together; whole recordings are in ``test_bag.py``."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mirror_depth_ros.data.bag_pairs import Times, middles, nearest, nearest_in_time

MS = 10**6
READER = SimpleNamespace(path='drive')


def times(*stamps_ms: float, span_ms: tuple[int, int] = (0, 0)) -> list[Times]:
    first, last = span_ms
    return [Times(round(t * MS), round(t * MS) + 7, (first * MS, last * MS)) for t in stamps_ms]


def test_a_turn_of_a_lidar_has_a_middle() -> None:
    assert middles(times(100, 250)).tolist() == [100 * MS, 250 * MS]
    # From 20 ms before the stamp to 80 ms after it.
    assert middles(times(100, span_ms=(-20, 80))).tolist() == [130 * MS]


def test_the_nearest_and_of_two_equally_near_the_earlier() -> None:
    stamps, others = np.array([0, 14, 15, 16, 99]), np.array([10, 20, 30])
    assert nearest(stamps, others).tolist() == [0, 0, 0, 1, 2]


def test_an_image_takes_the_turn_whose_middle_is_nearest() -> None:
    # Turns from 0 to 100 ms and from 100 to 200: 95 is nearer to the second's stamp.
    turns = times(0, 100, span_ms=(0, 100))
    pairs = nearest_in_time(READER, '/image', '/scan', times(40, 95, 105, 190), turns, 0.05)
    assert [(number, turn.stamp_ns) for number, turn in pairs] == [
        (0, 0),
        (1, 0),
        (2, 100 * MS),
        (3, 100 * MS),
    ]


def test_images_too_far_from_any_are_named(caplog: pytest.LogCaptureFixture) -> None:
    pairs = nearest_in_time(READER, '/image', '/scan', times(0, 60, 100), times(0, 100), 0.02)
    assert [number for number, _ in pairs] == [0, 2]
    assert 'nothing on /scan in drive goes with 1 of the 3 images on /image' in caplog.text
    with pytest.raises(
        ValueError, match=r'got no image on /image with depth on /scan within 0.02'
    ):
        nearest_in_time(READER, '/image', '/scan', times(0, 60), times(30), 0.02)
