"""How consistent a model's depth is over videos whose poses are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.eval_protocols import PROTOCOLS
from mirror_depth_ros.depth.files import write_rgb_png
from mirror_depth_ros.depth.metrics import depth_metrics
from mirror_depth_ros.depth.preview import colorize_depth, colorize_relative_error, side_by_side
from mirror_depth_ros.depth.temporal_filter import TemporalFilter
from research.consistency.consistency import (
    SpatialContinuity,
    TemporalDisagreement,
    View,
    spatial_continuity,
    temporal_disagreement,
)
from research.consistency.videos import PosedFrame, PosedVideo

#: Metres along Z ``[H, W]`` of RGB uint8 ``[H, W, 3]`` and the focal length [pixels].
Estimate = Callable[[NDArray[np.uint8], float], NDArray[np.float32]]

#: The figures of a video, in the order tables show them.
FIGURES = (
    'temporal_disagreement',
    'covisible_fraction',
    'spatial_away',
    'spatial_at_edges',
    'abs_rel',
)

#: What may steady the depth: nothing, the common scale alone, or all that the true motion moves.
STEADY = ('off', 'scale', 'motion')

# Of videos, whose frames have no stamps [s]. The filter looks for gaps alone.
_FRAME_PERIOD_S = 0.1
_PICTURE_ROWS = 3
_PICTURE_HEIGHT = 240
# A disagreement of this size and above has the strongest colour.
_LARGEST_DISAGREEMENT = 0.1
# Colours span 0.3 to 10 m indoors, and in proportion outdoors.
_NEAREST_COLOUR = 0.03


@dataclass(frozen=True)
class VideoScore:
    """The figures of one video: means over its frames, or over its pairs of successive frames."""

    name: str
    #: :attr:`.consistency.TemporalDisagreement.mean`, over pairs.
    temporal_disagreement: float
    #: Fraction of pixels that counted in it, over pairs.
    covisible_fraction: float
    #: :attr:`.consistency.SpatialContinuity.away`, over the frames that have it.
    spatial_away: float | None
    #: :attr:`.consistency.SpatialContinuity.at_edges`, over the frames that have it.
    spatial_at_edges: float | None
    #: Mean relative error, over frames.
    abs_rel: float


def score_video(
    estimate: Estimate,
    video: PosedVideo,
    *,
    n_frames: int,
    steady: str = 'off',
    pictures: Path | None = None,
) -> VideoScore:
    """Score the depth of the first frames of a video.

    True depth beyond that of the domain's protocol (10 m in rooms, 80 m outdoors) does not count.

    :param n_frames: how many frames, at least 2 and no more than the video has.
    :param steady: one of :data:`STEADY`; see :class:`.TemporalFilter`.
    :param pictures: folder for a strip of the video: image, depth of two successive frames, and
        their disagreement, at the beginning, in the middle and at the end.
    :raises ValueError: for an impossible number of frames, another ``steady``, or a frame without
        anything to measure.
    """
    if steady not in STEADY:
        raise ValueError(f'got steady {steady!r}, expected one of {", ".join(STEADY)}')
    if not 2 <= n_frames <= len(video.frames):
        raise ValueError(f'got {n_frames} frames, expected 2 to {len(video.frames)}')
    max_depth = PROTOCOLS[video.domain].max_depth
    shown = set(np.linspace(1, n_frames - 1, _PICTURE_ROWS).astype(int).tolist())
    rows: list[NDArray[np.uint8]] = []
    errors: list[float] = []
    spatial: list[SpatialContinuity] = []
    temporal: list[TemporalDisagreement] = []
    temporal_filter = TemporalFilter()
    before: tuple[PosedFrame, View] | None = None
    for i in range(n_frames):
        frame = video.frames[i]
        predicted = estimate(frame.rgb, frame.camera.focal_px)
        if steady != 'off':
            predicted = temporal_filter.update(
                predicted,
                frame.rgb,
                camera=frame.camera,
                stamp_s=i * _FRAME_PERIOD_S,
                pose=frame.pose if steady == 'motion' else None,
            )
        view = _view(predicted, frame, max_depth)
        try:
            metrics = depth_metrics(view.predicted, view.true, max_depth=max_depth)
            errors.append(metrics['abs_rel'])
            spatial.append(spatial_continuity(view.predicted, view.true))
            if before is not None:
                temporal.append(temporal_disagreement(before[1], view, frame.camera))
                if pictures is not None and i in shown:
                    rows.append(_row(i, before, view, temporal[-1], max_depth))
        except ValueError as error:
            raise ValueError(f'{video.name}, frame {i}: {error}') from error
        before = frame, view
    if pictures is not None:
        write_rgb_png(pictures / f'{video.name}.png', np.concatenate(rows))
    return VideoScore(
        video.name,
        temporal_disagreement=float(np.mean([pair.mean for pair in temporal])),
        covisible_fraction=float(np.mean([pair.covisible_fraction for pair in temporal])),
        spatial_away=_mean([image.away for image in spatial]),
        spatial_at_edges=_mean([image.at_edges for image in spatial]),
        abs_rel=float(np.mean(errors)),
    )


def summarize_videos(scores: Sequence[VideoScore]) -> dict[str, object]:
    """Return the mean over videos, each counting the same, and every video's own figures.

    :raises ValueError: if there is no video.
    """
    if not scores:
        raise ValueError('got no videos, expected at least one')
    means = {figure: _mean([getattr(s, figure) for s in scores]) for figure in FIGURES}
    per_video = [dataclasses.asdict(score) for score in scores]
    return {'videos': len(scores), **means, 'per_video': per_video}


def _view(predicted: NDArray[np.float32], frame: PosedFrame, max_depth: float) -> View:
    """Return the depth of a frame beside what of the truth counts."""
    # Beyond the cap is as far as the sky: no truth, but an edge of what has one.
    is_far = frame.depth >= max_depth  # NaN, unknown, is not
    return View(
        predicted=predicted,
        true=np.where(is_far, np.float32(np.inf), frame.depth),
        position=frame.pose[:3, 3],
        rotation=frame.pose[:3, :3],
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _row(
    index: int,
    before: tuple[PosedFrame, View],
    view: View,
    disagreement: TemporalDisagreement,
    max_depth: float,
) -> NDArray[np.uint8]:
    """Return one row of a strip: what two successive frames say of the same places."""
    first, second = (
        colorize_depth(v.predicted, min_depth=_NEAREST_COLOUR * max_depth, max_depth=max_depth)
        for v in (before[1], view)
    )
    error = colorize_relative_error(disagreement.error_map, largest=_LARGEST_DISAGREEMENT)
    panels = [
        (f'image {index - 1}', before[0].rgb),
        (f'depth {index - 1}', first),
        (f'depth {index}', second),
        (f'disagreement 0..{_LARGEST_DISAGREEMENT:g}', error),
    ]
    return side_by_side(panels, height=_PICTURE_HEIGHT)
