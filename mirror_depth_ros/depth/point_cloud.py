"""Clouds as ``PointCloud2`` holds them: those of a depth image made, and those of anyone read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import back_project

#: What a point has, 4 bytes each; PCL and RViz expect all of it as float32.
POINT_FIELDS = ('x', 'y', 'z', 'rgb')
POINT_FIELDS_WITH_CONFIDENCE = (*POINT_FIELDS, 'confidence')

# By the constants of sensor_msgs/PointField.
_DATATYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}

# Points worked on at a time: 1 MB of planes, about what a CPU's second-level cache holds.
_STRIP_PIXELS = 640 * 96


def pack_cloud(
    depth: NDArray[np.float32],
    rays: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    *,
    out: NDArray[np.float32],
    confidence: NDArray[np.float32] | None = None,
) -> bool:
    """Write the organised, coloured point cloud of a depth image.

    :param depth: metres along Z, ``[H, W]``; what is not finite becomes a NaN point.
    :param rays: :attr:`~mirror_depth_ros.depth.camera.CameraModel.rays` of that size.
    :param rgb: the image, uint8 ``[H, W, 3]``.
    :param out: ``[H, W, 4]``: x y z in the optical frame [m], and colour as 0x00RRGGBB; with
        confidence ``[H, W, 5]``.
    :param confidence: how sure the depth is, 0 to 1, ``[H, W]``; None: the cloud has none.
    :returns: whether all points are finite.
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
    expected = (height, width, 4 if confidence is None else 5)
    if out.shape != expected:  # to which OpenCV would write nothing, and say nothing
        raise ValueError(
            f'got memory of shape {out.shape} for a cloud of shape {expected}, expected the same; '
            'make room for confidence where it is given'
        )
    # A strip of planes stays in the cache until OpenCV interleaves it into the cloud. Each plane
    # is one stretch of memory, on which NumPy is several times as fast as on every fourth.
    rows = max(1, _STRIP_PIXELS // width)
    planes = np.empty((4, min(rows, height), width), np.float32)
    is_dense = True
    for top in range(0, height, rows):
        strip = out[top : top + rows]
        xyz, colour = planes[:3, : len(strip)], planes[3, : len(strip)]
        back_project(depth[top : top + rows], rays[top : top + rows], out=np.moveaxis(xyz, 0, -1))
        is_dense &= _spread_nan(xyz, scratch=colour)
        _pack_colour(rgb[top : top + rows], out=colour.view(np.uint32))
        sure = () if confidence is None else (confidence[top : top + rows],)
        cv2.merge((*xyz, colour, *sure), dst=strip)
    return is_dense


def read_cloud(
    message: Any, fields: Sequence[str], *, optional: Sequence[str] = ()
) -> NDArray[Any]:
    """Return some fields of a cloud as records, ``[H, W]``, as a view.

    :param message: anything with the fields of ``sensor_msgs/PointCloud2``, in whatever layout and
        byte order.
    :param fields: names that must be there.
    :param optional: names that are taken where they are there.
    :raises ValueError: if a field is missing or of an unknown type, or the data are cut short.
    """
    record = _record(message, fields, optional)
    height, width, step = message.height, message.width, message.point_step
    row_step = message.row_step or step * width  # some drivers leave it out
    data = np.frombuffer(message.data, np.uint8)
    needed = max(0, height - 1) * row_step + step * width
    if len(data) < needed or row_step < step * width:
        raise ValueError(
            f'got {len(data)} bytes of a cloud of {height} x {width} points (height x width) of '
            f'{step} bytes in rows of {row_step}, expected at least {needed} bytes; correct what '
            'publishes it'
        )
    return np.ndarray((height, width), record, data, strides=(row_step, step))


def unpack_cloud(cloud: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the points [m] and colours, ``[H, W, 3]`` each, of records ``x, y, z, rgb``."""
    points = np.stack([cloud['x'], cloud['y'], cloud['z']], axis=-1)
    packed = np.ascontiguousarray(cloud['rgb']).view(np.uint32)
    colours = np.stack([packed >> shift & 255 for shift in (16, 8, 0)], axis=-1)
    return points, colours.astype(np.uint8)


def _record(message: Any, fields: Sequence[str], optional: Sequence[str]) -> np.dtype[Any]:
    """Return the layout of a point."""
    found = {field.name: field for field in message.fields}
    if not found.keys() >= set(fields):
        raise ValueError(
            f'got a cloud with the fields {", ".join(found) or "none"}, expected '
            f'{", ".join(fields)}; take a topic that has them'
        )
    chosen = [found[name] for name in (*fields, *optional) if name in found]
    order = '>' if message.is_bigendian else '<'
    try:
        return np.dtype(
            {
                'names': [field.name for field in chosen],
                'formats': [order + _DATATYPES[field.datatype] for field in chosen],
                'offsets': [field.offset for field in chosen],
                'itemsize': message.point_step,
            }
        )
    except (KeyError, ValueError) as error:
        layout = ', '.join(f'{f.name} (type {f.datatype} at {f.offset})' for f in chosen)
        raise ValueError(
            f'got a cloud of {message.point_step} bytes a point with {layout}, expected types 1 '
            'to 8 of sensor_msgs/PointField within those bytes; correct what publishes it'
        ) from error


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
