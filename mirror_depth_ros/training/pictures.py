"""What training shows the network: a picture, its depth and its focal length, at any size."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.eval_protocols import Window


class Picture(NamedTuple):
    """An image with its true depth, as tensors that a data loader puts into batches."""

    #: RGB uint8, ``[3, H, W]``.
    image: Tensor
    #: Metres along Z, float32 ``[1, H, W]``, NaN = no truth.
    depth: Tensor
    #: Focal length at this very size [pixels], float32 ``[]``.
    focal_px: Tensor
    #: Pixels ``(u, v, 1)`` of this picture to those of the one that its camera took, float32
    #: ``[2, 3]``; windows, turns and mirrors are affine.
    to_camera: Tensor = torch.eye(2, 3)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width [pixels]."""
        height, width = self.image.shape[-2:]
        return height, width


def to_picture(sample: DepthSample, *, needs_depth: bool = True) -> Picture:
    """Return a sample as tensors that share no memory with it.

    :raises ValueError: if the sample has no depth and needs it.
    """
    depth = sample.depth
    if depth is None and not needs_depth:
        depth = np.full(sample.rgb.shape[:2], np.nan, np.float32)
    if depth is None:
        raise ValueError(
            f'got {sample.name} without depth, expected depth to train on; leave it out, or take '
            'the file list that names the ground truth'
        )
    # Rows of pixels stay as they lie in memory: torchvision resizes those four times as fast.
    image = torch.from_numpy(sample.rgb.copy()).permute(2, 0, 1)  # [3, H, W]
    truth = torch.from_numpy(depth.copy())[None]  # [1, H, W]
    return Picture(image, truth, torch.tensor(sample.camera.focal_px, dtype=torch.float32))


def crop(picture: Picture, window: Window) -> Picture:
    """Return a part of a picture, as a view: the same focal length, another principal point."""
    rows, columns = window.slices
    return picture._replace(
        image=picture.image[:, rows, columns],
        depth=picture.depth[:, rows, columns],
        to_camera=_after(picture, [[1, 0, window.left], [0, 1, window.top]]),
    )


def flip(picture: Picture) -> Picture:
    """Return a picture's mirror image, left to right."""
    last = picture.size[1] - 1
    return picture._replace(
        image=picture.image.flip(-1),
        depth=picture.depth.flip(-1),
        to_camera=_after(picture, [[-1, 0, last], [0, 1, 0]]),
    )


def rotate(picture: Picture, angle_deg: float, size: tuple[int, int]) -> Picture:
    """Return the window in the centre of a picture that is rotated about it, counterclockwise.

    A camera that rolls about its optical axis sees this; depth along Z and focal length stay. The
    axis need not pass through the centre: rotating about another point only moves the principal
    point. Beyond the picture's edge the image is black and depth is NaN.

    :param size: height and width of the window [pixels].
    """
    (height, width), (rows, columns) = picture.size, size
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, angle_deg, 1.0)  # [2, 3]
    matrix[:, 2] += (columns - 1) / 2 - centre[0], (rows - 1) / 2 - centre[1]
    # OpenCV, since torchvision gives the same within a grey level and takes seven times as long.
    pixels, depth = picture.image.permute(1, 2, 0).numpy(), picture.depth[0].numpy()
    pixels = cv2.warpAffine(pixels, matrix, (columns, rows), flags=cv2.INTER_LINEAR)
    depth = cv2.warpAffine(
        depth, matrix, (columns, rows), flags=cv2.INTER_NEAREST, borderValue=math.nan
    )
    return picture._replace(
        image=torch.from_numpy(pixels).permute(2, 0, 1),
        depth=torch.from_numpy(depth)[None],
        to_camera=_after(picture, cv2.invertAffineTransform(matrix)),
    )


def resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture at another size, its outer edges where they were.

    The image is resampled bilinearly with antialiasing, as the estimator does it. Each pixel of
    the new depth is one of the old ones, see :func:`resize_depth`. The focal length follows the
    geometric mean of both scales, which is exact to first order where they differ.

    :param size: height and width [pixels].
    :raises ValueError: for a size without pixels.
    """
    check_size(size)
    scale = math.sqrt(math.prod(size) / math.prod(picture.size))
    image = picture.image
    if size[1] == 1:  # PyTorch 2.15 resizes uint8 to a single column wrongly, or fails
        image = image.float()
    image = F.resize(image, list(size), antialias=True)
    if image.is_floating_point():
        image = image.round().to(torch.uint8)
    (height, width), (rows, columns) = picture.size, size
    x, y = width / columns, height / rows  # (u + 0.5) x - 0.5
    return Picture(
        image,
        resize_depth(picture.depth, size),
        picture.focal_px * scale,
        _after(picture, [[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2]]),
    )


def _after(picture: Picture, step: ArrayLike) -> Tensor:
    """Return ``to_camera`` of what is made of a picture.

    :param step: new pixels ``(u, v, 1)`` to the picture's own, ``[2, 3]``.
    """
    last = [[0.0, 0.0, 1.0]]
    return picture.to_camera @ torch.from_numpy(np.vstack([step, last]).astype(np.float32))


def check_size(size: tuple[int, int]) -> None:
    """Refuse a height and width that no picture can have.

    :raises ValueError: for a size without pixels.
    """
    if min(size) < 1:
        raise ValueError(
            f'got an output of {size[0]} x {size[1]} pixels (height x width), expected at least '
            '1 x 1'
        )


def resize_depth(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """Return depth at another size without ever mixing two depths.

    Where it shrinks, a new pixel covers a cell of old ones, and takes the valid depth nearest to
    the cell's centre: that of the centre itself where it is valid, as in dense depth, and
    otherwise any other within the cell, so that few of a lidar's sparse points are lost. The
    cell's smallest depth would keep as many, but draws slanted ground nearer and makes near
    things larger than they are in the image; it only decides between two that are equally near.
    A cell without valid depth is NaN, so nothing grows into holes. Where it grows, pixels and
    holes are repeated.

    :param depth: metres, ``[1, H, W]``, NaN = no truth.
    :param size: height and width [pixels].
    :returns: metres, ``[1, *size]``, a copy.
    """
    height, width = depth.shape[-2:]
    shrunk = _shrink(depth[0], (min(height, size[0]), min(width, size[1])))
    rows, columns = (_central(*lengths) for lengths in zip(shrunk.shape, size))
    return shrunk[rows[:, None], columns][None]  # [1, *size]


def _shrink(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """Return depth ``[H, W]`` at a size that is nowhere larger."""
    (height, width), (rows, columns) = depth.shape, size
    shrunk = depth[_central(height, rows)[:, None], _central(width, columns)]  # [*size]
    is_hole = shrunk.isnan()
    if size == (height, width) or not is_hole.any():
        return shrunk
    row_of, row_distance = _cells(height, rows)  # [H]
    column_of, column_distance = _cells(width, columns)  # [W]
    y, x = (is_hole[row_of[:, None], column_of] & ~depth.isnan()).nonzero(as_tuple=True)  # [N]
    cell = row_of[y] * columns + column_of[x]
    distance = row_distance[y] + column_distance[x]
    least = torch.full((rows * columns,), torch.inf)
    least.scatter_reduce_(0, cell, distance, 'amin')
    is_least = distance == least[cell]
    shrunk.view(-1).scatter_reduce_(
        0, cell[is_least], depth[y[is_least], x[is_least]], 'amin', include_self=False
    )
    return shrunk


def _central(length: int, count: int) -> Tensor:
    """Return the pixel, of ``length``, at the centre of each of ``count`` cells, ``[count]``."""
    return (2 * torch.arange(count) + 1) * length // (2 * count)  # whole numbers never round


def _cells(length: int, count: int) -> tuple[Tensor, Tensor]:
    """Return which of ``count`` cells each pixel's centre lies in, and how far from the cell's.

    :returns: cells and squared distances [pixels^2], ``[length]`` each.
    """
    pixels = torch.arange(length)
    cells = (2 * pixels + 1) * count // (2 * length)
    return cells, (pixels + 0.5 - (cells + 0.5) * (length / count)) ** 2
