"""Pictures as files and messages hold them: what the header says, and the pixels.

Pillow reads headers, as OpenCV tells neither size nor EXIF data; OpenCV decodes pixels, as Pillow
makes 8 bits of 16-bit colours. Nothing is decoded before the header has passed.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

#: A picture of more pixels is not decoded: a PNG of a megabyte may hold many gigabytes. It is the
#: number from which Pillow takes a picture for an attack: half a gigabyte of RGB.
MAX_PIXELS = 178_956_970

# Diagonal of a frame of 35-mm film, 36 mm x 24 mm [mm].
_FILM_DIAGONAL_MM = 43.2666

# Tags of EXIF 2.32; Pillow has names for them only since 9.3.
_ORIENTATION, _EXIF_IFD, _FOCAL_LENGTH_IN_35MM_FILM = 0x0112, 0x8769, 0xA405

# What OpenCV decodes, too.
_FORMATS = ('BMP', 'JPEG', 'PNG', 'TIFF', 'WEBP')

# A JPEG's marker (ITU T.81, B.1.1.2). Within a scan, 255 is followed by 0 or is a restart marker.
_MARKER = re.compile(rb'\xff([^\x00\xd0-\xd7\xff])', re.DOTALL)
_END_OF_IMAGE = b'\xd9'
_WITHOUT_LENGTH = (b'\x01', b'\xd8')  # TEM and SOI

# The orientation that undoes each of EXIF's: two are quarter turns, the others their own inverse.
_UNDOING = {6: 8, 8: 6}


class PictureError(ValueError):
    """Why data hold no picture: the text goes on after ``which`` or ``it``."""


@dataclass(frozen=True)
class FocalLength:
    """A focal length as EXIF's FocalLengthIn35mmFilm has it."""

    #: That with which a frame of 36 mm x 24 mm has the same angle of view along its diagonal,
    #: 43.27 mm, as the picture along its own, whatever its aspect (CIPA DCG-001) [mm].
    film_mm: float
    #: The picture's diagonal [pixels].
    diagonal_px: float

    @property
    def pixels(self) -> float:
        """The picture's own focal length [pixels]."""
        return self.film_mm / _FILM_DIAGONAL_MM * self.diagonal_px


def read_focal_length(file: BinaryIO) -> FocalLength | None:
    """Return the focal length in a picture's EXIF data, without decoding it; None without one.

    :raises PictureError: if it is no picture, or too large.
    """
    with _open(file) as picture:
        film_mm: Any = _read_exif(picture).get_ifd(_EXIF_IFD).get(_FOCAL_LENGTH_IN_35MM_FILM)
        if not isinstance(film_mm, (int, float)) or film_mm <= 0:  # 0: unknown (EXIF 2.32, 4.6.5)
            return None
        return FocalLength(float(film_mm), math.hypot(picture.width, picture.height))


def decode_pixels(data: bytes, flags: int, *, upright: bool = False) -> NDArray[Any]:
    """Return the pixels of a picture.

    :param flags: OpenCV's ``IMREAD_*``.
    :param upright: turn it as its EXIF data say; otherwise it is as stored, which is what
        intrinsics and depth images belong to.
    :returns: ``[H, W]`` or ``[H, W, C]``, in OpenCV's order of colours.
    :raises PictureError: if it is no picture, too large, or cut short.
    """
    with _open(io.BytesIO(data)) as picture:
        is_tiff = picture.format == 'TIFF'
        orientation = _orientation(_read_exif(picture)) if upright or is_tiff else 1
        _check_whole(picture, data)
    try:
        values = np.frombuffer(data, np.uint8)
        pixels = cv2.imdecode(values, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise PictureError('cannot be decoded by OpenCV')
    if is_tiff == upright:  # OpenCV turns TIFF, whatever the flags
        return pixels
    return turn_upright(pixels, orientation if upright else _UNDOING.get(orientation, orientation))


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a picture ``[H, W, ...]`` as EXIF's Orientation, 1 to 8, says that it is to be seen.

    The number says where the first row and the first column of what is stored belong (EXIF 2.32,
    4.6.4): 1 top and left, 2 top and right, 3 bottom and right, 4 bottom and left, 5 left and top,
    6 right and top, 7 right and bottom, 8 left and bottom.
    """
    if orientation >= 5:  # the first row is at a side
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _open(file: BinaryIO) -> Image.Image:
    """Read a picture's header.

    :raises PictureError: if it is no picture, or too large.
    """
    too_large = f'holds more than {MAX_PIXELS} pixels'
    try:
        picture = Image.open(file, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise PictureError(too_large) from error
    except UnidentifiedImageError as error:
        names = f'{", ".join(_FORMATS[:-1])} or {_FORMATS[-1]}'
        raise PictureError(f'is no {names} that Pillow knows') from error
    except Exception as error:  # whatever a parser does with damaged data
        raise PictureError(f'is damaged ({error})') from error
    if picture.width * picture.height > MAX_PIXELS:
        raise PictureError(too_large)
    return picture


def _read_exif(picture: Image.Image) -> Image.Exif:
    """Return the EXIF data; none where they are damaged."""
    try:
        return picture.getexif()
    except Exception:  # whatever a parser does with damaged data: the pixels may be whole
        return Image.Exif()


def _orientation(exif: Image.Exif) -> int:
    value = exif.get(_ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _check_whole(picture: Image.Image, data: bytes) -> None:
    """Raise if a picture is cut short: OpenCV 4 makes the rest of a JPEG grey."""
    if picture.format in ('JPEG', 'MPO'):  # MPO: several, of which OpenCV takes the first
        is_whole = _is_whole_jpeg(data)
    elif picture.format == 'PNG':
        is_whole = _is_whole_png(data)
    else:  # seldom, so that decoding it twice costs little
        try:
            picture.load()
            is_whole = True
        except Exception:  # whatever a decoder does with damaged data
            is_whole = False
    if not is_whole:
        raise PictureError('is cut short or damaged')


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether a JPEG's segments lead to its end; cameras may add to that what they like."""
    position = 0
    while (match := _MARKER.search(data, position)) and match[1] != _END_OF_IMAGE:
        position = match.end()
        if match[1] not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], 'big')
    return match is not None


def _is_whole_png(data: bytes) -> bool:
    """Whether a PNG's chunks (PNG, 5.3: length, type, data, CRC) lead to the one that ends it."""
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], 'big')
        kind = data[position + 4 : position + 8]
        position += 12 + length
        if kind == b'IEND':
            return position <= len(data)
    return False
