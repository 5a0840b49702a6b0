"""The image tower learns depth: what moves, what stays, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import lightning
import open_clip
import pytest
import torch
from torch.utils.data import DataLoader

pytest.importorskip('embreex', reason='only the laboratory needs it: pip install embreex trimesh')
pytest.importorskip('trimesh', reason='only the laboratory needs it: pip install embreex trimesh')

from mirror_depth_ros.model.clip import FrozenTextEncoder
from mirror_depth_ros.model.conv_encoder import make_image_encoder
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training.pictures import Picture
from research.builtin.depth import trained_weights
from research.builtin.image_tower import half_precision
from research.builtin.tower_tuning import TowerTuning, learning_network, with_tower

MakeClip = Callable[[], open_clip.CLIP]
SIZE = (64, 96)


@torch.no_grad()
def test_a_learning_tower_computes_what_a_frozen_one_does(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    network = learning_network(config, make_clip())
    expected = make_image_encoder(make_clip(), config.taps)(images)
    for tap, frozen in zip(network.image_encoder(images), expected, strict=True):
        torch.testing.assert_close(tap, frozen)


def test_what_has_been_learned_is_what_the_clip_then_sees(
    images: torch.Tensor, make_clip: MakeClip, config: MirrorDepthConfig
) -> None:
    network = learning_network(config, make_clip())
    training = TowerTuning(network, lr=1e-2, weight_decay=0.0, loss='log_l1')
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    picture = Picture((255 * images[0]).byte(), torch.full((1, *SIZE), 2.0), torch.tensor(50.0))
    trainer = lightning.Trainer(
        max_steps=3,
        accelerator='cpu',
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(training, DataLoader([picture] * 6, 2))
    assert 'turned' in trainer.callback_metrics
    after = network.state_dict()
    moved = {name for name, tensor in after.items() if (tensor != before[name]).any()}
    tower = {name for name in moved if name.startswith('image_encoder.')}
    assert 'image_encoder.blocks.2.0.conv_pw.weight' in tower
    assert [name for name in tower if '.bn' in name or '.early.' in name] == []
    assert [name for name in moved if name.startswith(('text_encoder.', 'image_encoder.pl'))] == []

    learned = trained_weights(network)
    assert [name for name in learned if 'text_encoder' in name or '.places.' in name] == []
    clip = make_clip()
    clip.load_state_dict(with_tower(half_precision(clip), learned))
    frozen = MirrorDepth(config, make_image_encoder(clip, config.taps), FrozenTextEncoder(clip))
    frozen.load_state_dict(learned, strict=False)
    with torch.no_grad():
        focal_px = torch.tensor([50.0, 60.0])
        expected = network.eval()(images, focal_px)
        # Weights are kept in half precision.
        torch.testing.assert_close(frozen.eval()(images, focal_px), expected, rtol=0.02, atol=0.02)


def test_other_taps_are_refused(make_clip: MakeClip, config: MirrorDepthConfig) -> None:
    expected = 'got taps of which the first ends before block 3, expected block 2'
    with pytest.raises(ValueError, match=expected):
        learning_network(replace(config, taps=(2, 3, 4)), make_clip())
