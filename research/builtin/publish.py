"""The files of ``resource/models``: CLIP, checkpoint and ONNX file of the built-in model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file

from mirror_depth_ros.inference.engines.shipped_onnx import write_shipped_onnx
from mirror_depth_ros.model.checkpoint import save_checkpoint
from mirror_depth_ros.model.clip import FrozenTextEncoder
from mirror_depth_ros.model.clip_loading import LOCAL_FOLDER
from mirror_depth_ros.model.conv_encoder import make_image_encoder
from mirror_depth_ros.model.familiarity import Familiarity
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig


def network_config(recipe: Mapping[str, Any]) -> MirrorDepthConfig:
    """Return what a recipe says of the network; what it does not say keeps its default."""
    return MirrorDepthConfig.from_dict({**MirrorDepthConfig().to_dict(), **recipe['model']})


def build_model(recipe: Mapping[str, Any], clip_folder: Path) -> MirrorDepth:
    """Return the network that a recipe describes on the CLIP in a folder, to be trained."""
    clip = open_clip.create_model(f'{LOCAL_FOLDER}{clip_folder}')
    config = network_config(recipe)
    encoder = make_image_encoder(clip, config.taps)
    return MirrorDepth(config, encoder, FrozenTextEncoder(clip)).train()


def publish(
    recipe: Mapping[str, Any],
    clip_folder: Path,
    weights: Path,
    figures: Mapping[str, float],
    output: Path,
    *,
    familiarity: Familiarity | None,
) -> Path:
    """Write CLIP, checkpoint and ONNX file to ``output``; return the checkpoint's path.

    :param weights: a safetensors file of what was trained.
    :param figures: the validation's.
    :param familiarity: of what it was trained on.
    """
    model = build_model(recipe, clip_folder)
    model.load_state_dict(load_file(weights), strict=False)
    model.familiarity = familiarity
    shutil.copytree(clip_folder, output / recipe['model']['clip'], dirs_exist_ok=True)
    facts = {
        'data': 'rendered scenes of real models, and real frames',
        'recipe': dict(recipe),
        'validation': dict(figures),
    }
    target = output / f'{recipe["name"]}.safetensors'
    save_checkpoint(model.eval(), target, facts=facts, dtype=torch.float16)
    model.fold().decoder.half().float()  # what the checkpoint holds, on the CLIP of that folder
    write_shipped_onnx(target, model)
    return target
