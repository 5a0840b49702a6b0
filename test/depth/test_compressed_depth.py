"""Compressed depth, read by the rules of the plugin's decoder, which are written down here anew.

codec.cpp of compressed_depth_image_transport: the ConfigHeader is an enum (int32) and two floats,
A and B; the PNG after it has 16 bits; ``32FC1`` is A / (value - B) in float32, NaN for a value of
0; ``16UC1`` is the value.
"""

import cv2
import numpy as np
import pytest

from mirror_depth_ros.depth.compressed_depth import (
    compress_metres,
    compress_millimetres,
    steps_to_metres,
)

H, W = 5, 7
NAN, INF = np.nan, np.inf


def read_values(data):
    """Return A, B and what the PNG holds."""
    assert int.from_bytes(data[:4], 'little', signed=True) == 0  # INV_DEPTH
    a, b = np.frombuffer(data[4:12], '<f4')
    values = cv2.imdecode(np.frombuffer(data[12:], np.uint8), cv2.IMREAD_UNCHANGED)
    assert values.dtype == np.uint16
    return a, b, values


def read_metres(data):
    a, b, values = read_values(data)
    metres = np.empty(values.shape, np.float32)
    for i, value in enumerate(values.flat):
        metres.flat[i] = a / (np.float32(value) - b) if value else NAN
    return metres


def filled(*depths):
    """Return an image of 2 m that begins with the given depths [m]."""
    image = np.full((H, W), 2.0, np.float32)
    image.flat[: len(depths)] = depths
    return image


def test_quantisation_is_that_of_the_plugin_with_its_defaults():
    # depth_quantization 100 and depth_max 10: A = 100 * 101, B = 1 - 10100 / 10
    a, b, values = read_values(compress_metres(filled(1.0, 2.5), max_depth=10.0))
    assert (a, b) == (10100.0, -1009.0)
    assert values.shape == (H, W)
    # 10100 / 1 - 1009, 10100 / 2.5 - 1009, 10100 / 2 - 1009
    assert values.flat[:3].tolist() == [9091, 3031, 4041]


@pytest.mark.parametrize('max_depth', [10.0, 80.0, 1000.0])
def test_depth_comes_back_within_half_a_step(max_depth):
    depth = np.geomspace(0.16, max_depth, H * W, dtype=np.float32).reshape(H, W)
    got = read_metres(compress_metres(depth, max_depth=max_depth))
    # Steps of 1 / A in inverse depth are z^2 / A in depth; at the far end a little more.
    half_a_step = 0.5 * depth**2 / 10100 * (1 + depth / 10100)
    assert (np.abs(got - depth) <= half_a_step + 1e-5 * depth).all()


def test_what_is_no_depth_is_read_as_nan():
    depth = filled(NAN, INF, -INF, 0.0, -1.0, 80.1)
    got = read_metres(compress_metres(depth, max_depth=80.0))
    assert np.isnan(got.flat[:6]).all()
    assert np.isnan(got).sum() == 6


def test_both_ends_of_the_range_stay():
    nearest = 10100 / (65535 - (1 - 10100 / 80))  # 0.1538 m, the largest value
    got = read_metres(compress_metres(filled(80.0, 0.16, 0.1, 1e-30), max_depth=80.0))
    assert got[0, 0] == pytest.approx(80.0, rel=1e-5)  # step 1, not 0, as by out_of_range: clamp
    assert got[0, 1] == pytest.approx(0.16, abs=0.16**2 / 10100)
    assert got.flat[2:4] == pytest.approx(nearest, rel=1e-5)  # an obstacle still


def test_the_reader_of_recordings_reads_the_same():
    data = compress_metres(filled(NAN, 0.3, 5.0, 79.0), max_depth=80.0)
    values = read_values(data)[2]
    np.testing.assert_array_equal(steps_to_metres(values, data), read_metres(data))


def test_millimetres_are_stored_as_they_are():
    depth = filled(1.2344, 0.0, NAN, INF, -INF, 65.535, 65.536)
    _, _, values = read_values(compress_millimetres(depth))
    assert values.flat[:8].tolist() == [1234, 0, 0, 0, 0, 65535, 0, 2000]
