from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.image_decoding import decode_compressed, decode_image

H, W = 5, 7  # odd and not square, so that a transposition shows


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('encoding', 'channels'),
    [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('rgba8', [0, 1, 2, 0]), ('bgra8', [2, 1, 0, 0])],
)
def test_colour_channels_are_put_in_order(make_image, rgb, encoding, channels, padding):
    image = make_image(rgb[..., channels], encoding, padding=padding)
    np.testing.assert_array_equal(decode_image(image), rgb)


def test_rgb8_is_a_view_of_the_message(make_image, rgb):
    image = make_image(rgb, 'rgb8', padding=3)
    assert np.shares_memory(decode_image(image), image.data)


@pytest.mark.parametrize('padding', [0, 3])
def test_mono8_becomes_grey(make_image, padding):
    grey = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    decoded = decode_image(make_image(grey, 'mono8', padding=padding))
    np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize('is_bigendian', [False, True])
def test_mono16_scales_its_whole_range_in_either_byte_order(make_image, is_bigendian):
    values = np.array([[0, 257, 32768, 65535, 385, 386, 128]], np.uint16)
    # 65535 / 255 = 257 a step: 32768 / 257 = 127.5 (up), 385 / 257 = 1.498, 386 / 257 = 1.502
    expected = [0, 1, 128, 255, 1, 2, 0]
    stored = values.astype('>u2' if is_bigendian else '<u2')
    image = make_image(stored, 'mono16', padding=1, is_bigendian=is_bigendian)
    assert decode_image(image)[0, :, 0].tolist() == expected


def test_mono16_of_a_12_bit_camera_is_not_black_and_does_not_jump(make_image):
    levels = GreyLevels()
    bright = np.linspace(0, 4095, H * W).astype(np.uint16).reshape(H, W)
    first = decode_image(make_image(bright, 'mono16'), levels=levels)
    assert (first.min(), first.max()) == (0, 255)
    second = decode_image(make_image(bright // 8, 'mono16'), levels=levels)
    assert second.max() == 32  # 511 * 255 / 4095 = 31.8
    assert levels.description == '12 of 16 bits'


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns_name_the_first_two_rows(make_image, pattern):
    colour = {'r': 200, 'g': 120, 'b': 30}
    cell = np.array([colour[c] for c in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(cell, (4, 5))[:7, :9]
    decoded = decode_image(make_image(mosaic, f'bayer_{pattern}8', padding=2))
    assert decoded.shape == (7, 9, 3)
    # A uniform colour, so interpolation gives it back exactly away from the border.
    assert (decoded[2:-2, 2:-2] == (200, 120, 30)).all()


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('yuv422', 'uyvy'), ('uyvy', 'uyvy'), ('yuv422_yuy2', 'yuyv'), ('yuyv', 'yuyv')],
)
def test_packed_yuv(make_image, encoding, order):
    # BT.601 limited range: Y 81, U 90, V 240 is pure red; two columns share U and V.
    value = {'y': 81, 'u': 90, 'v': 240}
    pair = np.array([value[c] for c in order], np.uint8).reshape(1, 2, 2)
    decoded = decode_image(make_image(np.tile(pair, (3, 4, 1)), encoding, padding=4))
    assert decoded.shape == (3, 8, 3)
    np.testing.assert_allclose(decoded, np.broadcast_to((255, 0, 0), (3, 8, 3)), atol=2)


def test_nv12_has_a_half_height_plane_of_interleaved_colour(make_image):
    data = np.full((6, 6), 41, np.uint8)  # 4 rows of Y, 2 rows of U V: pure blue
    data[4:, 0::2], data[4:, 1::2] = 240, 110
    decoded = decode_image(make_image(data, 'nv12', padding=2, height=4))
    np.testing.assert_allclose(decoded, np.broadcast_to((0, 0, 255), (4, 6, 3)), atol=2)


def malformed(encoding='rgb8', width=W, height=H, step=3 * W, n_bytes=3 * W * H):
    return SimpleNamespace(
        encoding=encoding,
        width=width,
        height=height,
        step=step,
        is_bigendian=False,
        data=bytes(n_bytes),
    )


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


def compressed(picture, suffix, form):
    """A CompressedImage of an RGB picture."""
    data = cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()
    return SimpleNamespace(format=form, data=np.frombuffer(data, np.uint8))


@pytest.mark.parametrize('form', ['', 'png', 'rgb8; png compressed ', 'bgr8; png compressed bgr8'])
def test_png_pictures_are_exact(rgb, form):
    image = compressed(rgb, '.png', form)
    for decode in (decode_compressed, decode_image):
        np.testing.assert_array_equal(decode(image), rgb)


def test_jpeg_pictures_are_near():
    plain = np.full((H, W, 3), (200, 120, 30), np.uint8)
    decoded = decode_compressed(compressed(plain, '.jpg', 'rgb8; jpeg compressed bgr8'))
    assert decoded.shape == (H, W, 3)
    np.testing.assert_allclose(decoded, plain, atol=3)


def test_a_compressed_picture_keeps_the_sensors_orientation():
    upper_half = np.zeros((17, 33, 3), np.uint8)
    upper_half[:8] = 255
    image = compressed(upper_half, '.jpg', 'jpeg')
    # EXIF: a big-endian TIFF whose one entry is Orientation (0x112), a SHORT: 6, a quarter turn.
    entry = struct.pack('>HHIHH', 0x112, 3, 1, 6, 0)
    exif = b'Exif\0\0MM\0*' + struct.pack('>IH', 8, 1) + entry + bytes(4)
    segment = b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif
    data = image.data.tobytes()
    data = data[:2] + segment + data[2:]  # after the marker that a JPEG begins with
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (33, 17, 3)
    image.data = np.frombuffer(data, np.uint8)
    assert decode_compressed(image).shape == (17, 33, 3)


@pytest.mark.parametrize('data', [b'', b'no picture', b'\xff\xd8\xff\xe0 cut short'])
def test_corrupt_compressed_data_is_refused(data):
    with pytest.raises(ValueError, match=rf"got {len(data)} bytes of format 'jpeg' that are no p"):
        decode_compressed(SimpleNamespace(format='jpeg', data=data))


def test_a_jpeg_that_is_cut_short_is_refused_whatever_opencv_makes_of_it(rgb, monkeypatch):
    whole = compressed(rgb, '.jpg', 'jpeg')
    followed = np.concatenate([whole.data, np.zeros(9, np.uint8)])  # as some cameras pad theirs
    assert decode_compressed(SimpleNamespace(format='jpeg', data=followed)).shape == (H, W, 3)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: np.zeros((H, W, 3), np.uint8))  # OpenCV 4
    assert decode_compressed(whole).shape == (H, W, 3)
    with pytest.raises(ValueError, match='that are no picture, expected a whole JPEG or PNG'):
        decode_compressed(SimpleNamespace(format='jpeg', data=whole.data[:-1]))


def test_a_png_that_claims_more_pixels_than_opencv_takes_is_refused(rgb):
    data = compressed(rgb, '.png', 'png').data.tobytes()
    size = struct.pack('>II', 10**5, 10**5)
    header = b'IHDR' + size + data[24:29]
    data = data[:12] + header + struct.pack('>I', zlib.crc32(header)) + data[33:]
    with pytest.raises(ValueError, match='that are no picture'):
        decode_compressed(SimpleNamespace(format='png', data=data))


def test_a_small_png_of_many_pixels_is_refused_before_they_are_unpacked(rgb, monkeypatch):
    data = compressed(rgb, '.png', 'png').data.tobytes()
    header = b'IHDR' + struct.pack('>II', 20_000, 9000) + data[24:29]
    data = data[:12] + header + struct.pack('>I', zlib.crc32(header)) + data[33:]
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('pixels were unpacked'))
    with pytest.raises(ValueError, match='no picture, .*: it holds more than 178956970 pixels'):
        decode_compressed(SimpleNamespace(format='png', data=data))


@pytest.mark.parametrize('form', ['mono16; png compressed ', 'png'])
def test_a_png_of_12_bits_is_not_black(form):
    values = np.linspace(0, 4095, H * W).astype(np.uint16).reshape(H, W)
    data = cv2.imencode('.png', values)[1].ravel()
    levels = GreyLevels()
    decoded = decode_compressed(SimpleNamespace(format=form, data=data), levels=levels)
    assert decoded.shape == (H, W, 3)
    assert (decoded.min(), decoded.max()) == (0, 255)
    assert levels.description == '12 of 16 bits'


@pytest.mark.parametrize(('suffix', 'off_by'), [('.png', 0), ('.jpg', 4)])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_a_compressed_mosaic_is_one(make_image, pattern, suffix, off_by):
    """Whatever a raw mosaic becomes; as a grey picture it would hide its colours."""
    smooth = np.full((33, 47), 100, np.uint8)
    smooth[pattern.index('r') // 2 :: 2, pattern.index('r') % 2 :: 2] = 180  # reddish
    form = f'bayer_{pattern}8; {suffix[1:]} compressed '.replace('jpg', 'jpeg')
    data = cv2.imencode(suffix, smooth, [cv2.IMWRITE_JPEG_QUALITY, 100])[1]
    decoded = decode_compressed(SimpleNamespace(format=form, data=data.ravel()))
    raw = decode_image(make_image(smooth, f'bayer_{pattern}8'))
    assert np.abs(decoded.astype(int) - raw).max() <= off_by
    assert decoded[..., 0].mean() > 170
    assert decoded[..., 2].mean() < 110


def test_what_a_driver_has_demosaiced_is_a_picture(rgb):
    form = 'bayer_rggb8; png compressed bgr8'
    np.testing.assert_array_equal(decode_compressed(compressed(rgb, '.png', form)), rgb)


def test_a_picture_compressed_as_rgb8_keeps_its_red(rgb):
    swapped = compressed(rgb[..., ::-1], '.png', 'rgb8; png compressed rgb8')
    np.testing.assert_array_equal(decode_compressed(swapped), rgb)


@pytest.mark.parametrize(
    'form', ['16UC1; png compressed ', '16UC1; compressedDepth png', '32FC1;']
)
def test_depth_is_no_picture(form):
    data = cv2.imencode('.png', np.full((H, W), 1500, np.uint16))[1].ravel()
    with pytest.raises(ValueError, match=f"format '{form}', which is depth, expected a picture"):
        decode_compressed(SimpleNamespace(format=form, data=data))


@pytest.mark.parametrize(
    ('mosaic', 'encoding', 'message'),
    [
        (np.ones((H, W), np.uint16), 'bayer_rggb16', 'in bayer_rggb16 of uint16, expected 8 bits'),
        (np.ones((H, W), np.uint8), 'bayer_xyzw8', 'in bayer_xyzw8 of uint8, expected 8 bits'),
        (np.ones((2, 7), np.uint8), 'bayer_rggb8', 'got a mosaic of 7 x 2 pixels, expected at le'),
    ],
)
def test_mosaics_that_cannot_be_read_are_refused(mosaic, encoding, message):
    data = cv2.imencode('.png', mosaic)[1].ravel()
    with pytest.raises(ValueError, match=message):
        decode_compressed(SimpleNamespace(format=f'{encoding}; png compressed ', data=data))
