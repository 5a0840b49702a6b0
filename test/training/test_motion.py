"""Frames to learn from by motion: which, and with which others."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mirror_depth_ros.data.sample import DepthSample, Selection
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training.frame_views import Track
from mirror_depth_ros.training.motion import choose_sources, median_depth


def along_x(*metres: float, turned_deg: float = 0.0) -> Track:
    """Return a track of cameras beside each other, each turned further than the last."""
    poses = np.stack([np.eye(4)] * len(metres))
    poses[:, 0, 3] = metres
    for i, pose in enumerate(poses):
        pose[:3, :3] = cv2.Rodrigues(np.array([0, np.radians(turned_deg * i), 0]))[0]
    return Track(poses, ('',) * len(metres))


def test_sources_are_the_nearest_that_are_far_enough() -> None:
    # Of 2 m: 0.1 to 0.3 m.
    track = along_x(0.0, 0.08, 0.13, 0.16, 0.29, 0.7, 0.7, 1.5)
    assert choose_sources(track, 2.0) == {
        0: (2, 2),  # nothing before it
        1: (4, 4),
        2: (0, 4),
        3: (0, 4),  # 0.16 m to the first, 0.13 to the fifth
        4: (3, 3),  # 0.41 m to the next are too much
    }


def test_frames_that_stand_still_are_left_out() -> None:
    track = along_x(0.0, 0.0, 0.0, 0.1, 0.2, 0.2)
    assert choose_sources(track, 1.0) == {
        0: (3, 3),
        1: (3, 3),
        2: (3, 3),
        3: (2, 4),
        4: (3, 3),
        5: (3, 3),
    }
    assert [*choose_sources(along_x(0.0, 0.1, 5.0, 5.0), 1.0)] == [0, 1]


def test_sources_look_the_same_way() -> None:
    assert choose_sources(along_x(0.0, 0.07, 0.14, turned_deg=14.0), 1.0) == {
        0: (1, 1),
        1: (0, 2),
        2: (1, 1),  # turned by 28 degrees from the first
    }
    with pytest.raises(ValueError, match='with at most 15 degrees between them'):
        choose_sources(along_x(0.0, 0.1, turned_deg=16.0), 1.0)


def test_recordings_are_not_compared_with_each_other() -> None:
    track = along_x(0.0, 0.1, 0.2)._replace(sequences=('kitchen', 'hall', 'hall'))
    assert choose_sources(track, 1.0) == {1: (2, 2), 2: (1, 1)}


def test_a_robot_that_stands_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r'got 3 images, none of which has another of the same recording 0.1 '
        r'to 0.3 m beside it, .* \(no two are more than 0.003 m apart; things are about 2 m away'
        r'\), expected a camera that moves .*; record while the robot drives, or record depth',
    ):
        choose_sources(along_x(0.0, 0.001, 0.003), 2.0)


def test_the_median_depth_is_the_networks(
    moving: Selection[DepthSample], tiny_network: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = MirrorDepth.from_config(MirrorDepthConfig(**tiny_network, output='log')).train()
    asked = []

    def depth(images: torch.Tensor, focal_px: torch.Tensor) -> torch.Tensor:
        asked.append(focal_px.item())
        return torch.full((1, 1, 4, 5), 2.0 + len(asked))

    monkeypatch.setattr(network, 'forward', depth)
    assert median_depth(network, moving) == 4.5  # of 3, 4, 5 and 6 m
    assert network.training
    # The frame's sqrt(60 * 62), at 48 x 64 of 51 x 69 pixels.
    expected = (60 * 62) ** 0.5 * (48 * 64 / (51 * 69)) ** 0.5
    assert asked == pytest.approx([expected] * 4)
