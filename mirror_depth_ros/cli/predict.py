"""``mirror_depth predict``: images, folders and videos to depth, previews and clouds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mirror_depth_ros.cli.options import Backend, ClipWeights, Device, JsonFile, Model, Precision

if TYPE_CHECKING:
    from rich.console import Console

    from mirror_depth_ros.data.media import CameraOf, Medium
    from mirror_depth_ros.evaluation.predict import Failure, Prediction, PredictionSettings
    from mirror_depth_ros.inference.estimator import DepthEstimator


def predict(
    inputs: list[Path] = typer.Argument(
        ..., metavar='INPUT', help='Images, videos, and folders of them (searched deeply).'
    ),
    output: Path = typer.Option(Path('predictions'), '--output', '-o', help='Folder of results.'),
    fov: float | None = typer.Option(
        None, help='Field of view of the camera along its longer side [degrees].', metavar='DEG'
    ),
    focal: float | None = typer.Option(
        None, help='Focal length of the camera [pixels], in place of --fov.', metavar='PX'
    ),
    model: Model = 'builtin',
    clip_weights: ClipWeights = None,
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    max_depth: float = typer.Option(
        10.0, help='Where previews, clouds and figures end [m]; about 80 for streets.'
    ),
    ply: bool = typer.Option(True, '--ply/--no-ply', help='Write point clouds.'),
    confidence: bool = typer.Option(
        False, '--confidence', help='Write how sure each pixel is: 8-bit PNG, 255 = sure.'
    ),
    every: int = typer.Option(1, help='Take only every N-th frame of a video.', metavar='N'),
    json_file: JsonFile = None,
) -> None:
    """Turn images, folders and videos into metric depth.

    Writes `NAME_depth.png` (16-bit millimetres, 0 = invalid), `NAME_preview.png` (red is near,
    blue is far) and `NAME.ply` (a coloured cloud in metres) for each image; for a video, a folder
    of them. Metric depth needs the camera: give `--fov` (a phone's main camera has about 65
    degrees) or `--focal`. Without them, the focal length in the EXIF data of each image is taken.
    Folders with a `meta.json` bring their own, and are measured against their `depth.png`.

    `--confidence` adds `NAME_confidence.png`, 8 bits: value / 255 is the probability, by the
    model, that the depth there is within a factor of 1.25 of the truth.

    Images and videos are turned upright as they say. The exit code is 1 if any input failed, or a
    file in a folder is of no kind that is read.

    For example:

    - `mirror_depth predict photo.jpg --fov 65`

    - `mirror_depth predict drive.mp4 --focal 920 --every 10 --max-depth 80 --no-ply`

    - `mirror_depth predict recordings/ -o depth/ --json depth/summary.json`
    """
    from rich.console import Console

    from mirror_depth_ros.data.media import find_media
    from mirror_depth_ros.evaluation.predict import PredictionSettings

    console = Console(stderr=True)
    settings = PredictionSettings(
        output, max_depth=max_depth, ply=ply, confidence=confidence, every=every
    )
    left_out: list[Path] = []
    media = find_media(inputs, excluded=output, left_out=left_out)
    camera_of = _cameras(fov, focal, media, console)
    with console.status('loading the model'):
        from mirror_depth_ros.inference.estimator import DepthEstimator

        estimator = DepthEstimator.load(
            model, device=device, precision=precision, backend=backend, clip_weights=clip_weights
        )
    outcomes = _run(estimator, media, settings, camera_of, console)
    _report(estimator, outcomes, left_out, settings, json_file, len(media), console)


def _cameras(
    fov: float | None, focal: float | None, media: Sequence[Medium], console: Console
) -> CameraOf | None:
    """Return what gives pictures without intrinsics their camera; None: their EXIF data do."""
    from mirror_depth_ros.data.media import centred_camera
    from mirror_depth_ros.depth.camera import CameraModel

    if fov is not None and focal is not None:
        raise ValueError('got --fov and --focal, expected one of them; leave the other out')
    if fov is not None:
        CameraModel.from_fov(1, 1, fov)  # a wrong angle is told before a model is loaded
        return lambda width, height: CameraModel.from_longer_side(width, height, fov)
    if focal is not None:
        CameraModel(1, 1, focal, focal, 0.0, 0.0)
        return lambda width, height: centred_camera(width, height, focal)
    for focal_mm, n_images in _focal_lengths(media).items():
        console.print(
            f'camera of {n_images} image{"s" * (n_images > 1)} by EXIF data: a focal length of '
            f'{focal_mm:g} mm in 35-mm film',
            markup=False,
        )
    return None


def _focal_lengths(media: Sequence[Medium]) -> Counter[float]:
    """Count the images by the focal length of their EXIF data [mm in 35-mm film].

    :raises ValueError: for a video, or an image that does not say.
    """
    from mirror_depth_ros.data.media import Kind

    counts: Counter[float] = Counter()
    for medium in media:
        if medium.kind is Kind.FRAME:
            continue
        try:
            focal = medium.focal_length()
        except (ValueError, OSError):
            continue  # it is named when its turn comes
        if focal is None:
            raise ValueError(
                f'got {medium.path} without intrinsics, expected meta.json or a focal length in '
                'EXIF data; give --fov (field of view along the longer side in degrees, about 65 '
                'for a phone) or --focal (pixels)'
            )
        counts[focal.film_mm] += 1
    return counts


def _run(
    estimator: DepthEstimator,
    media: list[Medium],
    settings: PredictionSettings,
    camera_of: CameraOf | None,
    console: Console,
) -> list[Prediction | Failure]:
    """Predict everything below a progress bar; name what failed as it fails."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from mirror_depth_ros.evaluation.predict import Failure, predict_media

    columns = [TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()]
    outcomes: list[Prediction | Failure] = []
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        total = sum(medium.count(settings.every) for medium in media)
        task = progress.add_task('depth', total=total)
        for outcome in predict_media(estimator, media, settings, camera_of):
            outcomes.append(outcome)
            progress.advance(task)
            if isinstance(outcome, Failure):
                console.print(f'failed: {outcome.input}: {outcome.error}', markup=False)
        progress.update(task, total=len(outcomes))  # a video's own count may have been wrong
    return outcomes


def _report(
    estimator: DepthEstimator,
    outcomes: Sequence[Prediction | Failure],
    left_out: Sequence[Path],
    settings: PredictionSettings,
    json_file: Path | None,
    n_inputs: int,
    console: Console,
) -> None:
    """Write and print what was done.

    :raises typer.Exit: with code 1 if an input failed or was left out.
    """
    from mirror_depth_ros.depth.files import write_json
    from mirror_depth_ros.evaluation.predict import Failure, summarize

    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    predictions = [outcome for outcome in outcomes if not isinstance(outcome, Failure)]
    if json_file is not None:
        summary = {
            'model': estimator.model_name,
            'device': str(estimator.device),
            'precision': estimator.precision,
            'backend': estimator.backend,
            'max_depth_m': settings.max_depth,
            **summarize(predictions, failures),
            'left_out': list(map(str, left_out)),
        }
        write_json(json_file, summary)
    _print_predictions(predictions, settings.output)
    for path in left_out:
        console.print(
            f'left out: {path}: no image or video that is read; convert it', markup=False
        )
    if failures:
        console.print(f'{len(failures)} of {n_inputs} inputs failed', style='red')
    if failures or left_out:
        raise typer.Exit(1)


def _print_predictions(predictions: Sequence[Prediction], output: Path) -> None:
    """Print where the results lie and how they compare with the truth, where there is one."""
    from rich.console import Console

    from mirror_depth_ros.cli.tables import print_table
    from mirror_depth_ros.evaluation.predict import FIGURES

    rows = [
        (p.name, f'{p.median_depth_m:.2f}', *(p.metrics[name] for name in FIGURES))
        for p in predictions
        if p.metrics is not None
    ]
    if rows:
        print_table(rows, 'frame', 'median [m]', *FIGURES)
    console = Console()
    for p in predictions:
        if p.has_truth and p.metrics is None:
            console.print(f'{p.name}: no truth below --max-depth, not measured', markup=False)
    console.print(f'{len(predictions)} depth images in {output}', markup=False)
