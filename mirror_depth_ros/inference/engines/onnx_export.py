"""A network as an ONNX file's bytes."""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mirror_depth_ros.inference.engines.backend import require_packages
from mirror_depth_ros.model.depth_network import DepthNetwork

if TYPE_CHECKING:
    from onnx import NodeProto

#: Names of the file's inputs; its outputs have the network's.
IMAGE, FOCAL_PX = 'image', 'focal_px'
#: What torch.onnx writes natively; newer ones it would have to convert to.
OPSET = 18
#: Of the container, which torch.onnx writes newer than these operators need.
IR_VERSION = 8
# Where torch.onnx notes, node by node, which modules it is of.
_MODULES = 'pkg.torch.onnx.name_scopes'


def export_onnx(
    network: DepthNetwork,
    size: tuple[int, int],
    *,
    any_size: bool = False,
    opset: int = OPSET,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return a folded network for images of one size, or of any, in batches of any, in fp32.

    Inputs are ``image``, RGB in 0..1, float32 ``[batch, 3, h, w]``, and ``focal_px``, the focal
    length at that size, float32 ``[batch]``; the outputs are the network's, see
    :meth:`.DepthNetwork.compute`: ``depth``, metres along Z, float32 ``[batch, 1, h, w]``, and of
    networks that have them ``log_scale`` of the same shape and ``strangeness``, ``[batch]``. The
    positional embeddings of that size are constants of the file.

    :param size: height and width, multiples of the patch size [pixels].
    :param any_size: leave them open, for networks with convolutional towers; ``size`` is then an
        example, of more than one patch each way.
    :param metadata: entries of the file's ``metadata_props``.
    :raises ValueError: for another size, packages that are missing, or a network that cannot be
        exported.
    """
    require_packages(['onnx', 'onnxscript'], 'an export to ONNX')
    device = next(network.parameters()).device
    # Two images, as tracing takes a batch of one for a constant.
    example = (torch.rand(2, 3, *size, device=device), torch.ones(2, device=device))
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # fused attention has no counterpart in ONNX
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), torch.inference_mode(False), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # its own deprecations
            network(*example)  # the positional table is computed here, not in the file
            program = torch.onnx.export(
                _AllOutputs(network),
                example,
                dynamo=True,
                input_names=[IMAGE, FOCAL_PX],
                output_names=list(network.outputs),
                dynamic_shapes=_dynamic_shapes(network, any_size=any_size),
                opset_version=opset,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(
            f'got a network that cannot be exported to ONNX opset {opset} '
            f'({str(error).partition(chr(10))[0]}); use backend torch, or opset {OPSET}'
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        logger.setLevel(level)
    assert program is not None  # with dynamo=True there is one
    proto = program.model_proto
    proto.ir_version = IR_VERSION
    if any_size:
        for value in (proto.graph.input[0], *proto.graph.output):
            shape = value.type.tensor_type.shape.dim
            if len(shape) == 4:  # image, depth, log_scale
                shape[2].dim_param, shape[3].dim_param = 'height', 'width'
        del proto.graph.value_info[:]  # in terms of patches; any runtime works them out
    for node in proto.graph.node:
        for i in reversed(range(len(node.metadata_props))):
            if node.metadata_props[i].key != _MODULES:  # stack traces name this computer's folders
                del node.metadata_props[i]
    for name, value in (metadata or {}).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = name, value
    return proto.SerializeToString()


class _AllOutputs(nn.Module):
    """A network that is asked for all it gives."""

    def __init__(self, network: DepthNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, focal_px: Tensor) -> list[Tensor]:
        return self.network.compute(self.network.outputs, images, focal_px)


def _dynamic_shapes(network: DepthNetwork, *, any_size: bool) -> tuple[dict[int, Any], ...]:
    """Return which axes of image and focal length the file leaves open, by name."""
    if not any_size:
        return {0: 'batch'}, {0: 'batch'}
    from torch.export import Dim  # takes long to import

    # torch.export takes multiples of the patch size for nothing else, and asks for limits.
    batch = Dim('batch', max=1024)
    rows, columns = (Dim(name, max=1024) for name in ('rows', 'columns'))
    patch = network.image_encoder.patch_size
    return {0: batch, 2: patch * rows, 3: patch * columns}, {0: batch}


def module_names(node: NodeProto) -> list[str]:
    """Return the names of the modules that a node of :func:`export_onnx` lies in, outer first."""
    entries = {entry.key: entry.value for entry in node.metadata_props}
    names = ast.literal_eval(entries.get(_MODULES, '[]'))
    return [name.removeprefix('network.') for name in names]  # of _AllOutputs
