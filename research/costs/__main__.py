"""What the node costs beside its estimator, and transport, growth and start-up.

``OMP_WAIT_POLICY=passive python -m research.costs --help``: threads wait as those of
``mirror_depth`` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mirror_depth_ros.cli.options import Backend, Device, JsonFile, Model, Precision
from mirror_depth_ros.cli.ros_environment import missing_ros
from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.evaluation.benchmark.estimation import Bench, random_image, stages_step
from mirror_depth_ros.evaluation.benchmark.rounds import medians
from mirror_depth_ros.evaluation.benchmark.subject import Subject
from mirror_depth_ros.inference.heap import keep_freed_memory
from research.costs import growth, start_up, transport
from research.costs.node import measure_node, measure_packing

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Rounds = Annotated[int, typer.Option(min=1, help='How often everything is measured, in turn.')]
# Blocks of the node's frames and of estimates alone, and how long the camera runs freely [s].
_MOST_BLOCKS, _FREE_SECONDS = 6, 6.0


@app.command()
def node(
    model: Model = 'builtin',
    clip: Annotated[str | None, typer.Option(help='With random weights, for --model.')] = None,
    size: Annotated[tuple[int, int] | None, typer.Option(help="Network's input, H W.")] = None,
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    rounds: Rounds = 20,
    rate: Annotated[float, typer.Option(min=0.1, help='Of the free running camera [Hz].')] = 30.0,
    json_file: JsonFile = None,
) -> None:
    """Measure stages, messages and the node end to end, with a camera of 640 x 480."""
    _check_ros()
    keep_freed_memory()  # as the node does
    height, width = 480, 640
    subject = Subject(_absolute(model), clip, size, device, precision, backend)
    bench = Bench.load(subject, height=height, width=width)
    with _progress('encoder, network and stages', rounds + 2) as advance:
        result = bench.measure(rounds, advance)
    packing = measure_packing(height, width, rounds=max(rounds, 20))
    step = stages_step(bench.estimator, random_image(height, width), bench.camera)
    blocks = min(rounds, _MOST_BLOCKS)
    with _progress('node and estimator in turn', blocks) as advance:
        measured = measure_node(
            subject.to_dict(),
            (height, width),
            lambda: step()['estimator'],
            blocks=blocks,
            seconds=_FREE_SECONDS,
            rate_hz=rate,
            advance=advance,
        )
    spreads = medians({name: measured[name] for name in ('node', 'estimator')})
    result['stages_ms']['packing'] = packing['cloud']
    result |= {
        'messages_ms': packing,
        'cloud_over_copy': packing['cloud']['median'] / packing['copy']['median'],
        'node_ms': spreads['node'],
        'node_estimator_ms': spreads['estimator'],
        'node_over_estimator': spreads['node']['median'] / spreads['estimator']['median'],
        'fps': measured['fps'],
        'camera_rate_hz': rate,
        'rss_mb': measured['rss_mb'],
    }
    _print_spreads({name: result[f'{name}_ms'] for name in ('node', 'node_estimator')}, 'ms')
    _finish(result, ('node_over_estimator', 'cloud_over_copy', 'fps', 'rss_mb'), json_file)


@app.command('growth')
def measure_growth(
    model: Model = 'builtin',
    backend: Backend = 'auto',
    rounds: Rounds = 7,
    cameras: Annotated[int, typer.Option(min=1, max=64, help='Most cameras.')] = 8,
    json_file: JsonFile = None,
) -> None:
    """Measure how cost grows with the input's size, the camera's, and the number of cameras."""
    with _progress('growth', growth.n_rounds(rounds)) as advance:
        result = growth.measure(
            Subject(_absolute(model), backend=backend),
            rounds=rounds,
            most_cameras=cameras,
            advance=advance,
        )
    for part in ('input', 'camera', 'cameras'):
        _print_rows(result[part]['rows'], part)
    _finish(result, (), json_file)


@app.command('transport')
def measure_transport(rounds: Rounds = 30, json_file: JsonFile = None) -> None:
    """Measure the latency of messages between processes over DDS."""
    _check_ros()
    with _progress('transport', transport.N_PAIRS) as advance:
        result = transport.measure(rounds, advance=advance)
    rows = [
        {**row, 'latency_ms': row['latency_ms'] and row['latency_ms']['median']}
        for row in result['rows']
    ]
    _print_rows(rows, 'transport')
    _finish(result, (), json_file)


@app.command('start-up')
def measure_start_up(
    model: Model = 'builtin', rounds: Rounds = 10, json_file: JsonFile = None
) -> None:
    """Measure how soon the command line answers and the node is active."""
    _check_ros()
    with _progress('start-up', rounds + 1) as advance:
        result = start_up.measure(_absolute(model), rounds, advance=advance)
    _print_spreads({name: result[name] for name in ('help_s', 'node_active_s')}, 's')
    _finish(result, (), json_file)


def _check_ros() -> None:
    if (remedy := missing_ros()) is not None:
        raise SystemExit(remedy)


@contextmanager
def _progress(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar; yield what advances it by one."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)


def _print_spreads(spreads: Mapping[str, Mapping[str, float]], unit: str) -> None:
    rows = [
        {'': name, **{f'{k} [{unit}]': spread[k] for k in ('median', 'p5', 'p95')}}
        for name, spread in spreads.items()
    ]
    _print_rows(rows, '')


def _print_rows(rows: list[dict[str, Any]], title: str) -> None:
    table = Table(*(name.replace('_', ' ') for name in rows[0]), title=title)
    for row in rows:
        table.add_row(*(f'{v:.2f}' if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)


def _finish(result: dict[str, Any], shown: tuple[str, ...], json_file: Path | None) -> None:
    for name in shown:
        Console().print(f'{name.replace("_", " ")}: {result[name]:.2f}')
    if json_file is not None:
        write_json(json_file, result)


def _absolute(model: str) -> str:
    """Return a file's whole path: other processes load it, too."""
    return str(Path(model).absolute()) if Path(model).is_file() else model


if __name__ == '__main__':
    app(prog_name='python -m research.costs')
