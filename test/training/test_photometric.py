"""The photometric loss: on planes and motions whose pictures are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mirror_depth_ros.training.photometric import (
    Views,
    motion_loss,
    photometric_error,
    sample,
    smoothness,
    ssim,
)

#: Height and width of all pictures.
SIZE = (33, 45)
FOCAL_PX, DEPTH_M = 40.0, 2.0
CAMERA = torch.tensor([[FOCAL_PX, FOCAL_PX, 21.0, 17.0]])


def rays() -> Tensor:
    """Return the viewing rays of :data:`CAMERA`, ``[1, 2, h, w]``."""
    v, u = torch.meshgrid(*(torch.arange(float(side)) for side in SIZE), indexing='ij')
    return torch.stack([(u - 21) / FOCAL_PX, (v - 17) / FOCAL_PX])[None]


def wall(x_m: float = 0.0, z_m: float = 0.0) -> Tensor:
    """Return what a camera there sees of a painted wall at 2 m, uint8 ``[1, 1, h, w]``."""
    x, y = (rays()[0] * (DEPTH_M - z_m)).unbind()
    x = x + x_m
    # Waves of 1.3 to 0.2 m, which is 25 to 4 pixels.
    waves = [(5, 1.0), (11, 2.0), (17, 0.3), (31, 1.1)]
    paint = sum((k * x + 2 * p).sin() + (0.9 * k * y + p).cos() for k, p in waves)
    return (127 + 14 * paint).round().to(torch.uint8)[None, None]


def shifted(x_m: float = 0.0, z_m: float = 0.0) -> Tensor:
    """Return what moves points of a camera to those of one that is further right and ahead."""
    pose = torch.eye(4)
    pose[0, 3], pose[2, 3] = -x_m, -z_m
    return pose


def views(*sources: tuple[Tensor, Tensor]) -> Views:
    """Return the wall with pictures and poses of sources."""
    pictures = torch.stack([wall()[0], *(picture[0] for picture, _ in sources)])[None]
    poses = torch.stack([torch.eye(4), *(pose for _, pose in sources)])[None]
    return Views(pictures, CAMERA.expand(1, len(sources) + 1, 4), poses)


def beside(*places: tuple[float, float]) -> Views:
    """Return the wall with what cameras see that are so far right and ahead [m]."""
    return views(*((wall(x, z), shifted(x, z)) for x, z in places))


def flat(depth_m: float = DEPTH_M) -> Tensor:
    return torch.full((1, 1, *SIZE), depth_m)


def test_a_plane_moves_by_its_disparity() -> None:
    # 40 px * 0.1 m / 2 m = 2 px: what is at u in the frame is at u - 2 in the source.
    frame = torch.rand(1, 3, *SIZE)
    source = frame.roll(-2, dims=-1)
    points = (
        torch.cat([rays() * DEPTH_M, flat()], dim=1) - torch.tensor([0.1, 0, 0])[:, None, None]
    )
    moved, is_inside = sample(source, CAMERA, points)
    assert not is_inside[..., :2].any()
    assert is_inside[..., 2:].all()
    torch.testing.assert_close(moved[..., 2:], frame[..., 2:], rtol=0, atol=1e-5)


def test_what_is_behind_is_outside() -> None:
    points = torch.cat([rays(), torch.ones(1, 1, *SIZE)], dim=1)
    assert sample(wall().float(), CAMERA, points)[1].all()
    assert not sample(wall().float(), CAMERA, -points)[1].any()


def test_structural_similarity_of_flat_pictures() -> None:
    one, other = torch.full((1, 1, 3, 5), 0.2), torch.full((1, 1, 3, 5), 0.4)
    # No variance: (2 * 0.2 * 0.4 + 0.0001) / (0.2^2 + 0.4^2 + 0.0001) = 0.1601 / 0.2001
    torch.testing.assert_close(ssim(one, other), torch.full((1, 1, 3, 5), 0.1601 / 0.2001))
    expected = 0.85 * (1 - 0.1601 / 0.2001) / 2 + 0.15 * 0.2
    error = photometric_error(one, other)
    torch.testing.assert_close(error, torch.full((1, 1, 3, 5), expected))
    assert photometric_error(one, one).abs().max() < 1e-6


def test_structural_similarity_of_opposites_is_negative() -> None:
    board = (torch.arange(9).view(1, 1, 3, 3) % 2).float()
    assert ssim(board, 1 - board)[0, 0, 1, 1] < -0.9


def test_smoothness_forgives_steps_at_edges() -> None:
    inverse = torch.tensor([[[[1.0, 1.0, 4.0], [1.0, 1.0, 4.0]]]])  # mean 2
    blank, edge = torch.zeros(1, 3, 2, 3), torch.zeros(1, 3, 2, 3)
    edge[..., 2] = 1.0
    # Steps of 0 and 3 / 2 along x, their mean 0.75; none along y.
    assert smoothness(inverse, blank).item() == pytest.approx(0.75)
    assert smoothness(inverse, edge).item() == pytest.approx(0.75 * math.exp(-1))
    assert smoothness(7 * inverse, blank).item() == pytest.approx(0.75)


@pytest.mark.parametrize('places', [[(0.1, 0.0)], [(-0.1, 0.0), (0.07, 0.03)], [(0.0, 0.2)]])
@pytest.mark.parametrize('scales', [1, 3])
def test_the_least_loss_is_at_the_true_depth(
    places: list[tuple[float, float]], scales: int
) -> None:
    factors = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.4, 1.7, 2.0]
    losses = [
        motion_loss(flat(factor * DEPTH_M), rays(), beside(*places), scales=scales).item()
        for factor in factors
    ]
    assert factors[losses.index(min(losses))] == 1.0
    assert losses[6] < 0.3 * min(losses[0], losses[-1])


def test_motion_that_is_two_percent_too_long_makes_depth_two_percent_too_far() -> None:
    motion = beside((0.1, 0.0), (-0.1, 0.0))
    motion.poses[:, 1:, :3, 3] *= 1.02
    factors = [0.98, 1.0, 1.02, 1.04, 1.06]
    losses = [motion_loss(flat(f * DEPTH_M), rays(), motion, scales=3).item() for f in factors]
    assert factors[losses.index(min(losses))] == 1.02


def test_depth_learns_from_both_sides() -> None:
    for factor, direction in ((0.85, -1), (1.15, 1)):
        depth = flat(factor * DEPTH_M).requires_grad_()
        motion_loss(depth, rays(), beside((0.1, 0.0), (-0.1, 0.0)), scales=3).backward()
        assert depth.grad is not None
        assert depth.grad.sum().sign() == direction


def test_a_window_of_a_turned_and_mirrored_frame_learns_the_same() -> None:
    size = (20, 30)
    whole = rays()
    window = whole.flip(-1)[..., 5 : 5 + size[0], 8 : 8 + size[1]]
    losses = [
        motion_loss(torch.full((1, 1, *size), d), window, beside((0.1, 0.0)), scales=2).item()
        for d in (1.7, 2.0, 2.3)
    ]
    assert losses[1] < 0.5 * min(losses[0], losses[2])


def test_each_pixel_counts_with_its_best_source() -> None:
    good = (wall(0.1), shifted(0.1))
    covered = wall(-0.1)
    covered[..., 20:] = 0
    bad = (covered, shifted(-0.1))
    alone, both = (
        motion_loss(flat(), rays(), views(*sources), scales=1)
        for sources in ((good,), (good, bad))
    )
    assert both <= alone + 1e-3
    assert both < 0.1 * motion_loss(flat(), rays(), views(bad), scales=1)


def test_a_camera_that_stands_teaches_nothing() -> None:
    # The odometry says that it moves, as with wheels that slip: unmoved, the pictures agree.
    still = views((wall(), shifted(0.1)))
    depth = flat(1.3).requires_grad_()
    loss = motion_loss(depth, rays(), still)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert depth.grad is not None
    assert depth.grad.abs().max() < 1e-6


def test_what_moves_along_teaches_nothing() -> None:
    source, frame = wall(0.1), wall()
    source[..., 20:, :] = frame[..., 20:, :]  # a bumper
    depth = flat(1.9).requires_grad_()
    motion_loss(depth, rays(), views((source, shifted(0.1))), scales=1).backward()
    assert depth.grad is not None
    of_bumper, of_wall = depth.grad[..., 22:, 4:-4].abs(), depth.grad[..., :18, 4:-4].abs()
    assert of_bumper.mean() < 0.05 * of_wall.mean()


def test_what_no_source_shows_does_not_count() -> None:
    away = torch.eye(4)
    away[0, 3] = 100.0
    depth = flat().requires_grad_()
    loss = motion_loss(depth, rays(), views((wall(), away)))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert depth.grad is not None
    assert depth.grad.isfinite().all()


def test_errors_of_odometry_are_borne() -> None:
    # Of each motion 2 % of its length, 1 degree of heading and as much of pitch (at 40 px of focal
    # length 0.7 px; the wall moves by 4), at random: they add up to little over many frames.
    random = torch.Generator().manual_seed(3)
    factors = [0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.4, 2.0]
    total = torch.zeros(len(factors))
    for _ in range(16):
        motion = beside((0.2, 0.0), (-0.2, 0.05))
        for pose in motion.poses[0, 1:]:
            yaw, pitch, length = torch.randn(3, generator=random)
            x, y = math.radians(pitch), math.radians(yaw)
            turn = torch.linalg.matrix_exp(torch.tensor([[0, 0, y], [0, 0, -x], [-y, x, 0]]))
            pose[:3] = turn @ pose[:3]
            pose[:3, 3] *= 1 + 0.02 * length
        losses = [motion_loss(flat(f * DEPTH_M), rays(), motion, scales=3) for f in factors]
        total += torch.stack(losses)
    assert 0.95 <= factors[int(total.argmin())] <= 1.05
