"""Whether a model knows where it is wrong: ``python -m research.builtin.sparsification --help``.

The least sure pixels of each picture are left out step by step (Ilg et al., ECCV 2018): what the
network says of its error orders them, and for comparison the true error itself, the oracle. The
area between both curves of Abs Rel is AUSE.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.confidence import RIGHT_WITHIN
from research.builtin.evaluate import STREETS, frames, rendered
from research.scenes.rendered_scenes import KINDS

#: How much of a picture's pixels is left out.
FRACTIONS = np.linspace(0.0, 0.95, 20)


def main(
    photographs: Annotated[Path, typer.Option(help='Folder of recordings, of frames each.')],
    scenes: Annotated[Path | None, typer.Option(help='Rendered scenes, unseen ones.')] = None,
    model: Annotated[str, typer.Option(help='builtin, or a checkpoint.')] = 'builtin',
    json_file: Annotated[Path | None, typer.Option('--json', help='Where figures go.')] = None,
    plot: Annotated[Path | None, typer.Option(help='A picture of the curves.')] = None,
) -> None:
    """Measure confidence, set by set."""
    estimator = DepthEstimator.load(model, backend='torch', precision='fp32')
    sets = {f.name: frames(f) for f in sorted(photographs.iterdir()) if f.is_dir()}
    if scenes is not None:
        sets |= {kind: rendered(scenes, kind) for kind in KINDS}
    figures = {}
    for name, items in sets.items():
        curves = [
            picture_curves(*predict(estimator, rgb, focal), truth, 80.0 if name in STREETS else 10)
            for rgb, truth, focal in track(items, name)
        ]
        figures[name] = mean_curves([c for c in curves if c is not None])
    print(table(figures))
    if json_file is not None:
        write_json(json_file, figures)
    if plot is not None:
        draw(figures, plot)


def predict(
    estimator: DepthEstimator, rgb: NDArray[np.uint8], focal_px: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return metric depth and the relative error that the network expects, ``[H, W]`` each."""
    depth, confidence = estimator.estimate(rgb, focal_px, with_confidence=True)
    # What confidence_of makes of the scale of the Laplace distribution, turned back.
    return depth, -np.log(RIGHT_WITHIN) / np.log1p(-confidence.clip(max=1 - 1e-7))


def picture_curves(
    depth: NDArray[np.float32],
    scale: NDArray[np.float32],
    truth: NDArray[np.float32],
    max_depth: float,
) -> dict[str, Any] | None:
    """Return Abs Rel of what is left, by the fraction left out; None without any truth.

    :returns: ``sure``, leaving out what the network is least sure of; ``oracle``, the largest
        errors; ``expected`` and ``true``: mean absolute log errors by tenths of what is expected.
    """
    mask = np.isfinite(truth) & (truth > 1e-3) & (truth < max_depth)
    if mask.sum() < 100:
        return None
    error = np.abs(depth[mask] / truth[mask] - 1)
    log_error = np.abs(np.log(depth[mask] / truth[mask]))
    order = np.argsort(scale[mask])
    tenths = np.array_split(order, 10)
    return {
        'sure': _remaining(error[order]),
        'oracle': _remaining(np.sort(error)),
        'expected': np.array([scale[mask][tenth].mean() for tenth in tenths]),
        'true': np.array([log_error[tenth].mean() for tenth in tenths]),
    }


def _remaining(errors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the mean of the first errors, as many as each fraction leaves."""
    means = np.cumsum(errors, dtype=float) / np.arange(1, len(errors) + 1)
    return means[[max(0, round((1 - f) * len(errors)) - 1) for f in FRACTIONS]]


def mean_curves(curves: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean over pictures, AUSE, and what keeping the surest half makes of Abs Rel."""
    mean = {name: np.mean([c[name] for c in curves], axis=0) for name in curves[0]}
    ause = np.trapezoid(mean['sure'] - mean['oracle'], FRACTIONS) / FRACTIONS[-1]
    half = int(np.argmin(np.abs(FRACTIONS - 0.5)))
    return {
        'pictures': len(curves),
        'abs_rel': float(mean['sure'][0]),
        'surest_half': float(mean['sure'][half]),
        'oracle_half': float(mean['oracle'][half]),
        'ause': float(ause),
        **{name: [round(float(v), 4) for v in values] for name, values in mean.items()},
    }


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as Markdown."""
    lines = [
        '| | Abs Rel | of the surest half | of the half by the oracle | AUSE |',
        '| --- | --- | --- | --- | --- |',
    ]
    for name, f in figures.items():
        values = (f[key] for key in ('abs_rel', 'surest_half', 'oracle_half', 'ause'))
        lines.append(f'| {name} | {" | ".join(f"{v:.3f}" for v in values)} |')
    return '\n'.join(lines)


def draw(figures: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw the curves of all sets, and expected against true error."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout='constrained')
    for i, (name, f) in enumerate(figures.items()):
        colour = f'C{i % 10}'
        left.plot(100 * FRACTIONS, f['sure'], color=colour, label=name)
        left.plot(100 * FRACTIONS, f['oracle'], ':', color=colour)
        right.plot(f['expected'], f['true'], 'o-', ms=3, color=colour)
    left.set(xlabel='least sure pixels left out [%]', ylabel='Abs Rel of the rest', ylim=(0, None))
    left.set_title('leaving out by confidence (dotted: by the true error)')
    left.legend(fontsize=7)
    limit = max(right.get_xlim()[1], right.get_ylim()[1])
    right.plot([0, limit], [0, limit], 'k--', lw=0.8)
    right.set(xlabel='expected |log error|', ylabel='true |log error|', title='calibration')
    figure.savefig(path, dpi=90)


if __name__ == '__main__':
    typer.run(main)
