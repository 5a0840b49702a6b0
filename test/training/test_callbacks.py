"""What a training leaves beside its checkpoints: a model to deploy, pictures, figures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.depth.eval_protocols import PROTOCOLS
from mirror_depth_ros.depth.metrics import METRIC_NAMES
from mirror_depth_ros.evaluation.evaluate import evaluate, summarize_scores
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.training.command import train


@pytest.fixture(scope='module')
def events(trained: Path) -> Any:
    """What TensorBoard shows of the training."""
    return EventAccumulator(str(trained / 'log'), {'images': 0, 'scalars': 0}).Reload()


def test_the_model_is_one_to_deploy(trained: Path, frames: Path) -> None:
    estimator = DepthEstimator.load(trained / 'model.safetensors', device='cpu')
    sample = FrameFolder(frames)[9]
    depth = estimator.estimate(sample.rgb, sample.camera.focal_px)
    assert depth.shape == (51, 69)
    assert np.isfinite(depth).all()
    facts = checkpoint_facts(trained / 'model.safetensors')
    assert facts['data'] == f'frames:{frames}[:80%]'
    assert facts['steps'] == 8  # two epochs of 8 frames, two at a time
    assert sorted(facts['validation']) == sorted(f'val/{name}' for name in METRIC_NAMES)


def test_its_figures_are_those_of_an_evaluation(trained: Path, frames: Path) -> None:
    model = trained / 'model.safetensors'
    estimator = DepthEstimator.load(model, device='cpu', precision='fp32')
    samples = FrameFolder(frames)[8:]
    scores = list(evaluate(estimator, samples, protocol=PROTOCOLS['indoor']))
    evaluated = summarize_scores(scores)['metric']
    assert isinstance(evaluated, dict)
    validated = {
        name.removeprefix('val/'): value
        for name, value in checkpoint_facts(model)['validation'].items()
    }
    # A training rounds resized images to 8 bits, as CLIP was trained; the estimator does not.
    assert validated == pytest.approx(evaluated, rel=2e-3)


def test_it_holds_averaged_weights_of_the_steps_validated(
    stopped_training: Callable[..., list[str]], tmp_path: Path
) -> None:
    options = ('--trainer.val_check_interval=3',)
    stopped_training(tmp_path, 4, *options, save_every=3)
    checkpoint = torch.load(tmp_path / 'last.ckpt', weights_only=True)
    model = load_file(tmp_path / 'model.safetensors')
    average, last = (
        {name: checkpoint[part][f'model.{name}'] for name in model if name.startswith('decoder')}
        for part in ('state_dict', 'current_model_state')
    )
    assert checkpoint_facts(tmp_path / 'model.safetensors')['steps'] == 3
    assert len(average) > 10
    for name, weight in average.items():
        assert torch.equal(model[name], weight)
    assert not all(torch.equal(model[name], weight) for name, weight in last.items())


def test_a_training_that_ends_between_validations_is_validated(
    small_recipe: Path, content_of: Callable[[Path], Any], tmp_path: Path
) -> None:
    arguments = [f'--config={small_recipe}', '--trainer.check_val_every_n_epoch=null']
    arguments += ['--trainer.val_check_interval=5', '--trainer.max_epochs=-1']
    model = train([*arguments, '--trainer.max_steps=6'], tmp_path)
    facts = checkpoint_facts(model)
    assert facts['steps'] == 6
    weights = torch.load(tmp_path / 'last.ckpt', weights_only=True)['state_dict']
    assert torch.equal(load_file(model)['mirror.embeddings'], weights['model.mirror.embeddings'])
    before = content_of(model)
    model.unlink()  # as if it was killed just before
    train([*arguments, '--trainer.max_steps=6'], tmp_path)
    assert content_of(model) == before


def test_pictures_show_what_is_validated_on(events: Any) -> None:
    # Two images are there to look at, and each twice; after both epochs.
    assert sorted(events.Tags()['images']) == ['val/0', 'val/1', 'val/2', 'val/3']
    for number in range(4):
        assert [image.step for image in events.Images(f'val/{number}')] == [4, 8]
    image = events.Images('val/0')[1]
    # Image, truth, prediction and error side by side, each 240 high and 240 * 69 / 51 wide.
    assert image.height >= 240
    assert image.width > 4 * 240
    pixels = np.array(Image.open(io.BytesIO(image.encoded_image_string)))
    assert pixels.std() > 10
    assert events.Images('val/0')[0].encoded_image_string != image.encoded_image_string


def test_curves_show_loss_metrics_and_waiting(events: Any) -> None:
    losses = [point.value for point in events.Scalars('loss')]
    assert len(losses) == 8
    assert np.isfinite(losses).all()
    assert [point.step for point in events.Scalars('val/abs_rel')] == [3, 7]  # counted from 0
    shares = [point.value for point in events.Scalars('data_wait')]
    # The first step of an epoch is none of them: it waits for processes to start.
    assert len(shares) == 6
    assert all(0 <= share <= 1 for share in shares)
    assert max(shares) > 0


@pytest.mark.parametrize('logger', ['false', 'lightning.pytorch.loggers.CSVLogger'])
def test_pictures_need_tensorboard_and_a_training_does_not(
    logger: str, small_recipe: Path, tmp_path: Path
) -> None:
    arguments = [f'--config={small_recipe}', f'--trainer.logger={logger}']
    if logger != 'false':
        arguments.append(f'--trainer.logger.save_dir={tmp_path}')
    model = train([*arguments, '--trainer.max_epochs=1'], tmp_path / 'run')
    assert checkpoint_facts(model)['steps'] == 4
