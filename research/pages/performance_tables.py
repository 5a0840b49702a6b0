"""The tables of ``docs/performance.md``, from what ``research.costs --json`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from research.pages.markdown import markdown_table

_STAGES = ('preprocess', 'inference', 'upsampling', 'back_projection', 'packing')
_NO_CUDA = 'on CUDA: not measured'


def network(folder: Path) -> str:
    """Return network against encoder, from ``cost_*.json``."""
    rows = []
    for result in _costs(folder):
        flops, weights = result['flops'], result['bytes']
        rows.append(
            [
                *_subject(result),
                _size(result['size']),
                f'{_spread(result["encoder_ms"])} {result["encoder_precision"]}',
                _spread(result['model_ms']),
                f'{result["model_over_encoder"]:.2f}',
                f'{flops["model"] / 1e9:.1f} / {flops["encoder"] / 1e9:.1f}',
                f'{weights["model_weights"] / 1e6:.0f} / {weights["encoder_weights"] / 1e6:.0f}',
                f'{100 * result["ceilings"]["model_share_of_gemm"]:.0f} %',
            ]
        )
    rows.append([_NO_CUDA, *[''] * 8])
    header = ['model', 'backend, precision', 'input', 'encoder [ms]', 'network [ms]', 'ratio']
    header += ['GFLOP', 'weights [MB]', 'of the GEMM ceiling']
    return markdown_table(header, rows)


def ceilings(folder: Path) -> str:
    """Return how fast the machine multiplied and copied in each run."""
    rows = []
    for result in _costs(folder):
        machine, ceiling = result['machine'], result['ceilings']
        kind = f'{machine["cpu"]}, {machine["threads"]} threads, PyTorch {machine["torch"]}'
        figures = [f'{ceiling["gemm_gflops"]:.0f}', f'{ceiling["copy_gb_s"]:.1f}']
        rows.append([*_subject(result), kind, *figures])
    header = ['run', 'backend, precision', 'machine', 'GEMM [GFLOP/s]', 'copy [GB/s]']
    return markdown_table(header, rows)


def stages(folder: Path) -> str:
    """Return what each stage of one image takes."""
    rows = []
    for result in _costs(folder):
        parts = [result['stages_ms'].get(name) for name in _STAGES]
        cells = [_spread(part) if part else '' for part in parts]
        rows.append([*_subject(result), *cells, _spread(result['estimator_ms'])])
    names = [f'{name.replace("_", "-")} [ms]' for name in _STAGES]
    return markdown_table(['model', 'backend, precision', *names, 'estimator [ms]'], rows)


def node(folder: Path) -> str:
    """Return what the node adds to the estimator."""
    rows = [
        [
            *_subject(result),
            _spread(result['node_ms']),
            _spread(result['node_estimator_ms']),
            f'{result["node_over_estimator"]:.2f}',
            f'{result["fps"]:.1f}',
            f'{result["rss_mb"]:.0f}',
            f'{result["cloud_over_copy"]:.1f}',
        ]
        for result in _costs(folder)
        if 'node_ms' in result
    ]
    header = ['model', 'backend, precision', 'image to cloud [ms]', 'estimator alone [ms]']
    header += ['ratio', 'clouds a second', 'memory [MB]', 'cloud made / bytes copied']
    return markdown_table(header, rows)


def transport(folder: Path) -> str:
    """Return latency and delivery between processes, from ``transport.json``."""
    path = folder / 'transport.json'
    if not path.is_file():
        return ''
    rows = []
    for row in json.loads(path.read_text(encoding='utf-8'))['rows']:
        latency = _spread(row['latency_ms']) if row['latency_ms'] else ''
        arrived = f'{row["received"]} of {row["sent"]}'
        rows.append([row['settings'], row['message'], row['subscriber'], latency, arrived])
    return markdown_table(['settings', 'message', 'subscriber', 'latency [ms]', 'arrived'], rows)


def start_up(folder: Path) -> str:
    """Return how soon commands answer and the node is active, from ``start_up.json``."""
    path = folder / 'start_up.json'
    if not path.is_file():
        return ''
    result = json.loads(path.read_text(encoding='utf-8'))
    names = {
        'help_s': '`mirror_depth --help` has ended',
        'node_active_s': f'`depth_node` with {result["model"]} is active',
    }
    rows = [[name, _spread(result[key], digits=2)] for key, name in names.items()]
    return markdown_table(['until', 'from the start of the process [s]'], rows)


def growth(folder: Path, part: str) -> str:
    """Return one part of ``growth.json``, and its slopes as the last rows."""
    path = folder / 'growth.json'
    if not path.is_file():
        return ''
    result = json.loads(path.read_text(encoding='utf-8'))[part]
    names = list(result['rows'][0])
    rows = [
        [f'{value:.2f}' if isinstance(value, float) else str(value) for value in row.values()]
        for row in result['rows']
    ]
    for name, slope in result['slopes'].items():
        rows.append(
            [f'**{name.replace("_", " ")}**', f'**{slope:.2f}**', *[''] * (len(names) - 2)]
        )
    return markdown_table([name.replace('_', ' ') for name in names], rows)


def unchanged(folder: Path) -> str:
    """Return Abs Rel by backend and precision, from ``accuracy/BACKEND_PRECISION_KIND.json``."""
    rows = []
    kinds = ('indoor', 'outdoor')
    values = {
        path.stem: json.loads(path.read_text(encoding='utf-8'))['metric']['abs_rel']
        for path in sorted((folder / 'accuracy').glob('*.json'))
    }
    for engine in dict.fromkeys(name.rpartition('_')[0] for name in values):
        row = [engine.replace('_', ', ')]
        for kind in kinds:
            value, whole = values.get(f'{engine}_{kind}'), values.get(f'torch_fp32_{kind}')
            row.append('' if value is None else f'{value:.5f}')
            row.append('' if value is None or not whole else f'{100 * (value / whole - 1):+.2f} %')
        rows.append(row)
    header = ['backend, precision', *(f'{k}: {f}' for k in kinds for f in ('Abs Rel', 'to fp32'))]
    return markdown_table(header, rows)


#: Tables by the name that a page's marks give them.
TABLES: dict[str, Callable[[Path], str]] = {
    'network': network,
    'ceilings': ceilings,
    'stages': stages,
    'node': node,
    'transport': transport,
    'start_up': start_up,
    'unchanged': unchanged,
    **{f'growth_{part}': partial(growth, part=part) for part in ('input', 'camera', 'cameras')},
}


def _costs(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob('cost_*.json'))
    return [json.loads(path.read_text(encoding='utf-8')) for path in paths]


def _subject(result: dict[str, Any]) -> list[str]:
    machine = result['machine']
    return [result['model'], f'{machine["backend"]}, {machine["precision"]}']


def _size(size: list[int]) -> str:
    return f'{size[1]} x {size[0]}'


def _spread(spread: dict[str, float], digits: int = 1) -> str:
    """Return a median, and what 90 % lie between."""
    middle, low, high = (f'{spread[name]:.{digits}f}' for name in ('median', 'p5', 'p95'))
    return f'{middle} ({low} to {high})'
