"""The network that a recipe's ``model`` section says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from mirror_depth_ros.training.loss import log_l1_loss
from mirror_depth_ros.training.mirror_depth_training import MirrorDepthTraining


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
