"""``mirror_depth view``: a live viewer of a node, a recording or pictures."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mirror_depth_ros.cli.options import Backend, ClipWeights, Device, Model, Precision

if TYPE_CHECKING:
    from mirror_depth_ros.evaluation.viewer import DepthViewer


def view(
    data: str | None = typer.Argument(
        None,
        metavar='[DATA]',
        help='bag:FOLDER, frames:FOLDER and others, as of evaluate; none: a running node.',
    ),
    web: bool = typer.Option(
        False, '--web', help='Serve the viewer to browsers, even where there is a display.'
    ),
    save: Path | None = typer.Option(
        None, help='Write a file for `rerun FILE` instead of showing it.', metavar='FILE.rrd'
    ),
    port: int = typer.Option(9090, min=1, max=65535, help='Of the page, for browsers.'),
    data_port: int = typer.Option(9876, min=1, max=65535, help='Of what the page reads.'),
    node: str = typer.Option('/mirror_depth', help='The depth node, with its namespace.'),
    image: str = typer.Option('/camera/image_raw', help="The node's camera."),
    model: Model = 'builtin',
    clip_weights: ClipWeights = None,
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    max_depth: float | None = typer.Option(
        None, min=0.1, help='Where colours and the cloud end [m]; default: by the first image.'
    ),
) -> None:
    """Show image, depth, coloured cloud and the node's health in Rerun.

    Opens a window where there is a display, else serves a page to browsers. Needs Rerun:
    `pip install 'mirror_depth_ros[view]'`.

    For example:

    - `mirror_depth view` beside a running node; of another robot's `--node /front/mirror_depth`

    - `mirror_depth view frames:resource/demo/photographs/desk_1 --web`

    - `mirror_depth view 'bag:drive[:200]' --save drive.rrd`
    """
    from mirror_depth_ros.evaluation.viewer import DepthViewer, has_display, load_rerun

    load_rerun()  # first: what lacks should be said at once
    window = save is None and not web and has_display()
    if data is None:
        _view_node(node, image, save=save, window=window, ports=(port, data_port), far=max_depth)
        return
    viewer = DepthViewer(max_depth=max_depth)
    if save is not None:
        viewer.save(save)
    elif window:
        viewer.open_window()
    else:
        typer.echo(f'open {viewer.serve(web_port=port, data_port=data_port)}')
    _view_data(
        viewer,
        data,
        model=model,
        clip_weights=clip_weights,
        device=device,
        precision=precision,
        backend=backend,
    )
    if save is None and not window:
        typer.echo('All is shown; Ctrl-C ends the page.')
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    viewer.close()


def _view_data(viewer: DepthViewer, data: str, *, model: str, **options: str | None) -> None:
    """Estimate and show every image of a data set below a progress bar."""
    from rich.console import Console
    from rich.progress import track

    from mirror_depth_ros.data.specification import open_data
    from mirror_depth_ros.evaluation.result import estimate
    from mirror_depth_ros.inference.estimator import DepthEstimator

    samples = open_data(data).samples
    console = Console(stderr=True)
    with console.status('loading the model'):
        estimator = DepthEstimator.load(model, **options)  # type: ignore[arg-type]
    for number in track(range(len(samples)), 'estimating', console=console):
        sample = samples[number]
        depth, confidence = estimate(
            estimator,
            sample.rgb,
            sample.camera.focal_px,
            with_confidence=estimator.has_confidence,
        )
        viewer.log(number / 10, sample.rgb, depth, sample.camera, sample.depth, confidence)


def _view_node(
    node: str,
    image: str,
    *,
    save: Path | None,
    window: bool,
    ports: tuple[int, int],
    far: float | None,
) -> None:
    """Run the subscriber that shows a node, as a process: it needs ROS."""
    from mirror_depth_ros.cli.processes import module_command
    from mirror_depth_ros.cli.ros_environment import missing_ros

    if (remedy := missing_ros()) is not None:
        raise ValueError(remedy)
    command = [*module_command('mirror_depth_ros.ros.viewer'), '--node', node]
    command += ['--ports', *map(str, ports)]
    command += ['--max-depth', str(far)] * (far is not None)
    command += ['--save', str(save)] * (save is not None) + ['--window'] * window
    command += ['--ros-args', '-r', f'image:={image}']
    process = subprocess.Popen(command)
    while True:
        try:
            raise typer.Exit(process.wait())
        except KeyboardInterrupt:  # the process must come to its end: a file is to be closed
            process.send_signal(signal.SIGINT)
