"""The tables that ``mirror_depth benchmark`` prints for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_costs(result: Mapping[str, Any]) -> None:
    """Print times, ratios, what was counted, and the ceilings."""
    machine = result['machine']
    kind = f'{machine["precision"]}, {machine["backend"]}, {machine["threads"]} threads'
    height, width = result['camera']
    table = Table('', 'median [ms]', '5 to 95 % [ms]', title=f'{result["model"]} ({kind})')
    inputs = 'x'.join(map(str, result['size']))
    camera_input = 'x'.join(map(str, result['camera_input']))
    rows = [
        (f'CLIP image encoder, {inputs}', result['encoder_ms']),
        (f'whole network, {inputs}', result['model_ms']),
        *((f'  {name}', spread) for name, spread in result['stages_ms'].items()),
        (f'estimator, {width}x{height} through {camera_input}', result['estimator_ms']),
    ]
    if 'node_ms' in result:
        rows += [
            ('node, image to cloud', result['node_ms']),
            ('estimator in between', result['node_estimator_ms']),
        ]
    for name, spread in rows:
        table.add_row(
            name, f'{spread["median"]:.2f}', f'{spread["p5"]:.2f} to {spread["p95"]:.2f}'
        )
    console = Console()
    console.print(table)
    console.print(_facts(result))
    if 'node_missing' in result:
        console.print(f'Not measured: the node ({result["node_missing"]})', markup=False)


def _facts(result: Mapping[str, Any]) -> Table:
    table = Table(show_header=False)
    table.add_row('network / encoder', f'{result["model_over_encoder"]:.3f}')
    if 'node_ms' in result:
        table.add_row('node / estimator', f'{result["node_over_estimator"]:.3f}')
        table.add_row('cloud / copy of its bytes', f'{result["cloud_over_copy"]:.2f}')
        rate = result['camera_rate_hz']
        table.add_row(f'clouds a second of a {rate:g} Hz camera', f'{result["fps"]:.1f}')
        if result['rss_mb'] is not None:
            table.add_row('memory of the node', f'{result["rss_mb"]:.0f} MB')
    flops, ceilings = result['flops'], result['ceilings']
    table.add_row('operations of the network', f'{flops["model"] / 1e9:.1f} GFLOP')
    table.add_row('operations of the encoder', f'{flops["encoder"] / 1e9:.1f} GFLOP')
    table.add_row('weights of the network', f'{result["bytes"]["model_weights"] / 1e6:.1f} MB')
    table.add_row('ceiling: matrix products', f'{ceilings["gemm_gflops"]:.0f} GFLOP/s')
    table.add_row(
        '  of which the network reaches', f'{100 * ceilings["model_share_of_gemm"]:.0f} %'
    )
    table.add_row('ceiling: copy in memory', f'{ceilings["copy_gb_s"]:.1f} GB/s')
    return table


def print_transport(result: Mapping[str, Any]) -> None:
    """Print latency and delivery by setting, kind of message and reliability."""
    table = Table('settings', 'message', 'subscriber', 'median [ms]', '95 % [ms]', 'arrived')
    for row in result['rows']:
        latency = row['latency_ms']
        times = [f'{latency[n]:.1f}' for n in ('median', 'p95')] if latency else ['', '']
        arrived = f'{row["received"]} of {row["sent"]}'
        table.add_row(row['settings'], row['message'], row['subscriber'], *times, arrived)
    Console().print(table)


def print_start_up(result: Mapping[str, Any]) -> None:
    """Print what starting takes."""
    table = Table('', 'median [s]', '5 to 95 % [s]')
    names = {
        'help_s': 'mirror_depth --help',
        'node_active_s': f'depth_node active, {result["model"]}',
    }
    for key, name in names.items():
        spread = result[key]
        table.add_row(
            name, f'{spread["median"]:.2f}', f'{spread["p5"]:.2f} to {spread["p95"]:.2f}'
        )
    Console().print(table)


def print_growth(result: Mapping[str, Any]) -> None:
    """Print cost by size of input, size of camera and number of cameras, with the slopes."""
    console = Console()
    for part in ('input', 'camera', 'cameras'):
        rows = result[part]['rows']
        table = Table(*(name.replace('_', ' ') for name in rows[0]), title=part)
        for row in rows:
            table.add_row(*(f'{v:.2f}' if isinstance(v, float) else str(v) for v in row.values()))
        console.print(table)
        for name, slope in result[part]['slopes'].items():
            console.print(f'{name.replace("_", " ")}: {slope:.2f}')
