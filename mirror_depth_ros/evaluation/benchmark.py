"""How fast a depth model is, beside the bare CLIP image encoder that it stands on."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mirror_depth_ros.depth.camera import CameraModel, back_project
from mirror_depth_ros.evaluation import costs
from mirror_depth_ros.evaluation.interleaved_timing import Step, interleave, summarize_times, timed
from mirror_depth_ros.inference.engines.selection import EngineMaker
from mirror_depth_ros.inference.engines.torch_engine import DTYPES, torch_precision
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_path, load_checkpoint
from mirror_depth_ros.model.clip import FrozenImageEncoder
from mirror_depth_ros.model.clip_loading import load_clip
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig

#: Of the camera that is simulated [degrees].
HFOV_DEG = 65.0


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


def random_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return noise, uint8 ``[H, W, 3]``: what a network computes depends on no content."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@dataclass(frozen=True)
class Bench:
    """What is measured, loaded."""

    subject: Subject
    estimator: DepthEstimator
    #: Height and width of the network's input where it is compared with the encoder [pixels].
    size: tuple[int, int]
    camera: CameraModel
    encoder: Callable[[], Any]
    #: Operations and bytes, counted.
    counted: dict[str, dict[str, int]]

    @classmethod
    def load(cls, subject: Subject, *, height: int, width: int) -> Bench:
        """Load the model, the encoder beside it, and count what they do.

        :param height: of the camera's images [pixels].
        :param width: of the camera's images [pixels].
        :raises ValueError: or OSError, for options that make no estimator.
        """
        network = load_network(subject)
        size = network.input_size(*network.config.input_size)
        flops = {'model': costs.network_flops(network, size)}
        estimator = make_estimator(network, subject)  # in its own precision from here on
        visual, encoder = encoder_call(subject, estimator, network, size)
        flops['encoder'] = costs.count_flops(encoder)
        sizes = {
            'encoder_weights': costs.weight_bytes(visual, encoder_precision(estimator)),
            'model_weights': costs.weight_bytes(network, estimator.precision),
            **costs.image_bytes(height, width),
        }
        camera = CameraModel.from_fov(width, height, HFOV_DEG)
        counted = {'flops': flops, 'bytes': sizes}
        return cls(subject, estimator, size, camera, encoder, counted)

    def steps(self) -> list[Step]:
        """Return what one round does."""
        frame = random_image(self.camera.height, self.camera.width)
        return [
            timed('encoder', self.encoder),
            model_step(self.estimator, self.size),
            stages_step(self.estimator, frame, self.camera),
            back_projection_step(self.camera),
            *costs.ceiling_steps(encoder_precision(self.estimator), self.estimator.device),
        ]

    def measure(self, rounds: int, advance: Callable[[], None]) -> dict[str, Any]:
        """Return the figures of all steps, as ``--json`` writes them."""
        measured = interleave(self.steps(), rounds=rounds, warm_up=2, advance=advance)
        return self.result(summarize_times(measured))

    def result(self, spreads: Mapping[str, dict[str, float]]) -> dict[str, Any]:
        """Return the figures by their public names."""
        stages = ('preprocess', 'inference', 'upsampling', 'back_projection')
        middle = {name: spread['median'] for name, spread in spreads.items()}
        ceilings = costs.ceilings(middle['gemm'], middle['copy'])
        gflops = self.counted['flops']['model'] / middle['model'] / 1e6
        height, width = self.camera.height, self.camera.width
        return {
            'model': self.subject.label,
            'size': list(self.size),
            'camera': [height, width],
            'camera_input': list(self.estimator.input_size(height, width)),
            'encoder_ms': spreads['encoder'],
            'encoder_precision': encoder_precision(self.estimator),
            'model_ms': spreads['model'],
            'model_over_encoder': middle['model'] / middle['encoder'],
            'stages_ms': {name: spreads[name] for name in stages},
            'estimator_ms': spreads['estimator'],
            **self.counted,
            'ceilings': {**ceilings, 'model_share_of_gemm': gflops / ceilings['gemm_gflops']},
            'machine': costs.describe_machine(self.estimator),
        }


def model_step(estimator: DepthEstimator, size: tuple[int, int]) -> Step:
    """Return the step ``model``: the network alone, on an image of the size of its input."""
    frame = random_image(*size)
    camera = CameraModel.from_fov(size[1], size[0], HFOV_DEG)
    stages = stages_step(estimator, frame, camera)
    return lambda: {'model': stages()['inference']}


def stages_step(estimator: DepthEstimator, rgb: NDArray[np.uint8], camera: CameraModel) -> Step:
    """Return the step of one estimate: its stages, and ``estimator``, all of them.

    ``preprocess`` leads from the camera's image to the network's input, ``inference`` to the
    network's output, and ``upsampling`` to an array of the camera's size.
    """
    ends: dict[str, float] = {}
    estimator_call = estimator.estimate

    def step() -> dict[str, float]:
        ends.clear()
        estimator.on_stage = lambda name: ends.update({name: time.perf_counter()})
        try:
            started = time.perf_counter()
            estimator_call(rgb, camera.focal_px)
            ended = time.perf_counter()
        finally:
            estimator.on_stage = None
        marks = [started, ends['preprocess'], ends['inference'], ended]
        stages = ('preprocess', 'inference', 'upsampling')
        durations = {n: 1e3 * (b - a) for n, a, b in zip(stages, marks, marks[1:])}
        return {**durations, 'estimator': 1e3 * (ended - started)}

    return step


def back_projection_step(camera: CameraModel) -> Step:
    """Return the step ``back_projection``: depth to points, in memory that is used again."""
    depth = np.full((camera.height, camera.width), 2.0, np.float32)
    points = np.empty((*depth.shape, 3), np.float32)
    rays = camera.rays
    return timed('back_projection', lambda: back_project(depth, rays, out=points))
