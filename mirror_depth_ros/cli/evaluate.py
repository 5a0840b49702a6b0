"""``mirror_depth evaluate``: a data set and a model to the field's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mirror_depth_ros.cli.options import (
    Backend,
    ClipWeights,
    Device,
    JsonFile,
    Model,
    Precision,
)
from mirror_depth_ros.cli.tables import print_table

if TYPE_CHECKING:
    from rich.console import Console

    from mirror_depth_ros.data.specification import DataSet
    from mirror_depth_ros.depth.eval_protocols import Protocol
    from mirror_depth_ros.evaluation.breakdown import Part
    from mirror_depth_ros.inference.estimator import DepthEstimator


def evaluate(
    data: str = typer.Option(
        ...,
        metavar='DATA',
        help='nyu:FOLDER, nyu:FILE.mat, kitti:FOLDER, bag:FOLDER, frames:FOLDER; a '
        'part of one with [FROM:TO] behind it, such as [:80%] or [10:20]. '
        'Of a recording with several cameras: bag:FOLDER,image=TOPIC, likewise depth, '
        'camera_info, lidar, range, floor, motion, frame_id, odom_frame, odometry and '
        'tolerance_s.',
    ),
    model: Model = 'builtin',
    clip_weights: ClipWeights = None,
    protocol: str | None = typer.Option(
        None,
        help='What counts, instead of what is usual for the data: indoor, outdoor, nyu, '
        'kitti_garg_full, kitti_garg_cropped, kitti_eigen_full or kitti_eigen_cropped.',
        metavar='NAME',
    ),
    max_depth: float | None = typer.Option(
        None, min=0.1, help="Farthest depth that counts [m], instead of the protocol's."
    ),
    skip_broken: bool = typer.Option(
        False, '--skip-broken', help='Pass over images that cannot be opened, and list them.'
    ),
    flip: bool = typer.Option(
        False, '--flip', help='Average with the prediction of the mirrored image.'
    ),
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    pictures: Path | None = typer.Option(
        None, help='Write image, truth, prediction and error side by side.', metavar='DIR'
    ),
    where: Path | None = typer.Option(
        None,
        help='Show the errors by distance and by place, too, and draw the latter there.',
        metavar='PNG',
    ),
    json_file: JsonFile = None,
    per_image: bool = typer.Option(
        True, help="Write every image's own figures to the JSON file, too."
    ),
) -> None:
    """Measure a model against true depth, every image counting the same.

    Shows the figures as predicted, and with each prediction scaled to the truth's median: the
    difference is what the model gets wrong about scale alone. Of models with confidence, their own
    guess at delta1 stands below it. It warns where the truth fits clearly better when moved, as
    with a wrong transform between sensor and camera.

    KITTI is evaluated in two ways, which give different figures: `kitti_garg_full` (the default)
    puts the prediction back into the full frame and crops that, as BTS does; `kitti_garg_cropped`
    crops the benchmark's window, as AdaBins and NeWCRFs do.

    For example:

    - `mirror_depth evaluate --data frames:recordings/kitchen --pictures errors/ --where where.png`

    - `mirror_depth evaluate --data 'frames:recordings/kitchen[80%:]'`

    - `mirror_depth evaluate --data 'bag:drive,image=/left/image,tolerance_s=0.04[80%:]'`

    - `mirror_depth evaluate --data nyu:nyu_depth_v2_labeled.mat`

    - `mirror_depth evaluate --data kitti:kitti/ --protocol kitti_garg_cropped --skip-broken`
    """
    from rich.console import Console

    from mirror_depth_ros.data.specification import open_data
    from mirror_depth_ros.depth.eval_protocols import named_protocol
    from mirror_depth_ros.depth.files import make_folder, write_json, write_rgb_png
    from mirror_depth_ros.evaluation.breakdown import Breakdown
    from mirror_depth_ros.evaluation.misalignment import Misalignment
    from mirror_depth_ros.inference.estimator import DepthEstimator

    console = Console(stderr=True)
    data_set = open_data(data)
    if sources := data_set.describe():
        print_table(sources)
    rules = named_protocol(protocol or data_set.protocol, max_depth=max_depth)
    with console.status('loading the model'):
        estimator = DepthEstimator.load(
            model, device=device, precision=precision, backend=backend, clip_weights=clip_weights
        )
    breakdown, misalignment = Breakdown(), Misalignment()
    figures = _measure(
        estimator,
        data_set,
        rules,
        console,
        skip_broken=skip_broken,
        flip=flip,
        pictures=pictures,
        breakdown=breakdown,
        misalignment=misalignment,
    )
    move = misalignment.find()
    summary = {
        'data': data,
        'model': estimator.model_name,
        **figures,
        **breakdown.to_dict(),
        'misalignment': None if move is None else asdict(move),
    }
    if not per_image:
        del summary['per_image']
    if json_file is not None:
        write_json(json_file, summary)
    _print_table(summary)
    if move is not None:
        console.print(move.describe(), style='yellow')
    if where is not None:
        make_folder(where.parent)
        write_rgb_png(where, breakdown.picture())
        _print_parts('by distance', breakdown.bands())
        _print_parts('by place in the picture', breakdown.places())


def _measure(
    estimator: DepthEstimator,
    data_set: DataSet,
    rules: Protocol,
    console: Console,
    *,
    skip_broken: bool,
    flip: bool,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate every image below a progress bar; return how that was done and what came of it."""
    from rich.progress import track

    from mirror_depth_ros.data.sample import Broken, open_each
    from mirror_depth_ros.evaluation.evaluate import evaluate as evaluate_samples
    from mirror_depth_ros.evaluation.evaluate import summarize_scores

    samples = data_set.samples
    order = track(range(len(samples)), 'evaluating', console=console)
    broken: list[Broken] = []
    opened = open_each(samples, order, broken=broken if skip_broken else None)
    scores = [*evaluate_samples(estimator, opened, protocol=rules, flip=flip, **options)]
    return {
        'precision': estimator.precision,
        'backend': estimator.backend,
        'flip': flip,
        'protocol': rules.name,
        'max_depth_m': rules.max_depth,
        **summarize_scores(scores),
        'left_out': data_set.left_out,
        'broken': [asdict(sample) for sample in broken],
    }


def _print_parts(title: str, parts: Sequence[Part]) -> None:
    rows = [
        (
            part.name,
            f'{100 * part.fraction:.1f} %',
            f'{part.abs_rel:.3f}',
            f'{100 * part.bias:+.0f} %',
            f'{part.delta1:.3f}',
        )
        for part in parts
    ]
    columns = ('pixels', 'Abs Rel', 'too far by', 'delta1')
    print_table(rows, '', *columns, title=f'{title}, every pixel counting the same')


def _print_table(summary: dict[str, Any]) -> None:
    from rich.console import Console

    from mirror_depth_ros.depth.metrics import METRIC_NAMES

    title = f'{summary["images"]} images of {summary["data"]}, '
    title += f'protocol {summary["protocol"]}, up to {summary["max_depth_m"]:g} m'
    rows = [(n, *(summary[kind][n] for kind in ('metric', 'median_scaled'))) for n in METRIC_NAMES]
    if summary['expected_delta1'] is not None:
        after = METRIC_NAMES.index('delta1') + 1
        rows.insert(after, ('delta1 expected', summary['expected_delta1'], ''))
    print_table(rows, '', 'as predicted', 'median scaled', title=title)
    console = Console()
    if summary['left_out']:
        console.print(f'images without true depth, which do not count: {summary["left_out"]}')
    if summary['broken']:
        console.print(
            f'images that cannot be opened, which do not count: {len(summary["broken"])}'
        )
    for sample in summary['broken']:
        console.print(f'{sample["name"]}: {sample["error"]}', markup=False)
