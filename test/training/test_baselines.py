"""Fitting the baselines from beginning to end, very small, and its resumption."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from mirror_depth_ros.data.rendered_scenes import render_scenes
from mirror_depth_ros.model.baselines.prompted import DistancePrompts
from mirror_depth_ros.model.baselines.weights import FITTED, load_baseline
from mirror_depth_ros.model.checkpoint import load_clip_of, save_checkpoint
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.model.resources import BUILTIN_CLIP
from mirror_depth_ros.scenes.captions import VOCABULARY_SIZE, distance_prompts, tokenize
from mirror_depth_ros.training.baselines import fit_baselines
from mirror_depth_ros.training.recipe import Recipe


@pytest.fixture
def recipe(recipe: Recipe, models: Path) -> Recipe:
    """A recipe whose CLIP is there, with random weights, and that learns fast enough to show."""
    recipe['depth'].update(loss='log_l1', lr=1e-2)
    recipe['tuning'].update(lr=1e-3)
    folder = models / BUILTIN_CLIP
    torch.manual_seed(3)
    network = open_clip.create_model(f'local-dir:{folder}', load_weights=False)
    scenes, work = recipe['scenes'], recipe.work
    size = {'height': scenes['height'], 'width': scenes['width']}
    for split in ('train', 'val'):  # here, as for so few scenes no process is worth its start
        folder_of_split = work / f'{split}_scenes'
        render_scenes(folder_of_split, split=split, count=scenes[split], processes=1, **size)
    for path in (folder / 'open_clip_model.safetensors', work / 'clip.safetensors'):
        save_file({k: v.half() for k, v in network.state_dict().items()}, path)
    return recipe


def test_baselines_are_fitted_once_and_load(recipe: Recipe, tmp_path: Path) -> None:
    output = tmp_path / 'below' / 'baselines'
    metrics = fit_baselines(recipe, output, steps=10)
    assert set(metrics) == set(FITTED)
    for of_baseline in metrics.values():
        assert 0 < of_baseline['indoor/abs_rel'] < 20
        assert 0 < of_baseline['outdoor/abs_rel'] < 20

    config = {**MirrorDepthConfig().to_dict(), **recipe['model']}
    model = tmp_path / 'model.safetensors'
    save_checkpoint(MirrorDepth.from_config(MirrorDepthConfig.from_dict(config)), model)
    prompts = DistancePrompts(distance_prompts(), tokenize, VOCABULARY_SIZE)
    for name in (*FITTED, 'depthclip'):
        baseline = load_baseline(name, model, prompts=prompts, folder=output)
        with torch.no_grad():
            depth = baseline(torch.rand(2, 3, 48, 80), torch.tensor([50.0, 50.0]))
        assert depth.shape == (2, 1, 48, 80)
        assert (depth >= 0.1).all()
        assert (depth <= 100.0).all()
    torch.manual_seed(recipe['seed'])
    start = FITTED['learned_prompts'](*load_clip_of(model))
    learned = load_file(output / 'learned_prompts.safetensors')
    for name, tensor in start.fitted().items():
        assert (learned[name] - tensor).abs().max() > 0.003, name  # rounding is far less

    files = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert {path.stem for path in files} == set(FITTED)
    (output / 'mean.safetensors').unlink()
    assert set(fit_baselines(recipe, output, steps=10)) == {'mean'}  # the others are there
    unchanged = [path for path, time in files.items() if path.stat().st_mtime_ns == time]
    assert {path.stem for path in unchanged} == set(FITTED) - {'mean'}


def test_baselines_of_another_clip_are_fitted_anew(recipe: Recipe, tmp_path: Path) -> None:
    fit_baselines(recipe, tmp_path, steps=1)
    clip = recipe.work / 'clip.safetensors'
    weights = load_file(clip)
    weights['visual.conv1.weight'] = -weights['visual.conv1.weight']
    save_file(weights, clip)
    assert set(fit_baselines(recipe, tmp_path, steps=1)) == set(FITTED)


def test_a_recipe_that_stops_before_the_last_block(recipe: Recipe, tmp_path: Path) -> None:
    recipe['model']['taps'] = [0, 1]
    with pytest.raises(ValueError, match=r'got taps \[0, 1\], expected them to end at block 2'):
        fit_baselines(recipe, tmp_path, steps=1)


def test_a_work_folder_without_clip(recipe: Recipe, tmp_path: Path) -> None:
    (recipe.work / 'clip.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match='without clip.safetensors.* run make builtin'):
        fit_baselines(recipe, tmp_path, steps=1)
