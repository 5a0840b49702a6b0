"""The network by ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mirror_depth_ros.inference.engines.backend import package_version, require_packages
from mirror_depth_ros.inference.engines.onnx_export import FOCAL_PX, IMAGE, module_names

_CPU, _CUDA = (f'{name}ExecutionProvider' for name in ('CPU', 'CUDA'))

_PRODUCTS = ['MatMul', 'Gemm']


class OnnxRuntime:
    """ONNX Runtime on a CPU in fp32 and int8; on a GPU by CUDA in fp32.

    Not by its TensorRT provider, which compiles anew at each start and for each number of images.

    In int8, the weights of the image encoder's matrix products are 8-bit integers with a scale per
    output, and what they are multiplied with is rounded to 8 bits between its smallest and largest
    value, for each batch anew. It asks for no pictures beforehand. Everything else stays in fp32:
    the decoder is small, and rounding it makes sixteen times the error.
    """

    name = 'onnxruntime'

    def __init__(self, precision: str, device: torch.device) -> None:
        """Choose the providers.

        :raises ValueError: for a device or precision that the installed ONNX Runtime lacks.
        """
        require_packages(['onnxruntime'], "backend 'onnxruntime'")
        import onnxruntime

        available = onnxruntime.get_available_providers()
        if device.type == 'cuda' and _CUDA not in available:
            raise ValueError(
                f"got backend 'onnxruntime' on {device}, which has the providers "
                f'{", ".join(available)}, expected {_CUDA}; pip install onnxruntime-gpu, or set '
                'device cpu'
            )
        if device.type not in ('cpu', 'cuda'):
            raise ValueError(
                f"got backend 'onnxruntime' on {device}, expected cpu or cuda; use backend torch"
            )
        self.precision = 'fp32' if precision == 'auto' else precision
        if self.precision != 'fp32' and (self.precision, device.type) != ('int8', 'cpu'):
            raise ValueError(
                f"got backend 'onnxruntime' in {self.precision} on {device}, expected fp32, or "
                'int8 on a CPU; set precision fp32 or auto, or another backend'
            )
        # Without these instructions, sums of 8-bit products overflow; of 7-bit weights they do
        # not. https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
        self._narrow = not getattr(torch.cpu, '_is_vnni_supported', bool)()
        self._providers: list[Any] = [_CPU]
        if device.type == 'cuda':
            # By default it computes fp32 in TF32, which the check would refuse.
            options = {'device_id': device.index or 0, 'use_tf32': 0}
            self._providers.insert(0, (_CUDA, options))

    @property
    def traits(self) -> tuple[str, ...]:
        """Version, providers and the width of integers."""
        return (package_version(self.name), str(self._providers), str(self._narrow))

    def compile(self, onnx: bytes, size: tuple[int, int]) -> bytes:
        """Return the ONNX file, in int8 with its weights rounded.

        The session that reads it optimises it in no time.
        """
        if self.precision != 'int8':
            return onnx
        from onnx import load_from_string
        from onnxruntime.quantization import QuantType, quantize_dynamic

        products = [
            node.name
            for node in load_from_string(onnx).graph.node
            if node.op_type in _PRODUCTS and 'image_encoder' in module_names(node)
        ]
        if not products:
            raise ValueError(
                'got precision int8 for an image encoder without matrix products, expected a ViT: '
                'convolutions are not rounded; set precision auto or fp32'
            )
        with tempfile.TemporaryDirectory() as folder:
            exact, rounded = Path(folder, 'exact.onnx'), Path(folder, 'rounded.onnx')
            exact.write_bytes(onnx)
            quantize_dynamic(
                exact,
                rounded,
                nodes_to_quantize=products,
                op_types_to_quantize=_PRODUCTS,
                per_channel=True,
                reduce_range=self._narrow,
                weight_type=QuantType.QInt8,
            )
            return rounded.read_bytes()

    def load(self, compiled: bytes) -> _Session:
        """Return a session with as many threads as PyTorch has."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        # As for PyTorch's: on a shared computer, a thread that spins keeps others from working.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        session = onnxruntime.InferenceSession(compiled, options, providers=self._providers)
        return _Session(session)


class _Session:
    def __init__(self, session: Any) -> None:
        self._session = session

    def compute(self, names: Sequence[str], images: Tensor, focal_px: Tensor) -> list[Tensor]:
        """Return what is asked for, see :class:`.Engine`."""
        inputs = {IMAGE: images.cpu().numpy(), FOCAL_PX: focal_px.cpu().numpy()}
        outputs = self._session.run(list(names), inputs)
        return [torch.from_numpy(output).to(images.device) for output in outputs]
