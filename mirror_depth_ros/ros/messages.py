"""Arrays in, messages out. Every message carries the header of the image it was made from.

Data is assigned as ``array.array('B')``, filled by at most one copy: element by element, rclpy
would take 30 to 100 times as long (rclpy#763).
"""

from __future__ import annotations

import array
import functools
import sys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import back_project
from mirror_depth_ros.depth.files import depth_to_millimetres

_IS_BIG_ENDIAN = sys.byteorder == 'big'

# A message that checks its fields takes over an array.array that is assigned to it; one that does
# not, the default from Jazzy on, copies it. Before Jazzy all check, and do not know the word.
_TAKING_OVER = {'check_fields': True} if '_check_fields' in Image.__slots__ else {}

# Points worked on at a time: 1 MB of planes, about what a CPU's second-level cache holds.
_STRIP_PIXELS = 640 * 96

_POINT_FIELDS = ('x', 'y', 'z', 'rgb', 'confidence')  # all float32, as PCL and RViz expect them


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


def rgb_message(
    header: Header, rgb: NDArray[np.uint8], memory: MessageMemory | None = None
) -> Image:
    """Return an ``rgb8`` image of ``[H, W, 3]`` uint8.

    :param memory: what becomes the message's data; None: memory of its own.
    """
    return _image(header, 'rgb8', rgb, memory)


def depth_message(
    header: Header, depth: NDArray[np.float32], memory: MessageMemory | None = None
) -> Image:
    """Return a ``32FC1`` depth image (REP-118) of ``[H, W]`` metres along Z.

    :param memory: what becomes the message's data; None: memory of its own.
    """
    return _image(header, '32FC1', depth.astype(np.float32, copy=False), memory)


def depth_millimetres_message(
    header: Header, depth: NDArray[np.float32], memory: MessageMemory | None = None
) -> Image:
    """Return a ``16UC1`` depth image (REP-118) of ``[H, W]`` metres: millimetres, 0 = invalid.

    :param memory: what becomes the message's data; None: memory of its own.
    """
    return _image(header, '16UC1', depth_to_millimetres(depth), memory)


def confidence_message(
    header: Header, confidence: NDArray[np.float32], memory: MessageMemory | None = None
) -> Image:
    """Return a ``32FC1`` image of ``[H, W]`` confidence, 0 to 1 (1 = sure).

    :param memory: what becomes the message's data; None: memory of its own.
    """
    return _image(header, '32FC1', confidence, memory)


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

    :param depth: metres along Z, ``[H, W]``; what is not finite becomes a NaN point.
    :param rays: :attr:`~mirror_depth_ros.depth.camera.CameraModel.rays` of that size.
    :param rgb: the image, uint8 ``[H, W, 3]``.
    :param memory: what becomes the message's data; None: memory of its own.
    :param confidence: how sure the depth is, 0 to 1, ``[H, W]``; None: there is no such field.
    :returns: x y z in the optical frame [m] and colour as 0x00RRGGBB, 16 bytes a point, or 20 with
        its confidence.
    :raises ValueError: if the sizes differ.
    """
    height, width = depth.shape
    if rgb.shape != (height, width, 3):
        raise ValueError(
            f'got an image of shape {rgb.shape} for depth of shape {depth.shape}, expected '
            f'{(height, width, 3)}; resize one of them'
        )
    if confidence is not None and confidence.shape != depth.shape:
        raise ValueError(
            f'got confidence of shape {confidence.shape} for depth of shape {depth.shape}, '
            'expected the same; thin out both or neither'
        )
    fields = _POINT_FIELDS[: 4 if confidence is None else 5]
    data = (memory or MessageMemory()).take(4 * len(fields) * width * height)
    points = np.frombuffer(data, np.float32).reshape(height, width, len(fields))
    # A strip of planes stays in the cache until OpenCV interleaves it into the message. Each
    # plane is one stretch of memory, on which NumPy is several times as fast as on every fourth.
    rows = max(1, _STRIP_PIXELS // width)
    planes = np.empty((4, min(rows, height), width), np.float32)
    is_dense = True
    for top in range(0, height, rows):
        strip = points[top : top + rows]
        xyz, colour = planes[:3, : len(strip)], planes[3, : len(strip)]
        back_project(depth[top : top + rows], rays[top : top + rows], out=np.moveaxis(xyz, 0, -1))
        is_dense &= _spread_nan(xyz, scratch=colour)
        _pack_colour(rgb[top : top + rows], out=colour.view(np.uint32))
        sure = () if confidence is None else (confidence[top : top + rows],)
        cv2.merge((*xyz, colour, *sure), dst=strip)
    return _cloud(header, (height, width), fields, data, is_dense=is_dense)


def points_message(header: Header, points: NDArray[np.float32]) -> PointCloud2:
    """Return an unorganised cloud of finite points, x y z in the optical frame ``[N, 3]`` [m]."""
    return _cloud(
        header, (1, len(points)), _POINT_FIELDS[:3], _bytes_of(points, None), is_dense=True
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


def _image(
    header: Header, encoding: str, pixels: NDArray[Any], memory: MessageMemory | None
) -> Image:
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


def _spread_nan(xyz: NDArray[np.float32], *, scratch: NDArray[np.float32]) -> bool:
    """Make the points ``[3, H, W]`` that are not finite NaN in all coordinates.

    x is finite where depth and ray both are (an infinite depth times a ray is inf or NaN).

    :param scratch: ``[H, W]``, overwritten.
    :returns: whether all are finite.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        if np.isfinite(xyz[0].sum()):  # one pass where there is nothing to do
            return True
        np.multiply(xyz[0], 0, out=scratch)  # 0 where x is finite, elsewhere NaN
        is_finite = not np.isnan(scratch.min())
        if not is_finite:
            xyz += scratch
    return is_finite


def _pack_colour(rgb: NDArray[np.uint8], *, out: NDArray[np.uint32]) -> None:
    """Write 0x00RRGGBB. Through OpenCV: four times as fast as shifting and adding in NumPy."""
    bgra = out.view(np.uint8).reshape(*out.shape, 4)
    cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA, dst=bgra)  # B G R 255 in memory
    np.bitwise_and(out.view('<u4'), 0x00FFFFFF, out=out)


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
        raise ValueError(f'got a depth image of {message.encoding!r}, expected 32FC1 [m]')
    kind = np.dtype('>f4' if message.is_bigendian else '<f4')
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return rows[:, : 4 * message.width].view(kind)


def cloud_array(message: PointCloud2) -> NDArray[Any]:
    """Return an organised cloud as records ``x, y, z, rgb``, ``[H, W]``, as a view.

    :raises ValueError: if a field is missing.
    """
    offsets = {field.name: field.offset for field in message.fields}
    names = ['x', 'y', 'z', 'rgb']
    if not offsets.keys() >= set(names):
        raise ValueError(f'got a cloud with the fields {sorted(offsets)}, expected {names}')
    kind = np.dtype(
        {
            'names': names,
            'formats': ['>f4' if message.is_bigendian else '<f4'] * 4,
            'offsets': [offsets[name] for name in names],
            'itemsize': message.point_step,
        }
    )
    return np.frombuffer(message.data, kind).reshape(message.height, message.width)


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
