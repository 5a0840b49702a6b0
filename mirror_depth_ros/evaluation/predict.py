"""Depth for files: what one estimator makes of many images, written beside one another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from mirror_depth_ros.data.media import CameraOf, Kind, Medium
from mirror_depth_ros.depth.metrics import mean_metrics
from mirror_depth_ros.evaluation.result import estimate, write_result
from mirror_depth_ros.inference.estimator import DepthEstimator

#: The figures that are kept of a sample with truth.
FIGURES = ('abs_rel', 'delta1')


@dataclass(frozen=True)
class PredictionSettings:
    """How files become depth."""

    #: Folder of the results.
    output: Path
    #: Where previews, clouds and figures end [m]; depth images hold everything.
    max_depth: float = 10.0
    #: Whether to write point clouds.
    ply: bool = True
    #: Whether to write confidence, of models that have it.
    confidence: bool = False
    #: Take only each N-th frame of a video.
    every: int = 1

    def __post_init__(self) -> None:
        if not self.max_depth > 0:
            raise ValueError(f'got a max-depth of {self.max_depth} m, expected more than 0')
        if self.every < 1:
            raise ValueError(f'got every {self.every} frames, expected 1 or more')


@dataclass(frozen=True)
class Prediction:
    """What was made of one sample."""

    input: str
    name: str
    focal_px: float
    median_depth_m: float
    elapsed_ms: float
    has_truth: bool
    #: ``abs_rel`` and ``delta1``; None where there is no truth within ``max_depth``.
    metrics: dict[str, float] | None
    #: Files written, by what they are: ``depth``, ``confidence``, ``preview``, ``cloud``.
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """An input of which nothing could be made."""

    input: str
    error: str


def predict_media(
    estimator: DepthEstimator,
    media: Sequence[Medium],
    settings: PredictionSettings,
    camera_of: CameraOf | None,
) -> Iterator[Prediction | Failure]:
    """Estimate the depth of all media and write it; one that fails does not stop the others.

    :param camera_of: the camera of a picture that does not say which took it; None: by the focal
        length in its EXIF data.
    :raises ValueError: before anything is written, if a result would replace an input, or for
        confidence that the model lacks.
    :raises OSError: if a result cannot be written.
    """
    _check_targets(media, settings.output)
    if settings.confidence:
        estimator.require_confidence()
    for medium in media:
        samples = medium.samples(camera_of, every=settings.every)
        while True:
            try:
                sample = next(samples, None)
                if sample is None:
                    break
                start = time.perf_counter()
                depth, confidence = estimate(
                    estimator,
                    sample.rgb,
                    sample.camera.focal_px,
                    with_confidence=settings.confidence,
                )
                elapsed_ms = 1e3 * (time.perf_counter() - start)
            except (ValueError, OSError) as error:
                yield Failure(str(medium.path), str(error))
                break
            targets = _targets(
                settings.output / sample.name, ply=settings.ply, confidence=settings.confidence
            )
            score = write_result(
                targets, sample, depth, max_depth=settings.max_depth, confidence=confidence
            )
            yield Prediction(
                input=str(medium.path),
                name=sample.name,
                focal_px=sample.camera.focal_px,
                median_depth_m=float(np.median(depth)),
                elapsed_ms=elapsed_ms,
                has_truth=sample.depth is not None,
                metrics={name: score.metric[name] for name in FIGURES} if score else None,
                files={kind: str(path) for kind, path in targets.items()},
            )


def _targets(stem: Path, *, ply: bool = True, confidence: bool = True) -> dict[str, Path]:
    """Return the files of one sample. ``with_suffix`` would cut a name that has a dot."""
    endings = {'depth': '_depth.png', 'preview': '_preview.png'}
    if confidence:
        endings['confidence'] = '_confidence.png'
    if ply:
        endings['cloud'] = '.ply'
    return {kind: stem.with_name(stem.name + ending) for kind, ending in endings.items()}


def _check_targets(media: Sequence[Medium], output: Path) -> None:
    inputs = {medium.path.resolve() for medium in media}
    folders = {path.parent for path in inputs}
    for medium in media:
        stem = (output / medium.name).resolve()
        if medium.kind is Kind.VIDEO:
            replaces = stem in folders
        else:
            replaces = not inputs.isdisjoint(_targets(stem).values())
        if replaces:
            raise ValueError(
                f'got {output} as the output folder, where results for {medium.path} could '
                'replace inputs; give another --output'
            )


def summarize(predictions: Sequence[Prediction], failures: Sequence[Failure]) -> dict[str, object]:
    """Return everything that was done as plain values, with the mean of the figures."""
    measured = [p.metrics for p in predictions if p.metrics is not None]
    return {
        'predictions': [asdict(p) for p in predictions],
        'failures': [asdict(f) for f in failures],
        'measured': len(measured),
        'mean': mean_metrics(measured) if measured else None,
    }
