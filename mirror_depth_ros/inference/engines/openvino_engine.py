"""The network by OpenVINO, on a CPU."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mirror_depth_ros.inference.engines.backend import package_version, require_packages
from mirror_depth_ros.inference.engines.onnx_export import FOCAL_PX, IMAGE
from mirror_depth_ros.inference.process_tuning import gc_paused

_HINTS = {'fp32': 'f32', 'bf16': 'bf16'}


class OpenVino:
    """OpenVINO's CPU plug-in, in fp32 or bf16."""

    name = 'openvino'

    def __init__(self, precision: str, device: torch.device) -> None:
        """Look what the processor can do.

        :raises ValueError: for a device or precision that it does not compute on.
        """
        require_packages(['openvino'], "backend 'openvino'")
        if device.type != 'cpu':
            raise ValueError(
                f"got backend 'openvino' on {device}, expected cpu; set device cpu or use another "
                'backend'
            )
        self._core = openvino_core()
        has_bf16 = 'BF16' in self._core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        if precision == 'auto':
            precision = 'bf16' if has_bf16 else 'fp32'
        if precision not in _HINTS or (precision == 'bf16' and not has_bf16):
            raise ValueError(
                f"got backend 'openvino' in {precision}, expected fp32"
                f'{" or bf16" if has_bf16 else ", as this CPU has no bf16"}; set precision auto'
            )
        self.precision = precision

    @property
    def traits(self) -> tuple[str, ...]:
        """Version, processor and settings."""
        settings = str(sorted(self._settings.items()))
        return (
            package_version(self.name),
            self._core.get_property('CPU', 'FULL_DEVICE_NAME'),
            settings,
        )

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            'INFERENCE_PRECISION_HINT': _HINTS[self.precision],
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_NUM_THREADS': torch.get_num_threads(),
        }

    def compile(self, onnx: bytes, size: tuple[int, int]) -> bytes:
        """Return the compiled network, which loads several times as fast as it is compiled."""
        # Not openvino.convert_model, which would report its use to OpenVINO's makers.
        network = self._core.read_model(onnx)
        network.reshape({IMAGE: [-1, 3, *size], FOCAL_PX: [-1]})  # of one size, it is faster
        compiled = self._core.compile_model(network, 'CPU', self._settings)
        stream = io.BytesIO()
        compiled.export_model(stream)
        return stream.getvalue()

    def load(self, compiled: bytes) -> _Request:
        """Return the network, ready to compute."""
        return _Request(self._core.import_model(compiled, 'CPU', self._settings))


class _Request:
    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()

    def compute(self, names: Sequence[str], images: Tensor, focal_px: Tensor) -> list[Tensor]:
        """Return what is asked for, see :class:`.Engine`."""
        inputs = {IMAGE: images.contiguous().numpy(), FOCAL_PX: focal_px.numpy()}
        outputs = self._request.infer(inputs, share_outputs=True)
        # The request overwrites its own outputs with the next images'.
        return [torch.from_numpy(outputs[name].copy()) for name in names]


@functools.cache
def openvino_core() -> Any:
    """Return OpenVINO's core, the only one of this process, for as long as it lives.

    Each core's CPU plug-in gives its thread a stack for signal handlers, and takes it away with
    itself. Of two cores, whichever goes last puts back the stack that the first has freed, and the
    next signal that Python handles, such as Ctrl-C, ends the process with SIGSEGV.
    """
    return _import_openvino().Core()


def _import_openvino() -> ModuleType:
    """Import OpenVINO without its converters of other formats.

    They take most of the time of its import, and through them, openvino counts its use in ~/intel
    and may tell its makers. It does without a module that is not there, which None says.
    """
    # For good: whoever wants the converters may import openvino.tools.ovc, but nobody is told.
    sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
    converters = 'openvino.tools.ovc'
    is_hidden = 'openvino' not in sys.modules
    if is_hidden:
        sys.modules.setdefault(converters, None)  # type: ignore[arg-type]
    try:
        with gc_paused():
            import openvino
    finally:
        if is_hidden:
            sys.modules.pop(converters, None)
    return openvino
