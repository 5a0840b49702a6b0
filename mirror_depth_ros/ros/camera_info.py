"""``CameraInfo`` messages of camera models, and the one that belongs to an image (REP-104)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.camera_info import (
    camera_fields,
    camera_from_info,
    image_fields,
    is_uncalibrated,
)


def info_from_camera(camera: CameraModel, header: Header) -> CameraInfo:
    """Return the ``CameraInfo`` of a monocular camera, see :func:`camera_fields`."""
    return CameraInfo(header=header, **camera_fields(camera))


def info_for_image(info: CameraInfo, header: Header, width: int, height: int) -> CameraInfo:
    """Return what a ``CameraInfo`` says of an image of this size, see :func:`image_fields`.

    :raises ValueError: if the camera is uncalibrated, or the image has another aspect.
    """
    return CameraInfo(header=header, **image_fields(info, width, height))


@dataclass(frozen=True)
class Calibration:
    """What is known of the camera of one image."""

    #: The camera at the image's size; the same object as long as the calibration is the same.
    camera: CameraModel
    #: The message it comes from, or one that says what is assumed.
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

    def lacks_intrinsics(self, *, rectified: bool) -> bool:
        """Say whether the latest ``CameraInfo`` says nothing of the camera, or none has come."""
        with self._lock:
            return not self._recent or is_uncalibrated(self._recent[-1], rectified=rectified)

    def find(
        self, header: Header, size: tuple[int, int], *, rectified: bool, hfov_deg: float = 0.0
    ) -> Calibration:
        """Return an image's calibration: that of the same stamp if there is one, or the latest.

        :param size: width and height of the image [pixels].
        :param hfov_deg: horizontal field of view of a pinhole camera to assume where nothing is
            known of the camera; 0: assume none [degrees].
        :raises ValueError: if no ``CameraInfo`` has come yet, or as :func:`camera_from_info`.
        """
        with self._lock:
            recent = list(self._recent)
        same_stamp = (info for info in reversed(recent) if info.header.stamp == header.stamp)
        info = next(same_stamp, recent[-1] if recent else None)
        if hfov_deg and (info is None or is_uncalibrated(info, rectified=rectified)):
            key = (size, hfov_deg)
            camera = self._remember(key, lambda: CameraModel.from_fov(*size, hfov_deg))
            return Calibration(camera, info_from_camera(camera, header))
        if info is None:
            raise ValueError(
                'got an image before any CameraInfo, expected the camera to publish both; check '
                'that camera_info is remapped to its topic'
            )
        return Calibration(
            self._remember(
                (_fingerprint(info), size, rectified),
                lambda: camera_from_info(info, rectified=rectified, size=size),
            ),
            info,
        )

    def _remember(self, key: tuple[object, ...], make: Callable[[], CameraModel]) -> CameraModel:
        """Return the camera of last time, with its rays, unless something has changed."""
        if self._camera is None or key != self._key:
            self._camera, self._key = make(), key
        return self._camera

    def find_error(self, size: tuple[int, int] | None, *, rectified: bool) -> str:
        """Return why the latest ``CameraInfo`` describes no camera; empty if it does or none came.

        :param size: width and height of the images [pixels]; None where they are not known.
        """
        with self._lock:
            latest = self._recent[-1] if self._recent else None
        # A malformed image may have no size, and is not the calibration's fault.
        size = size if size is not None and all(size) else None
        try:
            if latest is not None:
                camera_from_info(latest, rectified=rectified, size=size)
        except ValueError as error:
            return str(error)
        return ''


def _fingerprint(info: CameraInfo) -> tuple[object, ...]:
    """Everything of a ``CameraInfo`` that a camera model depends on."""
    roi = info.roi
    return (
        (info.width, info.height, info.binning_x, info.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        (info.distortion_model, tuple(info.d), tuple(info.k), tuple(info.p)),
    )
