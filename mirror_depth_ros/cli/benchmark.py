"""``mirror_depth benchmark``: what depth costs on this machine, beside one CLIP embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from mirror_depth_ros.cli.options import Backend, Device, JsonFile, Model, Precision, parse_size


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
    input_size = parse_size(size, '--size', '352x352') if size else None
    width, height = parse_size(camera, '--camera', '640x480')
    from rich.console import Console
    from rich.progress import Progress

    from mirror_depth_ros.evaluation.benchmark import Bench, Subject
    from mirror_depth_ros.inference.process_tuning import tune_malloc

    tune_malloc()  # as the node does: the estimator alone must not be the slower for it
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
    from mirror_depth_ros.cli.tables import print_table

    machine = result['machine']
    kind = f'{machine["precision"]}, {machine["backend"]}, {machine["threads"]} threads'
    height, width = result['camera']
    inputs = 'x'.join(map(str, result['size']))
    camera_input = 'x'.join(map(str, result['camera_input']))
    spreads = [
        (f'CLIP image encoder, {inputs}', result['encoder_ms']),
        (f'whole network, {inputs}', result['model_ms']),
        *((f'  {name}', spread) for name, spread in result['stages_ms'].items()),
        (f'estimator, {width}x{height} through {camera_input}', result['estimator_ms']),
    ]
    times = [(name, s['median'], f'{s["p5"]:.2f} to {s["p95"]:.2f}') for name, s in spreads]
    title = f'{result["model"]} ({kind})'
    print_table(times, '', 'median [ms]', '5 to 95 % [ms]', title=title, digits=2)
    flops, ceilings = result['flops'], result['ceilings']
    facts = [
        ('network / encoder', result['model_over_encoder']),
        ('operations of the network', f'{flops["model"] / 1e9:.1f} GFLOP'),
        ('operations of the encoder', f'{flops["encoder"] / 1e9:.1f} GFLOP'),
        ('weights of the network', f'{result["bytes"]["model_weights"] / 1e6:.1f} MB'),
        ('ceiling: matrix products', f'{ceilings["gemm_gflops"]:.0f} GFLOP/s'),
        ('  of which the network reaches', f'{100 * ceilings["model_share_of_gemm"]:.0f} %'),
        ('ceiling: copy in memory', f'{ceilings["copy_gb_s"]:.1f} GB/s'),
    ]
    print_table(facts)
