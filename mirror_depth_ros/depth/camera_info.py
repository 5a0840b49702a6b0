"""From ``CameraInfo`` to a camera model, without ROS (REP-104, conventions of image_geometry).

A message is anything with the fields of ``sensor_msgs/CameraInfo``: rclpy's own, or one that a
recording was read into. It describes the full-resolution sensor; its region of interest and
binning say which image the driver made of it. Everything here speaks of that image, or of it
resized.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.lens_models import standard_lens

# An image may differ from its CameraInfo's aspect by rounding of its size, or by this much.
_ASPECT_TOLERANCE = 0.01


def camera_from_info(
    info: Any, *, rectified: bool, size: tuple[int, int] | None = None
) -> CameraModel:
    """Return the camera of the images that come with a ``CameraInfo``.

    :param rectified: the images are rectified, so P describes them; otherwise K and D do.
    :param size: width and height [pixels] of the image, where it was resized on its way.
    :raises ValueError: if the camera is uncalibrated, its lens model unknown, or the image has
        another aspect.
    """
    camera = pinhole_from_info(info, rectified=rectified, size=size)
    if rectified:
        return camera
    model, coefficients = lens_of(info)
    return replace(camera, distortion_model=model, distortion=coefficients)


def pinhole_from_info(info: Any, *, rectified: bool, size: tuple[int, int] | None) -> CameraModel:
    """Return the camera that P, or K, describes; the lens and the other matrix have no part in it.

    :raises ValueError: if that matrix is not filled in, or the image has another aspect.
    """
    if not (has_projection(info) if rectified else has_intrinsics(info)):
        raise ValueError(_lack(info, rectified=rectified))
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
    return camera if size is None else resize_camera(camera, *size)


def resize_camera(camera: CameraModel, width: int, height: int) -> CameraModel:
    """Return the camera of its images resized, as something on their way may have done.

    :raises ValueError: for another aspect: those images were cropped.
    """
    if (width, height) == (camera.width, camera.height):
        return camera
    if not is_same_aspect((camera.width, camera.height), (width, height)):
        raise ValueError(
            f'got an image of {width} x {height} pixels and a CameraInfo for {camera.width} x '
            f'{camera.height}, expected the same size or aspect; let the node that crops the '
            "image publish its camera_info (a crop belongs in CameraInfo's roi)"
        )
    return camera.resized(width, height)


def is_same_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Say whether two sizes (width, height) may be of one picture, resized and rounded."""
    scale_x, scale_y = other[0] / size[0], other[1] / size[1]
    within_a_pixel = (
        abs(size[1] * scale_x - other[1]) <= 1 or abs(size[0] * scale_y - other[0]) <= 1
    )
    return within_a_pixel or abs(scale_x / scale_y - 1) <= _ASPECT_TOLERANCE


def lens_of(info: Any) -> tuple[str, tuple[float, ...]]:
    """Return the lens model and its coefficients, see :func:`lens_models.standard_lens`."""
    return standard_lens(info.distortion_model, info.d)


def is_uncalibrated(info: Any, *, rectified: bool) -> bool:
    """Say whether nothing is known of the camera: K is not filled in, nor P where it counts."""
    return not has_intrinsics(info) and not (rectified and has_projection(info))


def has_intrinsics(info: Any) -> bool:
    """Say whether K is filled in (REP-104: all zeros mean an uncalibrated camera)."""
    return bool(np.any(info.k))


def has_projection(info: Any) -> bool:
    """Say whether P is filled in; some drivers set but its last element."""
    return bool(info.p[0] > 0 and info.p[5] > 0)


def camera_fields(camera: CameraModel) -> dict[str, Any]:
    """Return what a ``CameraInfo`` says of a monocular camera: K, D, R = 1 and P = [K | 0]."""
    n_zeros = 4 if camera.distortion_model == 'equidistant' else 5
    return {
        'width': camera.width,
        'height': camera.height,
        # «No distortion» is written as plumb_bob with zeros: some consumers know no empty model.
        'distortion_model': camera.distortion_model or 'plumb_bob',
        'd': np.array(camera.distortion or (0.0,) * n_zeros),
        'k': camera.matrix.ravel(),
        'r': np.eye(3).ravel(),
        'p': np.column_stack([camera.matrix, np.zeros(3)]).ravel(),
    }


def image_fields(info: Any, width: int, height: int) -> dict[str, Any]:
    """Return what a ``CameraInfo`` says of an image of this size, with no binning and no ROI left.

    K and P are rescaled, R holds as it is, and the lens too, by the name that consumers know. P is
    K where the camera has none; K is P, without distortion, where it is the only one.

    :returns: fields of a ``CameraInfo``, as :func:`camera_fields`.
    :raises ValueError: if the camera is uncalibrated, or the image has another aspect.
    """
    size = (width, height)
    is_only_projection = not has_intrinsics(info) and has_projection(info)
    fields = camera_fields(pinhole_from_info(info, rectified=is_only_projection, size=size))
    if not is_only_projection:
        model, coefficients = lens_of(info)
        if model:
            fields['distortion_model'] = model
            fields['d'] = np.array(coefficients or [0.0] * 4)  # a fisheye lens without any
        if has_projection(info) and np.any(info.r):
            fields['r'] = np.array(info.r)
    if has_projection(info):
        rectified = pinhole_from_info(info, rectified=True, size=size)
        offset = np.reshape(info.p, (3, 4))[:, 3]  # -f * baseline of a stereo pair's right camera
        scale = (rectified.fx / info.p[0], rectified.fy / info.p[5], 1.0)
        fields['p'] = np.column_stack([rectified.matrix, offset * scale]).ravel()
    return fields


def _lack(info: Any, *, rectified: bool) -> str:
    """Say which matrix is not filled in, and what to do."""
    if has_intrinsics(info):
        return (
            f'got a CameraInfo whose P has focal lengths {info.p[0]} and {info.p[5]}, expected '
            'the projection of rectified images; set parameter rectified to false if the images '
            'are not rectified'
        )
    reason = (
        'got a CameraInfo whose K is all zero, expected intrinsics: the camera is uncalibrated; '
        'calibrate it (package camera_calibration) or set its calibration file; or tell the node '
        'its horizontal field of view as parameter hfov_deg'
    )
    if not has_projection(info):
        return reason
    return (
        f'{reason}; P is filled in: if the images are rectified, set parameter rectified to true '
        '(in a recording, the name of their topic says rect)'
    )


def _crop(camera: CameraModel, info: Any) -> CameraModel:
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


def _bin(camera: CameraModel, info: Any) -> CameraModel:
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
