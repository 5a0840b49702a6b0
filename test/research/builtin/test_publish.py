"""What is published: a CLIP, a checkpoint on it, and the ONNX file of that very checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mirror_depth_ros.model.checkpoint import checkpoint_facts, load_checkpoint
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.familiarity import Familiarity
from mirror_depth_ros.model.resources import model_directory
from research.builtin import publish as module
from research.builtin.publish import publish


def test_the_onnx_file_is_of_what_the_checkpoint_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(5)
    trained = {
        # More digits than half precision has.
        name: tensor * (1 + 1e-4 * torch.rand(tensor.shape, generator=generator))
        for name, tensor in load_checkpoint('builtin', folded=False).state_dict().items()
        if name.startswith(('mirror.', 'film.', 'decoder.'))
    }
    save_file(trained, tmp_path / 'trained.safetensors')
    written: list[tuple[Path, DepthNetwork]] = []
    monkeypatch.setattr(module, 'write_shipped_onnx', lambda *given: written.append(given))
    recipe = checkpoint_facts('builtin')['recipe']
    clip = model_directory() / recipe['model']['clip']
    weights, figures = tmp_path / 'trained.safetensors', {'abs_rel': 0.1}
    path = publish(recipe, clip, weights, figures, tmp_path, familiarity=Familiarity(352))
    ((target, network),) = written
    assert target == path == tmp_path / 'builtin.safetensors'
    assert checkpoint_facts(path)['validation'] == {'abs_rel': 0.1}
    loaded = load_checkpoint(path).state_dict()
    given = network.state_dict()
    assert loaded.keys() == given.keys()
    assert [name for name in loaded if not torch.equal(loaded[name], given[name])] == []
