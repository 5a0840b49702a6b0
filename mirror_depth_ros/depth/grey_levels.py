"""16-bit pictures to 8 bits, whatever part of the 16 bits their camera uses."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# What cameras have, in 16 bits.
_DEPTHS = (8, 10, 12, 14, 16)

# A range that is narrower than this part of all values is a thermal camera's, whose values are
# temperatures: a room's 10 to 40 degrees are 0.05 of the 16 bits in hundredths of a kelvin.
_NARROW = 1 / 8
# Less is the noise of a covered camera.
_MIN_RANGE = 32
# A dead pixel is no part of the range [percent].
_OUTLIERS = 0.5
# Of the range, one pixel of so many in a row and in a column says enough.
_STRIDE = 4


class GreyLevels:
    """Makes 8 bits of the 16-bit pictures of one camera.

    Black is 0 and white the largest value of 8, 10, 12, 14 or 16 bits, the fewest that hold all
    values so far. Where those fill a small part of it that is far from 0, as a thermal camera's
    do, that part is stretched. Both only grow, so that brightness does not jump from picture to
    picture. Any thread may read :attr:`description`; one converts.
    """

    def __init__(self) -> None:
        self._largest = 0
        self._low, self._high = np.inf, -np.inf
        #: What the values were taken for; empty before the first picture.
        self.description = ''

    def convert(self, pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Return 8 bits of 16, ``[H, W]`` or ``[H, W, C]``, rounded; the range grows by them."""
        self._largest = max(self._largest, int(pixels.max()))
        some = pixels[::_STRIDE, ::_STRIDE]
        low, high = np.percentile(some, [_OUTLIERS, 100 - _OUTLIERS])
        self._low, self._high = min(self._low, float(low)), max(self._high, float(high))
        bits = next(bits for bits in _DEPTHS if self._largest < 2**bits)
        white = 2**bits - 1
        extent = self._high - self._low
        if _MIN_RANGE <= extent < _NARROW * white and extent < self._low:
            self.description = f'a narrow range within {bits} of 16 bits, stretched'
            factor = 255 / extent
            return _scaled(pixels.clip(self._low, self._high), factor, -self._low * factor)
        self.description = f'{bits} of 16 bits'
        return _scaled(pixels, 255 / white)


def _scaled(values: NDArray[Any], factor: float, offset: float = 0.0) -> NDArray[np.uint8]:
    """Return values that are none below 0, rounded."""
    return np.asarray(cv2.convertScaleAbs(values, alpha=factor, beta=offset), np.uint8)
