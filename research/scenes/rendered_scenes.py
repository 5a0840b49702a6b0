"""Scenes of real things, rendered once: ``python -m research.scenes.rendered_scenes``."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from research.scenes.assembly import Scene
from research.scenes.camera import View
from research.scenes.camera_sensor import photograph
from research.scenes.captions import describe
from research.scenes.library import Library
from research.scenes.render import render
from research.scenes.room import make_room
from research.scenes.street import make_street, street_view
from research.scenes.tabletop import make_close
from research.scenes.views import aimed_view, room_view

KINDS = ('indoor', 'close', 'outdoor')
#: Seeds of the scenes of each split.
SPLITS = {
    'train': range(10_000_000),
    'val': range(10_000_000, 11_000_000),
    'test': range(11_000_000, 12_000_000),
}
# Farther than this is no truth but scenery [m].
_FARTHEST_M = 500.0


@dataclass(frozen=True)
class RenderedScenes:
    """Pictures, depths, focal lengths and captions of many scenes, memory-mapped."""

    #: uint8 ``[N, H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: Metres along Z, float16 ``[N, H, W]``; infinity = sky, NaN = no truth.
    depth: NDArray[np.float16]
    #: Focal length of each picture [pixels], float32 ``[N]``.
    focal_px: NDArray[np.float32]
    captions: list[str]
    kinds: list[str]
    hfov_deg: NDArray[np.float32]
    #: Keys of the models in each picture's scene.
    models: list[list[str]]

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
            hfov_deg=np.array(facts['hfov_deg'], np.float32),
            models=facts['models'],
        )


@dataclass(frozen=True)
class Shot:
    """One picture as it is kept."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    view: View
    caption: str
    models: list[str]


@dataclass(frozen=True)
class _Job:
    """The pictures of one scene, and their place in the arrays."""

    folder: Path
    split: str
    kind: str
    seed: int
    first: int
    count: int


def scene_and_views(
    library: Library, kind: str, rng: np.random.Generator
) -> tuple[Scene, Callable[[], View]]:
    """Return a random scene, and what finds a new place for a camera in it at each call.

    :param kind: ``indoor``, ``close`` or ``outdoor``.
    :raises ValueError: for another kind.
    """
    if kind == 'indoor':
        room = make_room(library, rng)
        return room.scene, lambda: room_view(room.scene, room.floor, room.height, rng)
    if kind == 'close':
        near = make_close(library, rng)

        def aimed() -> View:
            target = near.targets[int(rng.integers(len(near.targets)))]
            return aimed_view(near.scene, target, near.floor, near.height, rng)

        return near.scene, aimed
    if kind == 'outdoor':
        street = make_street(library, rng)
        return street.scene, lambda: street_view(street, rng)
    raise ValueError(f'got kind {kind!r}, expected one of {", ".join(KINDS)}')


def shots(
    library: Library, kind: str, seed: int, count: int, height: int, width: int
) -> list[Shot]:
    """Render pictures of the scene that a seed stands for.

    :param kind: ``indoor``, ``close`` or ``outdoor``.
    :raises ValueError: for another kind.
    """
    rng = np.random.default_rng((KINDS.index(kind), seed))
    scene, views = scene_and_views(library, kind, rng)
    taken = []
    for _ in range(count):
        view = views()
        frame = render(scene, view, height, width, rng)
        depth = np.where(frame.depth > _FARTHEST_M, np.inf, frame.depth)
        seen = np.unique(frame.thing)
        models = sorted({scene.things[i].model for i in seen if i >= 0} - {''})
        caption = describe(scene, frame, rng)
        taken.append(Shot(photograph(frame.radiance, rng), depth, view, caption, models))
    return taken


def render_scenes(
    folder: Path,
    *,
    split: str,
    count: int,
    height: int = 240,
    width: int = 320,
    kinds: tuple[str, ...] = KINDS,
    mix: tuple[int, ...] = (4, 3, 3),
    views: int = 4,
    first_seed: int = 0,
    processes: int = 2,
) -> RenderedScenes:
    """Render the first ``count`` pictures of a split and keep them; go on where it stopped.

    :param mix: how many scenes in turn of each of ``kinds``.
    :param views: pictures of each scene, of which building costs as much as a few.
    :param first_seed: of the first scene, counted from where the split begins.
    :raises ValueError: if ``mix`` does not name a number for each kind.
    """
    if len(mix) != len(kinds):
        raise ValueError(f'got {len(mix)} numbers in mix, expected one for each of {kinds}')
    if (folder / 'scenes.json').exists():
        return RenderedScenes.load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, dtype, shape in (('rgb', np.uint8, (3,)), ('depth', np.float16, ())):
        path = folder / f'{name}.npy'
        if not path.exists():
            np.lib.format.open_memmap(path, 'w+', dtype, (count, height, width, *shape))
    turns = _turns(kinds, mix)
    jobs = [
        _Job(
            folder,
            split,
            turns[i % len(turns)],
            SPLITS[split].start + first_seed + i,
            i * views,
            min(views, count - i * views),
        )
        for i in range(-(-count // views))
    ]
    open_jobs = [job for job in jobs if not _facts_path(job).exists()]
    start, done = time.monotonic(), 0
    context = multiprocessing.get_context('spawn')
    with context.Pool(processes, initializer=_single_thread) as pool:
        for taken in pool.imap_unordered(_render_job, open_jobs):
            done += taken
            rate = done / (time.monotonic() - start)
            print(f'\r{done} pictures, {rate:.1f} a second', end='', flush=True)
    print()
    _gather(folder, jobs)
    return RenderedScenes.load(folder)


def _turns(kinds: tuple[str, ...], mix: tuple[int, ...]) -> list[str]:
    """Return the order in which kinds take turns, well mixed."""
    turns = [kind for kind, share in zip(kinds, mix) for _ in range(share)]
    return [turns[i] for i in np.random.default_rng(0).permutation(len(turns))]


def _facts_path(job: _Job) -> Path:
    return job.folder / 'parts' / f'{job.first:08d}.json'


def _single_thread() -> None:
    cv2.setNumThreads(1)


_LIBRARIES: dict[str, Library] = {}


def _render_job(job: _Job) -> int:
    library = _LIBRARIES.setdefault(job.split, Library.for_split(job.split))
    rgb, depth = (np.load(job.folder / f'{name}.npy', mmap_mode='r+') for name in ('rgb', 'depth'))
    taken = shots(library, job.kind, job.seed, job.count, *depth.shape[1:])
    facts = []
    for i, shot in enumerate(taken, job.first):
        rgb[i], depth[i] = shot.rgb, shot.depth
        focal = shot.view.focal_px(depth.shape[2])
        facts.append((focal, shot.caption, job.kind, shot.view.hfov_deg, shot.models))
    path = _facts_path(job)
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix('.part')
    part.write_text(json.dumps(facts))
    part.rename(path)
    return job.count


def _gather(folder: Path, jobs: list[_Job]) -> None:
    """Write ``scenes.json``, whose presence says that the arrays are whole."""
    rows = [row for job in jobs for row in json.loads(_facts_path(job).read_text())]
    names = ('focal_px', 'captions', 'kinds', 'hfov_deg', 'models')
    facts = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    part = folder / 'scenes.part'
    part.write_text(json.dumps(facts))
    part.rename(folder / 'scenes.json')


def main() -> None:
    """Render as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--output', type=Path, required=True, help='folder of the arrays')
    parser.add_argument('--split', choices=list(SPLITS), required=True)
    parser.add_argument('--count', type=int, required=True, help='pictures')
    parser.add_argument('--height', type=int, default=240)
    parser.add_argument('--width', type=int, default=320)
    parser.add_argument('--kinds', default=','.join(KINDS))
    parser.add_argument('--mix', default='4,3,3', help='scenes in turn of each kind')
    parser.add_argument('--views', type=int, default=4, help='pictures of each scene')
    parser.add_argument(
        '--first-seed', type=int, default=0, help="of the split's, the first taken"
    )
    parser.add_argument('--processes', type=int, default=2)
    options = parser.parse_args()
    render_scenes(
        options.output,
        split=options.split,
        count=options.count,
        height=options.height,
        width=options.width,
        kinds=tuple(options.kinds.split(',')),
        mix=tuple(int(word) for word in options.mix.split(',')),
        views=options.views,
        first_seed=options.first_seed,
        processes=options.processes,
    )


if __name__ == '__main__':
    main()
