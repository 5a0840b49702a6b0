"""``mirror_depth evaluate``: a data set and a model to the field's table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer


def evaluate(
    data: str = typer.Option(
        ..., metavar='DATA', help='scenes:indoor, scenes:outdoor or frames:FOLDER.'
    ),
    model: str = typer.Option('builtin', help='builtin, clip2depth, or the path of a checkpoint.'),
    baseline: str | None = typer.Option(
        None,
        help='Evaluate this on the same CLIP instead: mean, linear, depthclip or learned_prompts.',
        metavar='NAME',
    ),
    count: int = typer.Option(100, min=1, help='How many of the unseen test scenes.'),
    max_depth: float | None = typer.Option(
        None, min=0.1, help='Farthest depth that counts [m]; 80 for scenes:outdoor, else 10.'
    ),
    flip: bool = typer.Option(
        False, '--flip', help='Average with the prediction of the mirrored image.'
    ),
    device: str = typer.Option('auto', help='auto, cpu, cuda, cuda:1, mps.'),
    precision: str = typer.Option('auto', help='auto, fp32, bf16 or fp16.'),
    pictures: Path | None = typer.Option(
        None, help='Write image, truth, prediction and error side by side there.', metavar='DIR'
    ),
    json_file: Path | None = typer.Option(
        None, '--json', help='Also write all figures there.', metavar='FILE'
    ),
    per_image: bool = typer.Option(
        True, help="Write every image's own figures to the JSON file, too."
    ),
) -> None:
    """Measure a model against true depth, every image counting the same.

    Shows the figures as predicted, and with each prediction scaled to the truth's median: the
    difference is what the model gets wrong about scale alone.

    For example:

    - `mirror_depth evaluate --data scenes:indoor --count 500`

    - `mirror_depth evaluate --data scenes:indoor --baseline depthclip`

    - `mirror_depth evaluate --data frames:recordings/kitchen --pictures errors/`
    """
    from rich.console import Console
    from rich.progress import track

    from mirror_depth_ros.data.specification import open_data
    from mirror_depth_ros.evaluation import evaluate as evaluate_samples
    from mirror_depth_ros.evaluation import load_estimator, summarize_scores
    from mirror_depth_ros.metrics import DEPTH_CAPS
    from mirror_depth_ros.writers import write_json

    console = Console(stderr=True)
    cap = DEPTH_CAPS['outdoor' if data == 'scenes:outdoor' else 'indoor']
    cap = cap if max_depth is None else max_depth
    samples = open_data(data, scene_count=count)
    with console.status('loading the model'):
        estimator = load_estimator(model, baseline, device=device, precision=precision)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    outcomes = evaluate_samples(estimator, samples, max_depth=cap, flip=flip, pictures=pictures)
    scores = [*track(outcomes, 'evaluating', total=len(samples), console=console)]
    summary = {
        'data': data,
        'model': estimator.model_name,
        'baseline': baseline,
        'precision': estimator.precision,
        'flip': flip,
        'max_depth_m': cap,
        **summarize_scores(scores),
    }
    if not per_image:
        del summary['per_image']
    if json_file is not None:
        write_json(json_file, summary)
    _print_table(summary)


def _print_table(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from mirror_depth_ros.metrics import METRIC_NAMES

    title = f'{summary["images"]} images of {summary["data"]}, up to {summary["max_depth_m"]:g} m'
    if summary['baseline'] is not None:
        title += f', by the baseline {summary["baseline"]}'
    table = Table('', 'as predicted', 'median scaled', title=title)
    for name in METRIC_NAMES:
        table.add_row(
            name, *(f'{summary[kind][name]:.3f}' for kind in ('metric', 'median_scaled'))
        )
    Console().print(table)
