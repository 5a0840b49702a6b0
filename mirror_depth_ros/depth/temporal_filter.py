"""Steady depth: what the last images showed is moved by the camera's motion and fused.

A network sees each image alone, so the depth of a place flickers from one image to the next. The
filter keeps the last fused depth and the camera's pose. Of every new image it

1. *moves* the last depth: the point of each new pixel is projected into the last view (projective
   data association, Newcombe et al., *KinectFusion*, ISMAR 2011), and the surface that was seen
   there moves to the new view. Unlike a warp forward this leaves no holes and needs no z-buffer:
   what was hidden before meets the nearer surface that hid it, and disagrees with it;
2. *compares* both in log depth, ``r = ln(moved / new)``, and parts that in a common scale,
   ``c = median(r)``, and the rest of each pixel, ``r - c``;
3. *fuses* by weighted running averages (Curless and Levoy, SIGGRAPH 1996). The weight ``w`` of a
   pixel's history is the sum of the confidences that went into it, at most :data:`MAX_WEIGHT`,
   which makes an exponential average of it. With the confidence ``q`` of the new depth, ::

       ln fused = ln new  +  c W / (W + Q)  +  (r - c) a w / (a w + q)

   where ``W`` and ``Q`` are the means of ``w`` and ``q``. The agreement ``a`` is the product of
   Tukey's biweight, ``(1 - (x / limit)^2)^2`` and 0 beyond the limit, of ``r - c`` and of the
   change of grey level. What disagrees in depth or picture, as where something moved or no longer
   hides what is behind it, is taken as it is new, but for the common scale, and begins anew.

This is computed on a grid of :data:`GRID_SIZE` pixels. Only the factor ``fused / new`` is enlarged
to the image: edges stay where the new depth has them, and what is finer than the grid, such as a
model's ripples, stays as well. Nothing ever waits: the new depth is always at hand.

Without a pose nothing tells where the pixels of a moving picture went, and its depth stays as it
is. While the picture stands still, the common scale alone is smoothed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel, back_project

#: How far from the common scale log depth agrees at all: 0.6 is a factor of 1.8. Half of it counts
#: by 0.56. With 0.2, 1.2 to 1.5 times as much flicker was left.
TOLERANCE = 0.6
#: The same for grey levels, of 256, after the median change of all: exposure is no motion.
GREY_TOLERANCE = 60.0
#: The most that history counts, in images of full confidence: a new one counts by 1/4 at least.
MAX_WEIGHT = 3.0
#: The longer side of the grid [pixels].
GRID_SIZE = 80
#: Older history is forgotten [s].
MAX_GAP_S = 1.0

# Below this mean agreement of the pixels seen before, or this share of pixels that look the same,
# it is another scene, or not where the pose says. In videos with true poses, it was 0.60 and more.
_MIN_AGREEMENT, _MIN_SAME = 0.5, 0.1
# Rounding must not take a camera that stands still out of its own picture [pixels].
_ROUNDING_PX = 0.01
# Of one image, so that one of little confidence all over still counts by 1/13.
_MIN_CONFIDENCE = 0.25
# A picture stands still if fewer than this share of the grid change by more than so many grey
# levels. In a recording of a robot that stood, none did; in recordings and rendered videos of
# cameras that moved, 0.10 and more did.
_STILL_LEVELS, _STILL_SHARE = 8.0, 0.05


@dataclass(frozen=True)
class _View:
    """What is known of one image, on the grid."""

    camera: CameraModel
    stamp_s: float
    #: Camera to world, ``[4, 4]``, where it is known.
    pose: NDArray[np.float64] | None
    #: Along Z, ``[h, w]``, NaN where it is not known.
    depth: NDArray[np.float32]
    #: Confidence that went into it, ``[h, w]``.
    weight: NDArray[np.float32]
    #: Grey levels, ``[h, w]``.
    grey: NDArray[np.float32]


class TemporalFilter:
    """Fuses the depth of one camera's successive images."""

    def __init__(self) -> None:
        self._last: _View | None = None
        self._camera: CameraModel | None = None
        self._grid_camera: CameraModel | None = None

    def update(
        self,
        depth: NDArray[np.float32],
        rgb: NDArray[np.uint8],
        *,
        camera: CameraModel,
        stamp_s: float,
        pose: NDArray[np.floating] | None = None,
        confidence: NDArray[np.floating] | None = None,
        scale: float = 1.0,
    ) -> NDArray[np.float32]:
        """Return the depth of an image, steadied by what the images before it showed.

        The first image comes back as it is, and so does one after a jump back in time or a gap
        of more than :data:`MAX_GAP_S`, of another camera or size, or of another scene.

        :param depth: along Z, ``[H, W]``; what is not finite stays as it is.
        :param rgb: the image, uint8 ``[H, W, 3]``.
        :param camera: the camera, of the image's size.
        :param stamp_s: when the image was taken [s].
        :param pose: camera to a fixed world at that time, ``[4, 4]``, of the optical frame (x
            right, y down, z forward) [m]; None where it is not known.
        :param confidence: of the depth, 0 to 1, ``[H, W]``; None: 1 everywhere.
        :param scale: metres per unit of ``depth``, of a model whose scale is not yet applied.
        :returns: as ``depth``; it may be the same array.
        :raises ValueError: if shapes differ, or the pose is not finite ``[4, 4]``.
        """
        _check(camera, pose, depth=depth, rgb=rgb, confidence=confidence)
        new = self._view(depth, rgb, camera, stamp_s, pose, confidence)
        last, self._last = self._last, new
        if last is None or not 0 <= stamp_s - last.stamp_s <= MAX_GAP_S:
            return depth
        if new.pose is not None and last.pose is not None:
            to_last = np.linalg.inv(last.pose) @ new.pose
            fusion = _fuse(new, _move(last, new, to_last[:3, :3], to_last[:3, 3] / scale))
        elif _stands_still(last, new):
            if last.pose is not None:
                # It still holds, and so does the picture that a slow motion will differ from.
                new = replace(new, pose=last.pose, grey=last.grey)
            fusion = _fuse(new, last, is_local=False)
        else:
            if last.pose is not None:
                self._last = last  # until a pose comes, or it is too old
            return depth
        if fusion is None:
            return depth
        factor, self._last = fusion
        return depth * cv2.resize(factor, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    def _view(
        self,
        depth: NDArray[np.float32],
        rgb: NDArray[np.uint8],
        camera: CameraModel,
        stamp_s: float,
        pose: NDArray[np.floating] | None,
        confidence: NDArray[np.floating] | None,
    ) -> _View:
        """Return an image on the grid of its camera; of a new camera, forget the last one."""
        if self._grid_camera is None or camera != self._camera:
            share = min(1.0, GRID_SIZE / max(camera.width, camera.height))
            size = [max(1, round(share * side)) for side in (camera.width, camera.height)]
            self._camera, self._grid_camera, self._last = camera, camera.resized(*size), None
        grid = self._grid_camera
        small = _shrink(depth, grid)
        is_known = np.isfinite(small) & (small > 0)
        if confidence is None:
            weight = np.ones_like(small)
        else:  # NaN is none
            weight = np.fmax(_shrink(confidence.astype(np.float32), grid), _MIN_CONFIDENCE)
        return _View(
            camera=grid,
            stamp_s=stamp_s,
            pose=None if pose is None else np.asarray(pose, np.float64),
            depth=np.where(is_known, small, np.float32(np.nan)),
            weight=weight,
            grey=_shrink(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), grid).astype(np.float32),
        )


def _check(camera: CameraModel, pose: NDArray | None, **images: NDArray | None) -> None:
    size = (camera.height, camera.width)
    for name, image in images.items():
        if image is not None and image.shape[:2] != size:
            raise ValueError(
                f'got {name} of shape {image.shape} and a camera of {size}, expected the same '
                'height and width; resize the camera with CameraModel.resized()'
            )
    if pose is not None and not (np.shape(pose) == (4, 4) and np.isfinite(pose).all()):
        raise ValueError(
            f'got the pose {pose}, expected finite [4, 4]; leave it out where it is not known'
        )


def _shrink(image: NDArray, grid: CameraModel) -> NDArray:
    return cv2.resize(image, (grid.width, grid.height), interpolation=cv2.INTER_AREA)


def _stands_still(last: _View, new: _View) -> bool:
    change = new.grey - last.grey
    moved = np.abs(change - np.median(change)) > _STILL_LEVELS
    return bool(moved.mean() < _STILL_SHARE)


def _move(last: _View, new: _View, turn: NDArray[np.float64], shift: NDArray[np.float64]) -> _View:
    """Return what the last view saw where the new one looks, as the new one should see it.

    :param turn: of points from the new camera to the last, ``[3, 3]``.
    :param shift: the same, in the unit of depth, ``[3]``.
    """
    camera = new.camera
    points = back_project(new.depth, camera.rays).reshape(-1, 3) @ turn.T + shift
    points[~(points[:, 2] > 0)] = np.nan  # behind the last view
    pixels = camera.project(points).astype(np.float32)
    corner = np.array([camera.width - 1, camera.height - 1])
    outside = ~(np.abs(pixels - corner / 2) <= corner / 2 + _ROUNDING_PX).all(axis=1)
    points[outside], pixels[outside] = np.nan, 0
    u, v = np.ascontiguousarray(pixels.T).reshape(2, *new.depth.shape)

    def find(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.remap(image, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    # Inverse depth is affine in the image of a plane, and may be interpolated.
    inverse = find(np.reciprocal(last.depth)).ravel()
    surface = points / (points[:, 2] * inverse)[:, None]  # on the same ray of the last view
    moved = (surface - shift) @ turn[:, 2]
    moved[~(moved > 0)] = np.nan
    depth = moved.reshape(new.depth.shape).astype(np.float32)
    return replace(new, depth=depth, weight=find(last.weight), grey=find(last.grey))


def _fuse(
    new: _View, before: _View, *, is_local: bool = True
) -> tuple[NDArray[np.float32], _View] | None:
    """Return the factor ``[h, w]`` from new to fused depth, and the fused view.

    :param before: in the new view.
    :param is_local: whether more than the common scale is fused.
    :returns: None where the two are not of the same scene.
    """
    ratio = np.log(before.depth / new.depth)
    known = np.isfinite(ratio)
    if not known.any():
        return None
    change = before.grey - new.grey
    agreement = known * _biweight(change - np.median(change[known]), GREY_TOLERANCE)
    looks_same = agreement > 0.5
    if looks_same.mean() < _MIN_SAME:
        return None
    common = np.median(ratio[looks_same])
    rest = np.where(known, ratio - common, 0.0)
    agreement *= _biweight(rest, TOLERANCE)
    if agreement.sum() < _MIN_AGREEMENT * known.sum():
        return None
    mean_weight = before.weight[looks_same].mean()
    correction = np.full_like(rest, common * mean_weight / (mean_weight + new.weight.mean()))
    kept = agreement * before.weight
    if is_local:
        correction += rest * kept / (kept + new.weight)
    factor = np.exp(correction).astype(np.float32)
    weight = np.minimum(kept + new.weight, MAX_WEIGHT).astype(np.float32)
    return factor, replace(new, depth=new.depth * factor, weight=weight)


def _biweight(difference: NDArray, limit: float) -> NDArray:
    """Return Tukey's biweight, 1 at no difference and 0 from the limit on."""
    return np.maximum(1 - (difference / limit) ** 2, 0) ** 2
