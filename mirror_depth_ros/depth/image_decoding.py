"""Image messages to RGB, without ROS.

A message is anything with the fields of ``sensor_msgs/Image`` or ``CompressedImage``: rclpy's own,
or one that a recording was read into. Each is checked here, so that a malformed one is a
``ValueError`` with a remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.picture_file import PictureError, decode_pixels


@dataclass(frozen=True)
class Layout:
    """How an encoding lays its pixels out, and how they become RGB."""

    #: Bytes from one pixel of a row to the next.
    pixel_bytes: int
    #: OpenCV's conversion code to RGB; None where there is nothing to convert.
    code: int | None
    #: NumPy's name of one channel's type, without the byte order.
    channel: str = 'u1'
    #: Sizes must be multiples of this many columns and rows (chroma subsampling).
    block: tuple[int, int] = (1, 1)
    #: Smallest width and height.
    minimum: int = 1
    #: Rows of data for one row of the image.
    rows: float = 1.0


# OpenCV returns black for mosaics below 3 x 3 pixels.
# ROS names the colours of a mosaic's first two rows. OpenCV's oldest constants, the only ones that
# every release has, name those of the second row's second and third column: RGGB is BayerBG there.
_LAYOUTS = {
    'rgb8': Layout(3, None),
    'bgr8': Layout(3, cv2.COLOR_BGR2RGB),
    'rgba8': Layout(4, cv2.COLOR_RGBA2RGB),
    'bgra8': Layout(4, cv2.COLOR_BGRA2RGB),
    'mono8': Layout(1, cv2.COLOR_GRAY2RGB),
    'mono16': Layout(2, cv2.COLOR_GRAY2RGB, 'u2'),
    'bayer_rggb8': Layout(1, cv2.COLOR_BayerBG2RGB, minimum=3),
    'bayer_bggr8': Layout(1, cv2.COLOR_BayerRG2RGB, minimum=3),
    'bayer_gbrg8': Layout(1, cv2.COLOR_BayerGR2RGB, minimum=3),
    'bayer_grbg8': Layout(1, cv2.COLOR_BayerGB2RGB, minimum=3),
    'yuv422': Layout(2, cv2.COLOR_YUV2RGB_UYVY, block=(2, 1)),
    'yuv422_yuy2': Layout(2, cv2.COLOR_YUV2RGB_YUY2, block=(2, 1)),
    # The names that sensor_msgs gives the same two since Iron.
    'uyvy': Layout(2, cv2.COLOR_YUV2RGB_UYVY, block=(2, 1)),
    'yuyv': Layout(2, cv2.COLOR_YUV2RGB_YUY2, block=(2, 1)),
    'nv12': Layout(1, cv2.COLOR_YUV2RGB_NV12, block=(2, 2), rows=1.5),
}

# Encodings of depth, which a PNG holds as well as a picture.
_NO_PICTURE = ('16UC1', '32FC1')

#: Values of ``Image.encoding`` that :func:`decode_image` understands.
ENCODINGS = tuple(_LAYOUTS)


def decode_image(
    message: Any,
    *,
    levels: GreyLevels | None = None,
    load_bridge: Callable[[], Any] = lambda: None,
) -> NDArray[np.uint8]:
    """Return the picture of an ``Image`` as RGB, or of a ``CompressedImage``.

    For the latter see :func:`decode_compressed`; the following is of the former.

    :param levels: what is known of the camera's 16-bit pictures; None: of this picture alone.
    :param load_bridge: returns a ``cv_bridge.CvBridge`` for encodings that are not in
        :data:`ENCODINGS`, such as ``rgb16``; None where there is none.
    :returns: uint8 ``[H, W, 3]``. For ``rgb8`` this is a view of the message, not a copy.
    :raises ValueError: for an unknown encoding, an impossible size or step, or missing data.
    """
    if hasattr(message, 'format'):
        return decode_compressed(message, levels=levels)
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        return _decode_by_bridge(message, load_bridge())
    pixels = view_pixels(message, layout)
    if layout.code is None:
        return pixels
    try:
        if message.encoding == 'mono16':
            pixels = (levels or GreyLevels()).convert(pixels.astype(np.uint16))
        return cv2.cvtColor(pixels, layout.code)
    except cv2.error as error:
        raise ValueError(
            f'got a {message.width} x {message.height} image in {message.encoding} that cannot be '
            f'converted to RGB ({error}), expected a complete picture; check the camera driver'
        ) from error


def decode_compressed(message: Any, *, levels: GreyLevels | None = None) -> NDArray[np.uint8]:
    """Return the picture of a JPEG or PNG ``CompressedImage`` as RGB, uint8 ``[H, W, 3]``.

    ``format`` is a codec or, as compressed_image_transport writes it, the encoding that the image
    had and after a semicolon ``CODEC compressed ENCODING`` with that of the compressed picture: a
    mosaic is still one, and a picture in ``rgb8`` has red where the codec expects blue.

    :param levels: what is known of the camera's 16-bit pictures; None: of this picture alone.
    :raises ValueError: if the data is empty or no picture, or its encoding is not one of pictures.
    """
    encoding, _, compressed = (part.strip() for part in message.format.partition(';'))
    if encoding in _NO_PICTURE:
        raise ValueError(
            f'got a compressed image of format {message.format!r}, which is depth, expected a '
            'picture; remap the topic of the camera'
        )
    if encoding.startswith('bayer_'):
        mosaic = _decompress(message, cv2.IMREAD_UNCHANGED)
        if mosaic.ndim == 2:
            return _demosaic(mosaic, encoding)
    picture = _decompress(message, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if picture.dtype == np.uint16:
        picture = (levels or GreyLevels()).convert(picture)
    if compressed.endswith('compressed rgb8'):
        return picture
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _decode_by_bridge(message: Any, bridge: Any) -> NDArray[np.uint8]:
    try:
        if bridge is not None:
            return np.asarray(bridge.imgmsg_to_cv2(message, desired_encoding='rgb8'))
        reason = ''
    except Exception as error:  # CvBridgeError, and what a cv_bridge for another NumPy raises
        reason = f' (cv_bridge: {error})'
    raise ValueError(
        f'got encoding {message.encoding!r}{reason}, expected one of {", ".join(ENCODINGS)}; set '
        'the camera driver to one of them, or convert with image_proc'
    )


def _decompress(message: Any, flags: int) -> NDArray[Any]:
    """Return the pixels that a codec holds, ``[H, W]`` or ``[H, W, 3]`` in the codec's order.

    They are as stored: CameraInfo describes the sensor's own orientation, whatever EXIF says.
    """
    data = bytes(message.data)
    try:
        return decode_pixels(data, flags)
    except PictureError as error:
        raise ValueError(
            f'got {len(data)} bytes of format {message.format!r} that are no picture, expected '
            f'a whole JPEG or PNG: it {error}; check the publisher (compressedDepth and theora '
            'are other transports)'
        ) from error


def _demosaic(mosaic: NDArray[Any], encoding: str) -> NDArray[np.uint8]:
    """Return the colours of a mosaic ``[H, W]`` as RGB.

    :raises ValueError: for a mosaic that is not of 8 bits, or too small to be one.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None or layout.code is None or mosaic.dtype != np.uint8:
        raise ValueError(
            f'got a compressed mosaic in {encoding} of {mosaic.dtype}, expected 8 bits a pixel '
            'such as bayer_rggb8; set the camera driver to one of these, or use image_proc'
        )
    if min(mosaic.shape) < layout.minimum:
        raise ValueError(
            f'got a mosaic of {mosaic.shape[1]} x {mosaic.shape[0]} pixels, expected at least '
            f'{layout.minimum} x {layout.minimum}; check the camera driver'
        )
    return cv2.cvtColor(mosaic, layout.code)


def view_pixels(message: Any, layout: Layout) -> NDArray[Any]:
    """Return the checked pixels of an ``Image`` without a copy, in whatever byte order it has.

    :returns: ``[rows, W]``, or ``[rows, W, C]`` where a pixel has several channels.
    :raises ValueError: for an impossible size or step, or missing data.
    """
    _check_sizes(message, layout)
    kind = np.dtype(('>' if message.is_bigendian else '<') + layout.channel)
    size = (int(message.height * layout.rows), message.width)
    strides = (message.step, layout.pixel_bytes)
    channels = layout.pixel_bytes // kind.itemsize
    if channels == 1:
        return np.ndarray(size, kind, message.data, strides=strides)
    strides_3d = (*strides, kind.itemsize)
    return np.ndarray((*size, channels), kind, message.data, strides=strides_3d)


def _check_sizes(message: Any, layout: Layout) -> None:
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
