"""Scenes by kind and seed, and smooth camera paths through them."""

from __future__ import annotations

import math
from dataclasses import replace

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.lazy_sequence import LazySequence
from mirror_depth_ros.scenes.render import RenderedFrame, render
from mirror_depth_ros.scenes.road import make_road
from mirror_depth_ros.scenes.room import make_room
from mirror_depth_ros.scenes.solids import Pose, Scene

#: Kinds of scenes that can be made.
KINDS = ('indoor', 'outdoor')

#: Seeds of each split; they never overlap.
SPLITS = {
    'train': range(10_000_000),
    'val': range(10_000_000, 11_000_000),
    'test': range(11_000_000, 12_000_000),
}


def make_scene(kind: str, seed: int) -> Scene:
    """Build the scene of that kind and seed; the same seed gives the same scene.

    :raises ValueError: for an unknown kind.
    """
    if kind == 'indoor':
        return make_room(seed)
    if kind == 'outdoor':
        return make_road(seed)
    raise ValueError(f'got scene kind {kind!r}, expected one of {", ".join(KINDS)}')


class SceneVideo(LazySequence[RenderedFrame]):
    """A closed, smooth camera path through one scene, rendered frame by frame on demand."""

    def __init__(self, kind: str, seed: int, camera: CameraModel, n_frames: int) -> None:
        """Prepare the path; nothing is rendered yet.

        :raises ValueError: for an unknown kind or fewer than one frame.
        """
        if n_frames < 1:
            raise ValueError(f'got n_frames={n_frames}, expected at least 1')
        self.scene = make_scene(kind, seed)
        self.camera = camera
        self._n_frames = n_frames

    def __len__(self) -> int:
        return self._n_frames

    def item(self, index: int) -> RenderedFrame:
        """Render a frame."""
        # Each frame has its own sensor noise, as on a real camera.
        noise_seed = self.scene.seed * 1_000_003 + index
        return render(self.scene, self.camera, self.pose(index), noise_seed=noise_seed)

    def pose(self, index: int) -> Pose:
        """Return the camera's pose in that frame: a small loop while looking from side to side.

        The loop stays within the radius that the scene keeps free around its camera.
        """
        start = self.scene.pose
        phase = 2 * math.pi * index / len(self)
        radius = 0.6 * self.scene.clearance
        ahead = radius * math.sin(phase)
        aside = 0.5 * radius * math.sin(2 * phase)
        c, s = math.cos(start.yaw), math.sin(start.yaw)
        x, y, z = start.position
        return replace(
            start,
            position=(x + c * ahead - s * aside, y + s * ahead + c * aside, z),
            yaw=start.yaw + math.radians(20.0) * math.sin(phase),
            pitch=start.pitch + math.radians(2.0) * math.sin(3 * phase),
        )
