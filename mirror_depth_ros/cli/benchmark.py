"""``mirror_depth benchmark``: what depth costs on this machine, beside one CLIP embedding."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import typer

from mirror_depth_ros.cli.options import Backend, Device, JsonFile, Model, Precision


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
    json_file: JsonFile = None,
) -> None:
    """Measure how fast a model is here, stage by stage, beside its bare CLIP image encoder."""
    if clip is not None and model != 'builtin':
        raise ValueError(
            f'got --model {model} and --clip {clip}, expected one of them; leave the other out'
        )
    input_size = _numbers(size, '--size', '352x352') if size else None
    width, height = _numbers(camera, '--camera', '640x480')
    from rich.console import Console
    from rich.progress import Progress

    from mirror_depth_ros.evaluation.benchmark import Bench, Subject
    from mirror_depth_ros.inference.heap import keep_freed_memory

    keep_freed_memory()  # as the node does: the estimator alone must not be the slower for it
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    subject = Subject(
        model=model,
        clip=clip,
        size=input_size,
        device=device,
        precision=precision,
        backend=backend,
    )
    console = Console(stderr=True)
    with console.status('loading the model'):
        bench = Bench.load(subject, height=height, width=width)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task('encoder, network and stages', total=rounds + 2)
        result = bench.measure(rounds, lambda: progress.advance(task))
    _print_costs(result)
    if json_file is not None:
        from mirror_depth_ros.depth.files import write_json

        write_json(json_file, result)


def _print_costs(result: Mapping[str, Any]) -> None:
    """Print times, ratios, what was counted, and the ceilings."""
    from rich.console import Console
    from rich.table import Table

    machine = result['machine']
    kind = f'{machine["precision"]}, {machine["backend"]}, {machine["threads"]} threads'
    height, width = result['camera']
    table = Table('', 'median [ms]', '5 to 95 % [ms]', title=f'{result["model"]} ({kind})')
    inputs = 'x'.join(map(str, result['size']))
    camera_input = 'x'.join(map(str, result['camera_input']))
    for name, spread in [
        (f'CLIP image encoder, {inputs}', result['encoder_ms']),
        (f'whole network, {inputs}', result['model_ms']),
        *((f'  {name}', spread) for name, spread in result['stages_ms'].items()),
        (f'estimator, {width}x{height} through {camera_input}', result['estimator_ms']),
    ]:
        table.add_row(
            name, f'{spread["median"]:.2f}', f'{spread["p5"]:.2f} to {spread["p95"]:.2f}'
        )
    flops, ceilings = result['flops'], result['ceilings']
    facts = Table(show_header=False)
    for row in [
        ('network / encoder', f'{result["model_over_encoder"]:.3f}'),
        ('operations of the network', f'{flops["model"] / 1e9:.1f} GFLOP'),
        ('operations of the encoder', f'{flops["encoder"] / 1e9:.1f} GFLOP'),
        ('weights of the network', f'{result["bytes"]["model_weights"] / 1e6:.1f} MB'),
        ('ceiling: matrix products', f'{ceilings["gemm_gflops"]:.0f} GFLOP/s'),
        ('  of which the network reaches', f'{100 * ceilings["model_share_of_gemm"]:.0f} %'),
        ('ceiling: copy in memory', f'{ceilings["copy_gb_s"]:.1f} GB/s'),
    ]:
        facts.add_row(*row)
    console = Console()
    console.print(table)
    console.print(facts)


def _numbers(text: str, option: str, example: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d{1,5})x(\d{1,5})', text)
    if match is None or '0' in match.groups():
        raise ValueError(f'got {option} {text}, expected two numbers of pixels such as {example}')
    return int(match[1]), int(match[2])
