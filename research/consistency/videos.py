"""Videos with true depth and known poses: recordings, or rendered as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import LazySequence
from mirror_depth_ros.depth.camera import CameraModel

if TYPE_CHECKING:
    from research.scenes.video import Video

#: Frames of the whole closed path of a rendered video. At 10 Hz it takes 4.4 s: a robot at 0.6 m/s
#: on average in rooms (a path of 2.4 m) and 2.2 m/s on streets (9.7 m), slower where things are
#: near, turning by at most 17 degrees a second.
LOOP_FRAMES = 44


@dataclass(frozen=True)
class PosedFrame:
    """One picture of a video."""

    #: RGB uint8 ``[H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: True metres along Z, ``[H, W]``; infinity = sky, NaN = unknown.
    depth: NDArray[np.float32]
    camera: CameraModel
    #: Camera to world, ``[4, 4]``: columns right, down, forward, position [m].
    pose: NDArray[np.float64]


@dataclass(frozen=True)
class PosedVideo:
    """Frames in the order of time."""

    name: str
    #: ``indoor`` or ``outdoor``, which says how far depth counts.
    domain: str
    frames: Sequence[PosedFrame]


class RecordedFrames(LazySequence[PosedFrame]):
    """Frames of a :class:`.FrameFolder` whose ``meta.json`` files have ``camera_to_world``."""

    def __init__(self, folder: FrameFolder) -> None:
        self._folder = folder

    def __len__(self) -> int:
        return len(self._folder)

    def item(self, index: int) -> PosedFrame:
        """Read a frame.

        :raises ValueError: for one without depth or pose.
        """
        sample = self._folder[index]
        if sample.depth is None:
            raise ValueError(f'got {sample.name} without depth, expected a depth.png beside it')
        if sample.pose is None:
            raise ValueError(
                f'got {sample.name} without camera_to_world, expected the pose of every frame; '
                'take a recording that has them'
            )
        return PosedFrame(sample.rgb, sample.depth, sample.camera, sample.pose)


class RenderedFrames(LazySequence[PosedFrame]):
    """Frames of a rendered video."""

    def __init__(self, video: Video) -> None:
        self._video = video

    def __len__(self) -> int:
        return len(self._video)

    def item(self, index: int) -> PosedFrame:
        """Render a frame."""
        frame = self._video[index]
        height, width = frame.depth.shape
        focal = frame.view.focal_px(width)
        camera = CameraModel(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        return PosedFrame(frame.rgb, frame.depth, camera, frame.pose)


def recorded_video(folder: Path) -> PosedVideo:
    """Open a recording.

    :raises FileNotFoundError: without such a folder.
    :raises ValueError: without a frame in it.
    """
    frames = FrameFolder(folder)
    return PosedVideo(folder.resolve().name, frames.domain_of(0), RecordedFrames(frames))


def rendered_videos(kind: str, count: int, *, height: int, width: int) -> Iterator[PosedVideo]:
    """Yield videos of the first test scenes, with models that no training had.

    :param kind: ``indoor``, ``close`` or ``outdoor``.
    :raises ValueError: at once, for another kind or an impossible count.
    """
    from research.scenes.library import Library
    from research.scenes.rendered_scenes import KINDS, SPLITS, scene_and_views
    from research.scenes.video import Video, clear_radius, path

    if kind not in KINDS:
        raise ValueError(f'got kind {kind!r}, expected one of {", ".join(KINDS)}')
    seeds = SPLITS['test']
    if not 1 <= count <= len(seeds):
        raise ValueError(f'got {count} videos, expected 1 to {len(seeds)}')

    def videos() -> Iterator[PosedVideo]:
        library = Library.for_split('test')
        for seed in seeds[:count]:
            rng = np.random.default_rng((KINDS.index(kind), seed))
            scene, new_view = scene_and_views(library, kind, rng)
            view = new_view()
            radius = clear_radius(scene, view, 2.0 if kind == 'outdoor' else 0.5)
            views = path(view, LOOP_FRAMES, radius=radius)
            frames = RenderedFrames(Video(scene, views, height, width, seed=seed))
            domain = 'outdoor' if kind == 'outdoor' else 'indoor'
            yield PosedVideo(f'{kind}_{seed}', domain, frames)

    return videos()
