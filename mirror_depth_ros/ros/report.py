"""What a recording leaves behind: pictures, clouds, an overview and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.metrics import depth_metrics, mean_metrics
from mirror_depth_ros.preview import comparison
from mirror_depth_ros.ros.recording import RecordedFrame
from mirror_depth_ros.writers import write_depth_png, write_ply, write_rgb_png

_PANEL_WIDTH = 640
_OVERVIEW_PANEL_WIDTH = 320
_OVERVIEW_ROWS = 32


def frame_metrics(frame: RecordedFrame, max_depth: float) -> dict[str, float] | None:
    """Return the metrics of a frame, None where it has no truth within the range.

    ``abs_rel_median_scaled`` is what remains when the scale is right.
    """
    if 'truth' not in frame.parts:
        return None
    depth, truth = frame.load('depth'), frame.load('truth')
    if not ((truth > 1e-3) & (truth < max_depth)).any():
        return None
    metrics = depth_metrics(depth, truth, max_depth=max_depth)
    scaled = depth_metrics(depth, truth, max_depth=max_depth, median_scaling=True)
    return {**metrics, 'abs_rel_median_scaled': scaled['abs_rel']}


def write_frame(frame: RecordedFrame, folder: Path, max_depth: float) -> None:
    """Write the pictures of one frame, and its cloud where one was recorded.

    :raises OSError: if that fails; the message names the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_rgb_png(folder / 'rgb.png', frame.load('rgb'))
    write_depth_png(folder / 'depth.png', frame.load('depth'))
    write_rgb_png(folder / 'preview.png', frame.load('preview'))
    if 'truth' in frame.parts:
        write_depth_png(folder / 'truth.png', frame.load('truth'))
    write_rgb_png(folder / 'side_by_side.png', _compare(frame, max_depth, _PANEL_WIDTH))
    if 'cloud' in frame.parts:
        write_cloud(frame, folder / 'cloud.ply')


def write_cloud(frame: RecordedFrame, path: Path) -> None:
    """Write a frame's point cloud as it came over the wire.

    :raises OSError: if that fails; the message names the file.
    """
    cloud = frame.load('cloud')  # [H, W] of x, y, z, rgb
    points = np.stack([cloud['x'], cloud['y'], cloud['z']], axis=-1)  # [H, W, 3]
    packed = np.ascontiguousarray(cloud['rgb']).view(np.uint32)
    colours = np.stack([packed >> shift & 255 for shift in (16, 8, 0)], axis=-1)
    write_ply(path, points, colours.astype(np.uint8))


def _compare(frame: RecordedFrame, max_depth: float, width: int) -> NDArray[np.uint8]:
    """Return a frame's comparison with panels ``width`` pixels wide."""
    depth = frame.load('depth')
    truth = frame.load('truth') if 'truth' in frame.parts else None
    height = max(1, round(depth.shape[0] * width / depth.shape[1]))
    return comparison(frame.load('rgb'), depth, truth, max_depth=max_depth, height=height)


def write_overview(frames: Sequence[RecordedFrame], path: Path, max_depth: float) -> None:
    """Write one row per frame, evenly spread over the frames where there are too many.

    :raises OSError: if that fails; the message names the file.
    """
    rows = [
        _compare(frame, max_depth, _OVERVIEW_PANEL_WIDTH)
        for frame in evenly_spread(frames, _OVERVIEW_ROWS)
    ]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0))) for row in rows]
    write_rgb_png(path, np.concatenate(padded))


def evenly_spread(frames: Sequence[RecordedFrame], count: int) -> list[RecordedFrame]:
    """Return at most ``count`` of the frames, evenly spread from the first to the last."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return [frames[i] for i in chosen]


def write_recording(
    frames: Sequence[RecordedFrame],
    output: Path,
    *,
    max_depth: float,
    n_pictures: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write pictures, clouds and the overview; return the figures of what they show.

    :param n_pictures: how many frames get pictures; the figures are over all of them.
    :param on_progress: called with the number of frames done and their total.
    :raises OSError: if a file cannot be written; the message names it.
    """
    shown = evenly_spread(frames, n_pictures)
    pictures: list[dict[str, Any]] = []
    per_frame: list[dict[str, float]] = []
    for i, frame in enumerate(frames):
        metrics = frame_metrics(frame, max_depth)
        if metrics is not None:
            per_frame.append(metrics)
        if frame in shown:
            folder = Path('frames') / f'{len(pictures):03d}'
            write_frame(frame, output / folder, max_depth)
            pictures.append(_picture_entry(frame, folder, metrics))
        on_progress(i + 1, len(frames))
    write_overview(shown, output / 'overview.png', max_depth)
    first_cloud = next((frame for frame in frames if 'cloud' in frame.parts), None)
    if first_cloud is not None:
        write_cloud(first_cloud, output / 'cloud.ply')
    mean = mean_metrics(per_frame) if per_frame else None
    return {
        'frames_evaluated': len(per_frame),
        'abs_rel': mean['abs_rel'] if mean else None,
        'delta1': mean['delta1'] if mean else None,
        'abs_rel_median_scaled': float(np.mean([m['abs_rel_median_scaled'] for m in per_frame]))
        if per_frame
        else None,
        'metrics': mean,
        'max_depth': max_depth,
        'pictures': pictures,
    }


def remove_earlier(output: Path) -> None:
    """Remove what an earlier recording left in the folder, and nothing else."""
    names = ('rgb.png', 'depth.png', 'preview.png', 'truth.png', 'side_by_side.png', 'cloud.ply')
    for folder in output.glob('frames/[0-9][0-9][0-9]*'):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for name in ('overview.png', 'cloud.ply', 'summary.json'):
        (output / name).unlink(missing_ok=True)


def _picture_entry(
    frame: RecordedFrame, folder: Path, metrics: Mapping[str, float] | None
) -> dict[str, Any]:
    names = ('abs_rel', 'delta1', 'abs_rel_median_scaled')
    return {
        'name': frame.shot.name or folder.name,
        'folder': str(folder),
        **{name: metrics[name] if metrics else None for name in names},
        'latency_ms': round(frame.shot.latency_ms, 2),
    }
