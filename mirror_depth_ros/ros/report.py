"""What a recording leaves behind: pictures, clouds, an overview and figures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.metrics import depth_metrics, mean_metrics
from mirror_depth_ros.preview import colorize_depth, colorize_error, side_by_side
from mirror_depth_ros.ros.recording import RecordedFrame
from mirror_depth_ros.writers import write_depth_png, write_ply, write_rgb_png

# Colours span 0.3 to 10 m indoors, and in proportion outdoors.
_NEAREST_COLOUR = 0.03
_PANEL_WIDTH = 640
_OVERVIEW_PANEL_WIDTH = 320
_OVERVIEW_ROWS = 32
# Below this share of valid pixels a truth is a lidar's: its points are drawn thicker.
_SPARSE = 0.2


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
    write_rgb_png(folder / 'side_by_side.png', comparison(frame, max_depth, _PANEL_WIDTH))
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


def comparison(frame: RecordedFrame, max_depth: float, width: int) -> NDArray[np.uint8]:
    """Return image, truth, prediction and error in one row, each ``width`` pixels wide."""
    colours = {'min_depth': _NEAREST_COLOUR * max_depth, 'max_depth': max_depth}
    depth = frame.load('depth')
    if 'truth' in frame.parts:
        truth = frame.load('truth')
        shown, error = truth, colorize_error(depth, truth)
        if np.isfinite(truth).mean() < _SPARSE:
            shown, error = _thicken(truth), _thicken_colours(error)
        panels = [
            ('image', frame.load('rgb')),
            ('truth', colorize_depth(shown, **colours)),
            ('prediction', colorize_depth(depth, **colours)),
            ('relative error', error),
        ]
    else:
        panels = [
            ('image', frame.load('rgb')),
            ('prediction', colorize_depth(depth, **colours)),
        ]
    height = max(1, round(depth.shape[0] * width / depth.shape[1]))
    return side_by_side(panels, height=height)


def write_overview(frames: Sequence[RecordedFrame], path: Path, max_depth: float) -> None:
    """Write one row per frame, evenly spread over the frames where there are too many.

    :raises OSError: if that fails; the message names the file.
    """
    rows = [
        comparison(frame, max_depth, _OVERVIEW_PANEL_WIDTH)
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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    :raises OSError: if that fails, naming the file.
    """
    part = path.with_name(f'.{path.name}.part')
    try:
        part.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(f'could not write {path}: {error.strerror or error}') from error


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


def _thicken(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Let every measured pixel cover its neighbourhood, the nearest on top."""
    thick = cv2.erode(np.nan_to_num(depth, nan=np.inf), _brush(depth.shape[1]))
    return np.where(np.isfinite(thick), thick, np.nan).astype(np.float32)


def _thicken_colours(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.dilate(image, _brush(image.shape[1])))


def _brush(width: int) -> NDArray[np.uint8]:
    size = 2 * (width // 320) + 1
    return np.ones((size, size), np.uint8)
