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
from rich.progress import Progress

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.scenes.captions import describe
from mirror_depth_ros.scenes.render import render
from mirror_depth_ros.scenes.video import KINDS, SPLITS, make_scene

# Pictures that a process renders before it reports: a chunk.
_CHUNK_SIZE = 8


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
            rgb=np.load(_array(folder, 'rgb'), mmap_mode='r'),
            depth=np.load(_array(folder, 'depth'), mmap_mode='r'),
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
    for name, dtype, shape in (('rgb', np.uint8, (3,)), ('depth', np.float16, ())):
        np.lib.format.open_memmap(
            _array(folder, name), 'w+', dtype, (count, height, width, *shape)
        )
    first_seed = SPLITS[split].start
    jobs = [_Job(i, kinds[i % len(kinds)], first_seed + i) for i in range(count)]
    chunks = [(folder, jobs[i : i + _CHUNK_SIZE]) for i in range(0, count, _CHUNK_SIZE)]
    facts: dict[str, list] = {'focal_px': [], 'captions': [], 'kinds': [job.kind for job in jobs]}
    with Progress() as progress:
        task = progress.add_task(f'rendering {split}', total=count)
        for outcomes in _in_processes(chunks, processes):
            for focal_px, caption in outcomes:
                facts['focal_px'].append(focal_px)
                facts['captions'].append(caption)
            progress.advance(task, len(outcomes))
    # Written last: its presence says that the arrays are whole.
    (folder / 'scenes.json').write_text(json.dumps(facts))
    return RenderedScenes.load(folder)


@dataclass(frozen=True)
class _Job:
    """One picture to render, and its place in the arrays."""

    number: int
    kind: str
    seed: int


_Chunk = tuple[Path, list[_Job]]
_Outcomes = list[tuple[float, str]]


def _array(folder: Path, name: str) -> Path:
    return folder / f'{name}.npy'


def _in_processes(chunks: list[_Chunk], processes: int | None) -> Iterator[_Outcomes]:
    if processes == 1:
        yield from map(_render_chunk, chunks)
        return
    context = multiprocessing.get_context('spawn')  # forking a process that holds torch can hang
    with context.Pool(processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.imap(_render_chunk, chunks)


def _render_chunk(chunk: _Chunk) -> _Outcomes:
    """Render into the arrays on disk, which is cheaper than to send pictures home."""
    folder, jobs = chunk
    rgb, depth = (np.load(_array(folder, name), mmap_mode='r+') for name in ('rgb', 'depth'))
    height, width = depth.shape[1:]
    outcomes = []
    for job in jobs:
        scene = make_scene(job.kind, job.seed)
        camera = CameraModel.from_fov(width, height, scene.hfov_deg)
        frame = render(scene, camera)
        rgb[job.number], depth[job.number] = frame.rgb, frame.depth
        caption = describe(scene, frame, np.random.default_rng(job.seed))
        outcomes.append((camera.focal_px, caption))
    return outcomes
