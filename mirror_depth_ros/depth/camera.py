"""Camera models: intrinsics, rays, scaling and back-projection, as pure arrays.

Coordinates follow the optical frame of REP-103: x right, y down, z forward. Pixel ``(u, v)`` has
its centre at integer coordinates, as OpenCV and ``sensor_msgs/CameraInfo`` have it, so an image
``W`` pixels wide spans ``u`` from ``-0.5`` to ``W - 0.5``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.lens_models import check_lens

# A ray counts as found when it projects back to within this distance of its pixel. Beyond a lens's
# valid field the distortion polynomials fold over and OpenCV's iteration ends anywhere.
_MAX_REPROJECTION_ERROR_PX = 0.1


@dataclass(frozen=True)
class CameraModel:
    """A calibrated camera at one image size.

    :raises ValueError: where a value cannot belong to a calibrated camera.
    """

    #: Image width [pixels].
    width: int
    #: Image height [pixels].
    height: int
    #: Horizontal focal length [pixels].
    fx: float
    #: Vertical focal length [pixels].
    fy: float
    #: Column of the principal point [pixels].
    cx: float
    #: Row of the principal point [pixels].
    cy: float
    #: ``''`` (none), ``plumb_bob``, ``rational_polynomial`` or ``equidistant``.
    distortion_model: str = ''
    #: Distortion coefficients in the order of ``CameraInfo.d``.
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(
                f'got an image of {self.width} x {self.height} pixels, expected at least 1 x 1'
            )
        if not (_is_positive(self.fx) and _is_positive(self.fy)):
            raise ValueError(
                f'got focal lengths fx={self.fx}, fy={self.fy}, expected positive pixels; '
                'calibrate the camera (all-zero K means uncalibrated)'
            )
        if not (math.isfinite(self.cx) and math.isfinite(self.cy)):
            raise ValueError(
                f'got a principal point cx={self.cx}, cy={self.cy}, expected finite pixels'
            )
        check_lens(self.distortion_model, self.distortion)

    @classmethod
    def from_fov(cls, width: int, height: int, hfov_deg: float) -> CameraModel:
        """Return an ideal pinhole camera with square pixels and a centred principal point.

        :param hfov_deg: horizontal field of view between the outer pixel edges [degrees].
        :raises ValueError: for a field of view outside (0, 180).
        """
        if not 0.0 < hfov_deg < 180.0:
            raise ValueError(
                f'got a horizontal field of view of {hfov_deg} degrees, expected 0 < fov < 180'
            )
        focal_px = 0.5 * width / math.tan(math.radians(hfov_deg) / 2)
        return cls(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)

    @classmethod
    def from_longer_side(cls, width: int, height: int, fov_deg: float) -> CameraModel:
        """Return the same for the field of view that a lens has, however the camera is held.

        :param fov_deg: field of view along the longer side, from edge to edge [degrees].
        :raises ValueError: for a field of view outside (0, 180).
        """
        focal_px = cls.from_fov(max(width, height), min(width, height), fov_deg).focal_px
        return cls(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)

    @property
    def focal_px(self) -> float:
        """The one focal length that metric scale needs: the geometric mean [pixels]."""
        return math.sqrt(self.fx * self.fy)

    @property
    def hfov_deg(self) -> float:
        """Horizontal field of view of the pinhole part [degrees]."""
        return math.degrees(2 * math.atan(0.5 * self.width / self.fx))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The intrinsic matrix K, ``[3, 3]``."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @property
    def is_pinhole(self) -> bool:
        """Whether the lens distorts nothing."""
        return self.distortion_model != 'equidistant' and not any(self.distortion)

    @property
    def pinhole(self) -> CameraModel:
        """The same camera without its lens's distortion."""
        return replace(self, distortion_model='', distortion=())

    def resized(self, width: int, height: int) -> CameraModel:
        """Return the camera of the same picture resampled to another size.

        The picture's outer edges stay where they are (as in ``cv2.resize`` and
        ``align_corners=False``), so ``cx' = (cx + 0.5) s - 0.5``. Distortion acts on normalised
        coordinates and does not change.
        """
        scale_x, scale_y = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * scale_x,
            fy=self.fy * scale_y,
            cx=(self.cx + 0.5) * scale_x - 0.5,
            cy=(self.cy + 0.5) * scale_y - 0.5,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> CameraModel:
        """Return the camera of a window of the image."""
        return replace(self, width=width, height=height, cx=self.cx - left, cy=self.cy - top)

    @cached_property
    def rays(self) -> NDArray[np.float32]:
        """The viewing ray of every pixel as ``(x/z, y/z)``, float32 ``[H, W, 2]``.

        NaN where the lens model has no inverse. Computed once per camera. In memory, x/z and
        y/z are two planes, one after the other, so that either is one stretch to compute with.
        """
        u, v = np.arange(self.width, dtype=np.float64), np.arange(self.height, dtype=np.float64)
        rays = np.moveaxis(np.empty((2, self.height, self.width), np.float32), 0, -1)
        if self.is_pinhole:
            rays[..., 0] = (u - self.cx) / self.fx
            rays[..., 1] = ((v - self.cy) / self.fy)[:, None]
        else:
            pixels = np.stack(np.meshgrid(u, v), axis=-1)  # [H, W, 2]
            rays[:] = self._undistort(pixels.reshape(-1, 1, 2)).reshape(pixels.shape)
        return rays

    def is_in_field(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Say which points ``[N, 3]`` are before the camera and in the field of its lens, ``[N]``.

        For others, :meth:`project` may give a pixel at which the camera never sees them.
        """
        x, y, z = np.asarray(points).T
        is_before = z > 0
        return is_before & (np.hypot(x, y) < self._field_radius * np.where(is_before, z, 1.0))

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the pixels ``[N, 2]`` of points ``[N, 3]`` in the optical frame [m]."""
        points = np.asarray(points, np.float64).reshape(-1, 1, 3)
        zero, distortion = np.zeros(3), self._coefficients
        if self.distortion_model == 'equidistant':
            pixels, _ = cv2.fisheye.projectPoints(points, zero, zero, self.matrix, distortion)
        else:
            pixels, _ = cv2.projectPoints(points, zero, zero, self.matrix, distortion)
        return pixels.reshape(-1, 2)

    @property
    def _coefficients(self) -> NDArray[np.float64]:
        """The coefficients as OpenCV takes them: never none."""
        return np.array(self.distortion or (0.0,) * 4)

    def _undistort(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Invert the lens model for ``[N, 1, 2]`` pixels, NaN where that fails."""
        distortion = self._coefficients
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)
        if self.distortion_model == 'equidistant':
            rays = cv2.fisheye.undistortPoints(pixels, self.matrix, distortion)
        elif hasattr(cv2, 'undistortPointsIter'):  # OpenCV 4
            rays = cv2.undistortPointsIter(pixels, self.matrix, distortion, None, None, criteria)
        else:
            rays = cv2.undistortPoints(
                pixels, self.matrix, distortion, R=None, P=None, criteria=criteria
            )
        flat = np.asarray(rays, np.float64).reshape(-1, 2)
        with np.errstate(invalid='ignore', over='ignore'):
            projected = self.project(np.column_stack([flat, np.ones(len(flat))]))
            error = np.linalg.norm(projected - pixels.reshape(-1, 2), axis=-1)
        found = error < _MAX_REPROJECTION_ERROR_PX
        found &= np.linalg.norm(flat, axis=-1) < self._field_radius
        flat[~found] = np.nan
        return flat

    @cached_property
    def _field_radius(self) -> float:
        """The ray length where the lens model first folds over, infinity if nowhere.

        Rays beyond it may project onto their pixel and still not be where the light came from.
        """
        radii = np.tan(np.linspace(0.0, 1.57, 2001))
        columns = self.project(np.column_stack([radii, 0 * radii, 1 + 0 * radii]))[:, 0]
        folds = np.flatnonzero(~(np.diff(columns) > 0))
        return float(radii[folds[0]]) if len(folds) else math.inf


def back_project(
    depth: NDArray[np.float32],
    rays: NDArray[np.float32],
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the points of a depth image in the optical frame.

    :param depth: metres along Z, ``[H, W]``; NaN and infinities carry over to the point.
    :param rays: :attr:`CameraModel.rays` of the same size, ``[H, W, 2]``.
    :param out: float32 array whose last axis has at least 3 entries, to fill in place.
    :returns: ``[H, W, 3]`` (or ``out``) x right, y down, z forward [m].
    :raises ValueError: if the sizes differ.
    """
    if depth.shape != rays.shape[:2]:
        raise ValueError(
            f'got depth of shape {depth.shape} and rays of shape {rays.shape}, expected the same '
            'height and width; resize the camera with CameraModel.resized()'
        )
    points = np.empty((*depth.shape, 3), np.float32) if out is None else out
    with np.errstate(invalid='ignore'):  # 0 * inf on the optical axis is NaN, as it should be
        np.multiply(rays[..., 0], depth, out=points[..., 0])
        np.multiply(rays[..., 1], depth, out=points[..., 1])
    points[..., 2] = depth
    return points


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
