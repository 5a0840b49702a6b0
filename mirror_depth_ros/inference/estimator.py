"""RGB array in, metric depth and confidence out: the one door between arrays and the network."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mirror_depth_ros.inference.engines.selection import EngineMaker
from mirror_depth_ros.inference.engines.shipped_onnx import shipped_onnx
from mirror_depth_ros.inference.process_tuning import free_caches, is_out_of_memory
from mirror_depth_ros.model.checkpoint import checkpoint_path, load_checkpoint
from mirror_depth_ros.model.confidence import confidence_of
from mirror_depth_ros.model.depth_network import DEPTH, LOG_SCALE, STRANGENESS, DepthNetwork

# The aspect of most cameras' images, height and width; the first engine is made for it.
_USUAL_IMAGE = (480, 640)

_Map = NDArray[np.float32]
#: Metres along Z, and how sure they are, 0 to 1, ``[H, W]`` each.
DepthAndConfidence = tuple[_Map, _Map]


class Estimate(NamedTuple):
    """All that is known of an image's depth."""

    #: Metres along Z, ``[H, W]``.
    depth: _Map
    #: How sure it is, 0 to 1, ``[H, W]``; None where that is not asked for.
    confidence: _Map | None
    #: Above 1 for an image that is unlike those of the training; None where that is not known.
    strangeness: float | None


class DepthEstimator:
    """A loaded depth model on a device. One thread at a time may use it.

    With ``degrade_on_oom`` it does with less when memory runs out: first it takes images one by
    one that came together, then a smaller input, once. A second time would hide that something
    else is taking more and more memory.
    """

    def __init__(
        self,
        model: DepthNetwork,
        engines: EngineMaker | None = None,
        *,
        onnx: bytes | None = None,
        degrade_on_oom: bool = False,
    ) -> None:
        """Fold a network, put it on a device and, for a backend, compile and verify it there.

        The engine for images of 4:3 is made here, those for others when they come.

        :param engines: makes what computes it; None: of ``auto`` backend, precision and device.
        :param onnx: the network as :func:`.shipped_onnx` returns
            it, so that no backend needs an export.
        :param degrade_on_oom: for a robot, which must go on; figures and files must not become
            coarser unasked.
        :raises ValueError: for a backend that computes something else than PyTorch.
        """
        engines = engines or EngineMaker()
        self.device = engines.device
        self.model_name = model.config.clip
        self._model = model.fold().to(self.device).eval()
        self._input_share = 1.0
        self._degrade_on_oom = degrade_on_oom
        # What became of batches and of the input, for people; empty as long as they are whole.
        self._batch_notice, self._input_notice = '', ''
        #: Called with ``preprocess`` and ``inference`` when these are done; for measurements.
        self.on_stage: Callable[[str], None] | None = None
        self._engine = engines.make(self._model, self.input_size(*_USUAL_IMAGE), onnx=onnx)
        #: What computes: ``torch``, ``onnxruntime`` or ``openvino``, and in what.
        self.backend, self.precision = self._engine.backend, self._engine.precision

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] = 'builtin',
        *,
        device: str = 'auto',
        precision: str = 'auto',
        clip_weights: str | None = None,
        backend: str = 'auto',
        degrade_on_oom: bool = False,
    ) -> DepthEstimator:
        """Load a depth model.

        :param model: ``builtin`` or the path of a checkpoint.
        :param device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        :param precision: ``auto``, ``fp32``, ``bf16``, ``fp16`` or ``int8`` (ONNX Runtime only);
            ``auto`` takes the fastest number format that the device computes natively, of floats.
        :param clip_weights: where this machine has the CLIP weights (tag or file), if elsewhere
            than where the model was trained; None for a CLIP that brings its own.
        :param backend: ``auto``, ``torch``, ``onnxruntime`` or ``openvino``; ``auto`` is the
            fastest of those that are at hand, see
            :class:`~mirror_depth_ros.inference.engines.selection.EngineMaker`.
        :param degrade_on_oom: whether to do with less when memory runs out.
        :raises FileNotFoundError: if there is no such model.
        :raises ValueError: for a damaged model, an unknown device, precision or backend.
        """
        engines = EngineMaker(backend=backend, precision=precision, device=device)
        network = load_checkpoint(model, clip_weights=clip_weights)
        onnx = None if backend == 'torch' else shipped_onnx(checkpoint_path(model))
        estimator = cls(network, engines, onnx=onnx, degrade_on_oom=degrade_on_oom)
        estimator.model_name = str(model)
        return estimator

    @property
    def min_depth(self) -> float:
        """Smallest depth at the reference focal length [m]."""
        return self._model.config.min_depth

    @property
    def max_depth(self) -> float:
        """Largest depth at the reference focal length [m]."""
        return self._model.config.max_depth

    @property
    def has_confidence(self) -> bool:
        """Whether the model says how sure it is of its depth."""
        return self._model.has_confidence

    def require_confidence(self) -> None:
        """Refuse to go on with a model that does not say how sure it is.

        :raises ValueError: naming it.
        """
        if not self.has_confidence:
            raise ValueError(
                f'got the model {self.model_name} without confidence, expected one that was '
                'trained with it (confidence: true in its recipe); do without, or choose another'
            )

    @property
    def notice(self) -> str:
        """What it does without for want of memory, for people; empty where it is nothing."""
        return '; '.join(filter(None, (self._batch_notice, self._input_notice)))

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size an image is resized to, see :meth:`DepthNetwork.input_size`."""
        return self._model.input_size(height, width, fraction=self._input_share)

    def shrink_input(self) -> None:
        """Resize images to half as many patches from now on: less memory, coarser depth."""
        self._input_share /= 2

    @overload
    def estimate(
        self, rgb: NDArray[np.uint8], focal_px: float, *, with_confidence: Literal[False] = ...
    ) -> _Map: ...

    @overload
    def estimate(
        self, rgb: NDArray[np.uint8], focal_px: float, *, with_confidence: Literal[True]
    ) -> DepthAndConfidence: ...

    def estimate(
        self, rgb: NDArray[np.uint8], focal_px: float, *, with_confidence: bool = False
    ) -> _Map | DepthAndConfidence:
        """Return the metric depth of one image and, if asked, how sure it is.

        :param rgb: uint8 ``[H, W, 3]``.
        :param focal_px: focal length at the image's own size [pixels].
        :param with_confidence: of models that have it, see :attr:`has_confidence`.
        :returns: metres along Z, float32 ``[H, W]``, finite and positive; with confidence, a pair
            of that and the probability that it is within a factor of 1.25 of the truth, float32
            ``[H, W]``, see :func:`~mirror_depth_ros.model.confidence.confidence_of`.
        :raises ValueError: for an array of another shape or type, an impossible focal length, or
            confidence that the model lacks.
        """
        (found,) = self.estimate_batch([rgb], [focal_px], with_confidence=with_confidence)
        if found.confidence is None:
            return found.depth
        return found.depth, found.confidence

    @torch.inference_mode()
    def estimate_batch(
        self,
        images: Sequence[NDArray[np.uint8]],
        focal_px: Sequence[float],
        *,
        with_confidence: bool = False,
    ) -> list[Estimate]:
        """Return what is known of the depth of several images, of one camera or of many.

        Images that come to the same size at the network's input go through it as one batch.

        :param images: uint8 ``[H, W, 3]`` each, of any sizes.
        :param focal_px: their focal lengths at their own sizes [pixels].
        :param with_confidence: as of :meth:`estimate`.
        :returns: depth and confidence as :meth:`estimate` has them, and more, in the same order.
        :raises ValueError: as :meth:`estimate`, or for another number of focal lengths than of
            images.
        :raises MemoryError: with ``degrade_on_oom``, if there is too little memory all the same.
        """
        if len(images) != len(focal_px):
            raise ValueError(
                f'got {len(images)} images and {len(focal_px)} focal lengths, expected one of '
                'each per camera'
            )
        for rgb, focal in zip(images, focal_px):
            _check_image(rgb, focal)
        if with_confidence:
            self.require_confidence()
        names = [n for n in self._model.outputs if n != LOG_SCALE or with_confidence]
        while True:
            try:
                estimates: dict[int, Estimate] = {}
                for size, batch in self._batches(images):
                    inputs = [images[i] for i in batch], [focal_px[i] for i in batch]
                    estimates |= zip(batch, self._predict(names, *inputs, size))
                return [estimates[i] for i in range(len(images))]
            except Exception as error:
                if not (self._degrade_on_oom and is_out_of_memory(error)):
                    raise
                reason = str(error).partition('\n')[0]
            # Here, not in the handler: the error holds all that was computed up to it.
            self._use_less_memory(images, reason)

    def _batches(
        self, images: Sequence[NDArray[np.uint8]]
    ) -> list[tuple[tuple[int, int], list[int]]]:
        """Return the input sizes, and the numbers of the images that go through together."""
        sizes = [self.input_size(*rgb.shape[:2]) for rgb in images]
        if self._batch_notice:
            return [(size, [i]) for i, size in enumerate(sizes)]
        return [
            (size, [i for i, other in enumerate(sizes) if other == size])
            for size in dict.fromkeys(sizes)
        ]

    def _predict(
        self,
        names: Sequence[str],
        images: list[NDArray[np.uint8]],
        focal_px: list[float],
        size: tuple[int, int],
    ) -> list[Estimate]:
        """Return what one pass through the network at that input size makes of images.

        :param names: of the network's outputs.
        """
        pixels = torch.cat([self._resize(rgb, size) for rgb in images])  # [B, 3, h, w]
        # Rounding to patches may stretch a little; the geometric mean is exact to first order.
        scales = [math.sqrt(math.prod(size) / math.prod(rgb.shape[:2])) for rgb in images]
        focals = torch.tensor([f * s for f, s in zip(focal_px, scales)], device=self.device)
        self._end_stage('preprocess')
        # The network's canonical depth is scaled to metres by the focal lengths in the engine.
        outputs = dict(zip(names, self._engine.compute(names, pixels / 255.0, focals)))
        self._end_stage('inference')
        sizes = [rgb.shape[:2] for rgb in images]
        depth = _resize_maps(outputs[DEPTH], sizes)
        confidence: Sequence[_Map | None] = [None] * len(images)
        if LOG_SCALE in outputs:
            confidence = _resize_maps(confidence_of(outputs[LOG_SCALE]), sizes)
        strangeness: Sequence[float | None] = [None] * len(images)
        if STRANGENESS in outputs:
            strangeness = outputs[STRANGENESS].tolist()
        return [Estimate(*parts) for parts in zip(depth, confidence, strangeness)]

    def _use_less_memory(self, images: Sequence[NDArray[np.uint8]], reason: str) -> None:
        """Give up batches or, where that is done, shrink the input; free what is kept for later.

        :raises MemoryError: if both are done.
        """
        free_caches()
        if len(images) > 1 and not self._batch_notice:
            self._batch_notice = (
                f'the model ran out of memory on {self.device} for {len(images)} images at once '
                'and takes them one by one now: depth is slower; free memory, then clean up and '
                'configure the node'
            )
            return
        if self._input_notice:
            raise MemoryError(
                f'got too little memory on {self.device} ({reason}), expected room for the '
                "model's input; end other programs there, or choose a smaller model"
            )
        before = self.input_size(*images[0].shape[:2])
        self.shrink_input()
        after = self.input_size(*images[0].shape[:2])
        self._input_notice = (
            f'the model ran out of memory on {self.device} and sees images at {after[1]} x '
            f'{after[0]} pixels now, in place of {before[1]} x {before[0]}: depth is coarser; '
            'free memory, then clean up and configure the node'
        )

    def _end_stage(self, name: str) -> None:
        if self.on_stage is not None:
            if self.device.type == 'cuda':
                torch.cuda.synchronize(self.device)
            self.on_stage(name)

    def _resize(self, rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """Return an image at the network's input size, on its device, ``[1, 3, h, w]``."""
        image = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.device)
        return nn.functional.interpolate(
            image.permute(2, 0, 1)[None].float(),
            size,
            mode='bilinear',
            antialias=True,
            align_corners=False,
        )


def _resize_maps(maps: Tensor, sizes: Sequence[tuple[int, ...]]) -> list[_Map]:
    """Return an output's maps, ``[B, 1, h, w]``, each at its image's own size, ``[H, W]``."""
    return [
        nn.functional.interpolate(part[None], size, mode='bilinear')[0, 0].cpu().numpy()
        for part, size in zip(maps, sizes)
    ]


def _check_image(rgb: NDArray[np.uint8], focal_px: float) -> None:
    """Refuse what is no image, and what is no focal length.

    :raises ValueError: for either.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(
            f'got an image of shape {rgb.shape} and type {rgb.dtype}, expected uint8 '
            '[H, W, 3] in RGB order'
        )
    if not (math.isfinite(focal_px) and focal_px > 0):
        raise ValueError(
            f'got a focal length of {focal_px}, expected positive pixels; calibrate the camera'
        )
