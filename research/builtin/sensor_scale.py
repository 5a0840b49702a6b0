"""What another sensor's scale is worth: ``python -m research.builtin.sensor_scale --help``.

Of each picture's true depth, what a sensor beside the camera would measure is kept, and all of its
depth is multiplied by the factor that follows (:mod:`mirror_depth_ros.depth.sensor_scale`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.depth.metrics import depth_metrics
from mirror_depth_ros.depth.sensor_scale import scale_from_depth, scale_from_range
from mirror_depth_ros.inference.estimator import DepthEstimator
from research.builtin.evaluate import STREETS

# A lidar has a ray each degree, a range sensor's cone so many [degrees].
_STEP_DEG, _CONE_DEG = 1.0, 15.0
# The first echo is of the nearest twentieth of a cone; sound and light by sensor_msgs/Range.
_QUANTILES = {0: 0.05, 1: 0.5}
# Of a frame in the middle of the camera, x forward, y left, z up.
_FORWARD = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])

_Map = NDArray[np.float32]


def main(
    photographs: Annotated[Path, typer.Option(help='Folder of recordings, of frames each.')],
    model: Annotated[str, typer.Option(help='builtin, or a checkpoint.')] = 'builtin',
    json_file: Annotated[Path | None, typer.Option('--json', help='Where figures go.')] = None,
) -> None:
    """Measure Abs Rel with the scale that each sensor gives, recording by recording."""
    estimator = DepthEstimator.load(model, backend='torch')
    figures = {
        folder.name: measure(estimator, folder)
        for folder in sorted(photographs.iterdir())
        if folder.is_dir()
    }
    print(figures)
    if json_file is not None:
        write_json(json_file, figures)


def measure(estimator: DepthEstimator, folder: Path) -> dict[str, dict[str, float]]:
    """Return mean Abs Rel, and how many pictures had no factor, which stay as they are."""
    limit = 80.0 if folder.name in STREETS else 10.0
    errors: dict[str, list[float]] = {}
    refused: dict[str, int] = {}
    for estimated, truth, camera in track(list(_pictures(estimator, folder, limit)), folder.name):
        for name, factor in factors(estimated, truth, camera).items():
            depth = estimated if factor is None else factor * estimated
            metrics = depth_metrics(depth, truth, max_depth=limit, median_scaling=False)
            errors.setdefault(name, []).append(metrics['abs_rel'])
            refused[name] = refused.get(name, 0) + (factor is None)
    return {
        name: {'abs_rel': float(np.mean(e)), 'refused': refused[name], 'pictures': len(e)}
        for name, e in errors.items()
    }


def _pictures(
    estimator: DepthEstimator, folder: Path, limit: float
) -> Iterator[tuple[_Map, _Map, CameraModel]]:
    """Yield estimated and true depth up to a limit, and the camera, of a recording's frames."""
    for sample in FrameFolder(folder):
        if sample.depth is not None:
            known = (sample.depth > 1e-3) & (sample.depth < limit)
            if known.any():
                depth = estimator.estimate(sample.rgb, sample.camera.focal_px)
                yield depth, np.where(known, sample.depth, np.nan), sample.camera


def factors(estimated: _Map, truth: _Map, camera: CameraModel) -> dict[str, float | None]:
    """Return the factor by each sensor; None where it is refused, and of nothing 1.

    :param estimated: along Z, ``[H, W]``.
    :param truth: the same [m], NaN where it is not known.
    """
    ways: dict[str, Callable[[], float]] = {
        'none': lambda: 1.0,
        'cloud': partial(scale_from_depth, estimated, truth),
        'scan, in the middle': lambda: scale_from_depth(estimated, scan(truth, camera, 0.5)),
        'scan, lower': lambda: scale_from_depth(estimated, scan(truth, camera, 0.6)),
        'range, ultrasound': lambda: scale_from_range(
            estimated, echo(truth, camera, 0), camera, _FORWARD
        ),
        'range, light': lambda: scale_from_range(
            estimated, echo(truth, camera, 1), camera, _FORWARD
        ),
    }
    found: dict[str, float | None] = {}
    for name, find in ways.items():
        try:
            found[name] = find()
        except ValueError:
            found[name] = None
    return found


def scan(truth: _Map, camera: CameraModel, share: float) -> _Map:
    """Return the depth of some pixels of one row, so far down of the picture."""
    kept = np.full_like(truth, np.nan)
    row, step = int(share * camera.height), max(1, round(camera.fx * math.radians(_STEP_DEG)))
    kept[row, ::step] = truth[row, ::step]
    return kept


def echo(truth: _Map, camera: CameraModel, radiation_type: int) -> SimpleNamespace:
    """Return what a range sensor in the camera's place measures, as ``sensor_msgs/Range``.

    :raises ValueError: where less than half of its cone has true depth.
    """
    lengths = np.sqrt(1 + np.square(camera.rays.astype(np.float64)).sum(axis=-1))
    in_cone = np.arccos(1 / lengths) <= math.radians(_CONE_DEG / 2)
    distances = (truth * lengths)[in_cone]
    distances = distances[np.isfinite(distances)]
    if 2 * len(distances) < np.count_nonzero(in_cone):
        raise ValueError('got a cone without true depth, expected it in half of its pixels')
    return SimpleNamespace(
        range=float(np.quantile(distances, _QUANTILES[radiation_type])),
        radiation_type=radiation_type,
        field_of_view=math.radians(_CONE_DEG),
        min_range=0.0,
        max_range=100.0,
    )


if __name__ == '__main__':
    typer.run(main)
