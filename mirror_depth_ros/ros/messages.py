"""Arrays in, messages out. Every message carries the stamp of the image it was made from.

Data is assigned as ``array.array('B')``, filled by at most one copy: element by element, rclpy
would take 30 to 100 times as long (rclpy#763).
"""

from __future__ import annotations

import array
import functools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from mirror_depth_ros.depth.point_cloud import (
    POINT_FIELDS,
    POINT_FIELDS_WITH_CONFIDENCE,
    pack_cloud,
)

_IS_BIG_ENDIAN = sys.byteorder == 'big'

# A message that checks its fields takes over an array.array that is assigned to it; one that does
# not, the default from Jazzy on, copies it. Before Jazzy all check, and do not know the word.
_TAKING_OVER = {'check_fields': True} if '_check_fields' in Image.__slots__ else {}


class MessageMemory:
    """The bytes of one publisher's messages, used again for each of them.

    Publishing copies a message. What holds on to one longer sees it become the next.
    """

    def __init__(self) -> None:
        self._bytes = array.array('B')

    def take(self, n_bytes: int) -> array.array[int]:
        """Return that many bytes of any content: the same as the last time if their number is."""
        if len(self._bytes) != n_bytes:
            self._bytes = array.array('B', [0]) * n_bytes
        return self._bytes


def image_message(
    header: Header, encoding: str, pixels: NDArray[Any], memory: MessageMemory | None = None
) -> Image:
    """Return an image; a depth image (REP-118) is ``32FC1`` in metres or ``16UC1`` in millimetres.

    :param pixels: ``[H, W]`` or ``[H, W, C]`` of that encoding.
    :param memory: what becomes the message's data; None: memory of its own.
    """
    height, width = pixels.shape[:2]
    image = Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=_IS_BIG_ENDIAN,
        step=pixels.itemsize * pixels.size // height,
        **_TAKING_OVER,
    )
    image.data = _bytes_of(pixels, memory)  # as an argument of the constructor it would be copied
    return image


def compressed_message(header: Header, data_format: str, data: bytes) -> CompressedImage:
    """Return a compressed image.

    :param data_format: as the plugin of image_transport writes it that is to read it.
    """
    message = CompressedImage(header=header, format=data_format)
    message.data = array.array('B', data)
    return message


def cloud_message(
    header: Header,
    depth: NDArray[np.float32],
    rays: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    memory: MessageMemory | None = None,
    *,
    confidence: NDArray[np.float32] | None = None,
) -> PointCloud2:
    """Return the organised, coloured point cloud of a depth image.

    The arrays and the points are those of :func:`.pack_cloud`.

    :param memory: what becomes the message's data; None: memory of its own.
    :param confidence: how sure the depth is, 0 to 1, ``[H, W]``; None: there is no such field.
    :raises ValueError: if the sizes differ.
    """
    height, width = depth.shape
    fields = POINT_FIELDS if confidence is None else POINT_FIELDS_WITH_CONFIDENCE
    data = (memory or MessageMemory()).take(4 * len(fields) * width * height)
    points = np.frombuffer(data, np.float32).reshape(height, width, len(fields))
    is_dense = pack_cloud(depth, rays, rgb, confidence=confidence, out=points)
    return _cloud(header, (height, width), fields, data, is_dense=is_dense)


def points_message(header: Header, points: NDArray[np.float32]) -> PointCloud2:
    """Return an unorganised cloud of finite points, x y z in the optical frame ``[N, 3]`` [m]."""
    return _cloud(
        header, (1, len(points)), POINT_FIELDS[:3], _bytes_of(points, None), is_dense=True
    )


def _cloud(
    header: Header,
    size: tuple[int, int],
    fields: Sequence[str],
    data: array.array[int],
    *,
    is_dense: bool,
) -> PointCloud2:
    height, width = size
    point_step = 4 * len(fields)
    cloud = PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=[
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate(fields)
        ],
        is_bigendian=_IS_BIG_ENDIAN,
        point_step=point_step,
        row_step=point_step * width,
        is_dense=is_dense,
        **_TAKING_OVER,
    )
    cloud.data = data  # as an argument of the constructor it would be copied
    return cloud


def _bytes_of(pixels: NDArray[Any], memory: MessageMemory | None) -> array.array[int]:
    """Return an array's bytes in a form that message fields take over without looking at each."""
    data = (memory or MessageMemory()).take(pixels.nbytes)
    np.copyto(np.frombuffer(data, pixels.dtype).reshape(pixels.shape), pixels)
    return data


def depth_array(message: Image) -> NDArray[np.float32]:
    """Return the metres of a 32FC1 image, ``[H, W]``, as a view.

    :raises ValueError: for another encoding.
    """
    if message.encoding != '32FC1':
        raise ValueError(
            f'got a depth image of {message.encoding!r}, expected 32FC1 [m]; '
            'subscribe to ~/depth/image'
        )
    kind = np.dtype('>f4' if message.is_bigendian else '<f4')
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return rows[:, : 4 * message.width].view(kind)


@functools.cache
def load_cv_bridge() -> Any:
    """Return a ``CvBridge``, which converts more encodings than OpenCV alone; None without one.

    A cv_bridge built for NumPy 1 fails under NumPy 2 with whatever exception comes first
    (vision_opencv#535).
    """
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception:
        return None
