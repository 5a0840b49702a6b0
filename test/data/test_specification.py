"""Data sets by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mirror_depth_ros.data.scene_samples import SceneSamples
from mirror_depth_ros.data.specification import open_data
from mirror_depth_ros.scenes.video import SPLITS


def test_scenes_are_unseen_ones() -> None:
    samples = open_data('scenes:outdoor', scene_count=2)
    assert isinstance(samples, SceneSamples)
    assert len(samples) == 2
    assert samples[1].name == f'outdoor/{SPLITS["test"].start + 1}'
    with pytest.raises(IndexError):
        samples[2]


def test_the_sky_has_no_truth() -> None:
    sample = SceneSamples('outdoor', count=1, split='val', width=53, height=39)[0]
    assert sample.rgb.shape == (39, 53, 3)
    assert sample.depth is not None
    assert np.isnan(sample.depth).any()
    assert not np.isinf(sample.depth).any()


def test_errors_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got data set 'nyu', expected scenes:indoor, scenes:out"):
        open_data('nyu', scene_count=1)
    with pytest.raises(ValueError, match="got scene kind 'mars', expected one of indoor, outdoor"):
        open_data('scenes:mars', scene_count=1)
    with pytest.raises(FileNotFoundError, match='expected a folder of images'):
        open_data(f'frames:{tmp_path / "none"}', scene_count=1)
    with pytest.raises(ValueError, match="got split 'all', expected one of train, val, test"):
        SceneSamples('indoor', count=1, split='all')
    with pytest.raises(ValueError, match='got 0 scenes, expected 1 to'):
        SceneSamples('indoor', count=0)
