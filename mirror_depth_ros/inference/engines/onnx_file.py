"""A network as an ONNX file that says what it is and computes the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from mirror_depth_ros import __version__
from mirror_depth_ros.depth.files import write_bytes
from mirror_depth_ros.inference.engines.engine_set import network_fingerprint
from mirror_depth_ros.inference.engines.onnx_export import OPSET, export_onnx
from mirror_depth_ros.inference.engines.onnxruntime_engine import OnnxRuntime
from mirror_depth_ros.inference.engines.verification import verify
from mirror_depth_ros.model.depth_network import DepthNetwork


def write_onnx(
    network: DepthNetwork,
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    opset: int = OPSET,
) -> dict[str, Any]:
    """Write a network, after ONNX Runtime has computed from the file's bytes what PyTorch does.

    Inputs, output and units are those of :func:`.export_onnx` and stand in the file's
    ``metadata_props``.

    :param size: height and width of its images; None for those it was trained at [pixels].
    :returns: height, width, the error that was found and the file's bytes.
    :raises ValueError: for a size that the patches do not divide, packages that are missing, or a
        file that would compute something else; nothing is written then.
    :raises OSError: if the file cannot be written.
    """
    network = network.fold().eval()
    runtime = OnnxRuntime('fp32', torch.device('cpu'))
    size = network.config.input_size if size is None else size
    patch = network.image_encoder.patch_size
    if any(side < patch or side % patch for side in size):
        raise ValueError(
            f'got a size of {size[0]} x {size[1]}, expected multiples of the patch size {patch}'
        )
    metadata = {**file_metadata(network), 'height': str(size[0]), 'width': str(size[1])}
    onnx = export_onnx(network, size, opset=opset, metadata=metadata)
    error = verify(runtime.load(onnx), network, size, 'fp32')
    write_bytes(Path(path), onnx)
    return {
        'height': size[0],
        'width': size[1],
        'opset': opset,
        'relative_error': error,
        'bytes': len(onnx),
    }


def file_metadata(network: DepthNetwork) -> dict[str, str]:
    """Return what a network's file says of itself, for images of whatever size."""
    facts = {
        'producer': f'mirror_depth_ros {__version__}',
        'model_hash': network_fingerprint(network),
        'image': 'RGB in 0..1, float32 [batch, 3, height, width]',
        'focal_px': 'focal length at this size [pixels], float32 [batch]',
        'depth': 'metres along Z, float32 [batch, 1, height, width]',
        'reference_focal_px': str(network.config.reference_focal_px),
        'min_depth': str(network.config.min_depth),
        'max_depth': str(network.config.max_depth),
    }
    if network.has_confidence:
        facts['log_scale'] = (
            'ln b of the Laplace distribution over ln depth, to be clamped to -5..2, float32 '
            '[batch, 1, height, width]; 1 - exp(-ln 1.25 / b) is the probability that depth is '
            'within a factor of 1.25 of the truth'
        )
    return facts
