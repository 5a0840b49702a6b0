"""The network by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mirror_depth_ros.engines.backend import package_version, require_packages
from mirror_depth_ros.engines.onnx_export import DEPTH, FOCAL_PX, IMAGE

_CPU, _CUDA, _TENSORRT = (f'{name}ExecutionProvider' for name in ('CPU', 'CUDA', 'Tensorrt'))


class OnnxRuntime:
    """ONNX Runtime on a CPU in fp32; on a GPU by CUDA in fp32 and by TensorRT in fp16."""

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
        by_tensorrt = device.type == 'cuda' and _TENSORRT in available
        self.precision = ('fp16' if by_tensorrt else 'fp32') if precision == 'auto' else precision
        if self.precision == 'bf16' or (self.precision == 'fp16' and not by_tensorrt):
            raise ValueError(
                f"got backend 'onnxruntime' in {self.precision} on {device}, expected fp32, or "
                'fp16 where it has TensorRT; set precision fp32 or auto, or another backend'
            )
        self._providers: list[Any] = [_CPU]
        if device.type == 'cuda':
            options = {'device_id': device.index or 0}
            self._providers.insert(0, (_CUDA, options))
            if self.precision == 'fp16':
                self._providers.insert(0, (_TENSORRT, {**options, 'trt_fp16_enable': True}))

    @property
    def traits(self) -> tuple[str, ...]:
        """Version and providers."""
        return (package_version(self.name), str(self._providers))

    def compile(self, onnx: bytes) -> bytes:
        """Return the ONNX file itself: the session that reads it optimises it in no time."""
        return onnx

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

    def __call__(self, images: Tensor, focal_px: Tensor) -> Tensor:
        """Return metric depth, see :class:`~mirror_depth_ros.engines.backend.Engine`."""
        inputs = {IMAGE: images.cpu().numpy(), FOCAL_PX: focal_px.cpu().numpy()}
        (depth,) = self._session.run([DEPTH], inputs)
        return torch.from_numpy(depth).to(images.device)
