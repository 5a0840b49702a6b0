"""The figures of a model on photographs and on rendered scenes: ``docs/results.md`` has them.

``python -m research.builtin.evaluate --help``. Recordings count up to 10 m and streets up to 80 m;
every picture counts the same within its set, as ``mirror_depth evaluate`` has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.depth.metrics import depth_metrics
from mirror_depth_ros.inference.estimator import DepthEstimator
from research.scenes.rendered_scenes import KINDS, RenderedScenes

#: Sets of pictures taken outdoors, which count up to 80 m.
STREETS = ('outdoor', 'pandaset-002')
_COLUMNS = ('abs_rel', 'delta1', 'scaled_abs_rel', 'scaled_delta1')
_Item = tuple[NDArray[np.uint8], NDArray[np.float32], float]


def main(
    photographs: Annotated[Path, typer.Option(help='Folder of recordings, of frames each.')],
    scenes: Annotated[Path | None, typer.Option(help='Rendered scenes, unseen ones.')] = None,
    model: Annotated[str, typer.Option(help='builtin, or a checkpoint.')] = 'builtin',
    backend: Annotated[str, typer.Option(help='As of the node.')] = 'auto',
    json_file: Annotated[Path | None, typer.Option('--json', help='Where the figures go.')] = None,
) -> None:
    """Measure a model, set by set."""
    estimator = DepthEstimator.load(model, backend=backend)
    figures = measure_sets(estimator, photographs, scenes)
    print(table(figures))
    if json_file is not None:
        write_json(json_file, {'model': model, 'backend': estimator.backend, 'sets': figures})


def measure_sets(
    estimator: DepthEstimator, photographs: Path, scenes: Path | None
) -> dict[str, dict[str, float]]:
    """Return the figures of every recording and, of rendered scenes, of every kind."""
    sets = {f.name: frames(f) for f in sorted(photographs.iterdir()) if f.is_dir()}
    if scenes is not None:
        sets |= {kind: rendered(scenes, kind) for kind in KINDS}
    return {name: measure(estimator, items, name) for name, items in sets.items()}


def mean_of_recordings(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over the recordings, each of which counts the same."""
    recordings = [f for name, f in figures.items() if name not in KINDS]
    mean = {c: float(np.mean([f[c] for f in recordings])) for c in _COLUMNS}
    return {'pictures': sum(f['pictures'] for f in recordings), **mean}


def frames(folder: Path) -> Iterator[_Item]:
    """Yield image, true depth and focal length of a recording's frames."""
    for sample in FrameFolder(folder):
        if sample.depth is not None:
            yield sample.rgb, sample.depth, sample.camera.focal_px


def rendered(folder: Path, kind: str) -> Iterator[_Item]:
    """Yield the same of rendered pictures of one kind."""
    scenes = RenderedScenes.load(folder)
    for i, of_kind in enumerate(scenes.kinds):
        if of_kind == kind:
            depth = scenes.depth[i].astype(np.float32)
            yield np.ascontiguousarray(scenes.rgb[i]), depth, float(scenes.focal_px[i])


def measure(estimator: DepthEstimator, items: Iterator[_Item], name: str) -> dict[str, float]:
    """Return Abs Rel and delta1, as predicted and with each image scaled to the true median."""
    limit = 80.0 if name in STREETS else 10.0
    rows = []
    for rgb, truth, focal_px in track(items, name):
        if not ((truth > 1e-3) & (truth < limit)).any():
            continue
        depth = estimator.estimate(rgb, focal_px)
        plain, scaled = (
            depth_metrics(depth, truth, max_depth=limit, median_scaling=m) for m in (False, True)
        )
        rows.append([plain['abs_rel'], plain['delta1'], scaled['abs_rel'], scaled['delta1']])
    means = dict(zip(_COLUMNS, np.mean(rows, axis=0).tolist()))
    return {'pictures': len(rows), **means}


def table(figures: dict[str, dict[str, float]]) -> str:
    """Return the figures as Markdown, with the mean over the recordings."""
    lines = [
        '| | pictures | Abs Rel | delta1 | Abs Rel, median scaled | delta1, median scaled |',
        '| --- | --- | --- | --- | --- | --- |',
    ]
    rows = {**figures, '**mean of the recordings**': mean_of_recordings(figures)}
    for name, values in rows.items():
        cells = ' | '.join(f'{values[c]:.3f}' for c in _COLUMNS)
        lines.append(f'| {name} | {values["pictures"]:.0f} | {cells} |')
    return '\n'.join(lines)


if __name__ == '__main__':
    typer.run(main)
