"""A training from its recipe: begun, stopped and gone on with, and refused."""

from __future__ import annotations

import gc
import os
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback

from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_facts, load_checkpoint
from mirror_depth_ros.model.resources import recipe_directory, recipe_path
from mirror_depth_ros.training import command
from mirror_depth_ros.training.callbacks import DurableCheckpoints
from mirror_depth_ros.training.command import check_unchanged, train
from mirror_depth_ros.training.depth_training import DepthTraining

#: The recipes of ``mirror_depth train``.
RECIPES = ('bag', 'kitti', 'nyu')


def whole(values: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return of ``values`` what ``part`` has, too."""
    return {
        name: whole(values[name], value) if isinstance(value, dict) else values[name]
        for name, value in part.items()
    }


@pytest.mark.parametrize('name', RECIPES)
def test_every_recipe_says_what_can_be_said(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe_path(Path(name))
    arguments = [f'--config={path}', '--data.train=frames:anywhere', '--print_config']
    with pytest.raises(SystemExit) as stopped:
        train(arguments, tmp_path)
    assert stopped.value.code == 0
    recipe = yaml.safe_load(path.read_text())
    recipe['data']['train'] = 'frames:anywhere'
    assert whole(yaml.safe_load(capsys.readouterr().out), recipe) == recipe


def test_there_is_no_other_recipe() -> None:
    shipped = {path.name for path in recipe_directory().iterdir()}
    assert shipped == {f'{name}.yaml' for name in RECIPES}


def test_a_recipe_is_a_file_or_a_name(tmp_path: Path) -> None:
    mine = tmp_path / 'mine.yaml'
    mine.write_text('model: {}')
    assert recipe_path(mine) == mine
    assert recipe_path(Path('nyu')) == recipe_directory() / 'nyu.yaml'
    for other in ('nyu_v2', 'builtin'):
        with pytest.raises(
            FileNotFoundError,
            match=rf'got recipe {other}, expected a YAML file or one of bag, kitti, nyu$',
        ):
            recipe_path(Path(other))


def test_a_lidar_is_enough_to_train_with(
    small_recipe: Path, lidar_recording: Path, tmp_path: Path
) -> None:
    folder = tmp_path / 'run'
    options = [f'--data.train=bag:{lidar_recording}', '--trainer.max_epochs=1']
    train([f'--config={small_recipe}', *options], folder, save_every=100)
    assert checkpoint_facts(folder / 'model.safetensors')['steps'] == 4  # of 8 images, by twos


def test_an_unknown_option_or_value_is_named(small_recipe: Path, tmp_path: Path) -> None:
    for option, message in (
        ('--data.batchsize=3', 'unrecognized arguments: --data.batchsize=3; --print_config shows'),
        ('--data.workers=two', r'"data.workers":\s+Expected a .*int.* Got value: two; --print'),
        ('--trainer.gradient_clip_algorithm=most', 'most.*; --print_config shows all options'),
    ):
        with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
            train([f'--config={small_recipe}', option], tmp_path)


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('--model.lr=.nan', 'got model.lr=nan, expected a learning rate above 0, up to 10'),
        ('--model.lr=0', 'got model.lr=0.0, expected a learning rate above 0'),
        (
            '--model.weight_decay=.inf',
            'got model.weight_decay=inf, expected a number from 0 to 10',
        ),
        ('--data.batch_size=0', 'got data.batch_size=0, expected an integer from 1'),
        ('--data.workers=-1', 'got data.workers=-1, expected an integer from 0 to 1024'),
        # It meant all of them.
        ('--data.val_count=0', 'got data.val_count=0, expected an integer from 1'),
        ('--data.seed=-1', 'got data.seed=-1, expected an integer from 0 to 4294967295'),
        ('--data.variants=0', 'got data.variants=0, expected an integer from 1'),
        ('--data.augmentation.noise=.nan', 'got noise=nan, expected grey levels from 0 to 255'),
        ('--model.network.max_depth=.inf', 'got max_depth=inf, expected metres from'),
        (
            '--trainer.gradient_clip_val=.nan',
            'got trainer.gradient_clip_val=nan, expected a numbe',
        ),
        ('--trainer.gradient_clip_val=-1', 'got trainer.gradient_clip_val=-1.*, expected a numb'),
        ('--trainer.accumulate_grad_batches=0', 'got trainer.accumulate_grad_batches=0, expected'),
        ('--trainer.check_val_every_n_epoch=0', 'got trainer.check_val_every_n_epoch=0, expected'),
        ('--trainer.val_check_interval=0', 'got trainer.val_check_interval=0.*, expected a numb'),
        ('--trainer.log_every_n_steps=-1', 'got trainer.log_every_n_steps=-1, expected an integ'),
        # Those of the wrong type are refused as the recipe is read.
        ('--data.batch_size=true', r'"data.batch_size":\s+Expected a .*int'),
        ('--model.lr=true', r'"model.lr":\s+Expected a .*float'),
        ('--trainer.max_epochs=true', r'"trainer.max_epochs"'),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    small_recipe: Path, tmp_path: Path, option: str, message: str
) -> None:
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        train([f'--config={small_recipe}', option], tmp_path)
    assert not (tmp_path / 'last.ckpt').exists()


def test_a_training_leaves_what_it_says(trained: Path, small_recipe: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        'last.ckpt',
        'log',
        'model.safetensors',
        'recipe.yaml',
    ]
    recipe = yaml.safe_load(small_recipe.read_text())
    assert whole(yaml.safe_load((trained / 'recipe.yaml').read_text()), recipe) == recipe


def test_a_finished_training_stays_as_it_is(
    trained: Path,
    small_recipe: Path,
    content_of: Callable[[Path], Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = shutil.copytree(trained, tmp_path / 'trained')
    before = content_of(folder / 'model.safetensors')

    def training_step(self: DepthTraining, batch: Any, index: int) -> None:
        raise AssertionError('it trains')

    monkeypatch.setattr(DepthTraining, 'training_step', training_step)
    train([f'--config={small_recipe}'], folder, save_every=3)
    output = capsys.readouterr().out
    assert f'going on from {folder / "last.ckpt"}' in output
    facts = checkpoint_facts(folder / 'model.safetensors')
    assert f'8 steps, validation {facts["validation"]["val/abs_rel"]:.3f} abs_rel' in output
    assert content_of(folder / 'model.safetensors') == before


@pytest.mark.parametrize('options', [(), ('--data.features=cached', '--data.variants=2')])
def test_without_depth_it_learns_from_motion(
    small_recipe: Path,
    moving_frames: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
) -> None:
    data = f'--data.train=frames:{moving_frames}'
    model = train([f'--config={small_recipe}', data, *options], tmp_path)
    output = capsys.readouterr().out
    assert f'frames:{moving_frames}[:80%]: learning from motion, 8 of 8 im' in output
    facts = checkpoint_facts(model)
    assert [*facts['validation']] == ['val/photometric']
    loss = facts['validation']['val/photometric']
    assert 0 < loss < 1
    assert f'steps, validation {loss:.3f} photometric' in output
    begun = load_checkpoint(model, folded=False).mirror.embeddings
    # It goes on where it stopped, and what is frozen stays so.
    train([f'--config={small_recipe}', data, *options], tmp_path)
    assert torch.equal(load_checkpoint(model, folded=False).mirror.embeddings, begun)


@pytest.mark.parametrize(
    ('step', 'save_every', 'options'),
    [
        (3, 2, ()),  # within the first epoch of four
        (5, 4, ()),  # between both
        (7, 3, ('--data.workers=1',)),  # in the second; a process reads ahead
        (7, 3, ('--data.features=cached', '--data.variants=1')),
    ],
)
def test_a_stopped_training_ends_as_if_it_had_not(
    step: int,
    save_every: int,
    options: tuple[str, ...],
    trained: Path,
    small_recipe: Path,
    stopped_training: Callable[..., list[str]],
    content_of: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    arguments = stopped_training(tmp_path, step, *options, save_every=save_every)
    train(arguments, tmp_path, save_every=save_every)
    is_cached = '--data.features=cached' in options
    uninterrupted = trained / 'model.safetensors'
    if is_cached:
        uninterrupted = train([f'--config={small_recipe}', *options], tmp_path / 'whole')
    assert content_of(tmp_path / 'model.safetensors') == content_of(uninterrupted)


def test_nothing_frozen_changes_or_is_saved(trained: Path, tiny_network: dict[str, Any]) -> None:
    model = load_checkpoint(trained / 'model.safetensors', folded=False)  # it compares them, too
    checkpoint = torch.load(trained / 'last.ckpt', weights_only=True)
    for part in ('state_dict', 'current_model_state'):
        names = set(checkpoint[part])
        assert 'model.mirror.embeddings' in names
        assert not [name for name in names if 'encoder' in name]
    trained_bytes = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    # Weights, their average and AdamW's two moments; the rest is names and progress.
    assert (trained / 'last.ckpt').stat().st_size < 4 * trained_bytes + 120_000
    frozen = [model.image_encoder.state_dict(), model.text_encoder.state_dict()]
    folder = Path(tiny_network['clip'].removeprefix('local-dir:'))
    clip = open_clip.create_model(f'local-dir:{folder}')
    assert torch.equal(frozen[0]['conv1.weight'], clip.visual.conv1.weight)
    assert torch.equal(frozen[1]['ln_final.weight'], clip.ln_final.weight)


def test_changed_options_are_refused_by_name(trained: Path, small_recipe: Path) -> None:
    for option, message in (
        ('--data.batch_size=4', r'got data.batch_size = 4, expected 2, which .* was begun with'),
        ('--model.lr=0.1', r'got model.lr = 0.1, expected 0.01'),
        ('--model.network.width=32', r'got model.network.width = 32, expected 16'),
        ('--data.augmentation.flip=0', r'got data.augmentation.flip = 0.0, expected 0.5'),
        ('--trainer.max_epochs=3', r'got trainer.max_epochs = 3, expected 2.*--output'),
        ('--data.protocol=outdoor', r'got data.protocol = outdoor, expected None'),
    ):
        before = (trained / 'recipe.yaml').read_bytes()
        with pytest.raises(ValueError, match=message):
            train([f'--config={small_recipe}', option], trained)
        assert (trained / 'recipe.yaml').read_bytes() == before


def test_options_that_no_result_depends_on_are_free(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        'model': {'lr': 0.1, 'clip_weights': None},
        'data': {'batch_size': 2, 'workers': 2, 'skip_broken': False, 'val_count': None},
        'trainer': {'max_steps': 5, 'devices': 'auto', 'precision': 32},
    }
    note = tmp_path / 'recipe.yaml'
    note.write_text(yaml.safe_dump(values))
    values['model']['clip_weights'] = 'elsewhere.safetensors'
    values['data'] |= {'workers': 0, 'skip_broken': True, 'val_count': 5}
    values['trainer']['devices'] = 2
    check_unchanged(values, note)
    values['trainer']['max_steps'] = 6
    with pytest.raises(ValueError, match='got trainer.max_steps = 6, expected 5'):
        check_unchanged(values, note)


def test_until_there_is_a_checkpoint_options_can_be_mended(
    small_recipe: Path, tmp_path: Path
) -> None:
    arguments = [f'--config={small_recipe}', '--trainer.max_epochs=1']
    with pytest.raises(FileNotFoundError, match='got absent, expected a folder of images'):
        train([*arguments, '--data.train=frames:absent'], tmp_path)
    with pytest.raises(ValueError, match='got 8 images to train on, expected at least 9'):
        train([*arguments, '--data.batch_size=9'], tmp_path)
    model = train([*arguments, '--data.batch_size=8'], tmp_path)
    assert checkpoint_facts(model)['steps'] == 1
    assert yaml.safe_load((tmp_path / 'recipe.yaml').read_text())['data']['batch_size'] == 8


@pytest.mark.parametrize('has_bf16', [False, True])
def test_bf16_is_not_emulated(
    small_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    has_bf16: bool,
) -> None:
    monkeypatch.setattr(command, 'has_native_bf16', lambda: has_bf16)
    precisions = []

    class Precision(Callback):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            precisions.append(trainer.precision)

    options = ('accelerator=cpu', 'precision=bf16-mixed', 'max_epochs=1')
    arguments = [f'--config={small_recipe}', *(f'--trainer.{option}' for option in options)]
    train(arguments, tmp_path, callbacks=[Precision()])
    assert precisions == ['bf16-mixed' if has_bf16 else '32-true']
    said = 'this CPU has no bf16 of its own: training in fp32' in capsys.readouterr().out
    assert said != has_bf16
    # It may be gone on with where there is one.
    recipe = yaml.safe_load((tmp_path / 'recipe.yaml').read_text())
    assert recipe['trainer']['precision'] == 'bf16-mixed'


def test_a_damaged_image_is_named_whichever_process_read_it(
    small_recipe: Path,
    make_frames: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How long PyTorch waits for a process that has reported an error, 5 s by default.
    monkeypatch.setattr('torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL', 0.1)
    frames = make_frames(tmp_path / 'frames', 5)
    (frames / '02' / 'rgb.png').write_bytes(b'')
    arguments = [f'--config={small_recipe}', f'--data.train=frames:{frames}']
    with pytest.raises(ValueError, match=r'^got .*02/rgb.png, which is no BMP, .* again$'):
        train([*arguments, '--data.workers=1'], tmp_path / 'run')
    gc.collect()  # it waits when the loader's iterator goes
    model = train([*arguments, '--data.skip_broken=true'], tmp_path / 'run')
    assert checkpoint_facts(model)['steps'] == 2  # two epochs of 00, 01 and 03, two at a time


def test_a_disk_too_full_for_the_curves(
    small_recipe: Path,
    files_up_to: Callable[[int], AbstractContextManager[None]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # The first validation's pictures take more, and no checkpoint is written before.
    with (
        files_up_to(60_000),
        pytest.raises(OSError, match=rf'could not write into {tmp_path}: File too large; make'),
    ):
        train([f'--config={small_recipe}'], tmp_path)
    assert 'Traceback' not in capfd.readouterr().err


def test_a_clip_without_weights_is_random_and_kept(
    small_recipe: Path,
    tiny_clip_config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, 'tiny', tiny_clip_config)
    arguments = [f'--config={small_recipe}', '--model.network.clip=tiny']
    arguments.append('--trainer.max_epochs=1')
    with pytest.warns(UserWarning, match='got no weights for the CLIP tiny: it is random.*--mod'):
        model = train(arguments, tmp_path)
    weights = tmp_path / 'random_tiny.safetensors'
    assert DepthEstimator.load(model).max_depth == 100.0  # with the CLIP that it was trained with
    made = weights.stat().st_mtime_ns
    with pytest.warns(UserWarning, match='it is random'):
        train(arguments, tmp_path)
    assert weights.stat().st_mtime_ns == made


def test_a_checkpoint_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, 'fsync', lambda file: (happened.append('sync'), sync(file)))
    monkeypatch.setattr(
        os, 'replace', lambda old, new: (happened.append(Path(new).name), rename(old, new))
    )
    path = tmp_path / 'below' / 'last.ckpt'
    DurableCheckpoints().save_checkpoint({'weights': torch.arange(3)}, path)
    assert happened == ['sync', 'last.ckpt']
    loaded = DurableCheckpoints().load_checkpoint(path)
    assert loaded['weights'].tolist() == [0, 1, 2]
    assert os.listdir(path.parent) == ['last.ckpt']
