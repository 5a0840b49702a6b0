"""Scenes as a data set: rendered when asked for, with exact depth."""

from __future__ import annotations

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.lazy_sequence import LazySequence
from mirror_depth_ros.scenes.render import render
from mirror_depth_ros.scenes.video import KINDS, SPLITS, make_scene


class SceneSamples(LazySequence[DepthSample]):
    """The first scenes of a kind and split; the sky is infinitely far.

    :param kind: ``indoor`` or ``outdoor``.
    :param split: ``train``, ``val`` or ``test``.
    :raises ValueError: for an unknown kind or split, or fewer than one scene.
    """

    def __init__(
        self, kind: str, *, count: int, split: str = 'test', width: int = 640, height: int = 480
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f'got scene kind {kind!r}, expected one of {", ".join(KINDS)}')
        if split not in SPLITS:
            raise ValueError(f'got split {split!r}, expected one of {", ".join(SPLITS)}')
        if not 1 <= count <= len(SPLITS[split]):
            raise ValueError(f'got {count} scenes, expected 1 to {len(SPLITS[split])}')
        self._kind, self._seeds = kind, SPLITS[split][:count]
        self._width, self._height = width, height

    def __len__(self) -> int:
        return len(self._seeds)

    def item(self, index: int) -> DepthSample:
        """Render a scene."""
        scene = make_scene(self._kind, self._seeds[index])
        camera = CameraModel.from_fov(self._width, self._height, scene.hfov_deg)
        frame = render(scene, camera)
        return DepthSample(frame.rgb, frame.depth, camera, f'{self._kind}/{scene.seed}')
