"""The same pictures seen otherwise: other windows, other focal lengths, other light."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mirror_depth_ros.depth.eval_protocols import Window
from mirror_depth_ros.training.pictures import Picture, check_size, crop, flip, resize, rotate
from mirror_depth_ros.validation import Integer, Number, OrNone, Rule, Several, check

_HALF_RANGE = Number(0, 0.9, 'a half-range about 1')
# A turned window stays this far within the picture, or interpolation would reach over its edge.
_MARGIN_PX = 2


@dataclass(frozen=True)
class Augmentation:
    """How pictures are varied on their way to one size. By default they are not.

    Call it with a picture and a size. Chance is that of torch's global generator alone.

    Crops teach the focal length. A window is what a camera of the same focal length in pixels and
    another principal point sees; resizing it by s multiplies the focal length by s. All depths
    along Z stay, so a surface now looks s times as large at the depth it had. Pictures of one
    camera thus become those of many, and what a network learns by heart for one of them, such as
    how large a door is at 3 m, is wrong for the next: only depth in proportion to the focal
    length fits them all.

    :raises ValueError: where a value cannot be what it is for.
    """

    #: What each field must be; 0 or None turns it off.
    RULES: ClassVar[Mapping[str, Rule]] = {
        'border': OrNone(Several(Integer(0, 100_000), 4)),
        'window': OrNone(Several(Integer(1, 100_000), 2)),
        'roll_deg': Number(0, 45, 'degrees'),
        'crop': OrNone(Several(Number(0, 1, 'a fraction', above=True), 2)),
        'flip': Number(0, 1, 'a probability'),
        'photometric': Number(0, 1, 'a probability'),
        'gamma': _HALF_RANGE,
        'brightness': _HALF_RANGE,
        'colour': _HALF_RANGE,
        'blur': Number(0, 100, 'pixels'),
        'noise': Number(0, 255, 'grey levels'),
        'jpeg': Integer(0, 100),
    }

    #: Left, top, right and bottom of what is kept of the whole picture [pixels]:
    #: (43, 45, 608, 472) leaves out NYU's white frame, as BTS does.
    border: tuple[int, int, int, int] | None = None
    #: Height and width of the middle of the bottom, to which the picture is cropped next [pixels]:
    #: (352, 1216) is KITTI's benchmark crop.
    window: tuple[int, int] | None = None
    #: Largest roll of the camera about its optical axis, to either side [degrees]. It changes no
    #: depth along Z, and no corner is invented: only windows that lie wholly within the turned
    #: picture are taken.
    roll_deg: float = 0.0
    #: Smallest and largest fraction (of the side, not the area) of the largest window that has the
    #: output's aspect and fits; a random one is taken. None = the largest, in the centre.
    crop: tuple[float, float] | None = None
    #: Probability of mirroring left to right.
    flip: float = 0.0
    #: Probability that gamma, brightness and colour change, together.
    photometric: float = 0.5
    #: Half-range of the exponent of grey levels: 0.1 is 0.9 to 1.1.
    gamma: float = 0.0
    #: Half-range of the factor on all grey levels: 0.25 in rooms and 0.1 on roads, as BTS has it.
    brightness: float = 0.0
    #: Half-range of a factor on each of the colours red, green and blue.
    colour: float = 0.0
    #: Largest sigma of Gaussian blur at the output's size [pixels].
    blur: float = 0.0
    #: Largest sigma of Gaussian noise [grey levels].
    noise: float = 0.0
    #: Lowest quality of JPEG compression, 1 to 100; 0 = never compressed.
    jpeg: int = 0

    def __post_init__(self) -> None:
        check(vars(self), self.RULES)
        if self.crop is not None and self.crop[0] > self.crop[1]:
            raise ValueError(f'got crop={self.crop}, expected smallest <= largest; correct it')
        if self.border is not None:
            left, top, right, bottom = self.border
            if left >= right or top >= bottom:
                raise ValueError(
                    f'got border={self.border}, expected left < right and top < bottom; put them '
                    'in the order left, top, right, bottom'
                )

    def __call__(self, picture: Picture, size: tuple[int, int]) -> Picture:
        """Return a new picture of another size, varied.

        :param size: height and width [pixels].
        :returns: a picture that shares no memory with ``picture``.
        :raises ValueError: for a size without pixels, or where border or window do not fit.
        """
        check_size(size)
        if self.border is not None:
            left, top, right, bottom = self.border
            picture = _crop('border', picture, Window(top, left, bottom - top, right - left))
        if self.window is not None:
            (height, width), (rows, columns) = picture.size, self.window
            bottom_middle = Window(height - rows, (width - columns) // 2, rows, columns)
            picture = _crop('window', picture, bottom_middle)
        picture = resize(self._view(picture, size), size)
        if self.flip and _between(0.0, 1.0) < self.flip:
            picture = flip(picture)
        image = self.relight(picture.image)
        # Densely packed in a memory of its own: what was cut out may still be a view.
        image = image.clone(memory_format=torch.contiguous_format)
        return picture._replace(image=image, depth=picture.depth.contiguous())

    def _view(self, picture: Picture, size: tuple[int, int]) -> Picture:
        """Return a window of the output's aspect, rotated where the camera rolls."""
        angle_deg = _between(-self.roll_deg, self.roll_deg) if self.roll_deg else 0.0
        margin = _MARGIN_PX if self.roll_deg else 0
        scale = min(
            (side - margin) / needed for side, needed in zip(picture.size, _box(size, angle_deg))
        )
        if self.crop is not None:
            scale *= _between(*self.crop)
        rows, columns = (max(1, round(scale * side)) for side in size)
        height, width = (
            min(side, math.ceil(needed) + margin)
            for side, needed in zip(picture.size, _box((rows, columns), angle_deg))
        )
        top, left = picture.size[0] - height, picture.size[1] - width  # at most
        if self.crop is not None:
            top, left = _below(top + 1), _below(left + 1)
        else:
            top, left = top // 2, left // 2
        picture = crop(picture, Window(top, left, height, width))
        return rotate(picture, angle_deg, (rows, columns)) if self.roll_deg else picture

    def relight(self, image: Tensor) -> Tensor:
        """Return an image, uint8 ``[3, H, W]``, as another lens, light and sensor give it.

        What is geometry is left to :meth:`__call__`.
        """
        if self.blur:
            sigma = self.blur * _fraction()
            radius = min(math.ceil(3 * sigma), *(side - 1 for side in image.shape[-2:]))
            image = F.gaussian_blur(image, [2 * radius + 1] * 2, [sigma, sigma])
        is_relit = max(self.gamma, self.brightness, self.colour) > 0 and (
            _between(0.0, 1.0) < self.photometric
        )
        if is_relit or self.noise:
            light = image / 255.0
            if is_relit:
                gain = _between(1 - self.brightness, 1 + self.brightness)
                gains = gain * torch.empty(3, 1, 1).uniform_(1 - self.colour, 1 + self.colour)
                light = light ** _between(1 - self.gamma, 1 + self.gamma) * gains
            if self.noise:
                light = light + torch.randn_like(light) * (self.noise * _fraction() / 255.0)
            image = (light.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
        if self.jpeg:
            image = _compress(image, self.jpeg + _below(101 - self.jpeg))
        return image


#: Brings pictures to a size and does nothing else: the largest centred window of its aspect.
NO_AUGMENTATION = Augmentation()


def _crop(name: str, picture: Picture, window: Window) -> Picture:
    """Return a part of a picture that must be there."""
    if not Window(0, 0, *picture.size).holds(window):
        raise ValueError(
            f'got a picture of {picture.size[0]} x {picture.size[1]} pixels (height x width), of '
            f'which {name} takes {window}, expected that within the picture; change {name}'
        )
    return crop(picture, window)


def _box(size: tuple[int, int], angle_deg: float) -> tuple[float, float]:
    """Return height and width of the upright box about a window that is rotated."""
    rows, columns = size
    cos, sin = (abs(f(math.radians(angle_deg))) for f in (math.cos, math.sin))
    return rows * cos + columns * sin, rows * sin + columns * cos


def _compress(image: Tensor, quality: int) -> Tensor:
    """Return an image after JPEG. OpenCV's, as torchvision gives up its own."""
    bgr = np.ascontiguousarray(image.permute(1, 2, 0).numpy()[..., ::-1])
    _, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    rgb = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].copy()
    return torch.from_numpy(rgb).permute(2, 0, 1)


def _between(lowest: float, highest: float) -> float:
    """Return a random number of a range."""
    return torch.empty(()).uniform_(lowest, highest).item()


def _fraction() -> float:
    """Return a random number above 0, up to 1."""
    return 1.0 - torch.rand(()).item()


def _below(count: int) -> int:
    """Return a random whole number from 0 to before ``count``."""
    return int(torch.randint(count, ()).item())
