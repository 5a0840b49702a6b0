"""Files of weights that were cut off or spoilt: each is refused, and by what is wrong with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.clip_loading import load_clip
from mirror_depth_ros.model.resources import BUILTIN_CLIP, model_directory

PARTS = [percent / 100 for percent in range(100)]


def test_a_checkpoint_cut_at_every_percent(
    tmp_path: Path, report_row: Callable[..., None]
) -> None:
    content = (model_directory() / 'builtin.safetensors').read_bytes()
    cut = tmp_path / 'cut.safetensors'
    for part in PARTS:
        cut.write_bytes(content[: int(part * len(content))])
        with pytest.raises(ValueError, match='cut.safetensors, which is damaged or no safetens'):
            DepthEstimator.load(cut, device='cpu')
    outcome = 'refused: got FILE, which is damaged or no safetensors file ...'
    what = 'the built-in checkpoint, cut at every 1 % of its length'
    report_row('faults', what, outcome, tried=len(PARTS))


def test_a_clip_cut_at_every_percent(tmp_path: Path, report_row: Callable[..., None]) -> None:
    original, folder = model_directory() / BUILTIN_CLIP, tmp_path / 'clip'
    shutil.copytree(original, folder)
    cut = folder / 'open_clip_model.safetensors'
    content = cut.read_bytes()
    for part in PARTS:
        cut.write_bytes(content[: int(part * len(content))])
        with pytest.raises(ValueError, match='open_clip_model.safetensors, which are damaged'):
            load_clip(f'local-dir:{folder}')
    outcome = 'refused: got CLIP weights FILE, which are damaged or no safetensors file ...'
    what = 'the weights of the built-in CLIP, cut at every 1 % of their length'
    report_row('faults', what, outcome, tried=len(PARTS))


@pytest.mark.parametrize('value', [float('nan'), float('-inf')], ids=['nan', 'inf'])
def test_a_checkpoint_with_weights_that_are_not_finite(
    tiny_model: Path, tmp_path: Path, report_row: Callable[..., None], value: float
) -> None:
    with safe_open(tiny_model, framework='pt') as file:
        metadata = file.metadata()
    spoilt = tmp_path / 'spoilt.safetensors'
    names = [n for n in load_file(tiny_model) if n.startswith(('film_', 'decoder.'))]
    for name in names:
        weights = load_file(tiny_model)
        weights[name].view(-1)[-1] = value
        save_file(weights, spoilt, metadata)
        with pytest.raises(ValueError, match=f"got NaN or infinity in .'{name}'. of .*spoilt"):
            DepthEstimator.load(spoilt, device='cpu')
    what = f'a checkpoint with one weight that is {value}, in each of its tensors'
    report_row('faults', what, 'refused: got NaN or infinity in [NAME] ...', tried=len(names))
