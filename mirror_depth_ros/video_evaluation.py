"""How consistent a model's depth is over videos of rendered scenes, whose poses are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.consistency import (
    SpatialContinuity,
    TemporalDisagreement,
    View,
    spatial_continuity,
    temporal_disagreement,
)
from mirror_depth_ros.interfaces import Estimator
from mirror_depth_ros.metrics import depth_metrics
from mirror_depth_ros.preview import colorize_depth, colorize_relative_error, side_by_side
from mirror_depth_ros.protocols import PROTOCOLS
from mirror_depth_ros.scenes.render import RenderedFrame
from mirror_depth_ros.scenes.video import KINDS, SPLITS, SceneVideo, make_scene
from mirror_depth_ros.writers import write_rgb_png

#: Frames of the whole closed path, as the simulated camera plays it. At 10 Hz it takes 4.4 s: a
#: robot at 0.5 m/s on average in rooms (a path of 2.2 m) and 1.0 m/s on roads (4.4 m), turning by
#: at most 29 degrees a second.
LOOP_FRAMES = 44
#: Frames per second that the path's speed is meant for.
RATE_HZ = 10.0

#: The figures of a video, in the order tables show them.
FIGURES = (
    'temporal_disagreement',
    'covisible_share',
    'spatial_away',
    'spatial_at_edges',
    'abs_rel',
)

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
    #: Share of pixels that counted in it, over pairs.
    covisible_share: float
    #: :attr:`.consistency.SpatialContinuity.away`, over the frames that have it.
    spatial_away: float | None
    #: :attr:`.consistency.SpatialContinuity.at_edges`, over the frames that have it.
    spatial_at_edges: float | None
    #: Mean relative error, over frames.
    abs_rel: float


def open_videos(kind: str, *, count: int, width: int, height: int) -> Iterator[SceneVideo]:
    """Yield the videos of the first unseen test scenes, each with its scene's field of view.

    :param kind: ``indoor`` or ``outdoor``.
    :param width: image width [pixels].
    :param height: image height [pixels].
    :raises ValueError: at once, for an unknown kind or an impossible count.
    """
    if kind not in KINDS:
        raise ValueError(f'got scene kind {kind!r}, expected one of {", ".join(KINDS)}')
    seeds = SPLITS['test']
    if not 1 <= count <= len(seeds):
        raise ValueError(f'got {count} videos, expected 1 to {len(seeds)}')

    def videos() -> Iterator[SceneVideo]:
        for seed in seeds[:count]:
            camera = CameraModel.from_fov(width, height, make_scene(kind, seed).hfov_deg)
            yield SceneVideo(kind, seed, camera, LOOP_FRAMES)

    return videos()


def evaluate_video(
    estimator: Estimator, video: SceneVideo, *, n_frames: int, pictures: Path | None = None
) -> VideoScore:
    """Score the depth of the first frames of a video.

    True depth beyond that of the scenes' protocol (10 m in rooms, 80 m on roads) does not count.

    :param n_frames: how many frames, at least 2 and no more than the video has.
    :param pictures: folder for a strip of the video: image, depth of two successive frames, and
        their disagreement, at the beginning, in the middle and at the end.
    :raises ValueError: for an impossible number of frames, or a frame without anything to measure.
    """
    if not 2 <= n_frames <= len(video):
        raise ValueError(f'got {n_frames} frames, expected 2 to {len(video)}, one closed path')
    name = f'{video.scene.kind}/{video.scene.seed}'
    max_depth = PROTOCOLS[video.scene.kind].max_depth
    shown = set(np.linspace(1, n_frames - 1, _PICTURE_ROWS).astype(int).tolist())
    rows: list[NDArray[np.uint8]] = []
    errors: list[float] = []
    spatial: list[SpatialContinuity] = []
    temporal: list[TemporalDisagreement] = []
    previous: tuple[RenderedFrame, View] | None = None
    for i in range(n_frames):
        frame, view = current = _look(estimator, video, i)
        try:
            metrics = depth_metrics(view.predicted, view.true, max_depth=max_depth)
            errors.append(metrics['abs_rel'])
            spatial.append(spatial_continuity(view.predicted, view.true))
            if previous is not None:
                temporal.append(temporal_disagreement(previous[1], view, frame.camera))
                if pictures is not None and i in shown:
                    rows.append(_row(i, previous, view, temporal[-1], max_depth))
        except ValueError as error:
            raise ValueError(f'{name}, frame {i}: {error}') from error
        previous = current
    if pictures is not None:
        write_rgb_png(pictures / f'{name.replace("/", "_")}.png', np.concatenate(rows))
    return VideoScore(
        name,
        temporal_disagreement=float(np.mean([pair.mean for pair in temporal])),
        covisible_share=float(np.mean([pair.covisible_share for pair in temporal])),
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


def _look(estimator: Estimator, video: SceneVideo, index: int) -> tuple[RenderedFrame, View]:
    """Render one frame and predict its depth."""
    frame = video[index]
    pose = video.pose(index)
    # Beyond the cap is as far as the sky: no truth, but an edge of what has one.
    is_near = frame.depth < PROTOCOLS[video.scene.kind].max_depth
    view = View(
        predicted=estimator.estimate(frame.rgb, frame.camera.focal_px),
        true=np.where(is_near, frame.depth, np.float32(np.inf)),
        position=np.array(pose.position),
        rotation=pose.rotation,
    )
    return frame, view


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _row(
    index: int,
    previous: tuple[RenderedFrame, View],
    view: View,
    disagreement: TemporalDisagreement,
    max_depth: float,
) -> NDArray[np.uint8]:
    """Return one row of a strip: what two successive frames say of the same places."""
    frame, before = previous
    first, second = (
        colorize_depth(v.predicted, min_depth=_NEAREST_COLOUR * max_depth, max_depth=max_depth)
        for v in (before, view)
    )
    panels = [
        (f'image {index - 1}', frame.rgb),
        (f'depth {index - 1}', first),
        (f'depth {index}', second),
        (
            f'disagreement 0..{_LARGEST_DISAGREEMENT:g}',
            colorize_relative_error(disagreement.error_map, largest=_LARGEST_DISAGREEMENT),
        ),
    ]
    return side_by_side(panels, height=_PICTURE_HEIGHT)
