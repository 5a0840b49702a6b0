"""Mirrors from the way of a training in the final decoder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.model.checkpoint import load_checkpoint
from mirror_depth_ros.scenes.labels import LABELS
from mirror_depth_ros.scenes.render import RenderedFrame
from mirror_depth_ros.training.convergence import LabelledPicture, compare, predict, with_mirror

WALL, PERSON = LABELS.index('wall'), LABELS.index('person')


def picture() -> LabelledPicture:
    """48 x 64 pixels of wall at 2 m, the right half a person at 1 m."""
    depth = np.full((48, 64), 2.0, np.float32)
    labels = np.full((48, 64), WALL, np.uint8)
    depth[:, 32:], labels[:, 32:] = 1.0, PERSON
    rgb = np.full((48, 64, 3), 90, np.uint8)
    camera = CameraModel.from_fov(64, 48, 65.0)
    return LabelledPicture(
        'indoor', RenderedFrame(rgb, depth, np.zeros((48, 64), np.int16), camera), labels
    )


def test_change_is_counted_by_what_is_there() -> None:
    pictures = [picture(), picture()]  # 3072 pixels of each class
    final = [p.frame.depth.copy() for p in pictures]
    early = [depth.copy() for depth in final]
    for depth in early:
        depth[:, 32:] *= 1.5
    result = compare({0.01: early, 'final': final}, pictures)
    assert result['change']['0.01'] == pytest.approx({'wall': 0.0, 'person': math.log(1.5)})
    assert result['change']['final'] == pytest.approx({'wall': 0.0, 'person': 0.0})
    assert result['abs_rel']['0.01'] == pytest.approx({'indoor': 0.25})
    assert result['abs_rel']['final'] == pytest.approx({'indoor': 0.0})


def test_a_kept_mirror_changes_the_prediction(tiny_model: Path, tmp_path: Path) -> None:
    model = load_checkpoint(tiny_model, folded=False)
    before = predict(model, [picture()])[0]
    assert before.shape == (48, 64)
    save_file({'mirror': 5.0 * torch.randn(6, 16)}, tmp_path / 'mirror_010.safetensors')
    after = predict(with_mirror(model, tmp_path, 0.1), [picture()])[0]
    assert np.abs(after - before).max() > 1e-4
    with pytest.raises(FileNotFoundError, match=r'mirror_030.safetensors.*run make builtin'):
        with_mirror(model, tmp_path, 0.3)
