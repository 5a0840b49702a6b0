"""Videos with true depth and known poses: ``python -m research.scenes.video --help``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from mirror_depth_ros.data.sample import LazySequence
from mirror_depth_ros.depth.files import write_json
from research.scenes.assembly import Scene
from research.scenes.camera import View
from research.scenes.camera_sensor import photograph
from research.scenes.library import Library
from research.scenes.render import render
from research.scenes.rendered_scenes import KINDS, SPLITS, scene_and_views

# Nearer than this nothing may come to a camera that moves [m].
_CLEARANCE_M = 0.4
# Metres per unit of the depth images: a millimetre indoors, KITTI's outdoors.
_DEPTH_SCALE = {'indoor': 0.001, 'close': 0.001, 'outdoor': 1 / 256}


@dataclass(frozen=True)
class VideoFrame:
    """One picture of a video."""

    #: RGB uint8 ``[H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: Metres along Z, ``[H, W]``; infinity = sky.
    depth: NDArray[np.float32]
    #: Where the camera is and looks.
    view: View

    @property
    def pose(self) -> NDArray[np.float64]:
        """Camera to world, ``[4, 4]``: columns right, down, forward, position [m]."""
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self.view.rotation(), self.view.position
        return pose


def path(start: View, count: int, *, radius: float) -> list[View]:
    """Return a closed, smooth path: an ellipse, while the camera looks from side to side.

    :param start: the middle of the ellipse, and how the camera looks at both its ends aside.
    :param radius: how far it leads ahead and back [m]; half as far aside.
    """
    phases = 2 * math.pi * np.arange(count) / count
    ahead, aside = radius * np.sin(phases), radius / 2 * np.cos(phases)
    c, s = math.cos(start.yaw), math.sin(start.yaw)
    yaw = start.yaw + math.radians(12.0) * np.sin(phases)
    pitch = start.pitch + math.radians(1.5) * np.sin(3 * phases)
    shifts = np.stack((c * ahead - s * aside, s * ahead + c * aside, np.zeros(count)), 1)
    return [
        replace(
            start,
            position=start.position + shifts[i],
            yaw=float(yaw[i]),
            pitch=float(pitch[i]),
        )
        for i in range(count)
    ]


class Video(LazySequence[VideoFrame]):
    """A camera's way through one scene, rendered frame by frame on demand.

    :param seed: of the sensor: its faults are those of one camera, its noise is each frame's own.
    """

    def __init__(
        self, scene: Scene, views: list[View], height: int, width: int, *, seed: int = 0
    ) -> None:
        self._scene = scene
        self._views = views
        self._size = (height, width)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._views)

    def item(self, index: int) -> VideoFrame:
        """Render a frame."""
        view, own = self._views[index], np.random.default_rng((self._seed, index))
        frame = render(self._scene, view, *self._size, own)
        rgb = photograph(frame.radiance, np.random.default_rng(self._seed), noise_rng=own)
        return VideoFrame(rgb, frame.depth, view)


def clear_radius(scene: Scene, view: View, wanted: float) -> float:
    """Return how far the camera may move about: less than ``wanted`` where things are near [m]."""
    angles = np.radians(np.arange(0, 360, 5))
    directions = np.stack((np.cos(angles), np.sin(angles), np.zeros_like(angles)), 1)
    origins = np.broadcast_to(np.float32(view.position), directions.shape)
    hits = scene.caster.first(origins, directions.astype(np.float32))
    nearest = float(np.where(hits.face >= 0, hits.t, np.inf).min())
    return min(wanted, max(0.0, nearest - _CLEARANCE_M))


def write_video(video: Video, folder: Path, *, domain: str, depth_scale: float) -> None:
    """Write frames as :class:`mirror_depth_ros.data.frames.FrameFolder` reads them, with poses.

    :param domain: ``indoor`` or ``outdoor``.
    :param depth_scale: metres per unit of the depth images.
    """
    for i in track(range(len(video)), folder.name):
        frame, place = video[i], folder / f'{i:03d}'
        height, width = frame.depth.shape
        focal = frame.view.focal_px(width)
        place.mkdir(parents=True, exist_ok=True)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
        cv2.imwrite(str(place / 'rgb.jpg'), frame.rgb[..., ::-1], quality)
        units = np.round(np.where(np.isfinite(frame.depth), frame.depth, 0) / depth_scale)
        known = units <= np.iinfo(np.uint16).max
        png = [cv2.IMWRITE_PNG_COMPRESSION, 9]
        cv2.imwrite(str(place / 'depth.png'), np.where(known, units, 0).astype(np.uint16), png)
        camera = {'fx': focal, 'fy': focal, 'cx': (width - 1) / 2, 'cy': (height - 1) / 2}
        write_json(
            place / 'meta.json',
            {
                'camera': {**camera, 'width': width, 'height': height},
                'depth_scale': depth_scale,
                'domain': domain,
                'camera_to_world': np.round(frame.pose, 6).tolist(),
                'source': 'rendered by research/scenes',
                'licence': 'Apache-2.0; models: research/scenes/ATTRIBUTION.md',
            },
        )


def main(
    output: Annotated[Path, typer.Option(help='Folder of the frames.')],
    kind: Annotated[str, typer.Option(help='indoor, close or outdoor.')] = 'indoor',
    seed: Annotated[int, typer.Option(help='Which scene.')] = SPLITS['test'].start,
    count: Annotated[int, typer.Option(help='Frames.')] = 24,
    height: int = 240,
    width: int = 320,
) -> None:
    """Render a video of a test scene, with models that no training had."""
    rng = np.random.default_rng((KINDS.index(kind), seed))
    scene, views = scene_and_views(Library.for_split('test'), kind, rng)
    view = views()
    radius = clear_radius(scene, view, 0.5 if kind != 'outdoor' else 2.0)
    video = Video(scene, path(view, count, radius=radius), height, width, seed=seed)
    domain = 'outdoor' if kind == 'outdoor' else 'indoor'
    write_video(video, output, domain=domain, depth_scale=_DEPTH_SCALE[kind])


if __name__ == '__main__':
    typer.run(main)
