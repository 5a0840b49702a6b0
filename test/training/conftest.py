"""What tests of trainings share: a finished one, and frames that move."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.sample import DepthSample, Selection


@pytest.fixture(scope='session')
def trained(small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished training: eight steps, checkpoints at 3, 6 and the end."""
    from mirror_depth_ros.training.command import train

    folder = tmp_path_factory.mktemp('trained')
    train([f'--config={small_recipe}'], folder, save_every=3)
    return folder


@pytest.fixture(scope='session')
def moving_frames(
    make_frames: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder of ten frames without depth, taken every 0.25 m to the camera's right."""
    folder = make_frames(tmp_path_factory.mktemp('moving') / 'frames', 10)
    pose = np.array([[0, 0, 1, 5.0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    for number, meta in enumerate(sorted(folder.rglob('meta.json'))):
        pose[1, 3] = 0.25 * number
        facts = {**json.loads(meta.read_text()), 'camera_to_world': pose.tolist()}
        meta.write_text(json.dumps(facts))
        (meta.parent / 'depth.png').unlink()
    return folder


@pytest.fixture
def moving(moving_frames: Path) -> Selection[DepthSample]:
    """Four frames, 0.25 m apart to the right, without depth."""
    return Selection(FrameFolder(moving_frames), range(4))
