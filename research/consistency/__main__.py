"""How steady a model's depth is from frame to frame, and how smooth within a frame.

``python -m research.consistency --help``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mirror_depth_ros.cli.options import Backend, Device, JsonFile, Model, Precision
from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.inference.estimator import DepthEstimator
from research.consistency.scores import FIGURES, STEADY, score_video, summarize_videos
from research.consistency.videos import LOOP_FRAMES, recorded_video, rendered_videos

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar='[RECORDING]...',
            help='Folders of frames with camera_to_world; without any, videos are rendered.',
        ),
    ] = None,
    model: Model = 'builtin',
    kind: Annotated[str, typer.Option(help='Rendered: indoor, close or outdoor.')] = 'indoor',
    videos: Annotated[int, typer.Option(min=1, help='Rendered: how many.')] = 10,
    frames: Annotated[int, typer.Option(min=2, help="Each video's first ones.")] = 24,
    height: Annotated[int, typer.Option(min=2, help='Of rendered pictures.')] = 240,
    width: Annotated[int, typer.Option(min=2, help='Of rendered pictures.')] = 320,
    steady: Annotated[
        str,
        typer.Option(
            help='Filter the depth as the node does: off, scale, or motion (by the true poses).'
        ),
    ] = 'off',
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    pictures: Annotated[
        Path | None,
        typer.Option(help='Write a strip of each there: image, two depths, disagreement.'),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure how steady depth is from frame to frame, and how smooth within a frame.

    Zero is perfect in every row but the second. Temporal disagreement: each predicted point makes
    the true motion to the next frame, where the prediction should be the same; the mean relative
    difference is flicker. Co-visible fraction: the pixels that both frames see, which counted.
    Spatial error away from edges, at edges: how far the steps of log depth from pixel to pixel
    are from the truth's; blocks and ripples show in the first, blur in the second. Abs Rel is the
    usual error: one that answers the same depth everywhere does not flicker.
    """
    if steady not in STEADY:
        raise typer.BadParameter(f'{steady!r} is not one of {", ".join(STEADY)}')
    chosen = (
        [recorded_video(folder) for folder in recordings]
        if recordings
        else rendered_videos(kind, videos, height=height, width=width)
    )
    count = len(recordings) if recordings else videos
    estimator = DepthEstimator.load(model, device=device, precision=precision, backend=backend)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    progress = track(chosen, 'videos', total=count, console=Console(stderr=True))
    scores = [
        score_video(estimator.estimate, video, n_frames=frames, steady=steady, pictures=pictures)
        for video in progress
    ]
    rendered = {'kind': kind, 'size': [height, width], 'loop_frames': LOOP_FRAMES}
    summary = {
        'data': [path.resolve().name for path in recordings] if recordings else rendered,
        'model': estimator.model_name,
        'precision': estimator.precision,
        'backend': estimator.backend,
        'frames': frames,
        'steady': steady,
        **summarize_videos(scores),
    }
    if json_file is not None:
        write_json(json_file, summary)
    _print_table(summary)


def _print_table(summary: dict[str, Any]) -> None:
    title = f'{summary["videos"]} videos, {summary["frames"]} frames of each'
    table = Table('', 'mean over videos', title=title)
    for figure in FIGURES:
        value = summary[figure]
        table.add_row(figure.replace('_', ' '), 'none' if value is None else f'{value:.4f}')
    Console().print(table)


if __name__ == '__main__':
    app(prog_name='python -m research.consistency')
