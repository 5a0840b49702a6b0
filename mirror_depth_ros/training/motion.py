"""Frames to learn depth from motion: each with those that show the same from a bit aside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.training.disk_cache import RowFile, RowWriter, atomic_path
from mirror_depth_ros.training.feature_cache import EncodedPicture
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
# A ray to no pixel of any picture.
_FAR_OUTSIDE = 1e6
_FACTS = 'frames.json'


class MotionPicture(NamedTuple):
    """What the network sees of a frame, and what its depth is held against."""

    seen: Picture | EncodedPicture
    #: Viewing rays of the pixels that the network sees, in the frame's camera: ``(x/z, y/z)``,
    #: float32 ``[2, h, w]``.
    rays: Tensor
    views: Views


class Track(NamedTuple):
    """Where a camera was, frame by frame."""

    #: ``[N, 4, 4]`` [m].
    poses: NDArray[np.float64]
    #: Which recording each frame is of; only frames of one are compared.
    sequences: Sequence[str]


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
            f'{median_depth:.3g} m away), expected a camera that moves and is often looked '
            'through; record while the robot drives, or record depth'
        )
    return chosen


@torch.inference_mode()
def median_depth(network: DepthNetwork, samples: LazySequence[DepthSample]) -> float:
    """Return how far away things are [m], as the network has it, of a few frames."""
    was_training, count = network.training, min(len(samples), _LOOKED_AT)
    network.eval()
    medians = []
    for number in range(count):
        picture = to_picture(samples[number * len(samples) // count], needs_depth=False)
        picture = resize(picture, network.input_size(*picture.size))
        depth = network(picture.image[None] / 255.0, picture.focal_px[None])
        medians.append(float(depth.median()))
    network.train(was_training)
    return float(np.median(medians))


class FrameViews:
    """Every frame of a data set as a pinhole camera's grey picture of one size, on disk.

    Colour would cost the loss 2.5 times as much.
    """

    def __init__(self, folder: Path) -> None:
        """Open what :func:`keep_views` wrote."""
        self._pictures = RowFile(folder / 'pictures.npy')
        facts = json.loads((folder / _FACTS).read_text())
        cameras = [
            CameraModel(**{**c, 'distortion': tuple(c['distortion'])}) for c in facts['cameras']
        ]
        #: The camera of each frame; the same object where it is the same one.
        self.cameras = [cameras[number] for number in facts['camera_of']]
        self.track = Track(np.array(facts['poses']), facts['sequences'])

    def of(self, numbers: Sequence[int]) -> Views:
        """Return a frame and its sources, by their numbers."""
        poses = self.track.poses[list(numbers)]
        to_each = np.linalg.inv(poses) @ poses[0]
        pictures = np.stack([self._pictures[number] for number in numbers])
        small = [self.cameras[n].resized(*pictures.shape[:1:-1]) for n in numbers]
        cameras = [(camera.fx, camera.fy, camera.cx, camera.cy) for camera in small]
        return Views(
            torch.from_numpy(pictures),
            torch.tensor(cameras, dtype=torch.float32),
            torch.from_numpy(to_each.astype(np.float32)),
        )


def keep_views(
    samples: LazySequence[DepthSample], size: tuple[int, int], folder: Path
) -> FrameViews:
    """Write every frame as :class:`FrameViews` reads it, unless that was done before.

    :param size: height and width [pixels].
    :raises ValueError: for a frame without pose.
    :raises OSError: if the disk does not hold it.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder) as unfinished:
            unfinished.mkdir()
            _write_views(samples, size, unfinished)
    return FrameViews(folder)


def _write_views(samples: LazySequence[DepthSample], size: tuple[int, int], folder: Path) -> None:
    pictures = RowWriter(folder / 'pictures.npy', np.uint8, (len(samples), 1, *size))
    cameras: dict[CameraModel, int] = {}
    facts: dict[str, list[Any]] = {'camera_of': [], 'poses': [], 'sequences': []}
    for number in track(range(len(samples)), 'looking at frames'):
        sample = samples[number]
        facts['poses'].append(_pose_of(sample).tolist())
        facts['camera_of'].append(cameras.setdefault(sample.camera, len(cameras)))
        facts['sequences'].append(sample.sequence)
        grey = cv2.cvtColor(rectify(sample), cv2.COLOR_RGB2GRAY)
        pictures.append(cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)[None, None])
    pictures.close()
    write_json(folder / _FACTS, {'cameras': [asdict(c) for c in cameras], **facts})


def _pose_of(sample: DepthSample) -> NDArray[np.float64]:
    if sample.pose is None:
        raise ValueError(
            f'got {sample.name} with neither depth nor pose, expected one of them to learn from; '
            'record depth or odometry with the images'
        )
    return sample.pose


def rectify(sample: DepthSample) -> NDArray[np.uint8]:
    """Return the picture that the camera without its lens's distortion would have taken."""
    camera = sample.camera
    if camera.is_pinhole:
        return sample.rgb
    rays = camera.pinhole.rays.reshape(-1, 2).astype(np.float64)
    points = np.column_stack([rays, np.ones(len(rays))])
    places = camera.project(points).astype(np.float32).reshape(camera.height, camera.width, 2)
    rgb = cv2.remap(sample.rgb, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(rgb, np.uint8)


def rays_of(camera: CameraModel, to_camera: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the viewing rays of a window of a camera's picture.

    :param to_camera: of a :class:`.Picture`, ``[2, 3]``.
    :param size: the window's height and width [pixels].
    :returns: ``(x/z, y/z)``, float32 ``[2, h, w]``; far outside of every picture where the lens
        has no inverse.
    """
    rows, columns = torch.meshgrid(*(torch.arange(float(side)) for side in size), indexing='ij')
    pixels = torch.stack([columns, rows, torch.ones(size)], dim=-1) @ to_camera.T  # [h, w, 2]
    centre, focal = torch.tensor([[camera.cx, camera.cy], [camera.fx, camera.fy]])
    rays = ((pixels - centre) / focal).permute(2, 0, 1)
    if camera.is_pinhole:
        return rays
    bent = np.nan_to_num(camera.rays - camera.pinhole.rays, nan=_FAR_OUTSIDE)
    image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(bent, 2, 0)))[None]
    grid = (2 * pixels + 1) / torch.tensor([camera.width, camera.height]) - 1
    return rays + F.grid_sample(image, grid[None], padding_mode='border', align_corners=False)[0]


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
        rays = rays_of(self._views.cameras[numbers[0]], seen.to_camera, size)
        return MotionPicture(seen, rays, self._views.of(numbers))
