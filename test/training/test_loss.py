"""Losses against their formulas, worked out by hand, and shared by several processes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch import distributed as dist

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.range_cone import RangeCone
from mirror_depth_ros.training.loss import (
    LOSSES,
    gradient_loss,
    laplace_loss,
    log_l1_loss,
    mean_of_pictures,
    range_loss,
    relative_loss,
    silog_loss,
)


def test_hand_computed_value() -> None:
    prediction = torch.tensor([[2.0, 4.0, 9.0]])
    truth = torch.tensor([[1.0, 4.0, 0.0]])
    valid = torch.tensor([[True, True, False]])
    # d = ln 2, 0: mean d^2 = ln(2)^2 / 2, mean d = ln(2) / 2
    expected = 10 * math.sqrt(math.log(2) ** 2 / 2 - 0.85 * math.log(2) ** 2 / 4)
    assert silog_loss(prediction, truth, valid).item() == pytest.approx(expected, rel=1e-5)


def test_a_common_factor_costs_little() -> None:
    truth = torch.rand(3, 5) + 1
    valid = torch.ones(3, 5, dtype=torch.bool)
    # d is constant: alpha sqrt((1 - 0.85) d^2)
    expected = 10 * math.sqrt(0.15) * math.log(3)
    assert silog_loss(3 * truth, truth, valid).item() == pytest.approx(expected, rel=1e-4)


def test_gradient_of_a_perfect_prediction_is_finite() -> None:
    prediction = torch.full((2, 3), 2.0, requires_grad=True)
    silog_loss(prediction, torch.full((2, 3), 2.0), torch.ones(2, 3, dtype=torch.bool)).backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


def test_log_l1_and_relative_by_hand() -> None:
    prediction = torch.tensor([[2.0, 4.0, 9.0]])
    truth = torch.tensor([[1.0, 8.0, 0.0]])
    valid = torch.tensor([[True, True, False]])
    # |ln 2| and |-ln 2|
    assert log_l1_loss(prediction, truth, valid).item() == pytest.approx(math.log(2), rel=1e-6)
    # |2 - 1| / 1 and |4 - 8| / 8
    assert relative_loss(prediction, truth, valid).item() == pytest.approx(0.75, rel=1e-6)


def cone(centre: tuple[float, ...], distance: float, quantile: float = 0.5) -> list[float]:
    """Return a cone along the camera's axis whose half angle has a tangent of 0.21."""
    return [*centre, 0.0, 0.0, 1.0, distance, 0.21, quantile]


def test_a_range_sensor_asks_its_cone_for_a_factor() -> None:
    camera = CameraModel(53, 37, 50.0, 52.0, 26.0, 18.0)
    rays = torch.from_numpy(camera.rays.copy()).permute(2, 0, 1)[None]
    depth = torch.full((1, 1, 37, 53), 1.5, requires_grad=True)
    focal_px = torch.tensor([camera.focal_px])
    cones = torch.tensor([[cone((0.0, 0.0, 2.0), 2.0), [math.nan] * 9]])
    loss = range_loss(depth, rays, cones, focal_px)
    assert loss.item() == pytest.approx(math.log(2 / 1.5), rel=1e-5)
    loss.backward()
    # The cone is a surface 2 m away, of 0.42 m radius, as depth.RangeCone has it.
    shape = RangeCone((0.0, 0.0, 2.0), (0.0, 0.0, 1.0), 2.0, math.atan(0.21), 0.5).depth(camera)
    inside = torch.from_numpy(shape).isfinite()
    assert depth.grad is not None
    assert torch.equal(depth.grad[0, 0] != 0, inside)
    # All of it shall be farther, by the same factor: -1 / 1.5 shared by the pixels.
    torch.testing.assert_close(
        depth.grad[0, 0][inside], torch.full((int(inside.sum()),), -1 / 1.5 / inside.sum().item())
    )


def test_the_first_echo_is_that_of_the_nearest_in_the_cone() -> None:
    camera = CameraModel(53, 37, 50.0, 52.0, 26.0, 18.0)
    rays = torch.from_numpy(camera.rays.copy()).permute(2, 0, 1)[None]
    depth = torch.full((1, 1, 37, 53), 4.0)
    depth[..., 24:29] = 2.0  # a post in the middle of the cone, to which the echo belongs
    focal_px = torch.tensor([camera.focal_px])
    echo, beam = (torch.tensor([[cone((0.0, 0.0, 2.0), 2.0, q)]]) for q in (0.95, 0.5))
    assert range_loss(depth, rays, echo, focal_px).item() == pytest.approx(0.0, abs=1e-6)
    assert range_loss(depth, rays, beam, focal_px).item() == pytest.approx(math.log(2), rel=1e-5)


def test_a_cone_that_is_cut_off_says_nothing() -> None:
    # A post 2 m away, in a cone before a wall: without the post, the wall would be asked to be it.
    camera = CameraModel(53, 37, 50.0, 52.0, 26.0, 18.0)
    rays = torch.from_numpy(camera.rays.copy()).permute(2, 0, 1)[None]
    depth = torch.full((1, 1, 37, 53), 4.0)
    depth[..., 22:27] = 2.0
    cones = torch.tensor([[cone((0.0, 0.0, 2.0), 2.0, 0.95)]])
    focal_px = torch.tensor([camera.focal_px])
    assert range_loss(depth[..., 27:], rays[..., 27:], cones, focal_px).item() == 0.0
    depth[..., 22:27] = 1.0
    assert range_loss(depth, rays, cones, focal_px).item() == pytest.approx(math.log(2), rel=1e-5)


def test_without_any_measurement_there_is_no_loss() -> None:
    depth, rays = torch.ones(2, 1, 3, 5, requires_grad=True), torch.zeros(2, 2, 3, 5)
    loss = range_loss(depth, rays, torch.full((2, 1, 9), math.nan), torch.ones(2))
    assert loss.item() == 0.0
    # Of several processes, all go back through the graph, or those with cones wait for ever.
    loss.backward()
    assert depth.grad is not None
    assert not depth.grad.any()


def test_losses_of_nothing_are_0_where_that_may_be() -> None:
    prediction, nothing = torch.ones(2, 1, 3, 5), torch.zeros(2, 1, 3, 5, dtype=torch.bool)
    for loss in LOSSES.values():
        value = loss(prediction, prediction, nothing, may_be_empty=True).item()
        assert value == pytest.approx(0.0, abs=2e-3)


def test_every_picture_counts_the_same_however_sparse_its_truth() -> None:
    prediction, truth = torch.ones(3, 1, 2, 4), torch.ones(3, 1, 2, 4)
    prediction[0] = math.e  # dense, off by 1
    prediction[1] = math.e**3  # one point, off by 3
    valid = torch.zeros(3, 1, 2, 4, dtype=torch.bool)
    valid[0] = True
    valid[1, 0, 1, 2] = True  # and the third picture has no truth at all
    assert log_l1_loss(prediction, truth, valid).item() == pytest.approx((1 + 3) / 2, rel=1e-6)


def test_gradient_loss_by_hand() -> None:
    truth = torch.ones(1, 1, 2, 3)
    # ln: 0 1 1 / 0 1 3
    prediction = torch.tensor([[[[0.0, 1.0, 1.0], [0.0, 1.0, 3.0]]]]).exp()
    valid = torch.ones(1, 1, 2, 3, dtype=torch.bool)
    # Steps to the right: 1 0 / 1 2, mean 1; down: 0 0 2, mean 2/3.
    loss = gradient_loss(prediction, truth, valid, scales=1)
    assert loss.item() == pytest.approx(1 + 2 / 3, rel=1e-5)
    # Every second pixel: 0 1, one step of 1; the mean over both scales.
    loss = gradient_loss(prediction, truth, valid, scales=2)
    assert loss.item() == pytest.approx((1 + 2 / 3 + 1) / 2, rel=1e-5)
    valid[..., 1, 2] = False  # the 3 has no truth, so no step to it counts
    loss = gradient_loss(prediction, truth, valid, scales=1)
    assert loss.item() == pytest.approx((1 + 0 + 1) / 3, rel=1e-5)
    assert gradient_loss(7 * truth, truth, valid).item() == pytest.approx(0, abs=1e-6)
    # No two neighbours with truth: nothing to say, and no error.
    valid[...] = False
    valid[..., 0, 0] = True
    assert gradient_loss(prediction, truth, valid).item() == 0


def test_laplace_loss_is_least_where_the_scale_is_the_mean_error() -> None:
    truth = torch.ones(1, 1, 1, 4)
    prediction = torch.tensor([0.1, -0.3, 0.2, 0.6]).exp().view(1, 1, 1, 4).requires_grad_()
    valid = torch.ones(1, 1, 1, 4, dtype=torch.bool)
    scale = torch.full((1, 1, 1, 4), 0.3, requires_grad=True)  # the mean of .1 .3 .2 .6
    loss = laplace_loss(prediction, scale, truth, valid)
    assert loss.item() == pytest.approx(math.log(0.6) + 1, rel=1e-5)
    loss.backward()
    assert scale.grad is not None
    assert float(scale.grad.sum()) == pytest.approx(0, abs=1e-6)
    assert prediction.grad is None  # only the scale learns from it


@pytest.mark.parametrize('name', LOSSES)
def test_nothing_valid(name: str) -> None:
    ones = torch.ones(2, 3)
    with pytest.raises(ValueError, match='got a batch without valid depth'):
        LOSSES[name](ones, ones, torch.zeros(2, 3, dtype=torch.bool))


@pytest.fixture
def group() -> Iterator[None]:
    """Be the only process of a group."""
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def loss_and_gradient(name: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    prediction = 1 + torch.rand(3, 5, generator=generator)
    truth = 1 + torch.rand(3, 5, generator=generator)
    valid = torch.rand(3, 5, generator=generator) > 0.4
    loss = LOSSES[name](prediction.requires_grad_(), truth, valid)
    loss.backward()
    assert prediction.grad is not None
    return loss.detach(), prediction.grad


@pytest.mark.parametrize('name', LOSSES)
def test_one_process_of_a_group_is_like_none(name: str, request: pytest.FixtureRequest) -> None:
    loss, gradient = loss_and_gradient(name)
    request.getfixturevalue('group')
    in_group, in_group_gradient = loss_and_gradient(name)
    assert torch.equal(in_group, loss)
    assert torch.equal(in_group_gradient, gradient)


def test_without_gradients_no_process_waits_for_another(
    group: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dist, 'all_reduce', lambda *_: pytest.fail('it waits for the others'))
    value, valid = torch.ones(2, 3, 4), torch.ones(2, 3, 4, dtype=torch.bool)
    with torch.no_grad():
        assert float(mean_of_pictures(value, valid)) == 1.0


def test_processes_share_the_mean_over_all_their_pixels(
    group: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The other one has three pixels, of which |ln prediction - ln truth| is ln 8 together.
    others = [torch.tensor([math.log(8), 3.0]), torch.tensor([0.5, 0.0])]
    monkeypatch.setattr(dist, 'all_reduce', lambda sums: sums.add_(others.pop(0)))
    prediction = torch.tensor([[2.0, 7.0, 5.0]], requires_grad=True)
    valid = torch.tensor([[True, False, False]])
    loss = log_l1_loss(prediction, torch.ones(1, 3), valid)
    assert loss.item() == pytest.approx((math.log(2) + math.log(8)) / 4, rel=1e-6)
    loss.backward()
    # The loss changes by 1 / 4 with this one's sum, and the other's by 0.5, as it says above:
    # 3 / 4 altogether; the sum by 1 / 2 with a prediction of 2 m.
    assert prediction.grad is not None
    assert prediction.grad.tolist() == [[pytest.approx(0.75 / 2), 0.0, 0.0]]


def test_a_process_may_have_no_valid_pixel(group: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, 'all_reduce', lambda sums: sums.add_(torch.tensor([0.6, 2.0])))
    ones = torch.ones(2, 3)
    loss = log_l1_loss(2 * ones, ones, torch.zeros(2, 3, dtype=torch.bool))
    assert loss.item() == pytest.approx(0.3)
