"""``CameraInfo`` messages and camera models (REP-104, conventions of image_geometry).

A ``CameraInfo`` describes the full-resolution sensor; its region of interest and binning say which
image the driver made of it. Everything here speaks of that image, or of it resized.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mirror_depth_ros.camera import CameraModel

# An image may differ from its CameraInfo's aspect by rounding of its size, or by this much.
_ASPECT_TOLERANCE = 0.01


def camera_from_info(
    info: CameraInfo, *, rectified: bool, size: tuple[int, int] | None = None
) -> CameraModel:
    """Return the camera of the images that come with a ``CameraInfo``.

    :param rectified: the images are rectified, so P describes them; otherwise K and D do.
    :param size: width and height [pixels] of the image, where it was resized on its way.
    :raises ValueError: if the camera is uncalibrated, its lens model unknown, or the image has
        another aspect.
    """
    camera = _pinhole(info, rectified=rectified, size=size)
    if rectified or not _is_distorted(info):
        return camera
    # Zeros of whatever number say no more than none.
    distortion = tuple(info.d) if any(info.d) else ()
    return replace(camera, distortion_model=info.distortion_model, distortion=distortion)


def _pinhole(info: CameraInfo, *, rectified: bool, size: tuple[int, int] | None) -> CameraModel:
    """Return the camera that P, or K, describes; the lens has no part in it."""
    if not np.any(info.k):
        raise ValueError(
            'got a CameraInfo whose K is all zero, expected intrinsics: the camera is '
            'uncalibrated; calibrate it (package camera_calibration) or set its calibration file'
        )
    if rectified and not _has_projection(info):
        raise ValueError(
            f'got a CameraInfo whose P has focal lengths {info.p[0]} and {info.p[5]}, expected '
            'the projection of rectified images; set parameter rectified to false if the images '
            'are not rectified'
        )
    matrix = np.reshape(info.p, (3, 4)) if rectified else np.reshape(info.k, (3, 3))
    camera = CameraModel(
        width=info.width,
        height=info.height,
        fx=float(matrix[0, 0]),
        fy=float(matrix[1, 1]),
        cx=float(matrix[0, 2]),
        cy=float(matrix[1, 2]),
    )
    camera = _bin(_crop(camera, info), info)
    return camera if size is None else _resize(camera, *size)


def info_from_camera(camera: CameraModel, header: Header) -> CameraInfo:
    """Return the ``CameraInfo`` of a monocular camera: K, D, R = 1 and P = [K | 0]."""
    info = CameraInfo(header=header, width=camera.width, height=camera.height)
    # «No distortion» is written as plumb_bob with zeros: some consumers know no empty model.
    info.distortion_model = camera.distortion_model or 'plumb_bob'
    n_zeros = 4 if camera.distortion_model == 'equidistant' else 5
    info.d = list(camera.distortion or (0.0,) * n_zeros)
    info.k = camera.matrix.ravel()
    info.r = np.eye(3).ravel()
    info.p = np.column_stack([camera.matrix, np.zeros(3)]).ravel()
    return info


def info_for_image(info: CameraInfo, header: Header, width: int, height: int) -> CameraInfo:
    """Return what a ``CameraInfo`` says of an image of this size, with no binning and no ROI left.

    K and P are rescaled, D and R hold as they are, so the lens model may be any; P is K where the
    camera has none.

    :raises ValueError: if the camera is uncalibrated, or the image has another aspect.
    """
    raw = _pinhole(info, rectified=False, size=(width, height))
    result = info_from_camera(raw, header)
    if _is_distorted(info):
        result.distortion_model, result.d = info.distortion_model, info.d
    if _has_projection(info):
        rectified = _pinhole(info, rectified=True, size=(width, height))
        offset = np.reshape(info.p, (3, 4))[:, 3]  # -f * baseline of a stereo pair's right camera
        scale = (rectified.fx / info.p[0], rectified.fy / info.p[5], 1.0)
        result.p = np.column_stack([rectified.matrix, offset * scale]).ravel()
        if np.any(info.r):
            result.r = info.r
    return result


@dataclass(frozen=True)
class Calibration:
    """What is known of the camera of one image."""

    #: The camera at the image's size; the same object as long as the calibration is the same.
    camera: CameraModel
    #: The message it comes from.
    info: CameraInfo


class CalibrationTracker:
    """Keeps recent ``CameraInfo`` messages and finds the one that belongs to an image.

    Messages may be added in one thread and looked up in another.
    """

    def __init__(self, *, capacity: int = 10) -> None:
        self._recent: deque[CameraInfo] = deque(maxlen=capacity)
        self._lock = threading.Lock()
        self._key: tuple[object, ...] = ()
        self._camera: CameraModel | None = None

    def add(self, info: CameraInfo) -> None:
        """Remember a message in place of the oldest."""
        with self._lock:
            self._recent.append(info)

    @property
    def is_empty(self) -> bool:
        """Whether no ``CameraInfo`` has come yet."""
        return not self._recent

    def find(self, header: Header, width: int, height: int, *, rectified: bool) -> Calibration:
        """Return an image's calibration: that of the same stamp if there is one, or the latest.

        :raises ValueError: if no ``CameraInfo`` has come yet, or as :func:`camera_from_info`.
        """
        with self._lock:
            recent = list(self._recent)
        if not recent:
            raise ValueError(
                'got an image before any CameraInfo, expected the camera to publish both; check '
                'that camera_info is remapped to its topic'
            )
        same_stamp = (info for info in reversed(recent) if info.header.stamp == header.stamp)
        info = next(same_stamp, recent[-1])
        key = (_fingerprint(info), width, height, rectified)
        if self._camera is None or key != self._key:
            self._camera = camera_from_info(info, rectified=rectified, size=(width, height))
            self._key = key
        return Calibration(self._camera, info)


def _is_distorted(info: CameraInfo) -> bool:
    """Say whether D matters: all zeros mean no distortion, but a fisheye lens remains one."""
    return info.distortion_model == 'equidistant' or any(info.d)


def _has_projection(info: CameraInfo) -> bool:
    """Say whether P is filled in; some drivers set but its last element."""
    return bool(info.p[0] > 0 and info.p[5] > 0)


def _crop(camera: CameraModel, info: CameraInfo) -> CameraModel:
    roi = info.roi
    if not (roi.x_offset or roi.y_offset or roi.width or roi.height):
        return camera  # all zero: the full image
    left, top, width, height = roi.x_offset, roi.y_offset, roi.width, roi.height
    if not (0 < width <= info.width - left and 0 < height <= info.height - top):
        raise ValueError(
            f'got a region of interest of {width} x {height} pixels at ({left}, {top}), expected '
            f'one inside the {info.width} x {info.height} image; set it to zeros for all of it'
        )
    return camera.cropped(left, top, width, height)


def _bin(camera: CameraModel, info: CameraInfo) -> CameraModel:
    """Apply binning as image_geometry does: plain division, of the principal point too."""
    bin_x, bin_y = info.binning_x or 1, info.binning_y or 1  # REP-104: 0 means 1
    if bin_x == bin_y == 1:
        return camera
    return replace(
        camera,
        width=camera.width // bin_x,
        height=camera.height // bin_y,
        fx=camera.fx / bin_x,
        fy=camera.fy / bin_y,
        cx=camera.cx / bin_x,
        cy=camera.cy / bin_y,
    )


def _resize(camera: CameraModel, width: int, height: int) -> CameraModel:
    if (width, height) == (camera.width, camera.height):
        return camera
    scale_x, scale_y = width / camera.width, height / camera.height
    within_a_pixel = (
        abs(camera.height * scale_x - height) <= 1 or abs(camera.width * scale_y - width) <= 1
    )
    if not within_a_pixel and abs(scale_x / scale_y - 1) > _ASPECT_TOLERANCE:
        raise ValueError(
            f'got an image of {width} x {height} pixels and a CameraInfo for {camera.width} x '
            f'{camera.height}, expected the same size or aspect; let the node that crops the '
            "image publish its camera_info (a crop belongs in CameraInfo's roi)"
        )
    return camera.resized(width, height)


def _fingerprint(info: CameraInfo) -> tuple[object, ...]:
    """Everything of a ``CameraInfo`` that a camera model depends on."""
    roi = info.roi
    return (
        (info.width, info.height, info.binning_x, info.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        (info.distortion_model, tuple(info.d), tuple(info.k), tuple(info.p)),
    )
