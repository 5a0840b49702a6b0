"""What known motion says of depth: seen from there, a picture's neighbours must look like it.

Self-supervision on video (Zhou et al., "Unsupervised Learning of Depth and Ego-Motion from Video",
2017) with the photometric error, the minimum over sources and the auto-mask of Monodepth2 (Godard
et al., "Digging Into Self-Supervised Monocular Depth Estimation", 2019). The motion is not learned
but given, in metres, and so the depth is in metres.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mirror_depth_ros.training.loss import mean_of_pictures

# Of Monodepth2: the share of SSIM in the photometric error, and the weight of the smoothness.
_SSIM_SHARE, _SMOOTHNESS = 0.85, 1e-3
# SSIM's own, for pictures in 0..1 (Wang et al., 2004).
_C1, _C2 = 0.01**2, 0.03**2
# Closer to a source's plane than this share of its depth, a point has no place in its picture.
_NEAREST = 0.01
# Of single precision, at a thousand pixels.
_ROUNDING_PX = 1e-3


class Views(NamedTuple):
    """What was seen of a frame, and of the sources: the frames that it is compared with.

    All pictures are those of pinhole cameras. The first is the frame itself.
    """

    #: uint8, ``[B, 1 + S, C, H, W]``.
    pictures: Tensor
    #: ``fx, fy, cx, cy`` of each at its size [pixels], ``[B, 1 + S, 4]``.
    cameras: Tensor
    #: Points of the frame's camera to points of each one's [m], ``[B, 1 + S, 4, 4]``.
    poses: Tensor


def motion_loss(depth: Tensor, rays: Tensor, views: Views, *, scales: int = 4) -> Tensor:
    """Return how far the sources, moved as depth has it, differ from the frame.

    Each pixel counts with the source in which it is found best, since what one hides another
    shows. It counts no more than with the best source as it is, unmoved: what moves along with the
    camera, or has no texture, would else ask for a depth. What no source shows does not count.

    It is the mean over several scales, each half as large, since a wrong depth is recognised only
    where it is off by no more pixels than a thing is wide. A frame of which no source shows
    anything learns nothing.

    :param depth: metres along Z of what the network saw, ``[B, 1, h, w]``.
    :param rays: the viewing rays of the same pixels in the frame's camera, ``(x/z, y/z)``,
        ``[B, 2, h, w]``: the network may have seen any window of the frame, turned or mirrored.
    :param scales: how often the resolution is halved, and once more.
    """
    total = depth.new_zeros(())
    inverse, pictures, cameras = 1 / depth, views.pictures.float() / 255, views.cameras
    for scale in range(scales):
        if scale:
            # Of a plane, inverse depth and rays are affine in the picture, and so may be averaged.
            inverse, rays = F.avg_pool2d(inverse, 2), F.avg_pool2d(rays, 2)
            pictures = F.avg_pool2d(pictures.flatten(0, 1), 2).unflatten(0, pictures.shape[:2])
            cameras = _halved(cameras)
        frame, error, counted = _compare(inverse, rays, pictures, cameras, views.poses)
        total = total + mean_of_pictures(error * counted, counted, may_be_empty=True) / scales
        if not scale:
            is_compared = counted.flatten(1).any(dim=1)[:, None, None, None]
            total = total + _SMOOTHNESS * smoothness(
                inverse.where(is_compared, inverse.detach()), frame
            )
    return total


def _compare(
    inverse: Tensor, rays: Tensor, pictures: Tensor, cameras: Tensor, poses: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the frame, its difference to the sources, and where that counts, ``[B, 1, h, w]``."""
    ones = torch.ones_like(inverse)
    directions = torch.cat([rays, ones], dim=1)  # [B, 3, h, w]
    with torch.no_grad():
        frame, counted = sample(pictures[:, 0], cameras[:, 0], directions)
    best = unmoved = torch.full_like(inverse, torch.inf)
    is_seen = torch.zeros_like(counted)
    for i in range(1, pictures.shape[1]):
        turn, shift = poses[:, i, :3, :3], poses[:, i, :3, 3]
        # On the same ray as the point itself, in the unit of its depth: far points stay finite.
        points = torch.einsum('bij,bjhw->bihw', turn, directions)
        points = points + inverse * shift[:, :, None, None]
        moved, is_inside = sample(pictures[:, i], cameras[:, i], points)
        is_inside = _with_neighbours(is_inside)
        best = torch.minimum(best, photometric_error(frame, moved).where(is_inside, torch.inf))
        with torch.no_grad():
            still, _ = sample(pictures[:, i], cameras[:, i], directions)
            unmoved = torch.minimum(unmoved, photometric_error(frame, still))
        is_seen = is_seen | is_inside
    counted = counted & is_seen
    error = torch.minimum(best, unmoved).where(counted, 0.0)
    return frame, error, counted


def _with_neighbours(is_inside: Tensor) -> Tensor:
    """Return which pixels are inside together with their neighbours, which SSIM looks at, too."""
    return F.max_pool2d((~is_inside).float(), 3, stride=1, padding=1) == 0


def sample(picture: Tensor, camera: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the colours that a camera sees points in.

    :param picture: ``[B, C, H, W]``.
    :param camera: ``fx, fy, cx, cy`` [pixels], ``[B, 4]``.
    :param points: in the optical frame, of any unit, ``[B, 3, h, w]``.
    :returns: ``[B, C, h, w]``, and where the points lie within the picture, bool ``[B, 1, h, w]``.
    """
    size = camera.new_tensor([picture.shape[-1], picture.shape[-2]])  # width, height
    focal, centre = camera[:, :2, None, None], camera[:, 2:, None, None]
    z = points[:, 2:]
    is_ahead = z > _NEAREST
    pixels = focal * points[:, :2] / z.clamp(min=_NEAREST) + centre  # [B, 2, h, w]
    last = (size - 1)[:, None, None]
    # Rounding must not take what was not moved out of its own picture.
    is_inside = ((pixels > -_ROUNDING_PX) & (pixels < last + _ROUNDING_PX)).all(1, keepdim=True)
    grid = (2 * pixels + 1) / size[:, None, None] - 1  # the picture's outer edges are -1 and 1
    colours = F.grid_sample(
        picture, grid.permute(0, 2, 3, 1), padding_mode='border', align_corners=False
    )
    return colours, is_inside & is_ahead


def photometric_error(one: Tensor, other: Tensor) -> Tensor:
    """Return the difference of two pictures, ``0.85 (1 - SSIM) / 2 + 0.15 |one - other|``.

    :param one: in 0..1, ``[B, C, h, w]``.
    :param other: the same.
    :returns: 0 to 1, ``[B, 1, h, w]``.
    """
    dissimilar = ((1 - ssim(one, other)) / 2).clamp(0, 1)
    error = _SSIM_SHARE * dissimilar + (1 - _SSIM_SHARE) * (one - other).abs()
    return error.mean(dim=1, keepdim=True)


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Return the structural similarity of two pictures in windows of 3 x 3 pixels.

    Wang et al., "Image Quality Assessment", 2004; the windows at the edges are mirrored there.

    :param one: in 0..1, ``[B, C, h, w]``.
    :param other: the same.
    :returns: -1 to 1 (1 = alike), of the same shape.
    """
    batch = len(one)
    padded = F.pad(torch.cat([one, other]), (1, 1, 1, 1), mode='reflect')
    mean = F.avg_pool2d(padded, 3, stride=1)
    variance = F.avg_pool2d(padded**2, 3, stride=1) - mean**2
    product = F.avg_pool2d(padded[:batch] * padded[batch:], 3, stride=1)
    (mean_1, mean_2), (variance_1, variance_2) = mean.split(batch), variance.split(batch)
    alike = (2 * mean_1 * mean_2 + _C1) * (2 * (product - mean_1 * mean_2) + _C2)
    return alike / ((mean_1**2 + mean_2**2 + _C1) * (variance_1 + variance_2 + _C2))


def smoothness(inverse: Tensor, picture: Tensor) -> Tensor:
    """Return how much inverse depth changes from pixel to pixel where the picture does not.

    The mean of ``|d_x n| exp(-|d_x picture|)``, and the same along y, where n is inverse depth
    over its mean in the picture, so that nothing is gained by being far.

    :param inverse: ``[B, 1, h, w]``.
    :param picture: in 0..1, ``[B, C, h, w]``.
    """
    normalised = inverse / inverse.mean(dim=(2, 3), keepdim=True)
    total = inverse.new_zeros(())
    for axis in (-1, -2):
        edges = picture.diff(dim=axis).abs().mean(dim=1, keepdim=True)
        total = total + (normalised.diff(dim=axis).abs() * (-edges).exp()).mean()
    return total


def _halved(cameras: Tensor) -> Tensor:
    """Return cameras of pictures half as large, whose outer edges stay where they are."""
    focal, centre = cameras[..., :2], cameras[..., 2:]
    return torch.cat([focal / 2, (centre + 0.5) / 2 - 0.5], dim=-1)
