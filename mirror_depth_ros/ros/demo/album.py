"""What a recorder keeps of each frame, and what it leaves behind: pictures, clouds, figures.

While a recording runs nothing is computed or encoded, so it does not disturb what it measures:
arrays go to disk as they are, and are read back when it has ended.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.depth.eval_protocols import PROTOCOLS
from mirror_depth_ros.depth.files import write_depth_png, write_json, write_ply, write_rgb_png
from mirror_depth_ros.depth.metrics import depth_metrics, mean_metrics
from mirror_depth_ros.depth.preview import comparison, titled_rows

#: ``depth``, ``preview`` and ``cloud`` of one frame.
Parts: TypeAlias = Mapping[str, NDArray[Any]]

_PANEL_WIDTH, _OVERVIEW_PANEL_WIDTH = 640, 320
_OVERVIEW_ROWS = 32
_FIGURES = ('abs_rel', 'delta1', 'abs_rel_median_scaled')
_FRAME_FILES = ('rgb.png', 'depth.png', 'preview.png', 'truth.png', 'side_by_side.png')


@dataclass(frozen=True)
class Page:
    """One frame of the folder, and what came back for it."""

    index: int
    name: str
    #: What it is counted and shown among: the folder on top of it.
    group: str
    #: The frames of one place: the folder right above it.
    recording: str
    #: Farther than this does not count, and has no colour of its own [m].
    max_depth: float
    is_shown: bool


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
        self._spool: Path | None = None
        self._latency_ms: dict[int, float] = {}
        # Frames are known again by their content; twins go by the first one's number.
        self._index_of: dict[bytes, int] = {}
        self._names: dict[int, list[str]] = {}
        for index in range(len(frames)):
            first = self._index_of.setdefault(_content(frames[index].rgb), index)
            self._names.setdefault(first, []).append(frames.name_of(index))
        self._pages = self._paginate(n_pictures, max_depth)

    def _paginate(self, n_pictures: int, max_depth: float) -> dict[int, Page]:
        recordings: dict[str, list[int]] = {}
        for index, names in self._names.items():
            parent = str(PurePosixPath(names[0]).parent)
            recordings.setdefault(parent, []).append(index)
        pages = {}
        for recording, indices in recordings.items():
            shown = evenly_spread(indices, n_pictures or len(indices))
            group = self._frames.root.resolve().name if recording == '.' else None
            for index in indices:
                pages[index] = Page(
                    index,
                    ', '.join(self._names[index]),
                    group or PurePosixPath(recording).parts[0],
                    recording,
                    max_depth or PROTOCOLS[self._frames.domain_of(index)].max_depth,
                    index in shown,
                )
        return dict(sorted(pages.items()))

    @property
    def missing(self) -> list[str]:
        """Names of the frames that have not come back yet."""
        return [page.name for page in self._pages.values() if page.index not in self._latency_ms]

    @property
    def is_empty(self) -> bool:
        """Whether no frame has come back."""
        return not self._latency_ms

    def find(self, rgb: NDArray[np.uint8]) -> int | None:
        """Return the index of the frame that a picture is, None if it is none of the folder."""
        return self._index_of.get(_content(rgb))

    def add(self, index: int, parts: Parts, latency_ms: float) -> bool:
        """Put a frame aside if it is new; say whether that happened.

        :param latency_ms: from the image's stamp to the arrival of its depth.
        :raises OSError: if that fails, with the place and the remedy.
        """
        if index in self._latency_ms:
            return False
        kept = parts if self._pages[index].is_shown else {'depth': parts['depth']}
        try:
            if self._spool is None:
                self._spool = Path(tempfile.mkdtemp(prefix='.recording-', dir=self._output))
            for part, array in kept.items():
                np.save(self._spool / f'{index}-{part}.npy', array)
        except OSError as error:
            raise OSError(
                f'could not put a frame aside in {self._output}: {error}; free space there or '
                'choose another output folder'
            ) from error
        self._latency_ms[index] = latency_ms
        return True

    def __enter__(self) -> Album:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._spool is not None:
            shutil.rmtree(self._spool, ignore_errors=True)

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
        pages = [page for page in self._pages.values() if page.index in self._latency_ms]
        pictures: list[dict[str, Any]] = []
        metrics: dict[int, dict[str, float]] = {}
        for done, page in enumerate(pages, 1):
            metrics[page.index] = self._metrics(page)
            if page.is_shown:
                folder = Path('frames') / f'{len(pictures):03d}'
                self._write_frame(page, self._output / folder)
                pictures.append(
                    {
                        'name': page.name,
                        'folder': str(folder),
                        **{name: metrics[page.index].get(name) for name in _FIGURES},
                        'latency_ms': round(self._latency_ms[page.index], 2),
                    }
                )
            on_progress(done, len(pages))
        groups = [
            _figures(group, [p for p in pages if p.group == group], metrics)
            for group in dict.fromkeys(page.group for page in pages)
        ]
        shown = [page for page in pages if page.is_shown]
        self._write_overview(shown, groups)
        self._write_cloud(shown[0], self._output / 'cloud.ply')
        summary = {**timing, 'groups': groups, 'pictures': pictures, 'missing': self.missing}
        write_json(self._output / 'summary.json', summary)
        return summary

    def _load(self, page: Page, part: str) -> NDArray[Any]:
        return np.load(f'{self._spool}/{page.index}-{part}.npy')

    def _metrics(self, page: Page) -> dict[str, float]:
        """Return the metrics of a frame, none where it has no truth within the range.

        ``abs_rel_median_scaled`` is what remains when the scale is right.
        """
        depth, truth = self._load(page, 'depth'), self._frames[page.index].depth
        if truth is None or not ((truth > 1e-3) & (truth < page.max_depth)).any():
            return {}
        limit = page.max_depth
        scaled = depth_metrics(depth, truth, max_depth=limit, median_scaling=True)
        metrics = depth_metrics(depth, truth, max_depth=limit)
        return {**metrics, 'abs_rel_median_scaled': scaled['abs_rel']}

    def _write_frame(self, page: Page, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sample = self._frames[page.index]
        write_rgb_png(folder / 'rgb.png', sample.rgb)
        write_depth_png(folder / 'depth.png', self._load(page, 'depth'))
        write_rgb_png(folder / 'preview.png', self._load(page, 'preview'))
        if sample.depth is not None:
            write_depth_png(folder / 'truth.png', sample.depth)
        write_rgb_png(folder / 'side_by_side.png', self._compare(page, _PANEL_WIDTH))
        self._write_cloud(page, folder / 'cloud.ply')

    def _write_cloud(self, page: Page, path: Path) -> None:
        """Write a frame's cloud as it came over the wire."""
        cloud = self._load(page, 'cloud')  # [H, W] of x, y, z, rgb
        points = np.stack([cloud['x'], cloud['y'], cloud['z']], axis=-1)  # [H, W, 3]
        packed = np.ascontiguousarray(cloud['rgb']).view(np.uint32)
        colours = np.stack([packed >> shift & 255 for shift in (16, 8, 0)], axis=-1)
        write_ply(path, points, colours.astype(np.uint8))

    def _compare(self, page: Page, width: int) -> NDArray[np.uint8]:
        """Return a frame's comparison with panels ``width`` pixels wide."""
        sample, depth = self._frames[page.index], self._load(page, 'depth')
        height = max(1, round(depth.shape[0] * width / depth.shape[1]))
        return comparison(sample.rgb, depth, sample.depth, max_depth=page.max_depth, height=height)

    def _write_overview(self, pages: Sequence[Page], groups: Sequence[Mapping[str, Any]]) -> None:
        """Write one row per frame below its group's figures, evenly spread if there are many."""
        rows = {
            page: self._compare(page, _OVERVIEW_PANEL_WIDTH)
            for page in evenly_spread(pages, _OVERVIEW_ROWS)
        }
        sections = [
            (_title(group), [row for page, row in rows.items() if page.group == group['name']])
            for group in groups
        ]
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
        for name in (*_FRAME_FILES, 'cloud.ply'):
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for name in ('overview.png', 'cloud.ply', 'summary.json'):
        (output / name).unlink(missing_ok=True)


def _figures(
    group: str, pages: Sequence[Page], metrics: Mapping[int, Mapping[str, float]]
) -> dict[str, Any]:
    """Return a group's figures: frames of one recording are alike, so each recording counts once.

    Without any truth they are None.
    """
    measured: dict[str, list[Mapping[str, float]]] = {}
    for page in pages:
        if metrics[page.index]:
            measured.setdefault(page.recording, []).append(metrics[page.index])
    mean = _mean([_mean(of_one) for of_one in measured.values()]) if measured else {}
    return {
        'name': group,
        'frames': len(pages),
        'frames_with_truth': sum(map(len, measured.values())),
        'recordings': len({page.recording for page in pages}),
        **{name: mean.get(name) for name in _FIGURES},
        'metrics': mean or None,
    }


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    scaled = float(np.mean([row['abs_rel_median_scaled'] for row in rows]))
    return {**mean_metrics(rows), 'abs_rel_median_scaled': scaled}


def _title(group: Mapping[str, Any]) -> str:
    title = f'{group["name"]}: {group["frames"]} frames'
    if group['recordings'] > 1:
        title += f' of {group["recordings"]} recordings'
    if group['abs_rel'] is not None:
        title += f', Abs Rel {group["abs_rel"]:.3f}, delta1 {group["delta1"]:.3f}'
    return title


def _content(rgb: NDArray[np.uint8]) -> bytes:
    pixels = np.ascontiguousarray(rgb)
    return hashlib.blake2b(pixels.data, digest_size=16, key=repr(rgb.shape).encode()).digest()
