"""The album of a recording: each frame once, and what is made of them when it has ended.

While a recording runs nothing is computed or encoded, so it does not disturb what it measures:
arrays go to disk as they are, and are read back when it has ended.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.depth.eval_protocols import PROTOCOLS
from mirror_depth_ros.depth.files import write_bytes, write_json, write_rgb_png
from mirror_depth_ros.depth.metrics import mean_metrics
from mirror_depth_ros.depth.point_cloud import unpack_cloud
from mirror_depth_ros.depth.preview import comparison, titled_rows
from mirror_depth_ros.evaluation.result import write_result

_PANEL_WIDTH, _OVERVIEW_PANEL_WIDTH = 640, 320
_OVERVIEW_ROWS = 32
_FIGURES = ('abs_rel', 'delta1', 'abs_rel_median_scaled')
_FRAME_FILES = {
    'image': 'rgb.png',
    'truth': 'truth.png',
    'depth': 'depth.png',
    'preview': 'preview.png',
    'comparison': 'side_by_side.png',
    'cloud': 'cloud.ply',
}


@dataclass
class Page:
    """One frame of the folder, and what came back for it."""

    index: int
    #: What it is counted and shown among: the folder on top of it.
    group: str
    #: The frames of one place: the folder right above it.
    recording: str
    #: Farther than this does not count, and has no colour of its own [m].
    max_depth: float
    #: Whether it gets pictures and a cloud.
    is_shown: bool = False
    #: Its own, and those of frames that are the same picture.
    names: list[str] = field(default_factory=list)
    #: From the image's stamp to the arrival of its depth; None: it has not come back.
    latency_ms: float | None = None
    #: Empty without truth within the range.
    metrics: dict[str, float] = field(default_factory=dict)


class Album:
    """Every frame of a folder, once; what is on disk meanwhile goes when the context is left.

    :param frames: what the camera plays.
    :param output: folder to write into.
    :param n_pictures: frames of each recording that get pictures and a cloud; 0: all.
    :param max_depth: farthest depth that counts [m]; 0: as each frame's domain has it.
    :raises ValueError: for a frame that cannot be read.
    """

    def __init__(
        self, frames: FrameFolder, output: Path, *, n_pictures: int = 0, max_depth: float = 0.0
    ) -> None:
        self._frames = frames
        self._output = output
        #: By their content, by which frames are known again.
        self._pages: dict[bytes, Page] = {}
        recordings = defaultdict[str, list[Page]](list)
        for index, name in enumerate(frames.names):
            content, parent = _content(frames[index].rgb), PurePosixPath(name).parent
            if content not in self._pages:
                group = parent.parts[0] if parent.parts else frames.root.resolve().name
                limit = max_depth or PROTOCOLS[frames.domain_of(index)].max_depth
                page = self._pages[content] = Page(index, group, str(parent), limit)
                recordings[page.recording].append(page)
            self._pages[content].names.append(name)
        for pages in recordings.values():
            for page in evenly_spread(pages, n_pictures or len(pages)):
                page.is_shown = True

    def __enter__(self) -> Album:
        self._folder = tempfile.TemporaryDirectory(
            prefix='.recording-', dir=self._output, ignore_cleanup_errors=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def missing(self) -> list[str]:
        """Names of the frames that have not come back yet."""
        return [', '.join(p.names) for p in self._pages.values() if p.latency_ms is None]

    @property
    def is_empty(self) -> bool:
        """Whether no frame has come back."""
        return len(self.missing) == len(self._pages)

    def find(self, rgb: NDArray[np.uint8]) -> Page | None:
        """Return the frame that a picture is, None if it is none of the folder."""
        return self._pages.get(_content(rgb))

    def add(self, page: Page, parts: Mapping[str, NDArray[Any]], latency_ms: float) -> bool:
        """Put a frame aside if it is new; say whether that happened.

        :param parts: its ``depth``, ``preview`` and ``cloud``.
        :param latency_ms: from the image's stamp to the arrival of its depth.
        :raises OSError: if that fails, with the place and the remedy.
        """
        if page.latency_ms is not None:
            return False
        kept = parts if page.is_shown else {'depth': parts['depth']}
        try:
            for part, array in kept.items():
                np.save(f'{self._folder.name}/{page.index}-{part}.npy', array)
        except OSError as error:
            raise OSError(
                f'could not put a frame aside in {self._output}: {error}; free space there or '
                'choose another output folder'
            ) from error
        page.latency_ms = latency_ms
        return True

    def write(
        self,
        timing: Mapping[str, Any],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Any]:
        """Write pictures, clouds, the overview and ``summary.json``; return what that holds.

        :param timing: joins the summary.
        :param on_progress: called with the number of frames done and their total.
        :raises OSError: if a file cannot be written; the message names it.
        """
        pages = [page for page in self._pages.values() if page.latency_ms is not None]
        pictures: list[dict[str, Any]] = []
        for done, page in enumerate(pages, 1):
            folder = Path('frames') / f'{len(pictures):03d}'
            self._write_page(page, self._output / folder)
            if page.is_shown:
                pictures.append(_describe(page, folder))
            on_progress(done, len(pages))
        names = dict.fromkeys(page.group for page in pages)
        groups = [_figures(name, [p for p in pages if p.group == name]) for name in names]
        self._write_overview([page for page in pages if page.is_shown], groups)
        first = self._output / 'frames' / '000' / _FRAME_FILES['cloud']
        write_bytes(self._output / 'cloud.ply', first.read_bytes())
        summary = {**timing, 'groups': groups, 'pictures': pictures, 'missing': self.missing}
        write_json(self._output / 'summary.json', summary)
        return summary

    def _load(self, page: Page, part: str) -> NDArray[Any]:
        return np.load(f'{self._folder.name}/{page.index}-{part}.npy')

    def _write_page(self, page: Page, folder: Path) -> None:
        """Measure a frame and, if it is shown, write it as it came over the wire."""
        sample, depth = self._frames[page.index], self._load(page, 'depth')
        paths: dict[str, Path] = {}
        made: dict[str, Any] = {}
        if page.is_shown:
            paths = {kind: folder / name for kind, name in _FRAME_FILES.items()}
            made = {
                'preview': self._load(page, 'preview'),
                'cloud': unpack_cloud(self._load(page, 'cloud')),
                'panel_height': _panel_height(depth, _PANEL_WIDTH),
            }
        score = write_result(paths, sample, depth, max_depth=page.max_depth, **made)
        if score is not None:
            # The latter is what remains when the scale is right.
            scaled = score.median_scaled['abs_rel']
            page.metrics = {**score.metric, 'abs_rel_median_scaled': scaled}

    def _write_overview(self, pages: Sequence[Page], groups: Sequence[Mapping[str, Any]]) -> None:
        """Write one row per frame below its group's figures, evenly spread if there are many."""
        rows: dict[str, list[NDArray[np.uint8]]] = {group['name']: [] for group in groups}
        for page in evenly_spread(pages, _OVERVIEW_ROWS):
            sample, depth = self._frames[page.index], self._load(page, 'depth')
            height = _panel_height(depth, _OVERVIEW_PANEL_WIDTH)
            row = comparison(
                sample.rgb, depth, sample.depth, max_depth=page.max_depth, height=height
            )
            rows[page.group].append(row)
        sections = [(_title(group), rows[group['name']]) for group in groups]
        write_rgb_png(self._output / 'overview.png', titled_rows(sections))


def evenly_spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return at most ``count`` of the items, evenly spread from the first on.

    Not as far as the last: a video that goes round would show one place twice.
    """
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def remove_earlier(output: Path) -> None:
    """Remove what an earlier recording left in the folder, and nothing else."""
    for folder in output.glob('frames/[0-9][0-9][0-9]*'):
        for name in _FRAME_FILES.values():
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for name in ('overview.png', 'cloud.ply', 'summary.json'):
        (output / name).unlink(missing_ok=True)


def _describe(page: Page, folder: Path) -> dict[str, Any]:
    """Return what the summary says of a frame that is shown."""
    return {
        'name': ', '.join(page.names),
        'folder': str(folder),
        **{name: page.metrics.get(name) for name in _FIGURES},
        'latency_ms': round(page.latency_ms or 0.0, 2),
    }


def _figures(group: str, pages: Sequence[Page]) -> dict[str, Any]:
    """Return a group's figures: frames of one recording are alike, so each recording counts once.

    Without any truth they are None.
    """
    measured: dict[str, list[Mapping[str, float]]] = {}
    for page in pages:
        if page.metrics:
            measured.setdefault(page.recording, []).append(page.metrics)
    mean = mean_metrics(map(mean_metrics, measured.values())) if measured else {}
    return {
        'name': group,
        'frames': len(pages),
        'frames_with_truth': sum(map(len, measured.values())),
        'recordings': len({page.recording for page in pages}),
        **{name: mean.get(name) for name in _FIGURES},
        'metrics': mean or None,
    }


def _title(group: Mapping[str, Any]) -> str:
    title = f'{group["name"]}: {group["frames"]} frames'
    if group['recordings'] > 1:
        title += f' of {group["recordings"]} recordings'
    if group['abs_rel'] is not None:
        title += f', Abs Rel {group["abs_rel"]:.3f}, delta1 {group["delta1"]:.3f}'
    return title


def _panel_height(depth: NDArray[np.float32], width: int) -> int:
    return max(1, round(depth.shape[0] * width / depth.shape[1]))


def _content(rgb: NDArray[np.uint8]) -> bytes:
    pixels = np.ascontiguousarray(rgb)
    return hashlib.blake2b(pixels.data, digest_size=16, key=repr(rgb.shape).encode()).digest()
