"""When a model runs out of memory: no batches, once the next smaller input, and it goes on."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.inference.interfaces import Estimator, Shrinkable

# What PyTorch, ONNX Runtime and OpenVINO say where an allocation fails; the first is
# OutOfMemoryError's, the second that of the other two.
_WORDS = (
    'out of memory',
    'Failed to allocate',
    "can't allocate memory",
    'not enough memory',
    'STATUS_ALLOC_FAILED',
    'bad_alloc',
)

_IS_LINUX = sys.platform.startswith('linux')


class FrugalEstimator:
    """An estimator that does with less when memory runs out.

    At first it takes images one by one that came together; then a smaller input, once. A second
    time would hide that something else is taking more and more memory.
    """

    def __init__(self, estimator: Estimator) -> None:
        """Wrap an estimator; one that is not :class:`Shrinkable` fails as it did."""
        self._estimator = estimator
        # What became of batches and of the input, for people; empty as long as they are whole.
        self._of_batches, self._of_input = '', ''

    @property
    def notice(self) -> str:
        """What it does without, for people; empty where it is nothing."""
        return '; '.join(filter(None, (self._of_batches, self._of_input)))

    @property
    def device(self) -> object:
        """Where it runs."""
        return self._estimator.device

    @property
    def precision(self) -> str:
        """Its number format."""
        return self._estimator.precision

    @property
    def backend(self) -> str:
        """What computes."""
        return self._estimator.backend

    def estimate(self, rgb: NDArray[np.uint8], focal_px: float) -> NDArray[np.float32]:
        """Return metres along Z, ``[H, W]``, for RGB uint8 ``[H, W, 3]``.

        :raises MemoryError: if there is too little memory for the smaller input as well.
        """
        try:
            return self._estimator.estimate(rgb, focal_px)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition('\n')[0]
        # Here, not in the handler: the error holds all that was computed up to it.
        self._make_room(rgb.shape[0], rgb.shape[1], reason)
        return self._estimator.estimate(rgb, focal_px)

    def estimate_batch(
        self, images: Sequence[NDArray[np.uint8]], focal_px: Sequence[float]
    ) -> list[NDArray[np.float32]]:
        """Return the same for each of several images, of any sizes, in their order.

        :raises MemoryError: as :meth:`estimate`.
        """
        if len(images) > 1 and not self._of_batches:
            try:
                return self._estimator.estimate_batch(images, focal_px)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            free_caches()
            self._of_batches = (
                f'the model ran out of memory on {self.device} for {len(images)} images at once '
                'and takes them one by one now: depth is slower; free memory, then clean up and '
                'configure the node'
            )
        return [self.estimate(rgb, focal) for rgb, focal in zip(images, focal_px)]

    def _make_room(self, height: int, width: int, reason: str) -> None:
        """Shrink the input and free what is kept for later use."""
        free_caches()
        estimator = self._estimator
        if self._of_input or not isinstance(estimator, Shrinkable):
            raise MemoryError(
                f'got too little memory on {self.device} ({reason}), expected room for the '
                "model's input; end other programs there, or choose a smaller model"
            )
        before = estimator.input_size(height, width)
        estimator.shrink_input()
        after = estimator.input_size(height, width)
        self._of_input = (
            f'the model ran out of memory on {self.device} and sees images at {after[1]} x '
            f'{after[0]} pixels now, in place of {before[1]} x {before[0]}: depth is coarser; '
            'free memory, then clean up and configure the node'
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on whatever device."""
    if isinstance(error, MemoryError):
        return True
    # ONNX Runtime's own errors are of Exception alone; the package may not be there to ask.
    is_of_onnxruntime = type(error).__module__.partition('.')[0] == 'onnxruntime'
    if not (isinstance(error, RuntimeError) or is_of_onnxruntime):
        return False
    return any(words in str(error) for words in _WORDS)


def free_caches() -> None:
    """Give back to the system what Python, the C library and PyTorch keep for later use."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None) if _IS_LINUX else None  # glibc's own
    if trim is not None:
        trim(0)
    torch = sys.modules.get('torch')  # loaded with the model, and not to be loaded for this
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()
