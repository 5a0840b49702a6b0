"""How far a model's depth is from the truth, over a whole data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.eval_protocols import Protocol
from mirror_depth_ros.depth.files import write_rgb_png
from mirror_depth_ros.depth.metrics import depth_metrics, mean_metrics
from mirror_depth_ros.depth.preview import comparison

if TYPE_CHECKING:  # at run time whoever has an estimator has imported PyTorch
    from mirror_depth_ros.inference.estimator import DepthEstimator

_PICTURE_HEIGHT = 240


@dataclass(frozen=True)
class Score:
    """The metrics of one image."""

    name: str
    #: As predicted.
    metric: dict[str, float]
    #: After the prediction is scaled to the truth's median: the shape alone.
    median_scaled: dict[str, float]


def evaluate(
    estimator: DepthEstimator,
    samples: Iterable[DepthSample],
    *,
    protocol: Protocol,
    flip: bool = False,
    pictures: Path | None = None,
) -> Iterator[Score]:
    """Score every image of a data set; none is left out.

    :param protocol: what the network sees of an image, and which pixels count.
    :param flip: average with the prediction of the mirrored image, turned back (as BTS and AdaBins
        are evaluated).
    :param pictures: folder for image, truth, prediction and error side by side.
    :raises ValueError: for an image without any true depth where it counts, or of a size that the
        protocol is not defined for.
    """
    for sample in samples:
        if sample.depth is None:
            raise ValueError(
                f'got {sample.name} without true depth, expected it for every image, such as a '
                'depth.png beside it; leave the image out, or use mirror_depth predict'
            )
        try:
            depth = _predict(estimator, sample, protocol, flip=flip)
            if pictures is not None:
                _draw(sample, depth, pictures, max_depth=protocol.max_depth)
            score = _score(sample, depth, protocol)
        except ValueError as error:
            raise ValueError(f'{sample.name}: {error}') from error
        yield score


def _predict(
    estimator: DepthEstimator, sample: DepthSample, protocol: Protocol, *, flip: bool
) -> NDArray[np.float32]:
    """Return the depth of what the network sees, in place; NaN around it, ``[H, W]``."""
    height, width = sample.rgb.shape[:2]
    seen = protocol.input_window(height, width).slices
    rgb = sample.rgb[seen]
    focal_px = sample.camera.focal_px  # a window of an image has the focal length of the whole
    depth = estimator.estimate(rgb, focal_px)
    if flip:
        mirrored = estimator.estimate(rgb[:, ::-1], focal_px)
        depth = np.mean([depth, mirrored[:, ::-1]], axis=0, dtype=np.float32)
    whole = np.full((height, width), np.nan, np.float32)
    whole[seen] = depth
    return whole


def _score(sample: DepthSample, depth: NDArray[np.float32], protocol: Protocol) -> Score:
    assert sample.depth is not None  # evaluate() has seen to it
    mask = protocol.mask(*depth.shape)
    plain, scaled = (
        depth_metrics(
            depth,
            sample.depth,
            max_depth=protocol.max_depth,
            mask=mask,
            median_scaling=by_median,
        )
        for by_median in (False, True)
    )
    return Score(sample.name, plain, scaled)


def _draw(
    sample: DepthSample, depth: NDArray[np.float32], folder: Path, *, max_depth: float
) -> None:
    """Write image, truth, prediction and error side by side."""
    picture = comparison(
        sample.rgb, depth, sample.depth, max_depth=max_depth, height=_PICTURE_HEIGHT
    )
    write_rgb_png(folder / f'{sample.name.replace("/", "_")}.png', picture)


def summarize_scores(scores: Sequence[Score]) -> dict[str, object]:
    """Return the mean over images, unscaled and median-scaled, and every image's own figures."""
    return {
        'images': len(scores),
        'metric': mean_metrics(score.metric for score in scores),
        'median_scaled': mean_metrics(score.median_scaled for score in scores),
        'per_image': [asdict(score) for score in scores],
    }
