"""``mirror_depth benchmark``: what depth costs on this machine, beside one CLIP embedding."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mirror_depth_ros.cli.options import Backend, Device, JsonFile, Model, Precision

if TYPE_CHECKING:
    from mirror_depth_ros.evaluation.benchmark.estimation import Bench
    from mirror_depth_ros.evaluation.benchmark.subject import Subject

# Blocks of the node's frames and of estimates alone, and how long the camera runs freely [s].
_MOST_BLOCKS, _FREE_SECONDS = 6, 6.0


def benchmark(
    model: Model = 'builtin',
    clip: str | None = typer.Option(
        None, help='This open_clip model with random weights instead of --model.', metavar='NAME'
    ),
    size: str | None = typer.Option(
        None, help="The network's input, such as 352x352; default: the model's own.", metavar='HxW'
    ),
    camera: str = typer.Option('640x480', help="The camera's images.", metavar='WxH'),
    device: Device = 'auto',
    precision: Precision = 'auto',
    backend: Backend = 'auto',
    threads: int | None = typer.Option(None, min=1, help="PyTorch's; default: as it likes."),
    rounds: int = typer.Option(20, min=1, help='How often everything is measured, in turn.'),
    rate: float = typer.Option(30.0, min=0.1, max=120.0, help='Of the free running camera (Hz).'),
    node: bool = typer.Option(True, help='Measure the node end to end, too; needs ROS 2.'),
    transport: bool = typer.Option(
        False, '--transport', help='Measure the latency of messages between processes instead.'
    ),
    grow: bool = typer.Option(
        False, '--grow', help='Measure how cost grows with input, camera and --cameras instead.'
    ),
    start_up: bool = typer.Option(
        False,
        '--start-up',
        help='Measure how soon commands answer and the node is active instead.',
    ),
    cameras: int = typer.Option(8, min=1, max=64, help='Most cameras of --grow.'),
    json_file: JsonFile = None,
) -> None:
    """Measure stages, node and transport, and compare with the bare CLIP image encoder."""
    if clip is not None and model != 'builtin':
        raise ValueError(
            f'got --model {model} and --clip {clip}, expected one of them; leave the other out'
        )
    modes = {'--transport': transport, '--grow': grow, '--start-up': start_up}
    wanted = [name for name, is_wanted in modes.items() if is_wanted]
    if len(wanted) > 1:
        raise ValueError(f'got {" and ".join(wanted)}, expected one at a time; leave one out')
    input_size = _numbers(size, '--size', '352x352') if size else None
    width, height = _numbers(camera, '--camera', '640x480')
    from mirror_depth_ros.evaluation.benchmark.subject import Subject  # loads PyTorch
    from mirror_depth_ros.cli import benchmark_tables as tables
    from mirror_depth_ros.inference.heap import keep_freed_memory

    keep_freed_memory()  # as the node does: the estimator alone must not be the slower for it
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    subject = Subject(
        model=_absolute(model),
        clip=clip,
        size=input_size,
        device=device,
        precision=precision,
        backend=backend,
    )
    if transport:
        result = _transport(rounds)
        tables.print_transport(result)
    elif start_up:
        result = _start_up(subject.model, rounds)
        tables.print_start_up(result)
    elif grow:
        result = _grow(subject, rounds, cameras)
        tables.print_growth(result)
    else:
        from mirror_depth_ros.evaluation.benchmark.estimation import Bench

        with _progress('loading', None):
            bench = Bench.load(subject, height=height, width=width)
        result = _measure(bench, rounds, threads=threads, rate_hz=rate, with_node=node)
        tables.print_costs(result)
    if json_file is not None:
        from mirror_depth_ros.depth.files import write_bytes

        write_bytes(json_file, f'{json.dumps(result, indent=2)}\n'.encode())


def _measure(
    bench: Bench, rounds: int, *, threads: int | None, rate_hz: float, with_node: bool
) -> dict[str, Any]:
    """Measure the estimator, and the node where there is ROS."""
    from mirror_depth_ros.evaluation.benchmark.estimation import random_image, stages_step
    from mirror_depth_ros.evaluation.benchmark.rounds import medians
    from research.costs.node import measure_node, measure_packing
    from mirror_depth_ros.cli.ros_environment import missing_ros

    with _progress('encoder, network and stages', rounds + 2) as advance:
        result = bench.measure(rounds, advance)
    remedy = missing_ros()
    if remedy is not None or not with_node:
        return {**result, 'node_missing': remedy or '--no-node'}
    height, width = bench.camera.height, bench.camera.width
    packing = measure_packing(height, width, rounds=max(rounds, 20))
    result['stages_ms']['packing'] = packing['cloud']
    result['messages_ms'] = packing
    result['cloud_over_copy'] = packing['cloud']['median'] / packing['copy']['median']
    step = stages_step(bench.estimator, random_image(height, width), bench.camera)
    blocks = min(rounds, _MOST_BLOCKS)
    with _progress('node and estimator in turn', blocks) as advance:
        measured = measure_node(
            bench.subject.to_dict(),
            (height, width),
            lambda: step()['estimator'],
            blocks=blocks,
            seconds=_FREE_SECONDS,
            rate_hz=rate_hz,
            threads=threads,
            advance=advance,
        )
    spreads = medians({name: measured[name] for name in ('node', 'estimator')})
    return {
        **result,
        'node_ms': spreads['node'],
        'node_estimator_ms': spreads['estimator'],
        'node_over_estimator': spreads['node']['median'] / spreads['estimator']['median'],
        'fps': measured['fps'],
        'camera_rate_hz': rate_hz,
        'rss_mb': measured['rss_mb'],
    }


def _grow(subject: Subject, rounds: int, cameras: int) -> dict[str, Any]:
    from mirror_depth_ros.evaluation.benchmark import growth

    with _progress('growth', growth.n_rounds(rounds)) as advance:
        return growth.measure(subject, rounds=rounds, most_cameras=cameras, advance=advance)


def _transport(rounds: int) -> dict[str, Any]:
    from mirror_depth_ros.cli import benchmark_transport
    from mirror_depth_ros.cli.ros_environment import missing_ros

    if (remedy := missing_ros()) is not None:
        raise ValueError(remedy)
    with _progress('transport', benchmark_transport.N_PAIRS) as advance:
        return benchmark_transport.measure(rounds, advance=advance)


def _start_up(model: str, rounds: int) -> dict[str, Any]:
    from mirror_depth_ros.cli import benchmark_start_up
    from mirror_depth_ros.cli.ros_environment import missing_ros

    if (remedy := missing_ros()) is not None:
        raise ValueError(remedy)
    with _progress('start-up', rounds + 1) as advance:
        return benchmark_start_up.measure(model, rounds, advance=advance)


@contextmanager
def _progress(description: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show a bar; yield what advances it by one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = [TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)


def _numbers(text: str, option: str, example: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d{1,5})x(\d{1,5})', text)
    if match is None or '0' in match.groups():
        raise ValueError(f'got {option} {text}, expected two numbers of pixels such as {example}')
    return int(match[1]), int(match[2])


def _absolute(model: str) -> str:
    """Return a file's whole path: other processes load it, too."""
    return str(Path(model).absolute()) if Path(model).is_file() else model
