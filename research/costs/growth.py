"""How cost grows with the size of the input, the size of the camera and the number of cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.evaluation import costs
from mirror_depth_ros.evaluation.benchmark import (
    HFOV_DEG,
    Subject,
    back_projection_step,
    encoder_call,
    load_network,
    make_estimator,
    model_step,
    random_image,
    resized,
    stages_step,
)
from mirror_depth_ros.evaluation.interleaved_timing import Step, interleave, timed
from mirror_depth_ros.inference.estimator import DepthEstimator

#: Sides of square inputs [pixels], where the patches divide them.
INPUTS = (224, 288, 352, 448, 544, 640)
#: Width and height of the cameras' images [pixels].
CAMERAS = {
    'VGA': (640, 480),
    'HD': (1280, 720),
    'Full HD': (1920, 1080),
    '4K': (3840, 2160),
}
_NUMBERS = (1, 2, 3, 4, 6, 8)


def exponent(pixels: Sequence[float], times_ms: Sequence[float]) -> float:
    """Return the slope of the logarithm of the time over that of the pixels: 1 is linear."""
    return float(np.polyfit(np.log(pixels), np.log(times_ms), 1)[0])


def per_unit(units: Sequence[float], times_ms: Sequence[float]) -> float:
    """Return the slope of the time over the units, by least squares."""
    return float(np.polyfit(units, times_ms, 1)[0])


def measure(
    subject: Subject, *, rounds: int, most_cameras: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Return the rows and slopes of all three, as ``--json`` writes them.

    :param advance: called after every round.
    :raises ValueError: or OSError, for options that make no estimator.
    """
    network = load_network(subject)
    by_input = _by_input(subject, rounds, advance)
    estimator = make_estimator(network, subject)
    return {
        'model': subject.label,
        'machine': costs.describe_machine(estimator),
        'input': by_input,
        'camera': _by_camera(estimator, rounds, advance),
        'cameras': _by_number(estimator, rounds, most_cameras, advance),
    }


def n_rounds(rounds: int) -> int:
    """Return how often :func:`measure` advances."""
    return (len(INPUTS) + 2) * (rounds + 1)


def _by_input(subject: Subject, rounds: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Measure network and encoder at one input size after the other, the two in turn."""
    rows: list[dict[str, Any]] = []
    pixels: list[float] = []
    for nominal in INPUTS:
        network = load_network(subject)
        patch = network.image_encoder.patch_size
        side = nominal // patch * patch
        size = (side, side)
        pixels.append(float(side**2))
        network = resized(network, size)
        estimator = make_estimator(network, subject)
        _, encoder = encoder_call(subject, estimator, network, size)
        steps: list[Step] = [timed('encoder', encoder), model_step(estimator, size)]
        middle = _middle(steps, rounds, advance)
        rows.append(
            {
                'input': f'{size[1]} x {size[0]}',
                'encoder_ms': middle['encoder'],
                'network_ms': middle['model'],
                'network_over_encoder': middle['model'] / middle['encoder'],
            }
        )
    slopes = {
        f'exponent_of_{name}_in_pixels': exponent(pixels, [row[f'{name}_ms'] for row in rows])
        for name in ('encoder', 'network')
    }
    return {'rows': rows, 'slopes': slopes}


def _by_camera(
    estimator: DepthEstimator, rounds: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Measure the stages of one estimate for all sizes of camera, in turn."""
    steps = []
    for name, (width, height) in CAMERAS.items():
        camera = CameraModel.from_fov(width, height, HFOV_DEG)
        one = stages_step(estimator, random_image(height, width), camera)
        steps += [_named(name, one), _named(name, back_projection_step(camera))]
    middle = _middle(steps, rounds, advance)
    parts = ('preprocess', 'inference', 'upsampling', 'back_projection')
    rows: list[dict[str, Any]] = [
        {'camera': f'{name}, {width} x {height}'}
        | {f'{part}_ms': middle[f'{name} {part}'] for part in parts}
        for name, (width, height) in CAMERAS.items()
    ]
    for row in rows:
        row['together_ms'] = sum(row[f'{part}_ms'] for part in parts)
    megapixels = [width * height / 1e6 for width, height in CAMERAS.values()]
    slope = per_unit(megapixels, [row['together_ms'] for row in rows])
    return {'rows': rows, 'slopes': {'ms_per_megapixel': slope}}


def _by_number(
    estimator: DepthEstimator, rounds: int, most: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Measure batches of cameras against the same images one by one, in turn."""
    width, height = CAMERAS['VGA']
    images = [random_image(height, width, seed) for seed in range(most)]
    focal_px = CameraModel.from_fov(width, height, HFOV_DEG).focal_px
    numbers = sorted({n for n in _NUMBERS if n < most} | {most})

    def one_by_one(count: int) -> None:
        for image in images[:count]:
            estimator.estimate(image, focal_px)

    steps: list[Step] = []
    for n in numbers:
        batch, focals = images[:n], [focal_px] * n
        steps += [
            timed(f'{n} at once', lambda b=batch, f=focals: estimator.estimate_batch(b, f)),  # type: ignore[misc]
            timed(f'{n} one by one', lambda n=n: one_by_one(n)),  # type: ignore[misc]
        ]
    middle = _middle(steps, rounds, advance)
    rows = [
        {
            'cameras': n,
            'at_once_ms': middle[f'{n} at once'],
            'one_by_one_ms': middle[f'{n} one by one'],
            'ratio': middle[f'{n} at once'] / middle[f'{n} one by one'],
        }
        for n in numbers
    ]
    if len(numbers) < 2:
        return {'rows': rows, 'slopes': {}}
    slope = per_unit(numbers, [float(row['at_once_ms']) for row in rows])
    return {'rows': rows, 'slopes': {'ms_per_camera': slope}}


def _named(name: str, step: Step) -> Step:
    return lambda: {f'{name} {part}': ms for part, ms in step().items()}


def _middle(steps: Sequence[Step], rounds: int, advance: Callable[[], None]) -> dict[str, float]:
    measured = interleave(steps, rounds=rounds, advance=advance)
    return {name: float(np.median(values)) for name, values in measured.items()}
