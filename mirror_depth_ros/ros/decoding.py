"""Camera messages in, RGB arrays out.

Where cv_bridge is installed and works, it converts; otherwise OpenCV does, with the same results.
Messages are checked here either way, so that a malformed one is a ``ValueError`` with a remedy.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image


@dataclass(frozen=True)
class _Layout:
    """How an encoding lays its pixels out, and how they become RGB."""

    #: Bytes from one pixel of a row to the next.
    pixel_bytes: int
    #: OpenCV's conversion code to RGB; None where the pixels are RGB already.
    code: int | None
    #: Sizes must be multiples of this many columns and rows (chroma subsampling).
    block: tuple[int, int] = (1, 1)
    #: Smallest width and height.
    minimum: int = 1
    #: Rows of data for one row of the image.
    rows: float = 1.0
    #: Whether every cv_bridge since Humble knows the encoding.
    in_cv_bridge: bool = True


# OpenCV returns black for mosaics below 3 x 3 pixels.
# ROS names the colours of a mosaic's first two rows. OpenCV's oldest constants, the only ones that
# every release has, name those of the second row's second and third column: RGGB is BayerBG there.
_LAYOUTS = {
    'rgb8': _Layout(3, None),
    'bgr8': _Layout(3, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout(4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout(4, cv2.COLOR_BGRA2RGB),
    'mono8': _Layout(1, cv2.COLOR_GRAY2RGB),
    'mono16': _Layout(2, cv2.COLOR_GRAY2RGB),
    'bayer_rggb8': _Layout(1, cv2.COLOR_BayerBG2RGB, minimum=3),
    'bayer_bggr8': _Layout(1, cv2.COLOR_BayerRG2RGB, minimum=3),
    'bayer_gbrg8': _Layout(1, cv2.COLOR_BayerGR2RGB, minimum=3),
    'bayer_grbg8': _Layout(1, cv2.COLOR_BayerGB2RGB, minimum=3),
    'yuv422': _Layout(2, cv2.COLOR_YUV2RGB_UYVY, block=(2, 1)),
    'yuv422_yuy2': _Layout(2, cv2.COLOR_YUV2RGB_YUY2, block=(2, 1)),
    # The names that sensor_msgs gives the same two since Iron.
    'uyvy': _Layout(2, cv2.COLOR_YUV2RGB_UYVY, block=(2, 1), in_cv_bridge=False),
    'yuyv': _Layout(2, cv2.COLOR_YUV2RGB_YUY2, block=(2, 1), in_cv_bridge=False),
    'nv12': _Layout(1, cv2.COLOR_YUV2RGB_NV12, block=(2, 2), rows=1.5, in_cv_bridge=False),
}

#: Values of ``Image.encoding`` that :func:`decode_image` understands.
ENCODINGS = tuple(_LAYOUTS)


def decode_image(message: Image) -> NDArray[np.uint8]:
    """Return a message's picture as RGB.

    :returns: uint8 ``[H, W, 3]``. For ``rgb8`` this is a view of the message, not a copy.
    :raises ValueError: for an unknown encoding, an impossible size or step, or missing data.
    """
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        raise ValueError(
            f'got encoding {message.encoding!r}, expected one of {", ".join(ENCODINGS)}; set the '
            'camera driver to one of them, or convert with image_proc'
        )
    pixels = _view_pixels(message, layout)
    if layout.code is None:
        return pixels
    bridge = _load_cv_bridge()
    native = bool(message.is_bigendian) == (sys.byteorder == 'big')
    whole_pixels = message.step % layout.pixel_bytes == 0
    try:
        # cv_bridge's Python reads only rows of whole pixels and this machine's byte order.
        if bridge is not None and layout.in_cv_bridge and native and whole_pixels:
            return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding='rgb8'))
        return _convert(pixels, message, layout.code)
    except Exception as error:  # cv2.error, CvBridgeError: neither derives from ValueError
        raise ValueError(
            f'got a {message.width} x {message.height} image in {message.encoding} that cannot be '
            f'converted to RGB ({error}), expected a complete picture; check the camera driver'
        ) from error


def decode_compressed(message: CompressedImage) -> NDArray[np.uint8]:
    """Return the picture of a JPEG or PNG message as RGB, uint8 ``[H, W, 3]``.

    :raises ValueError: if the data is empty or no picture.
    """
    data = np.frombuffer(message.data, np.uint8)
    # CameraInfo describes the sensor's own orientation: EXIF must not turn the picture.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr = cv2.imdecode(data, flags) if data.size else None
    if bgr is None:
        raise ValueError(
            f'got {data.size} bytes of format {message.format!r} that are no picture, expected '
            'JPEG or PNG; check the publisher (compressedDepth and theora are other transports)'
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def decoder_name() -> str:
    """Return which library converts images here: ``cv_bridge`` or ``OpenCV``."""
    return 'OpenCV' if _load_cv_bridge() is None else 'cv_bridge'


def _view_pixels(message: Image, layout: _Layout) -> NDArray[Any]:
    """Return a message's checked pixels without a copy: ``[rows, W]`` or ``[rows, W, bytes]``."""
    _check_sizes(message, layout)
    rows, step, size = int(message.height * layout.rows), message.step, layout.pixel_bytes
    if message.encoding == 'mono16':
        dtype = np.dtype('>u2' if message.is_bigendian else '<u2')
        return np.ndarray((rows, message.width), dtype, message.data, strides=(step, size))
    if size == 1:
        return np.ndarray((rows, message.width), np.uint8, message.data, strides=(step, 1))
    shape, strides = (rows, message.width, size), (step, size, 1)
    return np.ndarray(shape, np.uint8, message.data, strides=strides)


def _check_sizes(message: Image, layout: _Layout) -> None:
    """Raise where size, step and amount of data of a message do not fit together."""
    width, height, step = message.width, message.height, message.step
    encoding = message.encoding
    smallest = layout.minimum
    if width < smallest or height < smallest:
        raise ValueError(
            f'got an image of {width} x {height} pixels, expected at least {smallest} x '
            f'{smallest} in {encoding}; check the camera driver'
        )
    columns, rows = layout.block
    if width % columns or height % rows:
        raise ValueError(
            f'got {width} x {height} pixels in {encoding}, expected multiples of {columns} x '
            f'{rows} (its colours are subsampled); crop the image or use another encoding'
        )
    row_bytes = width * layout.pixel_bytes
    if step < row_bytes:
        raise ValueError(
            f'got a step of {step} bytes, expected at least {row_bytes} ({width} pixels of '
            f'{layout.pixel_bytes} bytes in {encoding}); correct step or width in the publisher'
        )
    n_rows = int(height * layout.rows)
    if len(message.data) < step * n_rows:
        raise ValueError(
            f'got {len(message.data)} bytes of data, expected {step * n_rows} (step {step} x '
            f'{n_rows} rows in {encoding}); the message was cut short: check the publisher'
        )


def _convert(pixels: NDArray[Any], message: Image, code: int) -> NDArray[np.uint8]:
    if message.encoding == 'mono16':
        # The whole 16-bit range, rounded: what cv_bridge does.
        pixels = cv2.convertScaleAbs(pixels.astype(np.uint16), alpha=255 / 65535)
    return cv2.cvtColor(pixels, code)


@functools.cache
def _load_cv_bridge() -> Any:
    """Return a working ``CvBridge``, or None.

    A cv_bridge built for NumPy 1 fails under NumPy 2 with whatever exception comes first, on
    import or on first use (vision_opencv#535).
    """
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        pixel = Image(height=1, width=1, encoding='bgr8', step=3, data=[1, 2, 3])
        works = bridge.imgmsg_to_cv2(pixel, desired_encoding='rgb8').tolist() == [[[3, 2, 1]]]
    except Exception:
        return None
    return bridge if works else None
