"""The estimator's promises: size, range, focal length, precision, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mirror_depth_ros.inference.engines.torch_engine import torch_precision
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import load_checkpoint


@pytest.fixture
def estimator(tiny_model: Path) -> DepthEstimator:
    return DepthEstimator.load(tiny_model, device='cpu', precision='fp32')


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize('size', [(47, 75), (480, 641), (1, 1), (3, 400), (301, 2)])
def test_depth_has_the_images_size(estimator: DepthEstimator, size: tuple[int, int]) -> None:
    depth = estimator.estimate(picture(*size), 60.0)
    assert depth.shape == size
    assert depth.dtype == np.float32
    assert np.isfinite(depth).all()
    assert (depth > 0).all()


def test_input_keeps_aspect_and_cost(estimator: DepthEstimator) -> None:
    # trained at 48 x 64 = 12 patches of 16
    assert estimator.input_size(480, 640) == (48, 64)
    assert estimator.input_size(640, 480) == (64, 48)
    # sqrt(48 * 64 / (1080 * 1920)) = 0.0385: 41.6 x 73.9 pixels, 2.6 x 4.6 patches
    assert estimator.input_size(1080, 1920) == (48, 80)
    assert estimator.input_size(1, 9000) == (16, 192)  # a strip: all 12 patches in one row


def test_depth_scales_with_the_focal_length(estimator: DepthEstimator) -> None:
    image = picture(53, 71)
    near, far = estimator.estimate(image, 60.0), estimator.estimate(image, 150.0)
    np.testing.assert_allclose(far, 2.5 * near, rtol=1e-5)


def test_focal_length_counts_at_the_images_own_size(estimator: DepthEstimator) -> None:
    # The same view sampled twice as finely has twice the focal length, and the same depth.
    flat = np.full((48, 64, 3), 90, np.uint8)
    fine = np.full((96, 128, 3), 90, np.uint8)
    coarse_depth = estimator.estimate(flat, 55.0)
    fine_depth = estimator.estimate(fine, 110.0)
    np.testing.assert_allclose(np.median(fine_depth), np.median(coarse_depth), rtol=1e-2)


def test_confidence_comes_with_the_same_depth(tiny_model_with_confidence: Path) -> None:
    estimator = DepthEstimator.load(tiny_model_with_confidence, device='cpu', precision='fp32')
    assert estimator.has_confidence
    images, focals = [picture(47, 75), picture(97, 61), picture(51, 69)], [60.0, 45.0, 120.0]
    pairs = estimator.estimate_batch(images, focals, with_confidence=True)
    depths = estimator.estimate_batch(images, focals)
    for image, focal_px, found, alone in zip(images, focals, pairs, depths):
        depth, confidence = found.depth, found.confidence
        np.testing.assert_array_equal(depth, alone.depth)
        assert (alone.confidence, found.strangeness) == (None, None)
        assert confidence.shape == image.shape[:2]
        assert confidence.dtype == np.float32
        assert 0 < confidence.min() < confidence.max() <= 1
        # It is a probability: the focal length, which scales depth, leaves it as it is.
        _, twice = estimator.estimate(image, 2 * focal_px, with_confidence=True)
        np.testing.assert_allclose(twice, confidence, rtol=1e-4)


def test_confidence_is_that_of_the_networks_second_number(
    tiny_model_with_confidence: Path,
) -> None:
    network = load_checkpoint(tiny_model_with_confidence).eval()
    image = picture(48, 64)  # the network's own size: nothing is resized
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255.0
    with torch.no_grad():
        (log_scale,) = network.compute(['log_scale'], pixels, torch.tensor([60.0]))
    expected = 1 - np.exp(-np.log(1.25) / np.exp(log_scale[0, 0].numpy().clip(-5, 2)))
    estimator = DepthEstimator.load(tiny_model_with_confidence, device='cpu', precision='fp32')
    _, confidence = estimator.estimate(image, 60.0, with_confidence=True)
    np.testing.assert_allclose(confidence, expected, rtol=1e-4)


def test_a_model_without_confidence_says_so(estimator: DepthEstimator, tiny_model: Path) -> None:
    assert not estimator.has_confidence
    expected = rf'got the model {tiny_model} without confidence, expected one that was trained'
    with pytest.raises(ValueError, match=expected):
        estimator.estimate(picture(47, 75), 60.0, with_confidence=True)


def test_bf16_agrees_with_fp32(tiny_model: Path, estimator: DepthEstimator) -> None:
    half = DepthEstimator.load(tiny_model, device='cpu', precision='bf16')
    image = picture(61, 83)
    expected = estimator.estimate(image, 60.0)
    assert np.abs(half.estimate(image, 60.0) / expected - 1).mean() < 0.02
    assert half.precision == 'bf16'
    assert half.device == torch.device('cpu')


def test_arrays_that_are_not_contiguous(estimator: DepthEstimator) -> None:
    image = picture(48, 64)
    turned = estimator.estimate(image[:, ::-1], 60.0)
    np.testing.assert_array_equal(turned, estimator.estimate(image[:, ::-1].copy(), 60.0))


# Three inputs of the network, 48 x 64, 64 x 48 and 32 x 96, of which two come twice.
SIZES = [(47, 75), (97, 61), (480, 641), (31, 95), (75, 47)]
FOCALS = [60.0, 45.0, 500.0, 30.0, 75.0]


def estimate_both_ways(estimator: DepthEstimator) -> list[tuple[np.ndarray, np.ndarray]]:
    images = [picture(*size) for size in SIZES]
    batch = [found.depth for found in estimator.estimate_batch(images, FOCALS)]
    assert [depth.shape for depth in batch] == SIZES
    return [(d, estimator.estimate(*one)) for d, *one in zip(batch, images, FOCALS)]


def test_a_batch_equals_its_images_one_by_one(estimator: DepthEstimator) -> None:
    for together, alone in estimate_both_ways(estimator):
        np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_a_batch_in_bf16_differs_by_rounding_only(tiny_model: Path) -> None:
    estimator = DepthEstimator.load(tiny_model, device='cpu', precision='bf16')
    for together, alone in estimate_both_ways(estimator):
        assert np.abs(together / alone - 1).mean() < 1e-2


def test_images_of_one_input_size_go_through_the_network_together(
    estimator: DepthEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes, network = [], estimator._model.compute

    def compute(names: list[str], images: torch.Tensor, *focal_px: torch.Tensor) -> Any:
        passes.append(tuple(images.shape))
        return network(names, images, *focal_px)

    monkeypatch.setattr(estimator._model, 'compute', compute)
    estimator.estimate_batch([picture(*size) for size in SIZES], FOCALS)
    assert passes == [(2, 3, 48, 64), (2, 3, 64, 48), (1, 3, 32, 96)]


def test_a_batch_of_nothing_is_nothing(estimator: DepthEstimator) -> None:
    assert estimator.estimate_batch([], []) == []


def test_refuses_a_batch_with_one_focal_length_short(estimator: DepthEstimator) -> None:
    with pytest.raises(ValueError, match='got 2 images and 1 focal lengths, expected one of each'):
        estimator.estimate_batch([picture(4, 5), picture(5, 4)], [60.0])


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((4, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_refuses_other_arrays(estimator: DepthEstimator, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r'expected uint8 \[H, W, 3\] in RGB order'):
        estimator.estimate(image, 60.0)


@pytest.mark.parametrize('focal', [0.0, -3.0, float('nan'), float('inf')])
def test_refuses_impossible_focal_lengths(estimator: DepthEstimator, focal: float) -> None:
    with pytest.raises(ValueError, match='expected positive pixels; calibrate the camera'):
        estimator.estimate(picture(4, 5), focal)


def test_refuses_unknown_device_and_precision(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="got device 'gpu', which this machine does not have"):
        DepthEstimator.load(tiny_model, device='gpu')
    with pytest.raises(ValueError, match="got device 'cuda:77', which this machine does not have"):
        DepthEstimator.load(tiny_model, device='cuda:77')
    with pytest.raises(ValueError, match="got device 'meta', which this machine does not have"):
        DepthEstimator.load(tiny_model, device='meta')
    with pytest.raises(ValueError, match="got precision 'int3', expected one of auto, fp32"):
        DepthEstimator.load(tiny_model, device='cpu', precision='int3')
    with pytest.raises(ValueError, match='got precision fp16 on a CPU'):
        DepthEstimator.load(tiny_model, device='cpu', precision='fp16')


def test_auto_precision_is_that_very_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = {0: (7, 5), 1: (8, 6)}  # Turing only emulates bf16, Ampere has it
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda d: capabilities[d.index])
    assert torch_precision('auto', torch.device('cuda:0')) == 'fp16'
    assert torch_precision('auto', torch.device('cuda:1')) == 'bf16'
