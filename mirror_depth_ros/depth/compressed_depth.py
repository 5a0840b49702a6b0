"""Depth as compressed_depth_image_transport packs it: a header, then a PNG of 16 bits.

Metres become steps of inverse depth, ``A / depth + B``, with A and B in the header; 0 is no
measurement. Millimetres are stored as they are. Its ``codec.cpp`` and ``compression_common.h``
(github.com/ros-perception/image_transport_plugins) say all of it.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.files import depth_to_millimetres

#: ConfigHeader: the kind of compression and the two parameters of the quantisation, A and B, as
#: they lie in the memory of a little-endian machine.
CONFIG_HEADER = struct.Struct('<iff')

_INVERSE_DEPTH = 0  # the only kind that there is
_LARGEST_STEP = np.iinfo(np.uint16).max
# The plugin's defaults: the depth at which steps are a metre apart [m], and zlib's level.
_QUANTIZATION_DEPTH = 100.0
_PNG_LEVEL = 3


def compress_metres(depth: NDArray[np.float32], *, max_depth: float) -> bytes:
    """Return depth in steps of inverse depth, which a reader of ``32FC1`` makes metres of again.

    Steps are ``depth**2 / 10100`` metres apart: 0.1 mm at 1 m, 1 cm at 10 m.

    :param depth: metres along Z, ``[H, W]``; what is not finite, not positive or beyond
        ``max_depth`` is read as NaN, what is nearer than about 0.15 m as that.
    :param max_depth: of the first step [m].
    """
    a = _QUANTIZATION_DEPTH * (_QUANTIZATION_DEPTH + 1)
    b = 1 - a / max_depth
    is_known = (depth > 0) & (depth <= max_depth)  # false for NaN, too
    with np.errstate(over='ignore'):
        steps = np.rint(a / np.where(is_known, depth, max_depth) + b).clip(1, _LARGEST_STEP)
    return _pack(np.where(is_known, steps, 0).astype(np.uint16), a, b)


def compress_millimetres(depth: NDArray[np.float32]) -> bytes:
    """Return depth as millimetres, which a reader of ``16UC1`` leaves as they are.

    :param depth: metres along Z, ``[H, W]``; see :func:`.depth_to_millimetres`.
    """
    return _pack(depth_to_millimetres(depth), 0.0, 0.0)


def steps_to_metres(steps: NDArray[np.uint16], header: bytes) -> NDArray[np.float32]:
    """Return the metres along Z of steps of inverse depth, ``[H, W]``; NaN where there is none.

    :param header: begins with a :data:`CONFIG_HEADER`.
    """
    _, a, b = CONFIG_HEADER.unpack_from(header)
    with np.errstate(divide='ignore'):
        metres = np.float32(a) / (steps.astype(np.float32) - np.float32(b))
    return np.where(steps == 0, np.float32(np.nan), metres)


def _pack(values: NDArray[np.uint16], a: float, b: float) -> bytes:
    _, png = cv2.imencode('.png', values, [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    return CONFIG_HEADER.pack(_INVERSE_DEPTH, a, b) + png.tobytes()
