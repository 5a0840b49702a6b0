"""The tables of pages such as ``docs/results.md``, made from measurements' files.

``python -m research.pages.results_page docs/results.md`` puts every table between its marks in
the page, ``<!-- table NAME -->`` and ``<!-- end -->``, from the folder of the page's own name.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from research.pages.markdown import markdown_table
from research.pages.performance_tables import TABLES as PERFORMANCE

#: What is compared, by the name of its files, in the order of the tables.
METHODS = {
    'builtin': '**first model**',
    'builtin_flip': 'first model, mean with the mirrored image',
    'clip2depth': "clip2depth, the paper's own decoder",
    'learned_prompts': 'learned prompts and bins (Auty et al.)',
    'linear': 'linear probe of the same taps',
    'depthclip': 'DepthCLIP, zero-shot',
    'mean': 'mean depth map',
}
# What `make soak` tries.
_TRIALS = ('faults', 'messages', 'lifecycle', 'overload', 'soak', 'delivery')
_KINDS = {'indoor': 'rooms', 'outdoor': 'roads'}
_BLOCK = re.compile(r'(<!-- table (\w+) -->\n).*?(<!-- end -->)', re.DOTALL)


def main() -> None:
    """Rewrite the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('page', type=Path, nargs='?', default=Path('docs/results.md'))
    page = parser.parse_args().page
    page.write_text(with_tables(page.read_text(), page.with_suffix('')))


def with_tables(page: str, folder: Path) -> str:
    """Return a page with every table made anew.

    :param folder: where the measurements' JSON files are.
    :raises ValueError: for a table of an unknown name.
    """

    def replace(block: re.Match[str]) -> str:
        name = block[2]
        if name not in TABLES:
            raise ValueError(f'got a table {name!r}, expected one of {", ".join(TABLES)}')
        return f'{block[1]}{TABLES[name](folder)}{block[3]}'

    return _BLOCK.sub(replace, page)


def accuracy(folder: Path) -> str:
    """Return Abs Rel and more by method and kind of scene, from ``accuracy/METHOD_KIND.json``."""
    rows = []
    best = {kind: _read(folder / 'accuracy' / f'builtin_{kind}.json') for kind in _KINDS}
    for method, label in METHODS.items():
        row = [label]
        for kind in _KINDS:
            result = _read(folder / 'accuracy' / f'{method}_{kind}.json')
            if result is None:
                row += [''] * 5
                continue
            metric = result['metric']
            row += [f'{metric[name]:.3f}' for name in ('abs_rel', 'rmse', 'delta1')]
            row.append(f'{result["median_scaled"]["abs_rel"]:.3f}')
            reference = best[kind]
            ratio = metric['abs_rel'] / reference['metric']['abs_rel'] if reference else 0.0
            row.append(f'{ratio:.2f}')
        if any(row[1:]):
            rows.append(row)
    figures = ('Abs Rel', 'RMSE [m]', 'delta1', 'Abs Rel, median scaled', 'times first model')
    header = ['', *(f'{kind}: {f}' for kind in _KINDS.values() for f in figures)]
    return markdown_table(header, rows)


def photographs(folder: Path) -> str:
    """Return Abs Rel by recording, from ``photographs/METHOD_RECORDING.json``."""
    methods = {name: METHODS[name] for name in ('builtin', 'mean')}
    recordings = sorted(
        path.stem.removeprefix('builtin_') for path in folder.glob('photographs/builtin_*.json')
    )
    rows = []
    for recording in recordings:
        results = [_read(folder / 'photographs' / f'{name}_{recording}.json') for name in methods]
        row = [recording, str(results[0]['images'] if results[0] else 0)]
        for result in results:
            for kind in ('metric', 'median_scaled'):
                row.append(f'{result[kind]["abs_rel"]:.3f}' if result else '')
        rows.append(row)
    figures = ('Abs Rel', 'Abs Rel, median scaled')
    header = ['', 'images', *(f'{m}: {figure}' for m in methods.values() for figure in figures)]
    return markdown_table(header, rows)


def adaptation(folder: Path) -> str:
    """Return Abs Rel on held-out images, from ``adaptation/RECORDING_{before,after}.json``."""
    rows = []
    for path in sorted(folder.glob('adaptation/*_before.json')):
        recording = path.stem.removesuffix('_before')
        before, after = _read(path), _read(path.with_name(f'{recording}_after.json'))
        if before is None or after is None:
            continue
        pair = [result['metric']['abs_rel'] for result in (before, after)]
        scaled = [result['median_scaled']['abs_rel'] for result in (before, after)]
        figures = [f'{value:.3f}' for value in (*pair, *scaled)]
        rows.append(
            [
                recording,
                str(after['images']),
                *figures[:2],
                f'{pair[0] / pair[1]:.1f}',
                *figures[2:],
            ]
        )
    what = ('Abs Rel before', 'after', 'times better')
    header = ['', 'held-out images', *what, 'median scaled: before', 'after']
    return markdown_table(header, rows)


def consistency(folder: Path) -> str:
    """Return flicker and continuity by method, from ``consistency/METHOD_KIND.json``."""
    names = ('temporal_disagreement', 'spatial_away', 'spatial_at_edges', 'abs_rel')
    rows = []
    for method, label in METHODS.items():
        row = [label]
        for kind in _KINDS:
            result = _read(folder / 'consistency' / f'{method}_{kind}.json')
            row += [f'{result[name]:.4f}' if result else '' for name in names]
        if any(row[1:]):
            rows.append(row)
    figures = ('temporal', 'spatial, away from edges', 'spatial, at edges', 'Abs Rel')
    header = ['', *(f'{kind}: {f}' for kind in _KINDS.values() for f in figures)]
    return markdown_table(header, rows)


def ablations(folder: Path) -> str:
    """Return each variant's mean over its seeds and their standard deviation."""
    trainings = (_read(folder / 'ablations.json') or {'trainings': []})['trainings']
    rows = []
    for variant in dict.fromkeys(t['variant'] for t in trainings):
        those = [t for t in trainings if t['variant'] == variant]
        row = [variant, str(len(those)), f'{those[0]["parameters"]:,}']
        for kind in _KINDS:
            values = [t[f'{kind}/abs_rel'] for t in those]
            spread = f' ± {stdev(values):.4f}' if len(values) > 1 else ''
            row.append(f'{mean(values):.4f}{spread}')
        rows.append(row)
    header = ['', 'trainings', 'trained', *(f'{kind}: Abs Rel' for kind in _KINDS.values())]
    return markdown_table(header, rows)


def convergence(folder: Path) -> str:
    """Return what an unconverged mirror changes: Abs Rel, and log depth by what is there."""
    result = _read(folder / 'convergence.json')
    if result is None:
        return ''
    shares = [*result['abs_rel']]
    rows = [
        [f'{label}: Abs Rel', *(f'{result["abs_rel"][share][kind]:.4f}' for share in shares)]
        for kind, label in _KINDS.items()
    ]
    for name in sorted(result['change']['final']):
        rows.append([f'change: {name}', *(f'{result["change"][s][name]:.4f}' for s in shares)])
    labels = [s if s == 'final' else f'{100 * float(s):.0f} %' for s in shares]
    return markdown_table(['mirror at', *labels], rows)


def trials(folder: Path, name: str) -> str:
    """Return what was tried how often and what came of it, from ``NAME.json``."""
    path = folder / f'{name}.json'
    if not path.is_file():
        return ''
    rows = json.loads(path.read_text(encoding='utf-8'))
    has_figures = any(row['figures'] for row in rows)
    header = ['what', 'tried', 'outcome', *(['measured'] if has_figures else [])]
    columns = ('what', 'count', 'outcome', 'figures')[: len(header)]
    cells = [{**row, 'count': f'{row["tried"]:,}'} for row in rows]
    return markdown_table(header, [[row[column] for column in columns] for row in cells])


#: Tables by the name that a page's marks give them.
TABLES: dict[str, Callable[[Path], str]] = {
    'accuracy': accuracy,
    'photographs': photographs,
    'adaptation': adaptation,
    'consistency': consistency,
    'ablations': ablations,
    'convergence': convergence,
    **{name: partial(trials, name=name) for name in _TRIALS},
    **PERFORMANCE,
}


def _read(path: Path) -> dict[str, Any] | None:
    """Return a measurement, None where it was not made."""
    return json.loads(path.read_text()) if path.is_file() else None


if __name__ == '__main__':
    main()
