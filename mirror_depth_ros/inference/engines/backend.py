"""What backends there are, and what a library has to bring to be one."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Protocol

from torch import Tensor

#: Names a user can give; ``auto`` is the fastest that needs no export, see ``selection.py``.
BACKENDS = ('auto', 'torch', 'onnxruntime', 'openvino')

#: Names of what it may compute in; ``auto`` is the fastest of floats.
PRECISIONS = ('auto', 'fp32', 'bf16', 'fp16', 'int8')


class Engine(Protocol):
    """A network's outputs for images of one size."""

    def compute(self, names: Sequence[str], images: Tensor, focal_px: Tensor) -> list[Tensor]:
        """Return what is asked for, see :meth:`.DepthNetwork.compute`.

        :param names: of the network's outputs.
        :param images: RGB in 0..1, float32 ``[B, 3, h, w]``.
        :param focal_px: focal lengths at that size [pixels], float32 ``[B]``.
        :returns: float32, on the images' device.
        """


class Compiler(Protocol):
    """A library that computes ONNX networks, for one device and precision."""

    #: As in :data:`BACKENDS`.
    name: str
    #: What it computes in: ``fp32``, ``bf16`` or ``int8``.
    precision: str

    @property
    def traits(self) -> tuple[str, ...]:
        """What its compiled engines depend on: versions, device, settings."""

    def compile(self, onnx: bytes, size: tuple[int, int]) -> bytes:
        """Return an ONNX file in the form that this library loads fastest.

        :param size: height and width of the images, which the file may leave open [pixels].
        """

    def load(self, compiled: bytes) -> Engine:
        """Return the engine that :meth:`compile` made."""


def check_backend(name: str) -> None:
    """Refuse a name that is none.

    :raises ValueError: for it.
    """
    if name not in BACKENDS:
        raise ValueError(f'got backend {name!r}, expected one of {", ".join(BACKENDS)}')


def check_precision(name: str) -> None:
    """Refuse a name that is none.

    :raises ValueError: for it.
    """
    if name not in PRECISIONS:
        raise ValueError(f'got precision {name!r}, expected one of {", ".join(PRECISIONS)}')


def require_packages(names: Sequence[str], purpose: str) -> None:
    """Refuse to go on without packages.

    :param purpose: what they are needed for, such as ``backend 'openvino'``.
    :raises ValueError: naming those that are missing, and the command that installs them.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ValueError(
            f'got {purpose} without the Python packages {", ".join(missing)}, expected them '
            f'installed; run: pip install {" ".join(missing)}'
        )


def package_version(name: str) -> str:
    """Return the version of an installed package, ``unknown`` for one without."""
    try:
        return version(name)
    except PackageNotFoundError:
        return 'unknown'
