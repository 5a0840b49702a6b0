"""Frames with what is known of them beside depth: rays, the camera's place, range sensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.depth.range_cone import RangeCone
from mirror_depth_ros.training.disk_cache import RowFile, RowWriter, atomic_path
from mirror_depth_ros.training.photometric import Views

_PICTURES, _FACTS = 'pictures.npy', 'frames.json'
# A ray to no pixel of any picture.
_FAR_OUTSIDE = 1e6


class Track(NamedTuple):
    """Where a camera was, frame by frame."""

    #: ``[N, 4, 4]`` [m].
    poses: NDArray[np.float64]
    #: Which recording each frame is of; only frames of one are compared.
    sequences: Sequence[str]


class Lens:
    """What leads from a camera's pictures to those of a pinhole, and to viewing rays."""

    def __init__(self, camera: CameraModel) -> None:
        self.camera = camera

    def rectify(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture ``[H, W, 3]`` that the camera would have taken without distortion."""
        if self.camera.is_pinhole:
            return rgb
        edge = cv2.BORDER_REPLICATE
        rectified = cv2.remap(rgb, self._places, None, cv2.INTER_LINEAR, borderMode=edge)
        return np.asarray(rectified, np.uint8)

    def rays(self, to_camera: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the viewing rays of a window of the camera's picture.

        :param to_camera: of a :class:`.Picture`, ``[2, 3]``.
        :param size: the window's height and width [pixels].
        :returns: ``(x/z, y/z)``, float32 ``[2, h, w]``; far outside of every picture where the
            lens has no inverse.
        """
        camera = self.camera
        rows, columns = torch.meshgrid(*(torch.arange(float(n)) for n in size), indexing='ij')
        pixels = torch.stack([columns, rows, torch.ones(size)], dim=-1) @ to_camera.T  # [h, w, 2]
        centre, focal = torch.tensor([[camera.cx, camera.cy], [camera.fx, camera.fy]])
        rays = ((pixels - centre) / focal).permute(2, 0, 1)
        if camera.is_pinhole:
            return rays
        grid = ((2 * pixels + 1) / torch.tensor([camera.width, camera.height]) - 1)[None]
        return (
            rays + F.grid_sample(self._bend, grid, padding_mode='border', align_corners=False)[0]
        )

    @cached_property
    def _places(self) -> NDArray[np.float32]:
        """Where each pixel of the pinhole's picture is in the camera's, ``[H, W, 2]``."""
        rays = self.camera.pinhole.rays.reshape(-1, 2).astype(np.float64)
        points = np.column_stack([rays, np.ones(len(rays))])
        pixels = self.camera.project(points)
        pixels[~self.camera.is_in_field(points)] = -1.0  # the picture's edge, not a second copy
        return pixels.astype(np.float32).reshape(self.camera.height, self.camera.width, 2)

    @cached_property
    def _bend(self) -> Tensor:
        """How far the camera's rays are from those of the pinhole, ``[1, 2, H, W]``."""
        bend = np.nan_to_num(self.camera.rays - self.camera.pinhole.rays, nan=_FAR_OUTSIDE)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(bend, 2, 0)))[None]


class FrameViews:
    """Every frame of a data set as a pinhole camera's grey picture of one size, on disk.

    Colour would cost the loss 2.5 times as much.
    """

    def __init__(self, folder: Path) -> None:
        """Open what :func:`keep_views` wrote."""
        self._pictures = RowFile(folder / _PICTURES)
        facts = json.loads((folder / _FACTS).read_text())
        lenses = [
            Lens(CameraModel(**{**camera, 'distortion': tuple(camera['distortion'])}))
            for camera in facts['cameras']
        ]
        #: That of each frame; the same object where it is the same one.
        self.lenses = [lenses[number] for number in facts['camera_of']]
        #: What range sensors measured, of each frame.
        self.cones = [[RangeCone(*cone) for cone in cones] for cones in facts['cones']]
        self.track = Track(np.array(facts['poses']), facts['sequences'])

    def of(self, numbers: Sequence[int]) -> Views:
        """Return a frame and its sources, by their numbers."""
        poses = self.track.poses[list(numbers)]
        to_each = np.linalg.inv(poses) @ poses[0]
        pictures = np.stack([self._pictures[number] for number in numbers])
        small = [self.lenses[n].camera.resized(*pictures.shape[:1:-1]) for n in numbers]
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
    :raises ValueError: for a frame of which nothing is known.
    :raises OSError: if the disk does not hold it.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder) as unfinished:
            unfinished.mkdir()
            _write_views(samples, size, unfinished)
    return FrameViews(folder)


def _write_views(samples: LazySequence[DepthSample], size: tuple[int, int], folder: Path) -> None:
    pictures = RowWriter(folder / _PICTURES, np.uint8, (len(samples), 1, *size))
    lenses: dict[CameraModel, Lens] = {}
    facts: dict[str, list[Any]] = {
        name: [] for name in ('camera_of', 'poses', 'sequences', 'cones')
    }
    for number in track(range(len(samples)), 'looking at frames'):
        sample = samples[number]
        if sample.depth is None and sample.pose is None and not sample.cones:
            raise ValueError(
                f'got {sample.name} with neither depth nor pose, expected one of them to learn '
                'from; record depth or odometry with the images'
            )
        # One whose place is not known is compared with no other.
        pose, sequence = sample.pose, sample.sequence
        if pose is None:
            pose, sequence = np.eye(4), f'//{number}'  # which no folder is called
        lens = lenses.setdefault(sample.camera, Lens(sample.camera))
        grey = cv2.cvtColor(lens.rectify(sample.rgb), cv2.COLOR_RGB2GRAY)
        pictures.append(cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)[None, None])
        facts['camera_of'].append([*lenses].index(sample.camera))
        facts['poses'].append(pose.tolist())
        facts['sequences'].append(sequence)
        facts['cones'].append(sample.cones)
    pictures.close()
    write_json(folder / _FACTS, {'cameras': [asdict(camera) for camera in lenses], **facts})
