from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from mirror_depth_ros.depth.preview import (
    colorize_depth,
    colorize_error,
    colorize_relative_error,
    comparison,
    compress_picture,
    side_by_side,
    titled_rows,
)


def test_near_is_red_and_far_is_blue():
    near, middle, far = colorize_depth(np.array([[0.35, 1.73, 9.5]]))[0].astype(int)
    assert near[0] > 150 > near[2]
    assert middle[1] > max(middle[0], middle[2])  # sqrt(0.3 * 10) = 1.73 is the map's green centre
    assert far[2] > far[0] + 30


def test_the_scale_is_the_same_for_every_image():
    lone = colorize_depth(np.full((3, 5), 2.0, np.float32))
    among = colorize_depth(np.array([[0.5, 2.0, 50.0]], np.float32))
    np.testing.assert_array_equal(lone[0, 0], among[0, 1])


def test_what_is_no_measurement_is_black_and_beyond_range_is_dark_blue():
    depth = np.array([[np.nan, -np.inf, 10.0, 12.0, np.inf, 0.0]], np.float32)
    nan, too_close, far, beyond, infinite, zero = colorize_depth(depth)[0].astype(int)
    assert nan.sum() == too_close.sum() == 0
    np.testing.assert_array_equal(beyond, infinite)
    assert 0 < beyond.sum() < far.sum()
    np.testing.assert_array_equal(zero, colorize_depth(np.array([[0.3]]))[0, 0])


def test_an_empty_range_is_refused():
    with pytest.raises(ValueError, match='expected 0 < min_depth < max_depth'):
        colorize_depth(np.ones((3, 5)), min_depth=2.0, max_depth=2.0)


def test_a_compressed_picture_has_its_colours():
    ramp = np.geomspace(0.3, 10.0, 23 * 31).reshape(23, 31)
    picture = colorize_depth(ramp)
    data = compress_picture(picture)
    assert data[:2] == b'\xff\xd8'  # JPEG
    got = np.asarray(Image.open(io.BytesIO(data)), int)  # RGB
    assert np.abs(got - picture).mean() < 8
    assert np.abs(got - picture[..., ::-1]).mean() > 50


def test_errors_are_relative_to_the_truth():
    prediction = np.array([[2.0, 3.0, 15.0, np.nan, 1.0, 1.0]])
    truth = np.array([[2.0, 2.0, 10.0, 2.0, np.nan, 0.0]])
    right, half, also_half, missing, *unknown = colorize_error(prediction, truth)[0]
    assert int(right[2]) > int(right[0])
    np.testing.assert_array_equal(half, also_half)
    np.testing.assert_array_equal(half, missing)
    assert int(half[0]) > int(half[2])
    assert not np.any(unknown)
    with pytest.raises(ValueError, match=re.escape('shape (3, 5), expected (5, 3)')):
        colorize_error(np.ones((3, 5)), np.ones((5, 3)))


def test_relative_errors_have_their_own_largest():
    row = colorize_relative_error(np.array([[0.0, 0.1, 7.0, np.nan]]), largest=0.1)[0]
    none, largest, more, unknown = row
    assert int(none[2]) > int(none[0])
    assert int(largest[0]) > int(largest[2])
    np.testing.assert_array_equal(largest, more)
    assert not np.any(unknown)


def test_panels_stand_in_one_row_under_their_labels():
    red = np.zeros((21, 35, 3), np.uint8)
    red[..., 0] = 200
    blue = np.zeros((63, 33, 3), np.uint8)
    blue[..., 2] = 200
    row = side_by_side([('image', red), ('depth', blue)], gap=4)
    # The second panel shrinks to 33 * 21 / 63 = 11 columns; 26 rows of label above.
    assert row.shape == (21 + 26, 35 + 4 + 11, 3)
    assert (row[26:, :35] == (200, 0, 0)).all()
    assert (row[26:, 35:39] == 255).all()
    assert (row[26:, 39:] == (0, 0, 200)).all()
    assert (row[:26, :35] < 128).any()  # letters


def test_panels_that_are_no_pictures_are_refused():
    with pytest.raises(ValueError, match='got no panels'):
        side_by_side([])
    with pytest.raises(ValueError, match=r"got float64 \(3, 5\) for panel 'depth'"):
        side_by_side([('depth', np.ones((3, 5)))])


def test_a_sparse_truth_lies_over_the_image():
    rgb = np.full((40, 64, 3), (90, 60, 30), np.uint8)
    rgb[:, :32] = 0
    depth = np.full((40, 64), 2.0, np.float32)
    sparse = np.full((40, 64), np.nan, np.float32)
    sparse[20, 50] = 2.0
    drawn = comparison(rgb, depth, sparse, max_depth=10.0, height=40)
    truth = drawn[-40:, 68:132]  # behind the image and a gap of 4
    point = colorize_depth(np.array([[2.0]]), max_depth=10.0)[0, 0]
    ys, xs = np.nonzero((truth == point).all(axis=-1))
    assert len(ys) == 1
    # A third of the image's light around it, and what is dark stays so.
    assert truth[ys[0], xs[0] + 2].tolist() == [30, 20, 10]
    assert truth[ys[0], xs[0] - 30].tolist() == [0, 0, 0]
    dense = comparison(rgb, depth, depth, max_depth=10.0, height=40)
    assert not (dense == (30, 20, 10)).all(axis=-1).any()


def test_points_of_a_large_picture_are_thicker_and_its_edge_is_none():
    rgb, depth = np.full((48, 640, 3), 90, np.uint8), np.full((48, 640), 2.0, np.float32)
    sparse = np.full((48, 640), np.nan, np.float32)
    sparse[20, 300] = 2.0
    drawn = comparison(rgb, depth, sparse, max_depth=10.0, height=48)
    truth = drawn[-48:, 644:1284]
    is_image = (truth == 30).all(axis=-1)
    ys, xs = np.nonzero(~is_image)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (18, 22, 298, 302)  # 5 x 5 pixels


def test_sections_stand_below_their_titles():
    red, blue = np.zeros((5, 21, 3), np.uint8), np.zeros((3, 9, 3), np.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    page = titled_rows([('first', [red, red]), ('second', [blue])], gap=2)
    # Titles of 36 rows; 5 + 2 rows twice, then 3 + 2.
    assert page.shape == (36 + 14 + 36 + 5, 21, 3)
    assert (page[36:41] == red).all()
    assert (page[43:48] == red).all()
    assert (page[86:89, :9] == blue).all()
    assert (page[86:89, 9:] == 0).all()
    assert len(np.unique(page[:36].reshape(-1, 3), axis=0)) > 1  # something is written there


def test_a_page_needs_a_picture():
    with pytest.raises(ValueError, match='got no pictures, expected at least one'):
        titled_rows([('empty', [])])
