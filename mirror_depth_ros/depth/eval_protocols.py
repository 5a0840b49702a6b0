"""How the field evaluates depth: what the network sees, and which pixels count, as pure arrays.

Sources: the crops of Eigen et al., "Depth Map Prediction from a Single Image using a Multi-Scale
Deep Network" (2014), and of Garg et al., "Unsupervised CNN for Single View Depth Estimation"
(2016), as the evaluations of BTS, AdaBins and NeWCRFs apply them.

KITTI has two readings that give different figures. Both show the network a window of 352 x 1216
pixels (KITTI's benchmark crop). BTS puts the prediction back into the full frame and crops that;
AdaBins and NeWCRFs cut the truth to the window, too, and crop the window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Window(NamedTuple):
    """A rectangle of an image [pixels]."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array ``[H, W, ...]``."""
        rows = slice(self.top, self.top + self.height)
        return rows, slice(self.left, self.left + self.width)

    def holds(self, other: Window) -> bool:
        """Say whether another window of the same image lies within this one."""
        return all(
            mine.start <= theirs.start and theirs.stop <= mine.stop
            for mine, theirs in zip(self.slices, other.slices)
        )


class Shares(NamedTuple):
    """A rectangle in shares of a frame's height and width, from its first to before its last."""

    top: float
    bottom: float
    left: float
    right: float

    def of(self, frame: Window) -> Window:
        """Return that part of a frame, its edges rounded down as the published code does."""
        top, bottom = int(self.top * frame.height), int(self.bottom * frame.height)
        left, right = int(self.left * frame.width), int(self.right * frame.width)
        return Window(frame.top + top, frame.left + left, bottom - top, right - left)


@dataclass(frozen=True)
class Protocol:
    """One way to evaluate a data set."""

    name: str
    #: Depths beyond it do not count [m].
    max_depth: float
    #: The only height and width that it is defined for [pixels]; None = any.
    image_size: tuple[int, int] | None = None
    #: Height and width that the network sees: the middle of the bottom [pixels]; None = all.
    input_size: tuple[int, int] | None = None
    #: Pixels that count; None = all.
    crop: Window | Shares | None = None
    #: Whether :attr:`crop` is a part of what the network sees, rather than of the full frame.
    crops_input: bool = False

    def input_window(self, height: int, width: int) -> Window:
        """Return the part of an image that the network sees.

        :param height: image height [pixels].
        :param width: image width [pixels].
        :raises ValueError: for a size that the protocol is not defined for.
        """
        if self.image_size is not None and (height, width) != self.image_size:
            raise ValueError(
                f'got an image of {height} x {width} pixels (height x width), expected '
                f'{_by(self.image_size)}, for which alone the protocol {self.name} is defined; '
                'choose another --protocol'
            )
        if self.input_size is None:
            return Window(0, 0, height, width)
        rows, columns = self.input_size
        if height < rows or width < columns:
            raise ValueError(
                f'got an image of {height} x {width} pixels (height x width), expected at least '
                f'{_by(self.input_size)}, which the protocol {self.name} cuts out of it; choose '
                'another --protocol'
            )
        return Window(height - rows, (width - columns) // 2, rows, columns)

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return where pixels count, in the image's own full frame.

        :param height: image height [pixels].
        :param width: image width [pixels].
        :returns: ``[H, W]``.
        :raises ValueError: for a size that the protocol is not defined for.
        """
        seen = self.input_window(height, width)
        counted = seen if self.crops_input else Window(0, 0, height, width)
        if isinstance(self.crop, Shares):
            counted = self.crop.of(counted)
        elif self.crop is not None:
            counted = self.crop
        if not seen.holds(counted):
            raise ValueError(
                f'got an image of {height} x {width} pixels (height x width), of which the '
                f'protocol {self.name} counts {counted} but shows the network only {seen}, '
                'expected the first within the second; choose another --protocol'
            )
        mask = np.zeros((height, width), np.bool_)
        mask[counted.slices] = True
        return mask


def named_protocol(name: str, *, max_depth: float | None = None) -> Protocol:
    """Return one of :data:`PROTOCOLS`.

    :param max_depth: where depths cease to count, instead of the protocol's own [m].
    :raises ValueError: for an unknown name.
    """
    if name not in PROTOCOLS:
        raise ValueError(f'got protocol {name!r}, expected one of {", ".join(PROTOCOLS)}')
    protocol = PROTOCOLS[name]
    return protocol if max_depth is None else replace(protocol, max_depth=max_depth)


def _by(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'


# As published: rows 153:371 and rows 124:342 of 375, both columns 44:1197 of 1242.
_GARG = Shares(0.40810811, 0.99189189, 0.03594771, 0.96405229)
_EIGEN = Shares(0.3324324, 0.91351351, 0.0359477, 0.96405229)
# The size of the images that KITTI's own depth benchmark is scored on.
_KITTI_INPUT = (352, 1216)
_KITTI_DEPTH = 80.0


def _kitti(name: str, crop: Shares, *, crops_input: bool) -> Protocol:
    return Protocol(
        name,
        _KITTI_DEPTH,
        input_size=_KITTI_INPUT,
        crop=crop,
        crops_input=crops_input,
    )


#: All protocols by name.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol('indoor', 10.0),
        Protocol('outdoor', 80.0),
        # Rows 45:471 and columns 41:601, inside the white frame of the rectified images.
        Protocol('nyu', 10.0, image_size=(480, 640), crop=Window(45, 41, 426, 560)),
        _kitti('kitti_garg_full', _GARG, crops_input=False),
        _kitti('kitti_garg_cropped', _GARG, crops_input=True),
        _kitti('kitti_eigen_full', _EIGEN, crops_input=False),
        _kitti('kitti_eigen_cropped', _EIGEN, crops_input=True),
    )
}
