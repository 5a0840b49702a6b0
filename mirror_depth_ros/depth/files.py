"""Files of depth, pictures and point clouds. Each appears whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray


def depth_to_millimetres(depth: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return depth as 16-bit millimetres, 0 where there is none (REP-118).

    :param depth: metres along Z, ``[H, W]``; what is not finite, not positive or beyond 65.535 m
        becomes 0.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        millimetres = np.round(np.asarray(depth, np.float64) * 1000)
        valid = (depth > 0) & (millimetres <= np.iinfo(np.uint16).max)
    return np.where(valid, millimetres, 0).astype(np.uint16)


def write_depth_png(path: str | os.PathLike[str], depth: NDArray[np.floating]) -> None:
    """Write metres ``[H, W]`` as a 16-bit PNG of millimetres, 0 = invalid.

    :raises OSError: naming the file and the reason.
    """
    _write_png(path, depth_to_millimetres(depth))


def write_confidence_png(path: str | os.PathLike[str], confidence: NDArray[np.floating]) -> None:
    """Write confidence ``[H, W]`` of 0 to 1 as an 8-bit PNG of 0 to 255.

    :raises OSError: naming the file and the reason.
    """
    _write_png(path, np.round(np.clip(confidence, 0, 1) * 255).astype(np.uint8))


def write_rgb_png(path: str | os.PathLike[str], rgb: NDArray[np.uint8]) -> None:
    """Write an RGB uint8 ``[H, W, 3]`` picture.

    :raises OSError: naming the file and the reason.
    """
    _write_png(path, np.ascontiguousarray(rgb[..., ::-1]))


def write_ply(
    path: str | os.PathLike[str], points: NDArray[np.floating], rgb: NDArray[np.uint8]
) -> None:
    """Write a coloured cloud as binary PLY; points that are not finite are left out.

    :param points: x, y, z [m], ``[..., 3]``.
    :param rgb: their colours, ``[..., 3]`` of the same leading shape.
    :raises ValueError: if the shapes differ.
    :raises OSError: naming the file and the reason.
    """
    import plyfile

    if points.shape != rgb.shape or points.shape[-1] != 3:
        raise ValueError(
            f'got points of shape {points.shape} and colours of shape {rgb.shape}, expected the '
            'same [..., 3]'
        )
    points, rgb = points.reshape(-1, 3), rgb.reshape(-1, 3)
    finite = np.isfinite(points).all(axis=-1)
    fields = [(name, '<f4') for name in ('x', 'y', 'z')]
    fields += [(name, 'u1') for name in ('red', 'green', 'blue')]
    vertices = np.empty(int(finite.sum()), dtype=fields)
    for i, (name, _) in enumerate(fields):
        vertices[name] = points[finite, i] if i < 3 else rgb[finite, i - 3]
    element = plyfile.PlyElement.describe(vertices, 'vertex')
    _replace(path, plyfile.PlyData([element], byte_order='<').write)


def make_folder(folder: Path) -> None:
    """Make a folder for results, where it is missing, with all above it.

    :raises OSError: naming the folder and the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f'could not make the folder {folder}: {error.strerror}; choose another one'
        ) from error


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file that must survive a power cut: it is on the disk before it gets its name.

    :raises OSError: naming the file and the reason.
    """

    def write(file: BinaryIO) -> None:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

    _replace(path, write)


def write_json(path: str | os.PathLike[str], content: Mapping[str, object]) -> None:
    """Write plain values as JSON, making the folder where it is missing.

    :raises OSError: naming the file and the reason.
    """
    make_folder(Path(path).parent)
    write_bytes(path, (json.dumps(content, indent=2) + '\n').encode())


def _write_png(path: str | os.PathLike[str], image: NDArray[np.generic]) -> None:
    """Encode and write: cv2.imwrite would fail without saying so."""
    encoded, data = cv2.imencode('.png', image)
    if not encoded:
        raise OSError(f'could not encode {path} from {image.dtype} {image.shape}')
    _replace(path, lambda file: file.write(data.tobytes()))


def _replace(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary neighbour, then put that in the file's place."""
    path = Path(path)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        try:
            with temporary.open('wb') as file:
                write(file)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            f'could not write {path}: {error.strerror or error}; check the folder and its space'
        ) from error
