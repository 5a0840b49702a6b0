"""RGB array in, metric depth out: the one door between arrays and the network."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mirror_depth_ros.inference.engines.selection import EngineMaker
from mirror_depth_ros.inference.engines.shipped_onnx import shipped_onnx
from mirror_depth_ros.model.checkpoint import checkpoint_path, load_checkpoint
from mirror_depth_ros.model.depth_network import DepthNetwork

# The aspect of most cameras' images, height and width; the first engine is made for it.
_USUAL_IMAGE = (480, 640)


class DepthEstimator:
    """A loaded depth model on a device. One thread at a time may use it."""

    def __init__(
        self, model: DepthNetwork, engines: EngineMaker | None = None, *, onnx: bytes | None = None
    ) -> None:
        """Fold a network, put it on a device and, for a backend, compile and verify it there.

        The engine for images of 4:3 is made here, those for others when they come.

        :param engines: makes what computes it; None: of ``auto`` backend, precision and device.
        :param onnx: the network as :func:`.shipped_onnx` returns
            it, so that no backend needs an export.
        :raises ValueError: for a backend that computes something else than PyTorch.
        """
        engines = engines or EngineMaker()
        self.device = engines.device
        self.model_name = model.config.clip
        self._model = model.fold().to(self.device).eval()
        self._input_share = 1.0
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
        :raises FileNotFoundError: if there is no such model.
        :raises ValueError: for a damaged model, an unknown device, precision or backend.
        """
        engines = EngineMaker(backend=backend, precision=precision, device=device)
        network = load_checkpoint(model, clip_weights=clip_weights)
        onnx = None if backend == 'torch' else shipped_onnx(checkpoint_path(model))
        estimator = cls(network, engines, onnx=onnx)
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

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size an image is resized to, see :meth:`DepthNetwork.input_size`."""
        return self._model.input_size(height, width, fraction=self._input_share)

    def shrink_input(self) -> None:
        """Resize images to half as many patches from now on: less memory, coarser depth."""
        self._input_share /= 2

    def estimate(self, rgb: NDArray[np.uint8], focal_px: float) -> NDArray[np.float32]:
        """Return the metric depth of one image.

        :param rgb: uint8 ``[H, W, 3]``.
        :param focal_px: focal length at the image's own size [pixels].
        :returns: metres along Z, float32 ``[H, W]``, finite and positive.
        :raises ValueError: for an array of another shape or type, or an impossible focal length.
        """
        return self.estimate_batch([rgb], [focal_px])[0]

    @torch.inference_mode()
    def estimate_batch(
        self, images: Sequence[NDArray[np.uint8]], focal_px: Sequence[float]
    ) -> list[NDArray[np.float32]]:
        """Return the metric depth of several images, of one camera or of many.

        Images that come to the same size at the network's input go through it as one batch.

        :param images: uint8 ``[H, W, 3]`` each, of any sizes.
        :param focal_px: their focal lengths at their own sizes [pixels].
        :returns: as :meth:`estimate` for each, in the same order.
        :raises ValueError: for arrays of another shape or type, an impossible focal length, or
            another number of focal lengths than of images.
        """
        if len(images) != len(focal_px):
            raise ValueError(
                f'got {len(images)} images and {len(focal_px)} focal lengths, expected one of '
                'each per camera'
            )
        for rgb, focal in zip(images, focal_px):
            _check_image(rgb, focal)
        groups: dict[tuple[int, int], list[int]] = {}
        for i, rgb in enumerate(images):
            groups.setdefault(self.input_size(*rgb.shape[:2]), []).append(i)
        depths: dict[int, NDArray[np.float32]] = {}
        for size, group in groups.items():
            batch = self._predict([images[i] for i in group], [focal_px[i] for i in group], size)
            depths |= zip(group, batch)
        return [depths[i] for i in range(len(images))]

    def _predict(
        self, images: list[NDArray[np.uint8]], focal_px: list[float], size: tuple[int, int]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the depth of images, by one pass through the network at that input size."""
        pixels = torch.cat([self._resize(rgb, size) for rgb in images])  # [B, 3, h, w]
        # Rounding to patches may stretch a little; the geometric mean is exact to first order.
        scales = [math.sqrt(math.prod(size) / math.prod(rgb.shape[:2])) for rgb in images]
        focals = torch.tensor([f * s for f, s in zip(focal_px, scales)], device=self.device)
        self._end_stage('preprocess')
        depths = self._engine(pixels / 255.0, focals)  # [B, 1, h, w]
        self._end_stage('inference')
        for rgb, depth in zip(images, depths):
            resized = nn.functional.interpolate(depth[None], rgb.shape[:2], mode='bilinear')
            yield resized[0, 0].cpu().numpy()

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
