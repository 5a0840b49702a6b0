from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mirror_depth_ros.data.bag_messages import Content, content_of, decode_colour, decode_depth
from mirror_depth_ros.depth.grey_levels import GreyLevels

H, W = 37, 53


def compressed(data, form):
    return SimpleNamespace(format=form, data=np.frombuffer(bytes(data), np.uint8))


def png(pixels):
    return cv2.imencode('.png', pixels)[1].tobytes()


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)


@pytest.mark.parametrize(('encoding', 'order'), [('rgb8', 1), ('bgr8', -1)])
def test_raw_colour_is_an_array_of_its_own(make_image, rgb, encoding, order):
    message = make_image(rgb[..., ::order], encoding, padding=5)
    assert not message.data.flags.writeable  # as rosbags reads it
    decoded = decode_colour(message)
    np.testing.assert_array_equal(decoded, rgb)
    assert decoded.flags.writeable
    assert decoded.flags.c_contiguous


def test_compressed_colour(rgb):
    message = compressed(png(rgb[..., ::-1]), 'rgb8; png compressed bgr8')
    np.testing.assert_array_equal(decode_colour(message), rgb)


def test_colour_of_16_bits_keeps_the_levels_of_its_camera():
    levels = GreyLevels()
    bright = np.linspace(0, 4095, H * W).astype(np.uint16).reshape(H, W)
    first = decode_colour(compressed(png(bright), 'mono16; png compressed '), levels=levels)
    second = decode_colour(compressed(png(bright // 8), 'mono16; png compressed '), levels=levels)
    assert (first.max(), second.max()) == (255, 32)  # 511 * 255 / 4095 = 31.8


@pytest.mark.parametrize('is_bigendian', [0, 1])
@pytest.mark.parametrize('encoding', ['16UC1', 'mono16'])
def test_16_bits_are_millimetres(make_image, encoding, is_bigendian):
    values = np.full((H, W), 1234, '>u2' if is_bigendian else '<u2')
    values[3, 4], values[5, 6] = 0, 65535
    depth = decode_depth(make_image(values, encoding, padding=3, is_bigendian=is_bigendian))
    assert depth.dtype == np.float32
    assert depth[0, 0] == np.float32(1.234)
    assert depth[5, 6] == np.float32(65.535)
    assert np.isnan(depth[3, 4])
    assert np.isnan(depth).sum() == 1


@pytest.mark.parametrize('is_bigendian', [0, 1])
def test_32_bits_are_metres_and_what_is_no_depth_is_no_truth(make_image, is_bigendian):
    values = np.full((H, W), 2.5, '>f4' if is_bigendian else '<f4')
    values[0, :5] = 0, -1, np.nan, np.inf, -np.inf
    depth = decode_depth(make_image(values, '32FC1', padding=3, is_bigendian=is_bigendian))
    assert depth.dtype == np.dtype(np.float32)  # this machine's byte order
    assert np.isnan(depth[0, :5]).all()
    assert (depth[1:] == np.float32(2.5)).all()
    assert (depth[0, 5:] == np.float32(2.5)).all()


@pytest.mark.parametrize(
    'form', ['16UC1; compressedDepth', '16UC1; compressedDepth png', 'mono16; compressedDepth png']
)
def test_compressed_depth_in_millimetres(form):
    values = np.full((H, W), 1234, np.uint16)
    values[3, 4] = 0
    header = struct.pack('<iff', 1, 0.0, 0.0)
    depth = decode_depth(compressed(header + png(values), form))
    assert depth.shape == (H, W)
    assert depth[0, 0] == np.float32(1.234)
    assert np.isnan(depth[3, 4])


@pytest.mark.parametrize('form', ['32FC1; compressedDepth', '32FC1; compressedDepth png'])
def test_compressed_depth_in_steps_of_inverse_depth(form):
    # The transport's defaults, depth_quantization 100 and depth_max 10:
    # A = 100 * 101 = 10100 and B = 1 - 10100 / 10 = -1009.
    a, b = 10100.0, -1009.0
    metres = np.full((H, W), 2.5)
    metres[1], metres[2] = 3.0, 9.7
    # As the encoder does: rounded down, 0 for what has no depth.
    values = (a / metres + b).astype(np.uint16)
    values[3, 4] = 0
    depth = decode_depth(compressed(struct.pack('<iff', 1, a, b) + png(values), form))
    # 10100 / 2.5 - 1009 = 3031 is whole: exact
    assert depth[0, 0] == np.float32(2.5)
    # 10100 / 3 - 1009 = 2357.67, rounded down to 2357: 10100 / (2357 + 1009) = 3.000594
    assert depth[1, 0] == pytest.approx(10100 / 3366, rel=1e-6)
    # One step is dz = z^2 / A: 9.7^2 / 10100 = 0.0093 m
    assert depth[2, 0] == pytest.approx(9.7, abs=9.7**2 / a)
    assert np.isnan(depth[3, 4])
    assert np.isnan(depth).sum() == 1


def test_a_step_without_a_depth_is_no_truth():
    values = np.array([[1, 2, 3]], np.uint16)
    header = struct.pack('<iff', 1, 10.0, 2.0)
    depth = decode_depth(compressed(header + png(values), '32FC1; compressedDepth'))
    # 10 / (1 - 2) = -10, 10 / (2 - 2) infinite, 10 / (3 - 2) = 10
    assert np.isnan(depth[0, :2]).all()
    assert depth[0, 2] == 10.0


def test_depth_as_a_plain_png_is_millimetres():
    values = np.full((H, W), 1234, np.uint16)
    depth = decode_depth(compressed(png(values), '16UC1; png compressed '))
    assert (depth == np.float32(1.234)).all()


@pytest.mark.parametrize(
    ('message', 'content'),
    [
        (SimpleNamespace(encoding='bgr8'), Content.COLOUR),
        (SimpleNamespace(encoding='bayer_rggb8'), Content.COLOUR),
        (SimpleNamespace(encoding='mono8'), Content.GREY),
        (SimpleNamespace(encoding='mono16'), Content.GREY_OR_DEPTH),
        (SimpleNamespace(encoding='16UC1'), Content.DEPTH),
        (SimpleNamespace(encoding='32FC1'), Content.DEPTH),
        (SimpleNamespace(encoding='32FC2'), None),
        (SimpleNamespace(format='jpeg'), Content.COLOUR),
        (SimpleNamespace(format='rgb8; jpeg compressed bgr8'), Content.COLOUR),
        (SimpleNamespace(format='mono8; jpeg compressed '), Content.GREY),
        (SimpleNamespace(format='16UC1; png compressed '), Content.DEPTH),
        (SimpleNamespace(format='16UC1; compressedDepth'), Content.DEPTH),
        (SimpleNamespace(format='mono16; png compressed '), Content.GREY_OR_DEPTH),
        (SimpleNamespace(format='mono16; compressedDepth png'), Content.DEPTH),
        (SimpleNamespace(format='h264'), None),
    ],
)
def test_what_messages_show(message, content):
    assert content_of(message) is content


HEADER = bytes(12)


@pytest.mark.parametrize(
    ('message', 'error'),
    [
        (SimpleNamespace(encoding='mono8'), "depth in encoding 'mono8', expected one of"),
        (compressed(b'', 'jpeg'), "depth in format 'jpeg', expected one that begins with 16UC1"),
        (
            compressed(HEADER, '16UC1; compressedDepth rvl'),
            'expected compressedDepth with PNG: RVL is not supported; record with .* png',
        ),
        (compressed(b'', '16UC1; compressedDepth'), 'got 0 bytes as depth in format'),
        (compressed(HEADER, '32FC1; compressedDepth'), 'got 0 bytes as depth in format'),
        (compressed(HEADER + b'no', '16UC1; compressedDepth'), 'got 2 bytes as depth in format'),
        (
            compressed(HEADER + png(np.ones((H, W), np.uint16))[:-4], '16UC1; compressedDepth'),
            'as depth in format .*, which is cut short or damaged, expected a 16-bit PNG',
        ),
        (
            compressed(HEADER + png(np.zeros((H, W), np.uint8)), '16UC1; compressedDepth'),
            r'got an image uint8 \(37, 53\) as depth .*, expected a 16-bit PNG of one channel',
        ),
    ],
)
def test_what_is_no_depth(message, error):
    with pytest.raises(ValueError, match=error):
        decode_depth(message)


def test_depth_that_was_cut_short(make_image):
    message = make_image(np.zeros((H, W), np.uint16), '16UC1')
    message.data = message.data[:-1]
    # 37 rows of 2 * 53 = 106 bytes: 3922
    with pytest.raises(ValueError, match='got 3921 bytes of data, expected 3922'):
        decode_depth(message)
