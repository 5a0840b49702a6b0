"""The estimator against the bare CLIP image encoder, and the stages of one image."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel, back_project
from mirror_depth_ros.evaluation.benchmark import costs
from mirror_depth_ros.evaluation.benchmark.rounds import Step, interleave, medians, timed
from mirror_depth_ros.evaluation.benchmark.subject import (
    Subject,
    encoder_call,
    encoder_precision,
    load_network,
    make_estimator,
)
from mirror_depth_ros.inference.estimator import DepthEstimator

#: Of the camera that is simulated [degrees].
HFOV_DEG = 65.0


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
        return self.result(medians(measured))

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
