"""``mirror_depth train`` from the shell's side: killed, on several devices, on a full disk."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.training.command import train

ROOT = Path(__file__).parents[2]
MAIN = [sys.executable, '-m', 'mirror_depth_ros.cli.main', 'train']


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a training in a process of its own, as a shell would."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'COLUMNS': '200'}
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    return subprocess.Popen(
        [*MAIN, *arguments], cwd=ROOT, env=environment, text=True, **pipes, **options
    )


def test_help_says_what_a_recipe_can() -> None:
    result = CliRunner().invoke(app, ['train', '--help'])
    assert result.exit_code == 0
    text = ' '.join(result.output.split())
    for option in ('--data.batch_size', '--model.lr', '--trainer.max_epochs', '--print_config'):
        assert option in text


def test_data_val_and_init_are_short_for_options_of_the_recipe(
    small_recipe: Path, tiny_model: Path, frames: Path, tmp_path: Path
) -> None:
    given = ['--data', f'frames:{frames}[:2]', '--val', f'frames:{frames}[2:3]']
    given += ['--init', str(tiny_model), '--trainer.max_epochs', '1']
    command = ['train', '--config', str(small_recipe), '--output', str(tmp_path), *given]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert f'training on 2 images of frames:{frames}[:2], validating on 1' in result.output
    facts = checkpoint_facts(tmp_path / 'model.safetensors')
    assert (facts['data'], facts['steps']) == (f'frames:{frames}[:2]', 1)
    last = result.output.strip().splitlines()[-1]
    figure = facts['validation']['val/abs_rel']
    assert last.startswith(f'{tmp_path}/model.safetensors: 1 steps, validation {figure:.3f} abs')


def test_without_output_it_goes_below_runs(
    small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ['train', '--config', str(small_recipe), '--data', 'x:y'])
    assert result.exit_code == 1
    assert "mirror_depth: got data set 'x:y" in result.stderr
    assert (tmp_path / 'runs' / 'small' / 'recipe.yaml').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--config', 'nyu_v2'], 'mirror_depth: got recipe nyu_v2, expected a YAML file or one'),
        (['--config', 'bag'], 'mirror_depth: the following arguments are required: data.train'),
        (['--config', 'bag', '--data', 'x', '--data.size=3'], 'unrecognized arguments: --data.si'),
    ],
)
def test_what_cannot_be_is_one_line(options: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ['train', *options, '--output', str(tmp_path)])
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count('\n') == 1


def test_a_killed_training_ends_as_if_it_had_not_been(
    small_recipe: Path, content_of: Callable[[Path], Any], tmp_path: Path
) -> None:
    options = [f'--config={small_recipe}', '--trainer.max_epochs=12']
    killed = tmp_path / 'killed'
    command = [*options, '--output', str(killed), '--save-every', '3']
    process = start(command)
    end = time.monotonic() + 60
    while not (killed / 'last.ckpt').exists() and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    output = ''.join(process.communicate())
    assert process.returncode == -signal.SIGKILL, output  # it had not finished

    result = CliRunner().invoke(app, ['train', *command])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f'going on from {killed}/last.ckpt\n')
    assert result.stderr == ''  # nothing but what was asked for
    model = train(options, tmp_path / 'whole')
    assert checkpoint_facts(model)['steps'] == 48
    assert content_of(killed / 'model.safetensors') == content_of(model)


def curve(folder: Path, name: str) -> list[float]:
    events = EventAccumulator(str(folder / 'log')).Reload()
    return [point.value for point in events.Scalars(name)]


def test_two_processes_train_as_one(
    small_recipe: Path, make_frames: Callable[..., Path], tmp_path: Path
) -> None:
    # Of every batch, the frames of one process have other numbers of valid pixels than those of
    # the other; of the three to validate on, one has two.
    frames = make_frames(tmp_path / 'frames', 19)
    options = [f'--config={small_recipe}', f'--data.train=frames:{frames}[:16]']
    options += [f'--data.val=frames:{frames}[16:]', '--trainer.precision=32']
    together = ['--data.batch_size=4', '--trainer.devices=2', '--trainer.strategy=ddp']
    process = start([*options, *together, '--output', str(tmp_path / 'two')])
    alone = train([*options, '--data.batch_size=8'], tmp_path / 'one')
    stdout, stderr = process.communicate(timeout=100)
    assert (process.returncode, stderr) == (0, '')  # no warnings, no tips
    assert '; 2 x cpu\n' in stdout
    losses = [curve(tmp_path / folder, 'loss') for folder in ('one', 'two')]
    assert len(losses[0]) == 4  # two epochs of 16 frames, eight at a time
    # They add in another order: fp32 keeps 24 bits, and AdamW makes the most of the rest.
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    figures = [
        checkpoint_facts(tmp_path / folder / alone.name)['validation'] for folder in ('one', 'two')
    ]
    assert figures[1] == pytest.approx(figures[0], rel=1e-4)


def test_a_full_disk_leaves_the_old_checkpoint(
    stopped_training: Callable[..., list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / 'full'
    arguments = stopped_training(folder, 3, save_every=2)
    before = (folder / 'last.ckpt').read_bytes()
    shutil.rmtree(folder / 'log')
    largest = len(before) // 2  # bytes: the system refuses more, as it does on a full disk
    process = start(
        [*arguments, '--output', str(folder), '--save-every', '2'],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
    )
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 1
    assert stderr == (
        f'mirror_depth: could not write {folder}/last.ckpt: File too large; check the folder and '
        'its space\n'
    )
    assert (folder / 'last.ckpt').read_bytes() == before
    left = {path.name for path in folder.iterdir()}
    assert left == {'last.ckpt', 'log', 'model.safetensors', 'recipe.yaml'} & left
    train(arguments, folder, save_every=2)  # with space again, it goes on
    assert checkpoint_facts(folder / 'model.safetensors')['steps'] == 8
