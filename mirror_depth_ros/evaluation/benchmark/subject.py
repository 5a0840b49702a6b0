"""What is measured: a depth model, and the bare CLIP image encoder that it stands on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mirror_depth_ros.inference.engines.selection import EngineMaker
from mirror_depth_ros.inference.engines.torch_engine import DTYPES, torch_precision
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_path, load_checkpoint
from mirror_depth_ros.model.clip import FrozenImageEncoder
from mirror_depth_ros.model.clip_loading import load_clip
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig


@dataclass(frozen=True)
class Subject:
    """A depth model as options name it; JSON holds it, for another process to load the same."""

    #: ``builtin`` or the path of a checkpoint; unused where :attr:`clip` is given.
    model: str = 'builtin'
    #: An open_clip name: the paper's network on that CLIP, with random weights.
    clip: str | None = None
    #: Height and width of the network's input [pixels]; None: the model's own.
    size: tuple[int, int] | None = None
    device: str = 'auto'
    precision: str = 'auto'
    backend: str = 'auto'

    @property
    def label(self) -> str:
        """What tables call it; of a checkpoint the file's name only."""
        return f'{self.clip}, random weights' if self.clip else checkpoint_path(self.model).stem

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Subject:
        """Return what :meth:`to_dict` gave."""
        return cls(**{**values, 'size': tuple(values['size']) if values['size'] else None})


def load_network(subject: Subject) -> DepthNetwork:
    """Load the network, or make one with random weights, folded.

    :raises ValueError: for an unknown CLIP, a damaged model, or a size that the patches do not
        divide.
    :raises FileNotFoundError: if there is no such model.
    """
    network: DepthNetwork
    if subject.clip is not None:
        torch.manual_seed(0)
        network = MirrorDepth.from_config(MirrorDepthConfig(clip=subject.clip))
    else:
        network = load_checkpoint(subject.model)
    if subject.size is not None:
        network = resized(network, subject.size)
    return network.fold().eval()


def resized(network: DepthNetwork, size: tuple[int, int]) -> DepthNetwork:
    """Return a network with the same weights, in the same memory, for another size of input.

    :raises ValueError: for a size that the patches do not divide.
    """
    patch = network.image_encoder.patch_size
    if size[0] % patch or size[1] % patch or min(size) < patch:
        raise ValueError(
            f'got a size of {size[0]}x{size[1]}, expected multiples of the patch size {patch}; '
            f'choose {_nearest(size[0], patch)}x{_nearest(size[1], patch)}'
        )
    other = copy.copy(network)
    other.config = replace(network.config, input_size=size)  # type: ignore[type-var]
    return other


def make_estimator(network: DepthNetwork, subject: Subject) -> DepthEstimator:
    """Return an estimator of that network as the subject wants it.

    :raises ValueError: for a device, precision or backend that is not there.
    """
    engines = EngineMaker(
        backend=subject.backend, precision=subject.precision, device=subject.device
    )
    return DepthEstimator(network, engines)


def encoder_call(
    subject: Subject, estimator: DepthEstimator, network: DepthNetwork, size: tuple[int, int]
) -> tuple[nn.Module, Callable[[], Tensor]]:
    """Return the whole bare CLIP image encoder, and what runs it once at that size of input.

    It is open_clip's own, all blocks and the projection, in PyTorch. Its weights are converted to
    the precision (:func:`encoder_precision`) once, which is faster than autocast.
    """
    visual: Any = load_clip(subject.clip or network.config.clip).visual
    tower = network.image_encoder
    if isinstance(tower, FrozenImageEncoder):
        rows, columns = (side // tower.patch_size for side in size)
        table = tower.positional_table(rows, columns)
        visual.positional_embedding = nn.Parameter(table.detach().clone(), requires_grad=False)
    visual = visual.eval().requires_grad_(False)
    dtype = DTYPES[encoder_precision(estimator)]
    visual = visual.to(device=estimator.device, dtype=dtype)
    images = torch.rand(1, 3, *size, device=estimator.device).to(dtype)

    @torch.inference_mode()
    def run() -> Tensor:
        result = visual(images)
        if estimator.device.type == 'cuda':
            torch.cuda.synchronize(estimator.device)
        return result

    return visual, run


def encoder_precision(estimator: DepthEstimator) -> str:
    """Return what the encoder is measured in: the model's precision.

    PyTorch has no such encoder in int8; it is then what PyTorch would take on that device.
    """
    if estimator.precision in DTYPES:
        return estimator.precision
    return torch_precision('auto', estimator.device)


def _nearest(pixels: int, patch: int) -> int:
    return max(1, round(pixels / patch)) * patch
