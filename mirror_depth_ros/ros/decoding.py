"""Image messages in, RGB arrays out.

Where cv_bridge is installed and works, it converts; otherwise OpenCV does, with the same results.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from mirror_depth_ros.depth import image_decoding
from mirror_depth_ros.depth.grey_levels import GreyLevels


def decode_image(message: Image, *, levels: GreyLevels | None = None) -> NDArray[np.uint8]:
    """Return a message's picture as RGB, uint8 ``[H, W, 3]``.

    :param levels: what is known of the camera's 16-bit images; None: of this one alone.
    :raises ValueError: as :func:`mirror_depth_ros.depth.image_decoding.decode_image`.
    """
    return image_decoding.decode_image(message, bridge=_load_cv_bridge(), levels=levels)


def decoder_name() -> str:
    """Return which library converts images here: ``cv_bridge`` or ``OpenCV``."""
    return 'OpenCV' if _load_cv_bridge() is None else 'cv_bridge'


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
