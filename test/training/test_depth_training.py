"""Steps of a training on pictures and on features, validation, and what checkpoints hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training.depth_training import DepthTraining
from mirror_depth_ros.training.pictures import Picture


@pytest.fixture
def make_training(tiny_network: dict[str, Any]) -> Callable[..., DepthTraining]:
    def make(seed: int = 4, **changes: Any) -> DepthTraining:
        torch.manual_seed(seed)
        config = MirrorDepthConfig(**{**tiny_network, 'output': 'log', **changes})
        return DepthTraining(MirrorDepth.from_config(config), lr=1e-3, weight_decay=0.0)

    return make


@pytest.fixture
def training(
    make_training: Callable[..., DepthTraining], monkeypatch: pytest.MonkeyPatch
) -> DepthTraining:
    """A training whose figures go into its dictionary ``logged``, and which predicts 2 m."""
    training = make_training()
    training.logged = {}
    monkeypatch.setattr(
        training, 'log', lambda name, value, **options: training.logged.update({name: value})
    )
    monkeypatch.setattr(
        training, 'predict', lambda batch: (torch.full((len(batch.image), 1, 48, 64), 2.0), None)
    )
    return training


def batch(depth: Tensor, focal_px: float = 50.0) -> Picture:
    """One grey picture as the network sees it, and its depth."""
    image = torch.full((1, 3, 48, 64), 90, dtype=torch.uint8)
    return Picture(image, depth[None], torch.tensor([focal_px]))


def test_the_loss_is_one_of_canonical_depth(training: DepthTraining) -> None:
    training.loss = lambda canonical, truth, valid: torch.stack(
        [canonical[valid].mean(), truth[valid].mean(), valid.sum()]
    )
    depth = torch.full((1, 48, 64), 3.0)
    depth[0, 0, 0] = torch.nan
    # At twice the reference focal length, 3 m look as 1.5 m would at that one.
    loss = training.training_step(batch(depth, focal_px=100.0), 0)
    assert loss.tolist() == [2.0, 1.5, 48 * 64 - 1]
    # The sky counts as the farthest the model knows, 100 m; what is nearer than 0.1 m does not.
    depth[0, 1:], depth[0, 0, 1] = torch.inf, 0.19
    loss = training.training_step(batch(depth, focal_px=100.0), 0)
    assert loss[2] == 48 * 64 - 2
    # 62 pixels of 1.5 m, and 47 * 64 = 3008 of 100 m
    assert loss[1].item() == pytest.approx((62 * 1.5 + 3008 * 100.0) / 3070, rel=1e-6)


def test_the_truth_is_met_at_its_own_size(training: DepthTraining) -> None:
    # Twice the reference focal length: 2 m of canonical depth are 4 m; on 51 x 69 pixels of 5 m.
    training.validation_step(batch(torch.full((1, 51, 69), 5.0), focal_px=100.0), 0)
    assert training.logged['val/abs_rel'] == pytest.approx(0.2)
    assert training.logged['val/rmse'] == pytest.approx(1.0)
    assert training.logged['val/delta1'] == 0.0  # 5 / 4 is no less than 1.25
    training.max_depth = 3.0
    with pytest.raises(ValueError, match='got no pixel with 0.001 < truth < 3.0 m'):
        training.validation_step(batch(torch.full((1, 51, 69), 5.0)), 0)


def test_images_are_seen_as_the_node_sees_them(
    make_training: Callable[..., DepthTraining],
) -> None:
    training = make_training()
    image = torch.randint(256, (2, 3, 48, 80), dtype=torch.uint8)
    focal_px = torch.tensor([50.0, 75.0])
    with torch.inference_mode():
        depth = training.model(image / 255.0, focal_px)
        canonical = training.canonical(Picture(image, torch.ones(2, 1, 48, 80), focal_px))
    torch.testing.assert_close(canonical * torch.tensor([1.0, 1.5]).view(2, 1, 1, 1), depth)


def test_checkpoints_hold_what_is_trained_and_nothing_else(
    make_training: Callable[..., DepthTraining],
) -> None:
    training = make_training()
    state = training.state_dict()
    trained = {name for name, weight in training.named_parameters() if weight.requires_grad}
    assert trained <= set(state)
    assert not [name for name in state if 'encoder' in name]
    # Of another training, too, and the CLIP stays.
    other = make_training(seed=5)
    frozen = other.model.image_encoder.fingerprint()
    assert other.load_state_dict(state).missing_keys == []
    assert other.model.image_encoder.fingerprint() == frozen
    for name in trained:
        assert torch.equal(other.state_dict()[name], state[name])


def test_what_is_trained_is_missed(make_training: Callable[..., DepthTraining]) -> None:
    training = make_training()
    state = training.state_dict()
    del state['model.mirror.embeddings']
    with pytest.raises(RuntimeError, match='Missing key.*model.mirror.embeddings'):
        training.load_state_dict(state)
