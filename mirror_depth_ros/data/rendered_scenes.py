"""Scenes rendered once and kept on disk, for training that sees them many times."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.scenes.captions import describe
from mirror_depth_ros.scenes.render import render
from mirror_depth_ros.scenes.video import KINDS, SPLITS, make_scene


@dataclass(frozen=True)
class RenderedScenes:
    """Pictures, depths, focal lengths and captions of many scenes, memory-mapped."""

    #: uint8 ``[N, H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: Metres along Z, float16 ``[N, H, W]``; infinity where the sky is.
    depth: NDArray[np.float16]
    #: Focal length of each picture [pixels], float32 ``[N]``.
    focal_px: NDArray[np.float32]
    captions: list[str]
    kinds: list[str]

    def __len__(self) -> int:
        return len(self.rgb)

    @classmethod
    def load(cls, folder: Path) -> RenderedScenes:
        """Open what :func:`render_scenes` wrote."""
        facts = json.loads((folder / 'scenes.json').read_text())
        return cls(
            rgb=np.load(folder / 'rgb.npy', mmap_mode='r'),
            depth=np.load(folder / 'depth.npy', mmap_mode='r'),
            focal_px=np.array(facts['focal_px'], np.float32),
            captions=facts['captions'],
            kinds=facts['kinds'],
        )


def render_scenes(
    folder: Path,
    *,
    split: str,
    count: int,
    height: int,
    width: int,
    kinds: tuple[str, ...] = KINDS,
    processes: int | None = None,
) -> RenderedScenes:
    """Render the first ``count`` scenes of a split, kinds taking turns, and keep them.

    A folder that already holds a finished rendering is opened instead.

    :param split: ``train``, ``val`` or ``test``.
    :param processes: worker processes; one per core by default, 1 stays in this one.
    """
    if (folder / 'scenes.json').exists():
        return RenderedScenes.load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    memmap = np.lib.format.open_memmap
    rgb = memmap(folder / 'rgb.npy', 'w+', np.uint8, (count, height, width, 3))
    depth = memmap(folder / 'depth.npy', 'w+', np.float16, (count, height, width))
    facts: dict[str, list] = {'focal_px': [], 'captions': [], 'kinds': []}
    first_seed = SPLITS[split].start
    jobs = [(kinds[i % len(kinds)], first_seed + i, height, width) for i in range(count)]
    results = _render_in_processes(jobs, processes)
    for i, picture in enumerate(track(results, f'rendering {split}', total=count)):
        rgb[i], depth[i], focal_px, caption = picture
        facts['focal_px'].append(focal_px)
        facts['captions'].append(caption)
        facts['kinds'].append(jobs[i][0])
    rgb.flush()
    depth.flush()
    # Written last: its presence says that the arrays are whole.
    (folder / 'scenes.json').write_text(json.dumps(facts))
    return RenderedScenes.load(folder)


_Job = tuple[str, int, int, int]
_Picture = tuple[NDArray[np.uint8], NDArray[np.float16], float, str]


def _render_in_processes(jobs: list[_Job], processes: int | None) -> Iterator[_Picture]:
    if processes == 1:
        yield from map(_render_one, jobs)
        return
    context = multiprocessing.get_context('spawn')  # forking a process that holds torch can hang
    with context.Pool(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.imap(_render_one, jobs, chunksize=8)


def _render_one(job: _Job) -> _Picture:
    kind, seed, height, width = job
    scene = make_scene(kind, seed)
    camera = CameraModel.from_fov(width, height, scene.hfov_deg)
    frame = render(scene, camera)
    caption = describe(scene, frame, np.random.default_rng(seed))
    return frame.rgb, frame.depth.astype(np.float16), camera.focal_px, caption
