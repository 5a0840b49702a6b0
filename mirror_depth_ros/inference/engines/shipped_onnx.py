"""A checkpoint's network as an ONNX file beside it: what starts need not export."""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from mirror_depth_ros.depth.files import write_bytes
from mirror_depth_ros.inference.engines.backend import require_packages
from mirror_depth_ros.inference.engines.onnx_export import export_onnx
from mirror_depth_ros.inference.engines.onnx_file import file_metadata
from mirror_depth_ros.inference.engines.onnxruntime_engine import OnnxRuntime
from mirror_depth_ros.inference.engines.shared_bytes import put_back, take_out
from mirror_depth_ros.inference.engines.verification import verify
from mirror_depth_ros.model.checkpoint import checkpoint_path, load_checkpoint
from mirror_depth_ros.model.clip_loading import weights_in
from mirror_depth_ros.model.depth_network import DepthNetwork

#: Of a file as :func:`write_shipped_onnx` writes it.
SUFFIX = '.onnx_parts'

_HASH = 'checkpoint_sha256'
_COMMAND = 'python -m mirror_depth_ros.inference.engines.shipped_onnx'
# Smaller tensors are not worth a node of their own.
_LEAST_PACKED = 256

_logger = logging.getLogger(__name__)


def shipped_onnx(checkpoint: Path) -> bytes | None:
    """Return the ONNX file that is kept beside a checkpoint, for images of any size.

    :returns: None where there is none and, with a warning, for one of other weights.
    """
    path = checkpoint.with_suffix(SUFFIX)
    try:
        onnx = put_back(path.read_bytes(), path.parent)
        # As protobuf lays an entry of the metadata out: key, then a value of 64 characters.
        if f'{_HASH}\x12\x40{_sha256(checkpoint)}'.encode() in onnx:
            return onnx
    except OSError:
        return None
    except ValueError as error:
        _logger.debug('%s', error)
    _logger.warning(
        'got %s of other weights than %s, expected its own: it is not used; run %s %s',
        *(path, checkpoint.name, _COMMAND, checkpoint),
    )
    return None


def check_outputs(onnx: bytes, network: DepthNetwork) -> None:
    """Refuse a file that was made when its network gave less.

    :param onnx: as :func:`shipped_onnx` returns it.
    :raises ValueError: for such a file.
    """
    for name in network.outputs:
        # As protobuf lays a graph's output out: length and characters of its name, then its type.
        if b'\n%c%b\x12' % (len(name), name.encode()) not in onnx:
            raise ValueError(
                f'got a {SUFFIX} file without the output {name}, expected all that its model '
                f'gives; make the file anew by {_COMMAND} CHECKPOINT, or use backend torch'
            )


def write_shipped_onnx(checkpoint: Path, network: DepthNetwork | None = None) -> Path:
    """Keep a checkpoint's network beside it as ONNX, for images of any size; return the path.

    Weights that half precision holds exactly are kept in it, which is half of the bytes; what lies
    in the checkpoint, or in its CLIP's folder beside it, is not kept again.

    :param network: what the checkpoint holds; None: it is loaded.
    :raises ValueError: for packages that are missing, or a network that does not compute the same
        from the file at several sizes; nothing is written then.
    :raises OSError: if the file cannot be written.
    """
    network = (network or load_checkpoint(checkpoint)).fold().eval()
    height, width = size = network.config.input_size
    metadata = {**file_metadata(network), _HASH: _sha256(checkpoint)}
    onnx = _pack(export_onnx(network, size, any_size=True, metadata=metadata))
    engine = OnnxRuntime('fp32', torch.device('cpu')).load(onnx)
    patch = network.image_encoder.patch_size
    for other in (size, (width, height), (patch, 2 * patch)):
        verify(engine, network, other, 'fp32')
    path = checkpoint.with_suffix(SUFFIX)
    files = [checkpoint]
    if (checkpoint.parent / network.config.clip).is_dir():
        files.append(weights_in(checkpoint.parent / network.config.clip))
    names = [str(file.relative_to(checkpoint.parent)) for file in files]
    write_bytes(path, take_out(onnx, checkpoint.parent, names))
    return path


def _pack(onnx: bytes) -> bytes:
    """Return an ONNX file with those weights in fp16, and cast, that lose nothing by it."""
    require_packages(['onnx'], 'a smaller ONNX file')
    import numpy as np
    from onnx import TensorProto, helper, load_from_string, numpy_helper

    proto = load_from_string(onnx)
    casts = []
    for tensor in proto.graph.initializer:
        exact = numpy_helper.to_array(tensor)
        if exact.dtype != np.float32 or exact.size < _LEAST_PACKED:
            continue
        with np.errstate(over='ignore'):
            half = exact.astype(np.float16)
        if np.array_equal(half.astype(np.float32), exact):
            name, packed = tensor.name, f'{tensor.name}_fp16'
            tensor.CopyFrom(numpy_helper.from_array(half, packed))
            casts.append(helper.make_node('Cast', [packed], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto.SerializeToString()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files of checkpoints, by default that of the built-in model."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument('checkpoints', nargs='*', default=['builtin'], metavar='CHECKPOINT')
    for name in parser.parse_args(arguments).checkpoints:
        path = write_shipped_onnx(checkpoint_path(name))
        print(f'{path}: {path.stat().st_size / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
