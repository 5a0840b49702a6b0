from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mirror_depth_ros.depth.picture_file import (
    FocalLength,
    PictureError,
    decode_pixels,
    read_focal_length,
    turn_upright,
)

H, W = 33, 47
SIZES = [(H, W), (32, 32)]  # a square one does not show by its size that it was turned


def marked(height, width):
    """Black, with a white top left corner and a grey top right one."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:8, :8], picture[:8, -8:] = 250, 120
    return picture


def stored_in(form, picture, **tags):
    """The bytes of a picture with EXIF tags by their numbers."""
    exif = Image.Exif()
    for tag, value in tags.items():
        if tag == 'orientation':
            exif[0x112] = value
        else:
            exif.get_ifd(0x8769)[0xA405] = value
    file = io.BytesIO()
    options = {'lossless': True} if form == 'WEBP' else {}
    Image.fromarray(picture).save(file, form, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
def test_a_picture_is_turned_upright_or_left_as_stored(
    form, orientation, size, exif_corners, marked_corners
):
    data = stored_in(form, marked(*size), orientation=orientation)
    upright = decode_pixels(data, cv2.IMREAD_COLOR, upright=True)
    assert marked_corners(upright) == exif_corners[orientation]
    assert upright.shape[:2] == (size if orientation <= 4 else size[::-1])
    stored = decode_pixels(data, cv2.IMREAD_COLOR)
    assert stored.shape[:2] == size
    assert marked_corners(stored) == exif_corners[1]


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_tiff_of_16_bits_is_read_as_stored(orientation):
    values = np.arange(H * W, dtype=np.uint16).reshape(H, W) * 40
    data = stored_in('TIFF', values, orientation=orientation)
    np.testing.assert_array_equal(decode_pixels(data, cv2.IMREAD_UNCHANGED), values)


def test_turning_keeps_every_pixel():
    picture = np.array([[1, 2, 3], [4, 5, 6]])
    assert turn_upright(picture, 6).tolist() == [[4, 1], [5, 2], [6, 3]]  # clockwise
    assert turn_upright(picture, 8).tolist() == [[3, 6], [2, 5], [1, 4]]  # anticlockwise
    assert turn_upright(picture, 3).tolist() == [[6, 5, 4], [3, 2, 1]]


@pytest.mark.parametrize('orientation', [1, 6])
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP'])
def test_a_focal_length_is_read_without_the_pixels(form, orientation):
    data = stored_in(form, marked(H, W), orientation=orientation, focal=26)
    # sqrt(47**2 + 33**2) = 57.4282
    assert read_focal_length(io.BytesIO(data)) == FocalLength(26.0, pytest.approx(57.4282))


@pytest.mark.parametrize('tags', [{}, {'focal': 0}])  # 0: unknown
def test_a_focal_length_that_is_not_known_is_none(tags):
    assert read_focal_length(io.BytesIO(stored_in('JPEG', marked(H, W), **tags))) is None


def test_an_orientation_that_does_not_exist_turns_nothing():
    data = stored_in('PNG', marked(H, W), orientation=9)
    np.testing.assert_array_equal(
        decode_pixels(data, cv2.IMREAD_COLOR, upright=True), marked(H, W)
    )


def test_a_focal_length_in_35_mm_film_belongs_to_the_diagonal():
    # sqrt(36**2 + 24**2) = 43.2666 mm; of 4000 x 3000 pixels the diagonal is 5000:
    # 26 / 43.2666 * 5000 = 3004.6, where by the width it would be 26 / 36 * 4000 = 2888.9
    assert FocalLength(26.0, 5000.0).pixels == pytest.approx(3004.6, abs=0.1)


def textured():
    noise = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 2)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tiff', '.webp', '.bmp'])
@pytest.mark.parametrize('part', [0.3, 0.6, 0.97])
def test_a_picture_that_is_cut_short_is_refused_whatever_opencv_makes_of_it(
    suffix, part, monkeypatch
):
    data = cv2.imencode(suffix, textured())[1].tobytes()
    assert decode_pixels(data, cv2.IMREAD_COLOR).shape == (H, W, 3)
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: np.zeros((H, W, 3), np.uint8))  # OpenCV 4
    with pytest.raises(PictureError, match='is cut short|is no BMP|is damaged'):
        decode_pixels(data[: int(part * len(data))], cv2.IMREAD_COLOR)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_the_last_byte_counts_and_what_follows_does_not(suffix):
    data = cv2.imencode(suffix, textured())[1].tobytes()
    with pytest.raises(PictureError, match='is cut short or damaged'):
        decode_pixels(data[:-1], cv2.IMREAD_COLOR)
    # A phone puts a video behind its photograph, in which any bytes may be: here a start of scan.
    assert decode_pixels(data + b'\xff\xda\0\x08video', cv2.IMREAD_COLOR).shape == (H, W, 3)


@pytest.mark.parametrize('options', [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_a_jpeg_is_whole_with_progressive_scans_and_restart_markers(options):
    options = [*options, cv2.IMWRITE_JPEG_RST_INTERVAL, 1]
    data = cv2.imencode('.jpg', textured(), options)[1].tobytes()
    assert decode_pixels(data, cv2.IMREAD_COLOR).shape == (H, W, 3)
    with pytest.raises(PictureError, match='is cut short'):
        decode_pixels(data[:-40], cv2.IMREAD_COLOR)


def test_a_thumbnail_does_not_pass_for_the_picture():
    data = cv2.imencode('.jpg', textured())[1].tobytes()
    thumbnail = b'\xff\xec' + struct.pack('>H', len(data) + 2) + data  # segment APP12
    whole = data[:2] + thumbnail + data[2:]
    assert decode_pixels(whole, cv2.IMREAD_COLOR).shape == (H, W, 3)
    with pytest.raises(PictureError, match='is cut short'):
        decode_pixels(whole[:-2], cv2.IMREAD_COLOR)


def huge_png(width, height):
    """A PNG whose rows are all zero: some kilobytes for gigabytes."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
    rows = chunk(b'IDAT', zlib.compress(bytes(100_000)))
    return b'\x89PNG\r\n\x1a\n' + header + rows + chunk(b'IEND', b'')


@pytest.mark.parametrize('size', [(20_000, 9000), (60_000, 60_000)])
def test_a_small_file_of_many_pixels_is_refused_before_they_are_unpacked(size, monkeypatch):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('pixels were unpacked'))
    with pytest.raises(PictureError, match='holds more than 178956970 pixels'):
        decode_pixels(huge_png(*size), cv2.IMREAD_COLOR)
    with pytest.raises(PictureError, match='holds more than 178956970 pixels'):
        read_focal_length(io.BytesIO(huge_png(*size)))


@pytest.mark.parametrize('data', [b'', b'no picture', b'GIF89a' + bytes(40)])
def test_what_is_no_picture_is_refused(data):
    with pytest.raises(PictureError, match='is no BMP, JPEG, PNG, TIFF or WEBP'):
        decode_pixels(data, cv2.IMREAD_COLOR)


def test_pixels_that_opencv_cannot_decode_are_refused(monkeypatch):
    data = cv2.imencode('.png', textured())[1].tobytes()
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: None)
    with pytest.raises(PictureError, match='cannot be decoded by OpenCV'):
        decode_pixels(data, cv2.IMREAD_COLOR)
