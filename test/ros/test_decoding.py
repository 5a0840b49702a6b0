import sys
import types

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.image_decoding import decode_compressed
from mirror_depth_ros.ros import decoding
from mirror_depth_ros.ros.decoding import decode_image

H, W = 5, 7  # odd and not square, so that a transposition shows


@pytest.fixture(autouse=True)
def without_cv_bridge(monkeypatch):
    """OpenCV decodes, whatever is installed here."""
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    decoding._load_cv_bridge.cache_clear()
    yield
    decoding._load_cv_bridge.cache_clear()


def message(pixels, encoding, *, padding=0, **fields):
    """An Image of ``[H, W]`` or ``[H, W, C]`` pixels with ``padding`` bytes after each row."""
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    size = {'height': pixels.shape[0], 'width': pixels.shape[1], **fields}
    return Image(encoding=encoding, step=rows.shape[1], data=rows.tobytes(), **size)


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'channels'),
    [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('rgba8', [0, 1, 2, 0]), ('bgra8', [2, 1, 0, 0])],
)
def test_colour_channels_are_put_in_order(rgb, encoding, channels, padding):
    image = message(rgb[..., channels], encoding, padding=padding)
    np.testing.assert_array_equal(decode_image(image), rgb)


def test_rgb8_is_a_view_of_the_message(rgb):
    image = message(rgb, 'rgb8', padding=3)
    image.data[0] = 200
    assert np.shares_memory(decode_image(image), np.frombuffer(image.data, np.uint8))
    assert decode_image(image)[0, 0, 0] == 200


@pytest.mark.parametrize('padding', [0, 3])
def test_mono8_becomes_grey(padding):
    grey = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    decoded = decode_image(message(grey, 'mono8', padding=padding))
    np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize('is_bigendian', [False, True])
def test_mono16_scales_its_whole_range_in_either_byte_order(is_bigendian):
    values = np.array([[0, 257, 32768, 65535, 385, 386, 128]], np.uint16)
    # 65535 / 255 = 257 a step: 32768 / 257 = 127.5 (up), 385 / 257 = 1.498, 386 / 257 = 1.502
    expected = [0, 1, 128, 255, 1, 2, 0]
    stored = values.astype('>u2' if is_bigendian else '<u2')
    image = message(stored, 'mono16', padding=1, is_bigendian=is_bigendian)
    assert decode_image(image)[0, :, 0].tolist() == expected


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns_name_the_first_two_rows(pattern):
    colour = {'r': 200, 'g': 120, 'b': 30}
    cell = np.array([colour[c] for c in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(cell, (4, 5))[:7, :9]
    decoded = decode_image(message(mosaic, f'bayer_{pattern}8', padding=2))
    assert decoded.shape == (7, 9, 3)
    # A uniform colour, so interpolation gives it back exactly away from the border.
    assert (decoded[2:-2, 2:-2] == (200, 120, 30)).all()


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('yuv422', 'uyvy'), ('uyvy', 'uyvy'), ('yuv422_yuy2', 'yuyv'), ('yuyv', 'yuyv')],
)
def test_packed_yuv(encoding, order):
    # BT.601 limited range: Y 81, U 90, V 240 is pure red; two columns share U and V.
    value = {'y': 81, 'u': 90, 'v': 240}
    pair = np.array([value[c] for c in order], np.uint8).reshape(1, 2, 2)
    decoded = decode_image(message(np.tile(pair, (3, 4, 1)), encoding, padding=4))
    assert decoded.shape == (3, 8, 3)
    np.testing.assert_allclose(decoded, np.broadcast_to((255, 0, 0), (3, 8, 3)), atol=2)


def test_nv12_has_a_half_height_plane_of_interleaved_colour():
    data = np.full((6, 6), 41, np.uint8)  # 4 rows of Y, 2 rows of U V: pure blue
    data[4:, 0::2], data[4:, 1::2] = 240, 110
    decoded = decode_image(message(data, 'nv12', padding=2, height=4))
    np.testing.assert_allclose(decoded, np.broadcast_to((0, 0, 255), (4, 6, 3)), atol=2)


def malformed(encoding='rgb8', width=W, height=H, step=3 * W, n_bytes=3 * W * H):
    return Image(encoding=encoding, width=width, height=height, step=step, data=bytes(n_bytes))


@pytest.mark.parametrize(
    ('image', 'error'),
    [
        (malformed(encoding='rgb9'), r"got encoding 'rgb9', expected one of rgb8, .*; set"),
        (malformed(encoding='32FC1'), "got encoding '32FC1'"),
        (malformed(n_bytes=104), r'got 104 bytes of data, expected 105 \(step 21 x 5 rows'),
        (malformed(width=0), 'got an image of 0 x 5 pixels, expected at least 1 x 1'),
        (malformed(height=0), 'got an image of 7 x 0 pixels'),
        (malformed(step=20), r'got a step of 20 bytes, expected at least 21 \(7 pixels of 3'),
        (malformed(step=0), 'got a step of 0 bytes'),
        (malformed(encoding='yuv422', step=14), 'got 7 x 5 pixels in yuv422, expected multiples'),
        (malformed(encoding='nv12', width=6, step=6), 'got 6 x 5 pixels in nv12'),
        (
            malformed(encoding='nv12', width=6, height=4, step=6, n_bytes=24),
            r'got 24 bytes of data, expected 36 \(step 6 x 6 rows in nv12\)',
        ),
        (
            malformed(encoding='bayer_rggb8', height=2),
            'got an image of 7 x 2 pixels, expected at least 3 x 3 in bayer_rggb8',
        ),
    ],
)
def test_malformed_images_are_refused(image, error):
    with pytest.raises(ValueError, match=error):
        decode_image(image)


def test_compressed_image_keeps_the_sensors_orientation(rgb):
    data = cv2.imencode('.png', rgb[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(CompressedImage(data=data)), rgb)


@pytest.mark.parametrize('data', [b'', b'no picture', b'\xff\xd8\xff\xe0 cut short'])
def test_corrupt_compressed_data_is_refused(data):
    with pytest.raises(ValueError, match=rf"got {len(data)} bytes of format 'jpeg' that are no p"):
        decode_compressed(CompressedImage(format='jpeg', data=data))


def fake_cv_bridge(convert):
    """A module ``cv_bridge`` whose conversion is ``convert(message)``."""

    class CvBridge:
        def imgmsg_to_cv2(self, message, desired_encoding):
            assert desired_encoding == 'rgb8'
            return convert(message)

    module = types.ModuleType('cv_bridge')
    module.CvBridge = CvBridge
    return module


def bgr_to_rgb(image):
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)[..., ::-1]


def test_cv_bridge_converts_where_it_works(monkeypatch, rgb):
    seen = []
    module = fake_cv_bridge(lambda image: seen.append(image) or bgr_to_rgb(image))
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    image = message(rgb[..., ::-1], 'bgr8')
    np.testing.assert_array_equal(decode_image(image), rgb)
    assert seen[-1] is image
    assert decoding.decoder_name() == 'cv_bridge'


def numpy_2_breaks_it(image):
    raise AttributeError('_ARRAY_API not found')


def test_opencv_converts_where_cv_bridge_fails(monkeypatch, rgb):
    monkeypatch.setitem(sys.modules, 'cv_bridge', fake_cv_bridge(numpy_2_breaks_it))
    np.testing.assert_array_equal(decode_image(message(rgb[..., ::-1], 'bgr8')), rgb)
    assert decoding.decoder_name() == 'OpenCV'


def test_a_frame_that_cv_bridge_cannot_convert_is_a_value_error(monkeypatch):
    def only_the_probe(image):
        if image.width == 1:
            return bgr_to_rgb(image)
        raise RuntimeError('CvBridgeError')

    monkeypatch.setitem(sys.modules, 'cv_bridge', fake_cv_bridge(only_the_probe))
    with pytest.raises(ValueError, match=r'cannot be converted to RGB .CvBridgeError.'):
        decode_image(malformed(encoding='bgr8'))
