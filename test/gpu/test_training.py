"""A training on a GPU learns what one on a CPU does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from mirror_depth_ros.training.command import train
from mirror_depth_ros.training.depth_training import MirrorDepthTraining
from mirror_depth_ros.training.pictures import Picture

pytestmark = pytest.mark.gpu

ON_GPU = ('--trainer.accelerator=gpu', '--trainer.devices=1')


def step(tiny_network: dict[str, Any], device: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch of two pictures, and the gradients of all that is trained."""
    torch.manual_seed(4)
    config = MirrorDepthConfig(**tiny_network, output='log', confidence=True)
    training = MirrorDepthTraining(config)
    image = torch.randint(256, (2, 3, 48, 80), dtype=torch.uint8)
    batch = Picture(image, 1 + 9 * torch.rand(2, 1, 48, 80), torch.tensor([50.0, 75.0]))
    loss = training.to(device).training_step(Picture(*(part.to(device) for part in batch)), 0)
    loss.backward()
    weights = {n: w for n, w in training.named_parameters() if w.requires_grad}
    return loss.detach().cpu(), {n: w.grad.cpu() for n, w in weights.items() if w.grad is not None}


def test_a_step_has_the_loss_and_the_gradients_of_the_cpu(
    cuda: str, tiny_network: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    expected, gradients = step(tiny_network, 'cpu')
    loss, on_gpu = step(tiny_network, cuda)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    assert 'model.mirror.embeddings' in gradients
    assert on_gpu.keys() == gradients.keys()
    for name, gradient in gradients.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(on_gpu[name], gradient, rtol=1e-2, atol=1e-3 * scale + 1e-6)


@pytest.mark.parametrize(
    ('options', 'way', 'tolerance'),
    [
        ((), (), 0.02),
        ((), ('--trainer.precision=bf16-mixed',), 0.1),
        ((), ('--trainer.strategy=ddp',), 0.02),
        # The features are made on the GPU, too.
        (('--data.features=cached', '--data.variants=2'), (), 0.02),
    ],
)
def test_it_ends_where_a_training_on_a_cpu_does(
    options: tuple[str, ...],
    way: tuple[str, ...],
    tolerance: float,
    cuda: str,
    small_recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = [f'--config={small_recipe}', *options]
    on_cpu = checkpoint_facts(train(recipe, tmp_path / 'cpu'))
    model = train([*recipe, *ON_GPU, *way], tmp_path / 'gpu')
    assert '; 1 x cuda\n' in capsys.readouterr().out
    facts = checkpoint_facts(model)
    assert facts['steps'] == on_cpu['steps']
    error, expected = (found['validation']['val/abs_rel'] for found in (facts, on_cpu))
    assert error == pytest.approx(expected, rel=tolerance)
    DepthEstimator.load(model, device='cpu')  # a robot without a GPU takes it


def test_a_stopped_training_goes_on(
    cuda: str,
    stopped_training: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = stopped_training(tmp_path, 5, *ON_GPU, save_every=2)
    capsys.readouterr()
    model = train(arguments, tmp_path, save_every=2)
    assert f'going on from {tmp_path}/last.ckpt' in capsys.readouterr().out
    assert checkpoint_facts(model)['steps'] == 8
