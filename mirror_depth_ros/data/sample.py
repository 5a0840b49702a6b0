"""The one sample type that every data set yields, and sequences that open them when asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.poses import check_pose
from mirror_depth_ros.depth.range_cone import RangeCone

T = TypeVar('T')


@dataclass(frozen=True)
class DepthSample:
    """An image, its camera, and its true depth where that is known.

    :raises ValueError: if the sizes or types do not fit together.
    """

    #: RGB uint8, ``[H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: Metres along Z, float32 ``[H, W]``, NaN = no truth, infinity = the sky; None = no truth for
    #: the whole image.
    depth: NDArray[np.float32] | None
    #: The camera that took the image, of the image's size.
    camera: CameraModel
    #: What tells the sample from the others, such as its path below the data set.
    name: str
    #: Where the camera was: its optical frame in one that does not move, ``[4, 4]`` [m]; None =
    #: not known. Two samples share that frame if their names are the same up to the last slash.
    pose: NDArray[np.float64] | None = None
    #: What range sensors measured of what it shows.
    cones: tuple[RangeCone, ...] = ()

    @property
    def sequence(self) -> str:
        """The name up to the last slash, which samples of one recording share."""
        return self.name.rpartition('/')[0]

    def __post_init__(self) -> None:
        if self.pose is not None:
            try:
                check_pose(self.pose)
            except ValueError as error:
                raise ValueError(f'{error} ({self.name})') from None
        size = (self.camera.height, self.camera.width)
        if self.rgb.dtype != np.uint8 or self.rgb.shape != (*size, 3):
            raise ValueError(
                f'got {self.rgb.dtype} {self.rgb.shape} as the image of {self.name}, expected '
                f'uint8 {(*size, 3)} as its camera has; resize one with CameraModel.resized()'
            )
        if self.depth is not None and (self.depth.dtype != np.float32 or self.depth.shape != size):
            raise ValueError(
                f'got {self.depth.dtype} {self.depth.shape} as the depth of {self.name}, expected '
                f'float32 {size} as its image has'
            )


class LazySequence(Sequence[T]):
    """What indexing and slicing have in common, for classes that can make one item."""

    @abstractmethod
    def item(self, index: int) -> T:
        """Make the item of that number, 0 to ``len(self) - 1``."""

    def name_of(self, index: int) -> str:
        """Say which item that is, without making it; by its number where it has no name.

        :param index: 0 to ``len(self) - 1``.
        """
        return f'item {index}'

    def has_depth(self, index: int) -> bool:
        """Say whether that item has true depth, without making it.

        :param index: 0 to ``len(self) - 1``.
        """
        return True

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return one item, counted from the end if negative, or a list of them.

        :raises IndexError: if there is no such item.
        """
        if isinstance(index, slice):
            return [self.item(i) for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f'got item {index}, expected 0 to {len(self) - 1}')
        return self.item(index % len(self))


class Selection(LazySequence[T]):
    """Some items of another sequence, by their numbers; no others are ever made."""

    def __init__(self, whole: LazySequence[T], numbers: Sequence[int]) -> None:
        self._whole, self._numbers = whole, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def item(self, index: int) -> T:
        """Make the item of the whole that is there."""
        return self._whole.item(self._numbers[index])

    def name_of(self, index: int) -> str:
        """Return the name that the item has in the whole."""
        return self._whole.name_of(self._numbers[index])

    def has_depth(self, index: int) -> bool:
        """Say whether the item has true depth in the whole."""
        return self._whole.has_depth(self._numbers[index])


@dataclass(frozen=True)
class Broken:
    """A sample that cannot be opened."""

    name: str
    #: Why; it names the file.
    error: str


def open_each(
    samples: LazySequence[DepthSample], order: Iterable[int], *, broken: list[Broken] | None = None
) -> Iterator[DepthSample]:
    """Open samples one after the other.

    :param order: numbers of the samples to open.
    :param broken: is given those that cannot be opened, which are passed over; without it, the
        first of them is an error.
    :raises OSError: or another error that names the file, for a sample that cannot be opened.
    :raises ValueError: likewise; and at the end, if all samples were passed over.
    """
    opened = 0
    for index in order:
        try:
            sample = samples[index]
        except (OSError, ValueError) as error:
            if broken is None:
                raise
            broken.append(Broken(samples.name_of(index), str(error)))
            continue
        opened += 1
        yield sample
    if broken and not opened:
        raise ValueError(
            f'got {len(broken)} samples and none that can be opened, expected at least one; the '
            f'first says: {broken[0].error}'
        )
