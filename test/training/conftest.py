"""What tests of trainings share: a finished one."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def trained(small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished training: eight steps, checkpoints at 3, 6 and the end."""
    from mirror_depth_ros.training.command import train

    folder = tmp_path_factory.mktemp('trained')
    train([f'--config={small_recipe}'], folder, save_every=3)
    return folder
