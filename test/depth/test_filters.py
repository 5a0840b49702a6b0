"""What is out of range is said in each way; what hangs between surfaces goes, and they stay."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mirror_depth_ros.depth import filters as module
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.filters import (
    OUT_OF_RANGE,
    apply_range,
    filter_depth,
    flying_pixels,
)

H, W = 15, 33
NAN, INF = np.nan, np.inf
RANGES = np.array([[0.2, 0.5, 8.0, 8.1, NAN, INF, -INF]], np.float32)


def rows_of(*parts: tuple[float, int]) -> np.ndarray:
    """Return an image whose rows are runs of (depth, pixels), the last one to the end."""
    row = np.concatenate([np.full(count, depth) for depth, count in parts])
    row = np.pad(row, (0, W - len(row)), mode='edge')
    return np.tile(row, (H, 1)).astype(np.float32)


def found_columns(depth: np.ndarray, **options: float) -> list[int]:
    """Return the columns of flying pixels, which must be the same in every row."""
    found = flying_pixels(depth, edge_filter=options.pop('edge_filter', 0.05), **options)
    assert found.shape == depth.shape
    assert (found == found[0]).all()
    return np.flatnonzero(found[0]).tolist()


def test_the_pixels_of_a_blurred_step_go_and_its_sides_stay() -> None:
    depth = rows_of((2.0, 14), (2.5, 1), (3.0, 1), (3.5, 1), (4.0, 1))
    before = depth.copy()
    assert found_columns(depth) == [14, 15, 16]
    np.testing.assert_array_equal(depth, before)


def test_a_step_down_a_column_is_the_same() -> None:
    depth = rows_of((2.0, 14), (2.5, 1), (3.0, 1), (3.5, 1), (4.0, 1))
    found = flying_pixels(depth, edge_filter=0.05)
    np.testing.assert_array_equal(flying_pixels(depth.T, edge_filter=0.05), found.T)


def test_a_sharp_step_loses_nothing() -> None:
    assert found_columns(rows_of((2.0, 14), (4.0, 1))) == []


def test_how_far_off_counts_as_between() -> None:
    # 1 / 2.1 lies 5 % of itself from 1 / 2, and 5 % from 1 / 2.21: (2.21 - 2.1) / 2.21 = 0.0498.
    depth = rows_of((2.0, 14), (2.1, 1), (2.21, 1))
    assert found_columns(depth, edge_filter=0.049) == [14]
    assert found_columns(depth, edge_filter=0.051) == []


def test_zero_switches_the_filter_off() -> None:
    assert found_columns(rows_of((2.0, 14), (2.5, 1), (4.0, 1)), edge_filter=0.0) == []


def test_reach_is_half_the_blur_that_is_seen_through() -> None:
    # Seven steps of inverse depth from 1 to 1 / 9: a line, for whoever looks 1 pixel far.
    blur = [1 / (1 - i / 9) for i in range(1, 8)]
    depth = rows_of((1.0, 13), *((metres, 1) for metres in blur), (9.0, 1))
    assert found_columns(depth, reach_px=1) == []
    assert found_columns(depth, reach_px=4) == [13, 14, 15, 16, 17, 18, 19]


@pytest.mark.parametrize('width', [1, 2, 3, 4, 5])
@pytest.mark.parametrize(('pole', 'wall'), [(1.0, 4.0), (4.0, 1.0)])
def test_poles_and_gaps_stay(pole: float, wall: float, width: int) -> None:
    assert found_columns(rows_of((wall, 14), (pole, width), (wall, 1))) == []


def test_half_seen_sky_goes_and_the_sky_itself_stays() -> None:
    # A pixel half roof, half sky: inverse depth in the middle of 1 / 5 and 0.
    assert found_columns(rows_of((5.0, 14), (10.0, 1), (INF, 1))) == [14]


@pytest.mark.parametrize('unknown', [NAN, -INF, 0.0, -1.0])
def test_what_lies_beside_no_measurement_stays(unknown: float) -> None:
    # Column 14 would go, were the wall to its right there.
    assert found_columns(rows_of((2.0, 14), (3.0, 1), (unknown, 1))) == []


def test_near_the_border_nothing_is_known() -> None:
    assert found_columns(rows_of((2.0, 5), (3.0, 1), (4.0, 1))) == []
    assert found_columns(rows_of((2.0, 6), (3.0, 1), (4.0, 1))) == [6]
    tiny = np.array([[2.0, 3.0, 4.0]], np.float32)  # smaller than any reach
    assert not flying_pixels(tiny, edge_filter=0.05).any()


CAMERA = CameraModel.from_fov(321, 241, 75.0)


def floor(*, pitch_deg: float, roll_deg: float, beyond: float) -> np.ndarray:
    """Return the depth of a floor seen from 0.4 m above it, out to 10 m, ``[241, 321]``."""
    pitch, roll = np.radians([pitch_deg, roll_deg])
    normal = (np.sin(roll) * np.cos(pitch), np.cos(roll) * np.cos(pitch), np.sin(pitch))
    below = CAMERA.rays @ normal[:2] + normal[2]  # metres down for each metre along Z
    with np.errstate(divide='ignore'):
        depth = 0.4 / below
    return np.where((depth > 0) & (depth <= 10.0), depth, beyond).astype(np.float32)


@pytest.mark.parametrize('beyond', [NAN, INF])
@pytest.mark.parametrize(('pitch_deg', 'roll_deg'), [(0.0, 0.0), (8.0, 0.0), (20.0, -13.0)])
def test_a_floor_seen_at_a_slant_stays(pitch_deg: float, roll_deg: float, beyond: float) -> None:
    depth = floor(pitch_deg=pitch_deg, roll_deg=roll_deg, beyond=beyond)
    is_floor = np.isfinite(depth)
    assert depth[is_floor].max() > 8.5  # the next row lies beyond 10 m
    # Not one pixel goes: the line through a plane's inverse depths meets them exactly.
    assert not flying_pixels(depth, edge_filter=0.01)[is_floor].any()


def test_a_floor_stays_under_noise() -> None:
    depth = floor(pitch_deg=8.0, roll_deg=3.0, beyond=NAN)
    noise = np.random.default_rng(5).normal(1.0, 0.01, depth.shape)
    found = flying_pixels((depth * noise).astype(np.float32), edge_filter=0.05)
    assert found[np.isfinite(depth)].mean() < 0.01


@pytest.mark.parametrize('kind', ['room', 'road'])
def test_a_view_loses_its_blur_and_little_else(
    kind: str, make_view: Callable[..., SimpleNamespace]
) -> None:
    flying, found = 0, 0
    for seed in range(10):
        true = np.minimum(make_view(kind, seed).depth, np.float32(200.0))
        # Thin things behind one another look like a blur.
        assert flying_pixels(true, edge_filter=0.05).mean() < 0.02
        blurred = 1 / cv2.blur(1 / true, (3, 3))
        nearest, farthest = cv2.erode(true, np.ones((3, 3))), cv2.dilate(true, np.ones((3, 3)))
        # At a step of more than a factor of two, a fifth or more away from both of its sides.
        flies = (farthest > 2 * nearest) & (blurred > 1.2 * nearest) & (blurred < farthest / 1.2)
        flying += flies.sum()
        found += flying_pixels(blurred, edge_filter=0.05)[flies].sum()
    assert flying > 2000
    # Before an open sky a blur is wide: some of its pixels have their like on both sides.
    assert found > {'room': 0.9, 'road': 0.65}[kind] * flying


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    depth = np.random.default_rng(2).uniform(1.0, 4.0, (61, 47)).astype(np.float32)
    depth[cv2.GaussianBlur(depth, (5, 5), 0) > 2.7] = NAN
    whole = flying_pixels(depth, edge_filter=0.05)
    assert whole.any()
    monkeypatch.setattr(module, '_STRIP_PIXELS', 1)  # strips of one row
    np.testing.assert_array_equal(flying_pixels(depth, edge_filter=0.05), whole)
    monkeypatch.setattr(module, '_STRIP_PIXELS', 47 * 7)
    np.testing.assert_array_equal(flying_pixels(depth, edge_filter=0.05), whole)


def is_flying(depth: np.ndarray, row: int, column: int, edge_filter: float, reach: int) -> bool:
    """What the docstring says of one pixel, word by word."""
    tolerance = np.float32(edge_filter)
    for step in ((reach, 0), (0, reach)):
        places = [(row + k * step[0], column + k * step[1]) for k in (-2, -1, 0, 1, 2)]
        if any(not (0 <= v < depth.shape[0] and 0 <= u < depth.shape[1]) for v, u in places):
            continue
        z = np.array([depth[place] for place in places], np.float32)
        with np.errstate(all='ignore'):
            i = np.where(z > 0, 1 / z, np.float32(NAN))
            if not (i[1] < i[2] < i[3] or i[1] > i[2] > i[3]):
                continue
            expected = [i[1], 2 * i[1] - i[0], i[3], 2 * i[3] - i[4]]
            if all(abs(i[2] - value) > tolerance * i[2] for value in expected):
                return True
    return False


@pytest.mark.parametrize('size', [(31, 43), (29, 1), (1, 37), (13, 12)])
@pytest.mark.parametrize('reach_px', [1, 3])
def test_every_pixel_is_judged_as_said(size: tuple[int, int], reach_px: int) -> None:
    random = np.random.default_rng(size[0] + reach_px)
    depth = random.uniform(0.2, 9.0, size).astype(np.float32)
    depth[random.random(size) < 0.5] = 3.0
    for value in (NAN, INF, -INF, 0.0, -1.0):
        depth[random.random(size) < 0.01] = value
    found = flying_pixels(depth, edge_filter=0.1, reach_px=reach_px)
    expected = [
        [is_flying(depth, row, column, 0.1, reach_px) for column in range(size[1])]
        for row in range(size[0])
    ]
    np.testing.assert_array_equal(found, expected)
    assert found.any() == (max(size) > 4 * reach_px)


def test_impossible_options_are_refused() -> None:
    depth = np.ones((3, 5), np.float32)
    with pytest.raises(ValueError, match='got edge_filter -0.1, expected a share .* such as 0.05'):
        flying_pixels(depth, edge_filter=-0.1)
    with pytest.raises(ValueError, match='got edge_filter nan'):
        flying_pixels(depth, edge_filter=NAN)
    with pytest.raises(ValueError, match='got reach_px 0, expected at least 1'):
        flying_pixels(depth, edge_filter=0.05, reach_px=0)


@pytest.mark.parametrize(
    ('out_of_range', 'expected'),
    [
        ('inf', [-INF, 0.5, 8.0, INF, NAN, INF, -INF]),  # REP-117
        ('nan', [NAN, 0.5, 8.0, NAN, NAN, NAN, NAN]),
        ('clamp', [0.5, 0.5, 8.0, 8.0, NAN, 8.0, 0.5]),
    ],
)
def test_each_way_to_say_out_of_range(out_of_range: str, expected: list[float]) -> None:
    before = RANGES.copy()
    ranged = apply_range(RANGES, min_range=0.5, max_range=8.0, out_of_range=out_of_range)
    np.testing.assert_array_equal(ranged, np.array([expected], np.float32))
    assert ranged.dtype == np.float32
    np.testing.assert_array_equal(RANGES, before)


def test_rep_117_is_the_default() -> None:
    ranged = apply_range(RANGES, min_range=0.5, max_range=8.0)
    np.testing.assert_array_equal(
        ranged, apply_range(RANGES, min_range=0.5, max_range=8.0, out_of_range='inf')
    )
    assert OUT_OF_RANGE[0] == 'inf'


def test_depth_that_is_in_range_is_a_copy_too() -> None:
    depth = np.full((3, 5), 2.0, np.float32)
    for out_of_range in OUT_OF_RANGE:
        ranged = apply_range(depth, min_range=0.5, max_range=8.0, out_of_range=out_of_range)
        assert not np.shares_memory(ranged, depth)
        np.testing.assert_array_equal(ranged, depth)


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="got out_of_range 'zero', expected one of inf, nan, cla"):
        apply_range(RANGES, min_range=0.5, max_range=8.0, out_of_range='zero')


def test_depth_is_scaled_before_it_is_marked_and_marked_before_edges_are_looked_for() -> None:
    # Scaled, 2 m | 2.5 m | beyond 8 m in two depths: the pixel between hangs before one surface.
    estimated = np.tile(np.float32([1.0] * 14 + [1.25, 4.5] + [4.1] * 17), (H, 1))
    before = estimated.copy()
    limits = {'scale': 2.0, 'min_range': 0.5, 'max_range': 8.0}
    expected = np.tile(np.float32([2.0] * 14 + [NAN] + [INF] * 18), (H, 1))
    np.testing.assert_array_equal(filter_depth(estimated, **limits, edge_filter=0.05), expected)
    expected[:, 14] = 2.5
    np.testing.assert_array_equal(filter_depth(estimated, **limits, edge_filter=0.0), expected)
    np.testing.assert_array_equal(estimated, before)


def test_doubtful_depth_becomes_nan_after_edges_are_looked_for() -> None:
    # 2 m | 3 m, which flies | 6 m; the far side is doubtful, which is no reason to keep the edge.
    estimated = np.tile(np.float32([2.0] * 16 + [3.0] + [6.0] * 16), (H, 1))
    confidence = np.full_like(estimated, 0.6)
    confidence[:, 17:] = 0.4
    options = {'scale': 1.0, 'min_range': 0.5, 'max_range': 5.0, 'edge_filter': 0.05}
    expected = np.tile(np.float32([2.0] * 16 + [NAN] * 17), (H, 1))
    got = filter_depth(estimated, **options, confidence=confidence, min_confidence=0.5)
    np.testing.assert_array_equal(got, expected)
    expected[:, 17:] = INF  # sure enough
    got = filter_depth(estimated, **options, confidence=confidence, min_confidence=0.4)
    np.testing.assert_array_equal(got, expected)
    got = filter_depth(estimated, **options, confidence=confidence)
    np.testing.assert_array_equal(got, expected)
