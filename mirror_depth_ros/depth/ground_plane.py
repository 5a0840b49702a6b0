"""Where the ground is in a depth image, and the true scale that follows from the camera's height.

The depth of a network may be off by a factor. A robot knows how high its camera stands above the
ground; the same height measured in the depth image gives the factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel, back_project

#: Largest angle between the ground's normal and the camera's -y axis [degrees]: how far a camera
#: looks up or down and rolls on its robot, and the slope of the ground.
MAX_TILT_DEG = 30.0
#: How high above or below the plane a point of the ground may lie, as a share of the camera's
#: height. A point whose depth is off by 3 % is off the plane by 3 % of the camera's height,
#: wherever on the ground it is.
TOLERANCE = 0.03
#: Smallest share of the pixels with depth that must be ground. A plane laid level through a wall
#: meets the wall in a strip that is no more than about the tolerance of it.
MIN_INLIER_SHARE = 0.1

_MIN_POINTS = 100
# Pixels looked at, on a grid over the image; hypotheses, and the points that each is judged by.
# Three points of a ground that fills a tenth of the image are drawn once in 1000 times.
_POINTS, _HYPOTHESES, _JUDGES = 8000, 8000, 500
# Several hypotheses are refined, since the very best may be so by the luck of its judges.
_FINALISTS, _REFINEMENTS = 10, 10
# Points this far below a plane, as a share of the camera's height above it, say it is a table. At
# less than that, noise would do so.
_WELL_BELOW = 0.25


@dataclass(frozen=True)
class GroundPlane:
    """The plane of all points p with ``normal . p + distance = 0``, in the optical frame."""

    #: Unit vector from the ground up to the camera, ``[3]``; (0, -1, 0) under a level camera.
    normal: NDArray[np.float64]
    #: Height of the camera above the plane, in the depth's own scale.
    distance: float
    #: Share of the pixels with depth that lie on the plane.
    inlier_share: float
    #: Root mean square of their distances from the plane, in the depth's own scale.
    rms: float

    @property
    def tilt_deg(self) -> float:
        """Angle between the normal and the camera's -y axis [degrees]."""
        return float(_tilt_deg(self.normal))


def fit_ground_plane(
    depth: NDArray[np.floating],
    camera: CameraModel,
    *,
    max_tilt_deg: float = MAX_TILT_DEG,
    tolerance: float = TOLERANCE,
    min_inlier_share: float = MIN_INLIER_SHARE,
    seed: int = 0,
) -> GroundPlane:
    """Find the plane of the ground.

    RANSAC (Fischler and Bolles, 1981) over planes through three points, of which only those count
    that are as level as the camera may be tilted; then, for the best of them, least squares over
    the points on it, as long as that helps (LO-RANSAC; Chum, Matas and Kittler, 2003). A plane is
    the better the more points lie on it and the closer they do (MSAC; Torr and Zisserman, 2000);
    each point well below it speaks against it, for below a table there is a floor, and below the
    floor nothing. A table that hides the floor altogether is taken for it.

    With ``m = normal / distance`` the plane is ``m . p = -1``, and ``1 + m . p`` is the height of
    a point above it as a share of the camera's, or what the point's depth is short of the plane's
    as a share of that. The squares are of this, so the result does not depend on the depth's
    scale, and far points, whose errors are large in metres, count no more than near ones.

    :param depth: along Z in any scale, ``[H, W]``; what is not finite and positive has no depth.
    :param camera: the camera of that size.
    :param max_tilt_deg: largest angle between the normal and the camera's -y axis [degrees].
    :param tolerance: largest height of a ground point above or below, as a share of the camera's.
    :param min_inlier_share: smallest share of the pixels with depth that must be ground.
    :param seed: of the draws; the same seed gives the same plane.
    :raises ValueError: if the sizes differ, too few pixels have depth, their points make no plane,
        the plane they make is too tilted, or too few of them lie on it; for an impossible tilt
        or tolerance.
    """
    if not 0 < max_tilt_deg < 90:
        raise ValueError(
            f'got max_tilt_deg {max_tilt_deg}, expected 0 < max_tilt_deg < 90: beyond are walls'
        )
    if not 0 < tolerance < 1:
        raise ValueError(
            f'got tolerance {tolerance}, expected a share of the height of the camera such as '
            f'{TOLERANCE}'
        )
    points = _some_points(depth, camera)
    rng = np.random.default_rng(seed)
    planes = _planes_through_three(points, rng)
    if not len(planes):
        raise ValueError(
            'got points that span no plane beside the camera, expected those of an area; give a '
            'whole depth image'
        )
    judges = rng.choice(points, min(_JUDGES, len(points)), replace=False)
    ground = _best_plane(planes, points, judges, tolerance, max_tilt_deg)
    share = ground.inlier_share if ground else 0.0
    if ground and share >= min_inlier_share:
        return ground
    other = _best_plane(planes, points, judges, tolerance, max_tilt_deg=180.0)
    if other and other.inlier_share >= min_inlier_share and other.tilt_deg > max_tilt_deg:
        raise ValueError(
            f'got a plane tilted by {other.tilt_deg:.0f} degrees, expected the ground within '
            f'{max_tilt_deg:g} degrees of level; see that the ground is in view, or raise '
            'max_tilt_deg'
        )
    raise ValueError(
        f'got {100 * share:.1f} % of the pixels on the best level plane, expected at least '
        f'{100 * min_inlier_share:g} %; see that the ground is in view, or lower min_inlier_share'
    )


def scale_from_ground(
    depth: NDArray[np.floating],
    camera: CameraModel,
    camera_height: float,
    *,
    max_tilt_deg: float = MAX_TILT_DEG,
    seed: int = 0,
) -> float:
    """Return what depth must be multiplied by for the camera to be at its height.

    :param depth: along Z in any scale, ``[H, W]``; see :func:`fit_ground_plane`.
    :param camera: the camera of that size.
    :param camera_height: true height of the camera above the ground [m].
    :raises ValueError: for an impossible height, and where :func:`fit_ground_plane` does.
    """
    if not (math.isfinite(camera_height) and camera_height > 0):
        raise ValueError(
            f'got camera_height {camera_height} m, expected a finite positive height; measure '
            'from the ground to the lens'
        )
    plane = fit_ground_plane(depth, camera, max_tilt_deg=max_tilt_deg, seed=seed)
    return camera_height / plane.distance


def _some_points(depth: NDArray[np.floating], camera: CameraModel) -> NDArray[np.float64]:
    """Return points of a grid of pixels, those with depth, ``[N, 3]``."""
    if depth.shape != (camera.height, camera.width):
        raise ValueError(
            f'got depth of shape {depth.shape}, expected {(camera.height, camera.width)} as the '
            'camera has it; resize the camera with CameraModel.resized()'
        )
    step = max(1, math.ceil(math.sqrt(depth.size / _POINTS)))
    grid = np.s_[step // 2 :: step, step // 2 :: step]
    points = back_project(depth[grid].astype(np.float32), camera.rays[grid]).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1) & (points[:, 2] > 0)]
    if len(points) < _MIN_POINTS:
        raise ValueError(
            f'got {len(points)} of the pixels looked at with depth, expected at least '
            f'{_MIN_POINTS}; check the depth image'
        )
    return points.astype(np.float64)


def _planes_through_three(
    points: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return planes ``m`` with ``m . p = -1``, ``[K, 3]``, each through three points drawn."""
    first, second, third = points[rng.integers(0, len(points), (3, _HYPOTHESES))]
    normals = np.cross(second - first, third - first)
    with np.errstate(divide='ignore', invalid='ignore'):
        planes = -normals / np.einsum('ij,ij->i', normals, first)[:, None]
    # Not of three points on one line, nor of planes through the camera, whose distance is 0.
    return planes[np.isfinite(planes).all(axis=1)]


def _tilt_deg(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles between normals, of any length, ``[..., 3]`` and -y [degrees]."""
    cosine = -planes[..., 1] / np.linalg.norm(planes, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _heights(planes: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points' heights above planes ``[..., 3]``, the camera's being 1, ``[..., N]``."""
    return 1 + planes @ points.T


def _scores(
    planes: NDArray[np.float64], points: NDArray[np.float64], tolerance: float
) -> NDArray[np.float64]:
    heights = _heights(planes, points)
    on_it = np.maximum(0.0, 1 - np.square(heights / tolerance)).sum(axis=-1)
    return on_it - np.count_nonzero(heights < -_WELL_BELOW, axis=-1)


def _best(
    planes: NDArray[np.float64], points: NDArray[np.float64], tolerance: float
) -> NDArray[np.float64]:
    """Return the planes with the highest scores, the best first, ``[up to 10, 3]``."""
    order = np.argsort(-_scores(planes, points, tolerance), kind='stable')
    return planes[order[:_FINALISTS]]


def _best_plane(
    planes: NDArray[np.float64],
    points: NDArray[np.float64],
    judges: NDArray[np.float64],
    tolerance: float,
    max_tilt_deg: float,
) -> GroundPlane | None:
    """Return the best of the planes that are level enough; None where none is."""
    level = planes[_tilt_deg(planes) <= max_tilt_deg]
    finalists = [
        _refined(plane, points, tolerance, max_tilt_deg)
        for plane in _best(level, judges, tolerance)
    ]
    if not finalists:
        return None
    plane = _best(np.array(finalists), points, tolerance)[0]
    distance = 1 / float(np.linalg.norm(plane))
    heights = _heights(plane, points)
    is_inlier = np.abs(heights) <= tolerance
    return GroundPlane(
        normal=plane * distance,
        distance=distance,
        inlier_share=float(is_inlier.mean()),
        rms=distance * math.sqrt(np.square(heights[is_inlier]).mean()),
    )


def _refined(
    plane: NDArray[np.float64],
    points: NDArray[np.float64],
    tolerance: float,
    max_tilt_deg: float,
) -> NDArray[np.float64]:
    """Return the least-squares plane of the points on a plane, as long as that scores higher."""
    score = _scores(plane, points, tolerance)
    for _ in range(_REFINEMENTS):
        on_it = points[np.abs(_heights(plane, points)) <= tolerance]
        fitted = np.linalg.lstsq(on_it, np.full(len(on_it), -1.0), rcond=None)[0]
        fitted_score = _scores(fitted, points, tolerance)
        # A wall beside a strip of floor would pull the plane up along it.
        if fitted_score <= score or _tilt_deg(fitted) > max_tilt_deg:
            break
        plane, score = fitted, fitted_score
    return plane
