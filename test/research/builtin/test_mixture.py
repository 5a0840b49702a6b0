"""What the built-in model is trained on: proportions, and the same draws again."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip('embreex', reason='only the laboratory needs it: pip install embreex trimesh')
pytest.importorskip('trimesh', reason='only the laboratory needs it: pip install embreex trimesh')

from mirror_depth_ros.training.augmentation import Augmentation
from mirror_depth_ros.training.loading import Draw
from mirror_depth_ros.training.pictures import Picture
from research.builtin.mixture import Mixture, root_weights


def pictures(metres: float, count: int) -> list[Picture]:
    image = torch.zeros(3, 48, 64, dtype=torch.uint8)
    return [Picture(image, torch.full((1, 48, 64), metres), torch.tensor(50.0))] * count


def test_sources_are_drawn_by_their_weights_whatever_their_size() -> None:
    sources = {
        'rooms': (0.75, pictures(2.0, 100), Augmentation()),
        'streets': (0.25, pictures(20.0, 3), Augmentation()),
        'none': (9.0, [], Augmentation()),
    }
    mixture = Mixture(sources, (24, 32), draws=400)
    assert len(mixture) == 400
    depths = torch.stack([mixture[Draw(i, 1000 + i)].depth.mean() for i in range(400)])
    assert 0.68 < float((depths == 2.0).float().mean()) < 0.82
    assert set(depths.tolist()) == {2.0, 20.0}


def test_a_draw_is_the_same_again() -> None:
    noisy = Augmentation(noise=20.0, crop=(0.5, 1.0))
    mixture = Mixture({'rooms': (1.0, pictures(2.0, 5), noisy)}, (24, 32), draws=3)
    first, again, other = mixture[Draw(0, 7)], mixture[Draw(2, 7)], mixture[Draw(0, 8)]
    assert torch.equal(first.image, again.image)
    assert first.focal_px == again.focal_px
    assert not torch.equal(first.image, other.image)


def test_recordings_count_by_the_root_of_their_size() -> None:
    weights = root_weights({'long': 100, 'short': 1}, share=0.22)
    assert weights == pytest.approx({'long': 0.2, 'short': 0.02})
