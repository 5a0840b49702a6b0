"""``mirror_depth consistency``: how steady and how smooth a model's depth is over videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mirror_depth_ros.cli.options import Backend, Baseline, Device, JsonFile, Model, Precision


def consistency(
    data: str = typer.Option(..., metavar='DATA', help='scenes:indoor or scenes:outdoor.'),
    model: Model = 'builtin',
    baseline: Baseline = None,
    videos: int = typer.Option(10, min=1, help='How many of the unseen test scenes.'),
    frames: int = typer.Option(30, min=2, max=44, help='Frames of each video, at 10 Hz.'),
    size: str = typer.Option('320x240', metavar='WxH', help="The pictures' width and height."),
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    pictures: Path | None = typer.Option(
        None,
        help='Write a strip of each video there: image, depth of two frames, disagreement.',
        metavar='DIR',
    ),
    json_file: JsonFile = None,
) -> None:
    """Measure how steady depth is from frame to frame, and how smooth within a frame.

    A camera moves through unseen rendered scenes as on a robot at walking pace (0.5 m/s in rooms,
    1 m/s on roads, 10 Hz). Zero is perfect in every row but the second:

    - *temporal disagreement*: each predicted point makes the true motion to the next frame, where
      the prediction should be the same; the mean relative difference. It is flicker.

    - *co-visible share*: the pixels that counted, those that both frames see.

    - *spatial error away from edges*, *at edges*: how far the steps of log depth from pixel to
      pixel are from the truth's. Blocks and ripples show in the first, blur in the second.

    - *abs_rel*: the usual error; one that answers the same depth everywhere does not flicker.

    For example:

    - `mirror_depth consistency --data scenes:indoor --pictures strips/`

    - `mirror_depth consistency --data scenes:indoor --baseline mean`
    """
    from rich.console import Console
    from rich.progress import track

    from mirror_depth_ros.evaluation import load_estimator
    from mirror_depth_ros.protocols import PROTOCOLS
    from mirror_depth_ros.video_evaluation import (
        LOOP_FRAMES,
        RATE_HZ,
        evaluate_video,
        open_videos,
        summarize_videos,
    )
    from mirror_depth_ros.writers import write_json

    console = Console(stderr=True)
    kind, (width, height) = _scene_kind(data), _picture_size(size)
    all_videos = open_videos(kind, count=videos, width=width, height=height)
    with console.status('loading the model'):
        estimator = load_estimator(
            model, baseline, device=device, precision=precision, backend=backend
        )
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    scores = [
        evaluate_video(estimator, video, n_frames=frames, pictures=pictures)
        for video in track(all_videos, 'evaluating', total=videos, console=console)
    ]
    summary = {
        'data': data,
        'model': estimator.model_name,
        'baseline': baseline,
        'precision': estimator.precision,
        'backend': estimator.backend,
        'max_depth_m': PROTOCOLS[kind].max_depth,
        'width': width,
        'height': height,
        'frames': frames,
        'loop_frames': LOOP_FRAMES,
        'rate_hz': RATE_HZ,
        **summarize_videos(scores),
    }
    if json_file is not None:
        write_json(json_file, summary)
    _print_table(summary)


def _scene_kind(data: str) -> str:
    """Return the kind of scenes named by ``scenes:KIND``."""
    source, _, kind = data.partition(':')
    if source != 'scenes' or kind not in ('indoor', 'outdoor'):
        raise ValueError(
            f'got data set {data!r}, expected scenes:indoor or scenes:outdoor; only rendered '
            'scenes are videos with known poses'
        )
    return kind


def _picture_size(size: str) -> tuple[int, int]:
    width, _, height = size.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal() and int(width) > 1 and int(height) > 1):
        raise ValueError(f'got a size of {size!r}, expected WIDTHxHEIGHT such as 320x240')
    return int(width), int(height)


def _print_table(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = (
        f'{summary["videos"]} videos of {summary["data"]}, {summary["frames"]} frames of '
        f'{summary["width"]} x {summary["height"]}, up to {summary["max_depth_m"]:g} m'
    )
    if summary['baseline'] is not None:
        title += f', by the baseline {summary["baseline"]}'
    labels = {
        'temporal_disagreement': 'temporal disagreement',
        'covisible_share': 'co-visible share',
        'spatial_away': 'spatial error away from edges',
        'spatial_at_edges': 'spatial error at edges',
        'abs_rel': 'abs_rel',
    }
    table = Table('', 'mean over videos', title=title)
    for figure, label in labels.items():
        value = summary[figure]
        table.add_row(label, 'none' if value is None else f'{value:.4f}')
    Console().print(table)
