"""The loss on canonical depth, what is trained, how fast, and from where."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training.depth_training import (
    DepthTraining,
    MirrorDepthTraining,
    adamw_warmup_cosine,
    warmed_up_average,
)
from mirror_depth_ros.training.lessons import Lesson
from mirror_depth_ros.training.loss import log_l1_loss
from mirror_depth_ros.training.photometric import Views, motion_loss
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
    training.loss = lambda canonical, truth, valid, **options: torch.stack(
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


def test_weight_decay_spares_vectors_and_the_frozen_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2))
    model[2].requires_grad_(False)
    parts = adamw_warmup_cosine(model.parameters(), lr=0.1, weight_decay=0.3, total_steps=40)
    matrices, vectors = parts['optimizer'].param_groups
    assert [weight.shape for weight in matrices['params']] == [(5, 3)]
    assert [weight.shape for weight in vectors['params']] == [(5,), (5,), (5,)]
    assert (matrices['weight_decay'], vectors['weight_decay']) == (0.3, 0.0)


def test_the_learning_rate_rises_and_falls() -> None:
    weight = nn.Parameter(torch.ones(2, 3))
    parts = adamw_warmup_cosine([weight], lr=0.1, weight_decay=0.0, total_steps=60)
    optimizer, scheduler = parts['optimizer'], parts['lr_scheduler']['scheduler']
    rates = [optimizer.param_groups[0]['lr']]
    for _ in range(59):
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]['lr'])
    # The third of the first 5 %, 0.05 * 60 = 3, has the highest; it begins with a 25th.
    assert rates[:3] == pytest.approx([0.004, 0.052, 0.1])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] < 1e-5


def test_the_average_forgets_the_start_and_reaches_far_later() -> None:
    averaged, current = torch.tensor([4.0]), torch.tensor([8.0])
    # After no step (1 + 0) / (10 + 0) of the average is kept, after 90 steps 91 / 100.
    assert warmed_up_average(averaged, current, 0).item() == pytest.approx(0.1 * 4 + 0.9 * 8)
    average = warmed_up_average(averaged, current, torch.tensor(90)).item()
    assert average == pytest.approx(0.91 * 4 + 0.09 * 8)
    average = warmed_up_average(averaged, current, 10**6).item()
    assert average == pytest.approx(0.999 * 4 + 0.001 * 8)


def test_a_network_from_the_start(tiny_network: dict[str, Any]) -> None:
    config = MirrorDepthConfig(**tiny_network)
    training = MirrorDepthTraining(config, loss='log_l1', lr=0.5, weight_decay=0.25)
    assert training.model.config == config
    assert training.model.training
    assert not training.model.image_encoder.training  # what is frozen stays in evaluation mode
    assert (training.loss, training.lr, training.weight_decay) == (log_l1_loss, 0.5, 0.25)


def test_a_network_to_go_on_from(tiny_model: Path) -> None:
    training = MirrorDepthTraining(init=str(tiny_model))
    assert training.model.config.width == 16  # not the default network's 64
    assert not training.model.is_folded
    assert training.model.decoder.training
    kept = load_file(tiny_model)['mirror.embeddings']
    assert torch.equal(training.model.mirror.embeddings, kept)


def test_clip_weights_from_elsewhere(
    moved_clip: tuple[Path, Path], tiny_network: dict[str, Any]
) -> None:
    model, weights = moved_clip
    from_there = MirrorDepthTraining(init=str(model), clip_weights=str(weights))
    config = MirrorDepthConfig(**{**tiny_network, 'clip': 'tiny'})
    from_start = MirrorDepthTraining(config, clip_weights=str(weights))
    assert from_start.model.config.clip_weights == str(weights)
    fingerprints = {t.model.image_encoder.fingerprint() for t in (from_there, from_start)}
    assert len(fingerprints) == 1
    with pytest.raises(FileNotFoundError, match='expected an existing file or a tag'):
        MirrorDepthTraining(init=str(model))


@pytest.mark.parametrize('has_depth', [True, False])
def test_what_is_known_of_a_frame_adds_up(
    tiny_network: dict[str, Any], monkeypatch: pytest.MonkeyPatch, has_depth: bool
) -> None:
    config = MirrorDepthConfig(**{**tiny_network, 'output': 'log'})
    training = MirrorDepthTraining(config, loss='log_l1')
    logged: dict[str, Any] = {}
    monkeypatch.setattr(training, 'log', lambda name, value, **_: logged.update({name: value}))
    canonical = torch.full((1, 1, 48, 64), 2.0)
    monkeypatch.setattr(training.model, 'predict', lambda taps, grid: (canonical, None))
    focal_px = 1.5 * config.reference_focal_px  # 2 m of canonical depth are 3 m
    metres = torch.full((1, 48, 64), 4.0 if has_depth else torch.nan)
    camera = CameraModel(64, 48, focal_px, focal_px, 31.5, 23.5)
    rays = torch.from_numpy(camera.rays.copy()).permute(2, 0, 1)[None]
    views = Views(
        torch.randint(256, (1, 3, 1, 48, 64), dtype=torch.uint8),
        torch.tensor([[[focal_px, focal_px, 31.5, 23.5]] * 3]),
        torch.eye(4).repeat(1, 3, 1, 1),
    )
    cones = torch.tensor([[[0, 0, 6.0, 0, 0, 1.0, 6.0, 0.1, 0.5]]])  # 6 m away
    lesson = Lesson(batch(metres, focal_px), rays, views, cones)
    loss = training.training_step(lesson, 0)
    expected = (math.log(4 / 3) if has_depth else 0.0) + math.log(2)
    photometric = motion_loss(1.5 * canonical, rays, views).item()
    assert photometric > 0.01
    assert loss.item() == pytest.approx(expected + photometric, rel=1e-5)
    assert logged['range_loss'].item() == pytest.approx(math.log(2), rel=1e-5)
    assert logged['photometric_loss'].item() == pytest.approx(photometric)
    # Without sources and cones, depth is all that is left.
    alone = lesson._replace(views=Views(*(v[:, :1] for v in views)), cones=cones[:, :0])
    loss = training.training_step(alone, 0)
    assert loss.item() == pytest.approx(math.log(4 / 3) if has_depth else 0.0)


def test_where_depth_is_not_known_the_shape_is_kept(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = MirrorDepthTraining(init=str(tiny_model), loss='log_l1', keep_shape=2.0)
    logged: dict[str, Any] = {}
    monkeypatch.setattr(training, 'log', lambda name, value, **_: logged.update({name: value}))
    depth = torch.full((1, 48, 64), torch.nan)
    depth[0, 20] = 4.0
    before = {k: v.clone() for k, v in training.state_dict().items()}
    assert not any('before' in name for name in before)
    training.training_step(batch(depth), 0)
    assert logged['shape_loss'].item() == pytest.approx(0.0, abs=1e-6)
    # Twice as far everywhere is no other shape; a step in the middle is, where nothing is known.
    predict = training.model.predict
    factor = torch.full((1, 1, 48, 64), 2.0)

    def changed(taps: list[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        canonical, log_scale = predict(taps, grid)
        return factor * canonical, log_scale

    monkeypatch.setattr(training.model, 'predict', changed)
    training.training_step(batch(depth), 0)
    assert logged['shape_loss'].item() == pytest.approx(0.0, abs=1e-6)
    factor[..., 32:] = 4.0
    training.training_step(batch(depth), 0)
    shape = logged['shape_loss'].item()
    assert shape > 0.01
    # With depth everywhere there is nothing to keep, and from the start no shape either.
    training.training_step(batch(torch.full((1, 48, 64), 4.0)), 0)
    assert logged['shape_loss'].item() == 0.0
    assert shape < 2.0 * math.log(2)


def test_only_a_model_to_go_on_from_has_a_shape_to_keep(tiny_network: dict[str, Any]) -> None:
    config = MirrorDepthConfig(**{**tiny_network, 'output': 'log'})
    training = MirrorDepthTraining(config, loss='log_l1', keep_shape=1.0)
    training.log = lambda *args, **options: None  # type: ignore[method-assign]
    depth = torch.full((1, 48, 64), 2.0)
    assert training.training_step(batch(depth), 0).isfinite()
    with pytest.raises(ValueError, match='got model.keep_shape=-1.0, expected a number from 0 to'):
        MirrorDepthTraining(config, keep_shape=-1.0)
