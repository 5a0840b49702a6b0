"""What training shows the network: a picture, its depth and its focal length, at any size."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.protocols import Window


class Picture(NamedTuple):
    """An image with its true depth, as tensors that a data loader puts into batches."""

    #: RGB uint8, ``[3, H, W]``.
    image: Tensor
    #: Metres along Z, float32 ``[1, H, W]``, NaN = no truth.
    depth: Tensor
    #: Focal length at this very size [pixels], float32 ``[]``.
    focal_px: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width [pixels]."""
        height, width = self.image.shape[-2:]
        return height, width


def to_picture(sample: DepthSample) -> Picture:
    """Return a sample as tensors that share no memory with it.

    :raises ValueError: if the sample has no depth.
    """
    if sample.depth is None:
        raise ValueError(
            f'got {sample.name} without depth, expected depth to train on; leave it out, or take '
            'the file list that names the ground truth'
        )
    # Rows of pixels stay as they lie in memory: torchvision resizes those four times as fast.
    image = torch.from_numpy(sample.rgb.copy()).permute(2, 0, 1)  # [3, H, W]
    depth = torch.from_numpy(sample.depth.copy())[None]  # [1, H, W]
    return Picture(image, depth, torch.tensor(sample.camera.focal_px, dtype=torch.float32))


def cut(picture: Picture, window: Window) -> Picture:
    """Return a part of a picture, as a view: the same focal length, another principal point."""
    rows, columns = window.slices
    return picture._replace(
        image=picture.image[:, rows, columns], depth=picture.depth[:, rows, columns]
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
    image = F.resize(picture.image, list(size), antialias=True)
    return Picture(image, resize_depth(picture.depth, size), picture.focal_px * scale)


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

    Every new pixel covers a cell of old ones, and takes the valid depth nearest to the cell's
    centre: that of the centre itself where it is valid, as in dense depth, and otherwise any
    other within the cell, so that few of a lidar's sparse points are lost. The cell's smallest
    depth would keep as many, but draws slanted ground nearer and makes near things larger than
    they are in the image. A cell without valid depth is NaN, and so nothing grows into holes.

    :param depth: metres, ``[1, H, W]``, NaN = no truth.
    :param size: height and width [pixels].
    :returns: metres, ``[1, *size]``, a copy.
    """
    (height, width), (rows, columns) = depth.shape[-2:], size
    at_row, at_column = _central(height, rows), _central(width, columns)
    resized = depth[:, at_row[:, None], at_column]  # [1, *size]
    i, j = resized[0].isnan().nonzero(as_tuple=True)  # [N]
    if not len(i) or (rows >= height and columns >= width):
        return resized
    pixel_rows, row_distance = _cells(height, rows)  # [rows, m]
    pixel_columns, column_distance = _cells(width, columns)  # [columns, n]
    distance = row_distance[i, :, None] + column_distance[j, None, :]  # [N, m, n]
    depths = depth[0, pixel_rows[i, :, None], pixel_columns[j, None, :]]  # [N, m, n]
    depths = depths.masked_fill(distance.isinf(), torch.nan).flatten(1)  # [N, m n]
    distance = distance.flatten(1).masked_fill(depths.isnan(), torch.inf)
    nearest = distance.argmin(dim=1, keepdim=True)  # [N, 1]
    resized[0, i, j] = depths.gather(1, nearest)[:, 0]
    return resized


def _central(length: int, count: int) -> Tensor:
    """Return the pixel at the centre of each of ``count`` cells, ``[count]``."""
    return (2 * torch.arange(count) + 1) * length // (2 * count)  # whole numbers never round


def _cells(length: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the pixels of each cell along one axis, and how far from its centre they are.

    :param length: how many pixels there are.
    :param count: how many cells they are divided into.
    :returns: pixels ``[count, n]`` and squared distances [pixels^2], infinite where a pixel's
        centre belongs to another cell. A cell smaller than a pixel has the one at its centre.
    """
    if count >= length:
        return _central(length, count)[:, None], torch.zeros(count, 1)
    first = torch.arange(count) * length // count
    pixels = first[:, None] + torch.arange(length // count + 2)  # [count, n]
    centre = (2 * torch.arange(count) + 1) * length / (2 * count) - 0.5
    distance = (pixels - centre[:, None]) ** 2
    owner = (2 * pixels + 1) * count // (2 * length)
    distance[owner != torch.arange(count)[:, None]] = torch.inf
    return pixels.clamp(max=length - 1), distance
