"""How steady depth is from frame to frame, and how smooth within one, as pure arrays.

Both measures compare a prediction with what the truth says should stay the same, so they see what
the mean error hides: flicker of a video, and blocks or ripples on surfaces that are smooth. Read
them beside an error such as Abs Rel: a model that always answers the same depth hardly flickers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel, back_project

#: Largest relative difference of two true depths that still are the same place.
SAME_PLACE = 0.02
#: Difference of true log depth between neighbouring pixels that makes an edge: 10.5 % of depth.
EDGE_LOG_STEP = 0.1
#: How far around an edge pixel still counts as at the edge [pixels].
EDGE_MARGIN_PX = 2

# Landing places are rounded to this many decimals of a pixel: float32 rays carry noise of that
# order, and a place on a pixel's centre should need that pixel only, not its neighbours.
_DECIMALS = 3


@dataclass(frozen=True)
class View:
    """One frame of a video: what was predicted, and what is true."""

    #: Predicted metres along Z, ``[H, W]``, finite and positive.
    predicted: NDArray[np.floating]
    #: True metres along Z, ``[H, W]``; 0, NaN and infinity mean no truth.
    true: NDArray[np.floating]
    #: The camera's place in the world [m], ``[3]``.
    position: NDArray[np.floating]
    #: The optical axes (x right, y down, z forward) as columns in the world, ``[3, 3]``.
    rotation: NDArray[np.floating]


@dataclass(frozen=True)
class TemporalDisagreement:
    """How far two predictions of the same places are apart."""

    #: Mean of ``|moved - predicted| / predicted`` over the co-visible pixels.
    mean: float
    #: Co-visible pixels as a fraction of all pixels of the first frame.
    covisible_fraction: float
    #: The disagreement of each pixel of the first frame, float32 ``[H, W]``, NaN elsewhere.
    error_map: NDArray[np.float32]


@dataclass(frozen=True)
class SpatialContinuity:
    """Mean absolute error of the log-depth difference between neighbouring pixels.

    None where the image has no such pixels: a bare wall has no edge.
    """

    #: On the truth's continuous surfaces.
    away: float | None
    #: Within :data:`EDGE_MARGIN_PX` of the truth's edges.
    at_edges: float | None


def temporal_disagreement(now: View, following: View, camera: CameraModel) -> TemporalDisagreement:
    """Tell how far the prediction of one frame contradicts that of another.

    The truth says where each pixel goes: its true point moves with the true motion and projects
    into the following frame. It is co-visible if it lands inside that image and the true depth
    there is within 2 % (:data:`SAME_PLACE`) of the moved one; otherwise something hides it. The
    *predicted* point on the same ray makes the same motion, and its new z is compared with the
    prediction where the true point landed. A constant scale error therefore shows only as far as
    the camera moves along its axis; a scale that flickers from 1 to s shows as ``|1 - s| / s``.

    Depth between pixel centres is interpolated bilinearly as 1 / z, which is affine in the image
    of any plane: a perfect prediction disagrees by nothing on floors and walls, where the nearest
    pixel would be off by up to half a pixel's slope. Places whose surrounding pixels lie across an
    edge (true log depths more than :data:`EDGE_LOG_STEP` apart) are left out: depths from both
    sides of an edge have no meaningful mean.

    :param now: the frame whose pixels are followed.
    :param following: the frame they are found in.
    :param camera: the camera of both, of the images' size.
    :raises ValueError: if a size or a prediction is impossible, or no pixel is co-visible.
    """
    for view in (now, following):
        _check(view.predicted, view.true, (camera.height, camera.width))
    turn = following.rotation.T @ now.rotation
    shift = following.rotation.T @ (now.position - following.position)

    followed = np.flatnonzero(_is_known(now.true) & np.isfinite(camera.rays).all(axis=-1))
    true_points = _points(now.true, camera, followed) @ turn.T + shift  # [N, 3]
    is_ahead = true_points[:, 2] > 0
    followed, true_points = followed[is_ahead], true_points[is_ahead]
    pixels = camera.project(true_points) if len(followed) else np.empty((0, 2))
    cells, weights, inside = _cells(pixels, camera)  # [4, N], [4, N], [N]
    true_found, is_smooth = _interpolate(following.true, cells, weights)
    with np.errstate(invalid='ignore'):
        is_same = np.abs(true_found - true_points[:, 2]) <= SAME_PLACE * true_points[:, 2]
    covisible = inside & is_smooth & is_same
    if not covisible.any():
        raise ValueError(
            'got no pixel that both frames see, expected at least one; check the poses (optical '
            'axes as columns) and the unit of the true depth, or take frames closer in time'
        )

    followed = followed[covisible]
    moved = (_points(now.predicted, camera, followed) @ turn.T + shift)[:, 2]
    predicted, _ = _interpolate(following.predicted, cells[:, covisible], weights[:, covisible])
    error = np.abs(moved - predicted) / predicted
    error_map = np.full(now.true.shape, np.nan, np.float32)
    error_map.ravel()[followed] = error
    return TemporalDisagreement(float(error.mean()), len(followed) / error_map.size, error_map)


def spatial_continuity(
    predicted: NDArray[np.floating], true: NDArray[np.floating]
) -> SpatialContinuity:
    """Compare the steps of log depth from pixel to pixel, horizontal and vertical, with the truth.

    ``|d ln p - d ln g|`` does not depend on the scale of the prediction. Its mean is taken apart
    for pairs of neighbours away from the truth's edges, where blocks, ripples and noise show, and
    for pairs at them, where blur shows. An edge is where true log depth steps by more than 0.1
    (10.5 % of depth), or from a finite depth to infinity; a pair is at the edge if one of its
    pixels lies within 2 pixels (a 5 x 5 square) of a pixel that has such a step. Steps into
    unknown depth (0, NaN, infinity) never count. The steps are per pixel, so only figures of the
    same image size compare.

    :param predicted: metres along Z, ``[H, W]``, finite and positive.
    :param true: metres along Z, ``[H, W]``; 0, NaN and infinity mean no truth, infinity also what
        lies behind everything else, such as the sky.
    :raises ValueError: if shapes differ, a prediction is impossible, or no two neighbours have
        true depth.
    """
    _check(predicted, true, true.shape)
    log_predicted = np.log(predicted.astype(np.float64))
    with np.errstate(invalid='ignore', divide='ignore'):
        log_true = np.log(np.where(true > 0, true, np.nan).astype(np.float64))
        steps = [np.diff(log_true, axis=axis) for axis in (0, 1)]  # [H - 1, W], [H, W - 1]
    square = np.ones((2 * EDGE_MARGIN_PX + 1,) * 2, np.uint8)
    at_edge = cv2.dilate(_has_step(*steps).astype(np.uint8), square).astype(bool)

    errors: dict[bool, list[NDArray[np.float64]]] = {False: [], True: []}
    for axis, step in enumerate(steps):
        first, second = _neighbours(at_edge, axis)
        known = np.isfinite(step)
        error = np.abs(np.diff(log_predicted, axis=axis)[known] - step[known])
        pair_is_at_edge = (first | second)[known]
        for side, found in errors.items():
            found.append(error[pair_is_at_edge == side])
    away, at_edges = (np.concatenate(errors[side]) for side in (False, True))
    if not len(away) + len(at_edges):
        raise ValueError(
            'got no two neighbouring pixels with true depth, expected at least one pair; '
            'sparse depth (lidar) has no gradients to compare with'
        )
    return SpatialContinuity(_mean(away), _mean(at_edges))


def _check(
    predicted: NDArray[np.floating], true: NDArray[np.floating], size: tuple[int, ...]
) -> None:
    if not predicted.shape == true.shape == size:
        raise ValueError(
            f'got a prediction of shape {predicted.shape} and a truth of shape {true.shape}, '
            f'expected {size} for both; resize the prediction first'
        )
    impossible = int(np.count_nonzero(~_is_known(predicted)))
    if impossible:
        raise ValueError(
            f'got {impossible} pixels of predicted depth that are not finite and positive, '
            'expected none; these measures leave no prediction out'
        )


def _is_known(depth: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.isfinite(depth) & (depth > 0)


def _points(
    depth: NDArray[np.floating], camera: CameraModel, indices: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the points of some pixels in the camera's own frame [m], ``[N, 3]``."""
    points = back_project(depth.astype(np.float32), camera.rays)
    return points.reshape(-1, 3)[indices].astype(np.float64)


def _cells(
    pixels: NDArray[np.float64], camera: CameraModel
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the pixels around each place and their bilinear weights, and which are inside.

    A place on a pixel's centre has that pixel four times.

    :param pixels: column and row, ``[N, 2]``.
    :returns: flat indices ``[4, N]``, weights ``[4, N]``, and ``[N]``.
    """
    last = np.array([camera.width - 1, camera.height - 1])
    places = np.round(pixels, _DECIMALS)
    inside: NDArray[np.bool_] = np.all((places >= 0) & (places <= last), axis=1)
    u, v = np.where(inside[:, None], places, 0.0).T
    left, right, top, bottom = (
        side.astype(np.intp) for side in (np.floor(u), np.ceil(u), np.floor(v), np.ceil(v))
    )
    x, y = u - left, v - top
    rows = np.stack([top, top, bottom, bottom])
    columns = np.stack([left, right, left, right])
    weights = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y])
    return rows * camera.width + columns, weights, inside


def _interpolate(
    depth: NDArray[np.floating], cells: NDArray[np.intp], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return depth [m] at places between pixels, and whether no edge runs between those."""
    values = depth.astype(np.float64).ravel()[cells]  # [4, N]
    nearest, farthest = values.min(axis=0), values.max(axis=0)
    with np.errstate(invalid='ignore', divide='ignore'):
        is_smooth = _is_known(nearest) & np.isfinite(farthest)
        is_smooth &= farthest <= math.exp(EDGE_LOG_STEP) * nearest
        return 1 / (weights / values).sum(axis=0), is_smooth


def _has_step(down: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the pixels ``[H, W]`` on either side of a step of true log depth."""
    found = np.zeros((across.shape[0], down.shape[1]), bool)
    for axis, step in enumerate((down, across)):
        for side in _neighbours(found, axis):
            side |= np.abs(step) > EDGE_LOG_STEP  # NaN, unknown depth, is no step
    return found


def _neighbours(
    image: NDArray[np.bool_], axis: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return views of the first and the second pixel of all pairs along an axis."""
    return (image[:-1], image[1:]) if axis == 0 else (image[:, :-1], image[:, 1:])


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
