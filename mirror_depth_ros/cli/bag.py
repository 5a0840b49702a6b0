"""``mirror_depth bag``: a recording in, the same recording with depth out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mirror_depth_ros.cli.options import Backend, ClipWeights, Device, JsonFile, Model, Precision

if TYPE_CHECKING:
    from rich.console import Console

    from mirror_depth_ros.evaluation.bag import BagDepth, Failure

_INTERRUPTED = 130  # as of a shell: 128 and the number of SIGINT


def bag(
    recording: Path = typer.Argument(
        ...,
        metavar='RECORDING',
        help='Folder of a rosbag2 recording, or a .mcap, .db3 or (ROS 1) .bag file.',
    ),
    output: Path = typer.Option(..., '--output', '-o', help='Folder of the new recording (MCAP).'),
    image: list[str] = typer.Option(
        [], help='Topic of images; again for several. By default the only one in colour.'
    ),
    camera_info: list[str] = typer.Option(
        [], help='Topic of their CameraInfo, if not beside the images; as often as --image.'
    ),
    fov: float | None = typer.Option(
        None,
        help='Field of view along the longer side of images without calibration [degrees].',
        metavar='DEG',
    ),
    cloud: bool = typer.Option(False, '--cloud', help='Add point clouds.'),
    confidence: bool = typer.Option(
        False, '--confidence', help='Add how sure each pixel is, 0 to 1.'
    ),
    preview: bool = typer.Option(True, '--preview/--no-preview', help='Add pictures of depth.'),
    max_depth: float = typer.Option(10.0, help='Where the colours of the preview end [m].'),
    scale: float = typer.Option(1.0, help='What depth is multiplied by; the node can find it.'),
    min_range: float = typer.Option(0.1, help='Nearer depth becomes -Inf [m].'),
    max_range: float = typer.Option(80.0, help='Farther depth becomes +Inf [m].'),
    edge_filter: float = typer.Option(
        0.05, help='Depth so far from the surfaces on either side becomes NaN; 0: off.'
    ),
    prefix: str = typer.Option('/mirror_depth', help='What the new topics begin with.'),
    overwrite: bool = typer.Option(False, '--overwrite', help='Replace what is at --output.'),
    model: Model = 'builtin',
    clip_weights: ClipWeights = None,
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    json_file: JsonFile = None,
) -> None:
    """Add depth to a recording, image by image, without ROS.

    The new recording has all messages of the old one, and of each image what the depth node would
    publish, with its stamp and frame: `/mirror_depth/depth/image` (32FC1, metres along Z),
    `/mirror_depth/depth/camera_info`, `/mirror_depth/depth/preview`, with `--confidence`
    `/mirror_depth/confidence/image` (32FC1, 0 to 1) and, with `--cloud`, `/mirror_depth/points`.
    With several `--image` the camera's name stands behind `/mirror_depth`. Two runs give the same
    messages, bit for bit.

    Stopped or killed, it leaves a recording of what has been done; the same command goes on from
    there. The exit code is 1 if any image failed.

    For example:

    - `mirror_depth bag drive/ --output drive_depth`

    - `mirror_depth bag drive.mcap -o out --image /left/image_raw --image /right/image_raw --cloud`

    - `mirror_depth bag old.bag -o out --image /usb_cam/image_raw/compressed --fov 70`
    """
    from rich.console import Console

    from mirror_depth_ros.depth.files import write_json
    from mirror_depth_ros.evaluation.bag import BagDepth, BagSettings

    console = Console(stderr=True)
    settings = BagSettings(
        images=tuple(image),
        camera_infos=tuple(camera_info),
        fov_deg=fov,
        prefix=prefix,
        cloud=cloud,
        preview=preview,
        confidence=confidence,
        depth_scale=scale,
        min_range=min_range,
        max_range=max_range,
        edge_filter=edge_filter,
        preview_max_depth=max_depth,
    )
    with console.status('looking through the recording'):
        task = BagDepth(recording, settings)
    with console.status('loading the model'):
        from mirror_depth_ros.inference.estimator import DepthEstimator

        estimator = DepthEstimator.load(
            model, device=device, precision=precision, backend=backend, clip_weights=clip_weights
        )
    outcomes = task.run(estimator, output, model=model, overwrite=overwrite)
    summary = _follow(task, outcomes, output, console)
    if json_file is not None:
        write_json(json_file, {'model': model, 'output': str(output), **summary})
    Console().print(
        f'{output}: {", ".join(task.topics)}; {summary["images"]} images in '
        f'{summary["elapsed_s"]:.1f} s, of a recording of {summary["recorded_s"]:.1f} s',
        markup=False,
    )
    if summary['failed']:
        console.print(f'{len(summary["failed"])} of {task.n_images} images failed', style='red')
        raise typer.Exit(1)


def _follow(
    task: BagDepth, outcomes: Iterable[Failure | None], output: Path, console: Console
) -> dict[str, Any]:
    """Go through the images below a progress bar; return what was done.

    :raises typer.Exit: on an interrupt, having said how to go on.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()]
    failed: list[dict[str, Any]] = []
    began_s, n_images = time.monotonic(), 0
    try:
        with Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console
        ) as progress:
            bar = progress.add_task('depth', total=task.n_images)
            for failure in outcomes:
                n_images += 1
                progress.advance(bar)
                if failure is not None:
                    failed.append(asdict(failure))
                    console.print('failed: {topic} at {stamp_ns} ns: {error}'.format(**failed[-1]))
    except KeyboardInterrupt:
        console.print(
            f'stopped after {n_images} of {task.n_images} images: {output} is a recording of '
            'these; the same command goes on from there',
            markup=False,
        )
        raise typer.Exit(_INTERRUPTED) from None
    return {
        'images': n_images,
        'failed': failed,
        'elapsed_s': time.monotonic() - began_s,
        'recorded_s': task.recorded_s,
        'topics': task.topics,
    }
