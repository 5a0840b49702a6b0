"""Frames to learn depth from motion: each with those that show the same from a bit aside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.training.feature_cache import EncodedPicture
from mirror_depth_ros.training.frame_views import FrameViews, Track
from mirror_depth_ros.training.loading import Draw
from mirror_depth_ros.training.photometric import Views
from mirror_depth_ros.training.pictures import Picture, resize, to_picture

#: How far the camera moved from a frame to its source, in shares of the median depth. Less shows
#: little depth beside the odometry's own error; with more, the two have little in common.
BASELINES = (0.05, 0.15)
#: How far it turned at most [degrees].
MAX_TURN_DEG = 15.0
# The median depth is that of so many frames.
_LOOKED_AT = 16


class MotionPicture(NamedTuple):
    """What the network sees of a frame, and what its depth is held against."""

    seen: Picture | EncodedPicture
    #: Viewing rays of the pixels that the network sees, in the frame's camera: ``(x/z, y/z)``,
    #: float32 ``[2, h, w]``.
    rays: Tensor
    views: Views


def choose_sources(where: Track, median_depth: float) -> dict[int, tuple[int, int]]:
    """Return the frames that others can be compared with, and those: one before and one after.

    Of the frames that are :data:`BASELINES` away, it is the nearest in time on either side; at the
    ends of a recording both are on one side and the same. A frame without any, where the camera
    stood still, is left out.

    :param median_depth: how far away most things are [m].
    :raises ValueError: if the camera stood still, or jumped, throughout.
    """
    least, most = (share * median_depth for share in BASELINES)
    positions, turns = where.poses[:, :3, 3], where.poses[:, :3, :3]
    sequences = np.unique(np.asarray(where.sequences), return_inverse=True)[1]
    chosen, farthest = {}, 0.0
    for i, position in enumerate(positions):
        baseline = np.linalg.norm(positions - position, axis=1)  # [N]
        cos = (np.einsum('nij,ij->n', turns, turns[i]) - 1) / 2
        is_same = sequences == sequences[i]
        farthest = max(farthest, baseline[is_same].max())
        fits = is_same & (baseline >= least) & (baseline <= most)
        fits &= cos >= np.cos(np.radians(MAX_TURN_DEG))
        before, after = np.flatnonzero(fits[:i])[-1:], i + np.flatnonzero(fits[i:])[:1]
        sources = [*before.tolist(), *after.tolist()]
        if sources:
            chosen[i] = (sources[0], sources[-1])
    if not chosen:
        raise ValueError(
            f'got {len(positions)} images without depth, none of which has another of the same '
            f'recording {least:.3g} to {most:.3g} m beside it, with at most {MAX_TURN_DEG:.0f} '
            f'degrees between them (no two are more than {farthest:.3g} m apart; things are about '
            f'{median_depth:.3g} m away), expected a camera that moves by such steps; '
            'record while the robot drives, or record depth'
        )
    return chosen


@torch.inference_mode()
def median_depth(network: DepthNetwork, samples: LazySequence[DepthSample]) -> float:
    """Return how far away things are [m], as the network has it, of a few frames."""
    was_training, count = network.training, min(len(samples), _LOOKED_AT)
    device = next(network.parameters()).device
    network.eval()
    medians = []
    for number in range(count):
        picture = to_picture(samples[number * len(samples) // count], needs_depth=False)
        picture = resize(picture, network.input_size(*picture.size))
        image, focal_px = picture.image[None].to(device), picture.focal_px[None].to(device)
        depth = network(image / 255.0, focal_px)
        medians.append(float(depth.median()))
    network.train(was_training)
    return float(np.median(medians))


class Motion(NamedTuple):
    """What is known of the frames of a data set without depth."""

    #: All of its frames.
    views: FrameViews
    #: Those to learn from, with the two that each is compared with, by their numbers.
    sources: dict[int, tuple[int, int]]

    @property
    def baselines(self) -> NDArray[np.float64]:
        """How far away the two are [m], ``[N, 2]``."""
        positions = self.views.track.poses[:, :3, 3]
        frames, others = np.array([*self.sources]), np.array([*self.sources.values()])
        return np.linalg.norm(positions[others] - positions[frames, None], axis=2)


def find_motion(
    samples: LazySequence[DepthSample], network: DepthNetwork, views: FrameViews
) -> Motion:
    """Choose the frames to learn from, see :func:`choose_sources`."""
    return Motion(views, choose_sources(views.track, median_depth(network, samples)))


class MotionPictures(Dataset[MotionPicture]):
    """Frames with their sources."""

    def __init__(
        self,
        seen: Dataset[Picture] | Dataset[EncodedPicture],
        motion: Motion,
    ) -> None:
        """Add the sources to what the network sees.

        :param seen: of each frame that has sources, one or more variants, in the frames' order.
        """
        self._seen, self._views = seen, motion.views
        self._numbers = [(frame, *beside) for frame, beside in motion.sources.items()]
        self._variants = len(seen) // len(self._numbers)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._numbers) * self._variants

    def __getitem__(self, index: int | Draw) -> MotionPicture:
        draw = index if isinstance(index, Draw) else Draw(index, 0)
        seen, numbers = self._seen[draw], self._numbers[draw.number // self._variants]
        size = (seen.depth.shape[-2], seen.depth.shape[-1])
        rays = self._views.lenses[numbers[0]].rays(seen.to_camera, size)
        return MotionPicture(seen, rays, self._views.of(numbers))
