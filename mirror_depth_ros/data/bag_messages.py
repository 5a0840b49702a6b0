"""The images of a recording as arrays: colour as RGB, depth in metres.

A message is anything with the fields of ``sensor_msgs/Image`` or ``CompressedImage``.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.compressed_depth import CONFIG_HEADER, steps_to_metres
from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.image_decoding import (
    ENCODINGS,
    Layout,
    decode_image,
    view_pixels,
)
from mirror_depth_ros.depth.picture_file import PictureError, decode_pixels


class Content(Enum):
    """What an image shows."""

    COLOUR = 'colour'
    GREY = 'grey'
    DEPTH = 'depth'
    #: ``mono16``: 16 bits of grey, or the millimetres of older drivers.
    GREY_OR_DEPTH = 'grey or depth'


# REP-118, and mono16 as OpenNI's drivers name millimetres.
_DEPTH_LAYOUTS = {
    '16UC1': Layout(2, None, 'u2'),
    'mono16': Layout(2, None, 'u2'),
    '32FC1': Layout(4, None, 'f4'),
}


def content_of(message: Any) -> Content | None:
    """Say what a message shows by its encoding or format; None where it is nothing known."""
    encoding = _encoding_of(message)
    if 'compressedDepth' in getattr(message, 'format', ''):
        return Content.DEPTH
    if encoding == 'mono16':
        return Content.GREY_OR_DEPTH
    if encoding in _DEPTH_LAYOUTS:
        return Content.DEPTH
    if _is_compressed(message):
        is_known = any(codec in message.format.lower() for codec in ('jpeg', 'jpg', 'png'))
    else:
        is_known = encoding in ENCODINGS
    if not is_known:
        return None
    return Content.GREY if encoding.startswith('mono') else Content.COLOUR


def decode_colour(message: Any, *, levels: GreyLevels | None = None) -> NDArray[np.uint8]:
    """Return a picture as RGB, uint8 ``[H, W, 3]``, an array of its own.

    :param levels: what is known of the camera's 16-bit images; None: of this one alone.
    :raises ValueError: for an unknown encoding, or data that are damaged.
    """
    rgb = decode_image(message, levels=levels)
    return np.require(rgb, requirements=['C', 'O', 'W'])


def decode_depth(message: Any) -> NDArray[np.float32]:
    """Return a depth image in metres along Z, ``[H, W]``, NaN where there is no truth.

    16-bit values are millimetres (REP-118). No truth is what is 0, negative or not finite.

    :raises ValueError: for an unknown encoding, or data that are damaged.
    """
    values = _decompress(message) if _is_compressed(message) else _view(message)
    if values.dtype.kind == 'u':
        metres = np.divide(values, 1000, dtype=np.float32)
    else:
        metres = values.astype(np.float32)
    metres[~((metres > 0) & np.isfinite(metres))] = np.nan
    return metres


def _view(message: Any) -> NDArray[Any]:
    """Return the values of an uncompressed depth image: millimetres, or metres as floats."""
    layout = _DEPTH_LAYOUTS.get(message.encoding)
    if layout is None:
        raise ValueError(
            f'got depth in encoding {message.encoding!r}, expected one of '
            f'{", ".join(_DEPTH_LAYOUTS)}; is it the topic of the depth?'
        )
    return view_pixels(message, layout)


def _decompress(message: Any) -> NDArray[Any]:
    """Return the values of a compressed depth image: millimetres, or metres as floats.

    Its format is an encoding and, after a semicolon, the transport: ``16UC1; compressedDepth png``
    (only ``compressedDepth`` before Humble), or ``16UC1; png compressed``.
    """
    encoding, data = _encoding_of(message), bytes(message.data)
    if encoding not in _DEPTH_LAYOUTS:
        raise ValueError(
            f'got depth in format {message.format!r}, expected one that begins with '
            f'{" or ".join(_DEPTH_LAYOUTS)}; is it the topic of the depth?'
        )
    if 'compressedDepth' not in message.format:
        return _decode_png(data, message.format)
    if 'rvl' in message.format:
        raise ValueError(
            f'got depth in format {message.format!r}, expected compressedDepth with PNG: RVL is '
            'not supported; record with parameter format set to png, or the uncompressed image'
        )
    values = _decode_png(data[CONFIG_HEADER.size :], message.format)
    return steps_to_metres(values, data) if encoding == '32FC1' else values


def _decode_png(data: bytes, data_format: str) -> NDArray[np.uint16]:
    """Return a PNG of 16 bits, ``[H, W]``."""
    expected = 'expected a 16-bit PNG of one channel; check the publisher'
    try:
        image = decode_pixels(data, cv2.IMREAD_UNCHANGED)
    except PictureError as error:
        raise ValueError(
            f'got {len(data)} bytes as depth in format {data_format!r}, which {error}, {expected}'
        ) from error
    if image.dtype != np.uint16 or image.ndim != 2:
        raise ValueError(
            f'got an image {image.dtype} {image.shape} as depth in format {data_format!r}, '
            f'{expected}'
        )
    return image


def _is_compressed(message: Any) -> bool:
    return hasattr(message, 'format')


def _encoding_of(message: Any) -> str:
    """Return the encoding, which a compressed image's format begins with."""
    if not _is_compressed(message):
        return str(message.encoding)
    return str(message.format).partition(';')[0].strip()
