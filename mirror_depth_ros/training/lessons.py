"""Pictures with all that their depth is held against: depth, motion, range sensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mirror_depth_ros.training.feature_cache import EncodedPicture
from mirror_depth_ros.training.frame_views import FrameViews
from mirror_depth_ros.training.loading import Draw
from mirror_depth_ros.training.photometric import Views
from mirror_depth_ros.training.pictures import Picture

# Where a frame without sources is put in place of those [m].
_FAR_BEHIND = -1e6


class Lesson(NamedTuple):
    """What the network sees of a frame, and what its depth is held against."""

    #: With what is known of its depth, which may be nothing.
    seen: Picture | EncodedPicture
    #: Viewing rays of the pixels that the network sees, in the frame's camera: ``(x/z, y/z)``,
    #: float32 ``[2, h, w]``.
    rays: Tensor
    #: The frame and its sources; no sources where motion is not learned from.
    views: Views
    #: What range sensors measured, NaN = nothing, float32 ``[K, 9]``, see :func:`cone_rows`.
    cones: Tensor


class Lessons(Dataset[Lesson]):
    """What the network sees, joined with what is known of the same frames."""

    def __init__(
        self,
        seen: Dataset[Picture] | Dataset[EncodedPicture],
        known: FrameViews,
        sources: Mapping[int, tuple[int, int]],
        frames: list[int],
    ) -> None:
        """Join them.

        :param seen: of each of ``frames``, one or more variants, in their order.
        :param sources: the two frames that each is compared with, of those that have them.
        :param frames: numbers of the frames.
        """
        self._seen, self._known, self._frames = seen, known, frames
        self._sources = sources
        self._variants = len(seen) // len(frames)  # type: ignore[arg-type]
        self._n_cones = max(len(known.cones[frame]) for frame in frames)

    def __len__(self) -> int:
        return len(self._frames) * self._variants

    def __getitem__(self, index: int | Draw) -> Lesson:
        draw = index if isinstance(index, Draw) else Draw(index, 0)
        seen, frame = self._seen[draw], self._frames[draw.number // self._variants]
        size = (seen.depth.shape[-2], seen.depth.shape[-1])
        rays = self._known.lenses[frame].rays(seen.to_camera, size)
        beside = self._sources.get(frame, (frame, frame)) if self._sources else ()
        views = self._known.of((frame, *beside))
        if frame not in self._sources:
            views.poses[1:, 2, 3] = _FAR_BEHIND  # nothing of it is seen from there
        cones = cone_rows(self._known, frame, self._n_cones)
        return Lesson(seen, rays, views, torch.from_numpy(cones))


def cone_rows(known: FrameViews, frame: int, count: int) -> NDArray[np.float32]:
    """Return a frame's cones as numbers, padded with NaN, ``[count, 9]``.

    Each is the centre (3 numbers), the axis (3), the distance, the tangent of the half angle and
    the quantile of a :class:`.RangeCone`.
    """
    rows = np.full((count, 9), np.nan, np.float32)
    for row, cone in zip(rows, known.cones[frame]):
        row[:] = (
            *cone.centre,
            *cone.axis,
            cone.distance,
            math.tan(cone.half_angle),
            cone.quantile,
        )
    return rows


def baselines(known: FrameViews, sources: Mapping[int, tuple[int, int]]) -> NDArray[np.float64]:
    """Return how far each frame's two sources are from it [m], ``[N, 2]``."""
    positions = known.track.poses[:, :3, 3]
    frames, others = np.array([*sources]), np.array([*sources.values()])
    return np.linalg.norm(positions[others] - positions[frames, None], axis=2)
