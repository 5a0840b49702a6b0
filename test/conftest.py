"""What many tests share: a small network with random weights, in files any process can load."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

# Before anything imports a hub client: tests never reach for the network.
os.environ.setdefault('HF_HUB_OFFLINE', '1')
# Idle OpenMP threads sleep; spinning, they would starve the other processes of a test.
os.environ.setdefault('OMP_WAIT_POLICY', 'passive')


@pytest.fixture(scope='session')
def tiny_clip_config() -> dict[str, Any]:
    """Return open_clip's description of a CLIP of three small blocks."""
    return {
        'embed_dim': 24,
        'vision_cfg': {
            'image_size': [48, 64],
            'layers': 3,
            'width': 32,
            'head_width': 16,
            'patch_size': 16,
        },
        'text_cfg': {'context_length': 10, 'vocab_size': 40, 'width': 16, 'heads': 2, 'layers': 2},
    }


@pytest.fixture(scope='session')
def tiny_clip(tiny_clip_config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the open_clip name of that CLIP with random weights, in a folder of its own."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp('tiny_clip')
    (folder / 'open_clip_config.json').write_text(json.dumps({'model_cfg': tiny_clip_config}))
    torch.manual_seed(3)
    clip = open_clip.create_model(f'local-dir:{folder}', load_weights=False)
    save_file(clip.state_dict(), folder / 'open_clip_model.safetensors')
    return f'local-dir:{folder}'


@pytest.fixture(scope='session')
def tiny_network(tiny_clip: str) -> dict[str, Any]:
    """Return the fields of a small ``MirrorDepthConfig`` on :func:`tiny_clip`."""
    return {
        'clip': tiny_clip,
        'taps': (0, 2),
        'mirror_tokens': 6,
        'width': 16,
        'heads': 2,
        'mlp_width': 32,
        'input_size': (48, 64),
        'reference_focal_px': 50.0,
    }


@pytest.fixture(scope='session')
def tiny_model(tiny_network: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of that network with random weights."""
    import torch

    from mirror_depth_ros.model.checkpoint import save_checkpoint
    from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig

    torch.manual_seed(4)
    path = tmp_path_factory.mktemp('tiny_model') / 'tiny.safetensors'
    config = MirrorDepthConfig(**tiny_network, output='log')
    save_checkpoint(MirrorDepth.from_config(config), path)
    return path


@pytest.fixture
def moved_clip(
    tiny_clip: str,
    tiny_clip_config: dict[str, Any],
    tiny_network: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Path, Path]:
    """Return a checkpoint, and where its CLIP's weights are since it was trained."""
    import open_clip

    from mirror_depth_ros.model.checkpoint import save_checkpoint
    from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig

    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, 'tiny', tiny_clip_config)
    folder = Path(tiny_clip.removeprefix('local-dir:'))
    trained_with, model = tmp_path / 'clip.safetensors', tmp_path / 'model.safetensors'
    shutil.copy(folder / 'open_clip_model.safetensors', trained_with)
    fields = {**tiny_network, 'clip': 'tiny', 'clip_weights': str(trained_with)}
    save_checkpoint(MirrorDepth.from_config(MirrorDepthConfig(**fields)), model)
    return model, trained_with.rename(tmp_path / 'moved.safetensors')
