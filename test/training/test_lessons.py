"""Pictures joined with what else is known of their frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from mirror_depth_ros.data.sample import DepthSample, LazySequence, Selection
from mirror_depth_ros.depth.range_cone import RangeCone
from mirror_depth_ros.training.augmentation import NO_AUGMENTATION
from mirror_depth_ros.training.frame_views import keep_views
from mirror_depth_ros.training.lessons import Lessons, baselines
from mirror_depth_ros.training.loading import Draw, TrainingPictures
from mirror_depth_ros.training.photometric import motion_loss

SOURCES = {1: (0, 2), 3: (2, 2)}
CONE = RangeCone((0.0, 0.1, 2.0), (0.0, 0.0, 1.0), 2.0, np.arctan(0.5), 0.95)


class Ranged(LazySequence[DepthSample]):
    """Samples of which the second has two measurements of range sensors."""

    def __init__(self, samples: LazySequence[DepthSample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def item(self, index: int) -> DepthSample:
        return replace(self._samples[index], cones=(CONE, CONE) if index == 1 else ())


def test_variants_go_with_their_own_frame(moving: Selection[DepthSample], tmp_path: Path) -> None:
    known = keep_views(moving, (24, 32), tmp_path / 'views')
    np.testing.assert_allclose(baselines(known, SOURCES), [[0.25, 0.25], [0.25, 0.25]])
    seen = TrainingPictures(moving, NO_AUGMENTATION, (48, 64), needs_depth=False)
    lessons = Lessons(seen, known, SOURCES, [1, 3])  # four pictures: two variants each
    assert len(lessons) == 4
    for number, frame in enumerate((1, 1, 3, 3)):
        for index in (number, Draw(number, 3)):
            lesson = lessons[index]
            expected = known.of((frame, *SOURCES[frame]))
            assert torch.equal(lesson.views.pictures, expected.pictures)
            assert lesson.seen.depth.isnan().all()
            assert lesson.rays.shape == (2, 48, 64)
            assert lesson.cones.shape == (0, 9)


def test_a_frame_without_others_learns_nothing_from_motion(
    moving: Selection[DepthSample], tmp_path: Path
) -> None:
    known = keep_views(moving, (24, 32), tmp_path / 'views')
    seen = TrainingPictures(moving, NO_AUGMENTATION, (24, 32), needs_depth=False)
    lesson = Lessons(seen, known, SOURCES, [0, 1, 2, 3])[0]
    depth = (2.0 + torch.rand(1, 1, 24, 32)).requires_grad_()
    loss = motion_loss(
        depth, lesson.rays[None], type(lesson.views)(*(v[None] for v in lesson.views))
    )
    loss.backward()
    assert depth.grad is not None
    assert not depth.grad.any()
    # It does not make the others count for less.
    moving_one = Lessons(seen, known, SOURCES, [1])[0]
    alone, beside = (
        motion_loss(depth.detach().expand(len(group), -1, -1, -1), *default_collate(group)[1:3])
        for group in ([moving_one], [moving_one, lesson])
    )
    assert beside.item() == pytest.approx(alone.item(), rel=1e-2)
    # Where no frame has another to be compared with, there is nothing to compare.
    assert Lessons(seen, known, {}, [0, 1, 2, 3])[0].views.pictures.shape == (1, 1, 24, 32)


def test_cones_are_padded_to_as_many_as_any_frame_has(
    moving: Selection[DepthSample], tmp_path: Path
) -> None:
    known = keep_views(Ranged(moving), (24, 32), tmp_path / 'views')
    seen = TrainingPictures(moving, NO_AUGMENTATION, (24, 32), needs_depth=False)
    lessons = Lessons(seen, known, {}, [0, 1, 2, 3])
    assert lessons[0].cones.isnan().all()
    row = pytest.approx([0.0, 0.1, 2.0, 0.0, 0.0, 1.0, 2.0, 0.5, 0.95])
    assert [list(cone) for cone in lessons[1].cones.tolist()] == [row, row]
