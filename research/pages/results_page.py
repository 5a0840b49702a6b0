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
from statistics import fmean

from research.pages.markdown import markdown_table
from research.pages.performance_tables import TABLES as PERFORMANCE

# What `make soak` tries.
_TRIALS = ('faults', 'messages', 'lifecycle', 'overload', 'soak', 'delivery')
#: Rendered sets, by what a table calls them; all others are recordings of a real camera.
_RENDERED = {
    'indoor': 'rendered rooms, unseen',
    'close': 'rendered table tops, bins and shelves, unseen',
    'outdoor': 'rendered streets, unseen',
}
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


def recordings(folder: Path) -> str:
    """Return figures by set of pictures, from what ``research.builtin.evaluate --json`` wrote."""
    path = folder / 'photographs_builtin.json'
    if not path.is_file():
        return ''
    sets = json.loads(path.read_text(encoding='utf-8'))['sets']
    real = [figures for name, figures in sets.items() if name not in _RENDERED]
    whole = {name: fmean(figures[name] for figures in real) for name in real[0]}
    whole['pictures'] = sum(figures['pictures'] for figures in real)
    named = {name: figures for name, figures in sets.items() if name not in _RENDERED}
    named['**mean of the recordings**'] = whole
    named |= {label: sets[name] for name, label in _RENDERED.items() if name in sets}
    names = ('abs_rel', 'delta1', 'scaled_abs_rel', 'scaled_delta1')
    rows = [
        [label, str(figures['pictures']), *(f'{figures[name]:.3f}' for name in names)]
        for label, figures in named.items()
    ]
    columns = ('Abs Rel', 'delta1', 'Abs Rel, median scaled', 'delta1, median scaled')
    return markdown_table(['', 'pictures', *columns], rows)


def consistency(folder: Path) -> str:
    """Return flicker and continuity by video, from what ``research.consistency --json`` wrote."""
    path = folder / 'consistency.json'
    if not path.is_file():
        return ''
    names = ('temporal_disagreement', 'spatial_away', 'spatial_at_edges', 'abs_rel')
    rows = []
    for video in json.loads(path.read_text(encoding='utf-8'))['per_video']:
        values = [video[name] for name in names]
        rows.append([video['name'], *('' if v is None else f'{v:.4f}' for v in values)])
    header = ['', 'temporal', 'spatial, away from edges', 'spatial, at edges', 'Abs Rel']
    return markdown_table(header, rows)


def steady(folder: Path) -> str:
    """Return flicker and error without and with the temporal filter, from ``steady/*.json``.

    Each is what ``research.consistency --steady`` wrote.
    """
    rows = []
    for path in sorted((folder / 'steady').glob('*.json')):
        summary = json.loads(path.read_text(encoding='utf-8'))
        for video in summary['per_video']:
            values = [f'{video[name]:.4f}' for name in ('temporal_disagreement', 'abs_rel')]
            rows.append([video['name'], summary['steady'], *values])
    rows.sort(key=lambda row: (row[0], ('off', 'scale', 'motion').index(row[1])))
    return markdown_table(['', '`temporal_filter`', 'temporal', 'Abs Rel'], rows) if rows else ''


def adaptation(folder: Path) -> str:
    """Return Abs Rel on held-out images before and after, from ``adaptation.json``.

    It holds ``{RECORDING: {before, after}}``, each as ``mirror_depth evaluate --json`` wrote it.
    """
    path = folder / 'adaptation.json'
    if not path.is_file():
        return ''
    rows = []
    for name, pair in json.loads(path.read_text(encoding='utf-8')).items():
        before, after = pair['before'], pair['after']
        plain = [result['metric']['abs_rel'] for result in (before, after)]
        scaled = [result['median_scaled']['abs_rel'] for result in (before, after)]
        ratio = f'{plain[0] / plain[1]:.1f}'
        figures = [f'{value:.3f}' for value in (*plain, *scaled)]
        rows.append([name, str(after['images']), *figures[:2], ratio, *figures[2:]])
    what = ('Abs Rel before', 'after', 'times better', 'median scaled: before', 'after')
    return markdown_table(['', 'held-out images', *what], rows)


def strangeness(folder: Path) -> str:
    """Return how strange pictures are, from ``strangeness.json``.

    As ``research.builtin.strangeness --json`` wrote it: a column for the built-in model, and
    others for each model that was adapted to a recording.
    """
    path = folder / 'strangeness.json'
    if not path.is_file():
        return ''
    figures = json.loads(path.read_text(encoding='utf-8'))
    rows = []
    for name, of_set in figures['builtin'].items():
        row = [_RENDERED.get(name, name), str(of_set['pictures'])]
        row += [f'{of_set["median"]:.2f}', f'{100 * of_set["above_limit"]:.0f} %']
        adapted = figures.get('adapted', {}).get(name)
        row += (
            ['', '', '', '']
            if adapted is None
            else [
                str(adapted['like']),
                f'{adapted["auroc"]:.2f}',
                f'{100 * adapted["like_above_limit"]:.0f} %',
                f'{100 * adapted["unlike_above_limit"]:.0f} %',
            ]
        )
        rows.append(row)
    header = ['', 'pictures', 'built-in: median', 'above 1', 'adapted to it: held-out images']
    return markdown_table([*header, 'AUROC', 'above 1', 'of the others above 1'], rows)


def confidence(folder: Path) -> str:
    """Return what leaving out unsure pixels brings, from ``confidence.json``.

    As ``research.builtin.sparsification --json`` wrote it.
    """
    path = folder / 'confidence.json'
    if not path.is_file():
        return ''
    names = ('abs_rel', 'surest_half', 'oracle_half', 'ause')
    sets = json.loads(path.read_text(encoding='utf-8'))
    rows = [
        [_RENDERED.get(name, name), *(f'{figures[key]:.3f}' for key in names)]
        for name, figures in sets.items()
    ]
    what = ('Abs Rel', 'of the surest half', 'of the half by the true error', 'AUSE')
    return markdown_table(['', *what], rows)


def sensor_scale(folder: Path) -> str:
    """Return Abs Rel with the scale of other sensors, from ``sensor_scale.json``.

    As ``research.builtin.sensor_scale --json`` wrote it.
    """
    path = folder / 'sensor_scale.json'
    if not path.is_file():
        return ''
    sets = json.loads(path.read_text(encoding='utf-8'))
    sensors = list(next(iter(sets.values())))
    rows = [[name, *map(_with_refused, by.values())] for name, by in sets.items()]
    means = [fmean(by[sensor]['abs_rel'] for by in sets.values()) for sensor in sensors]
    rows.append(['**mean**', *(f'{mean:.3f}' for mean in means)])
    return markdown_table(['Abs Rel with the scale of', *sensors], rows)


def _with_refused(figures: dict[str, float]) -> str:
    refused = f' ({figures["refused"]} of {figures["pictures"]} refused)'
    return f'{figures["abs_rel"]:.3f}' + refused * bool(figures['refused'])


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
    'recordings': recordings,
    'consistency': consistency,
    'steady': steady,
    'adaptation': adaptation,
    'confidence': confidence,
    'strangeness': strangeness,
    'sensor_scale': sensor_scale,
    **{name: partial(trials, name=name) for name in _TRIALS},
    **PERFORMANCE,
}


if __name__ == '__main__':
    main()
