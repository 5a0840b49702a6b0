"""Procedural surfaces: planks, tiles, carpet, plaster, concrete, brick, asphalt, grass, fronts."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from research.scenes.mesh import Material, Texture

_SIZE = 256
Image = NDArray[np.float32]


def cloud_noise(rng: np.random.Generator, cells: tuple[int, ...], size: int = _SIZE) -> Image:
    """Return smooth tiling noise of several scales, mean 0, about -1 to 1, ``[S, S]``."""
    total = np.zeros((size, size), np.float32)
    for i, count in enumerate(cells):
        grid = rng.standard_normal((count, count), np.float32)
        grid = np.pad(grid, 2, mode='wrap')
        side = round(size * (count + 4) / count)
        big = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        edge = (side - size) // 2
        total += big[edge : edge + size, edge : edge + size] / (i + 1.0)
    return np.asarray(total / 2, np.float32)


def _colour(rng: np.random.Generator, low: float, high: float, saturation: float) -> NDArray:
    """Return a random sRGB colour of a brightness between low and high."""
    hue = rng.normal(0, saturation, 3)
    return np.clip(rng.uniform(low, high) * (1 + hue - hue.mean()), 0.02, 0.98)


def _wood(rng: np.random.Generator) -> NDArray:
    base = np.array([0.62, 0.45, 0.30]) * rng.uniform(0.4, 1.45)
    return np.clip(base * (1 + rng.normal(0, 0.06, 3)) + rng.uniform(0, 0.15), 0.05, 0.95)


def _planks(rng: np.random.Generator) -> tuple[Image, float]:
    rows = int(rng.choice([4, 6, 8, 12]))
    y, x = np.mgrid[:_SIZE, :_SIZE]
    row = y * rows // _SIZE
    shift = rng.integers(0, _SIZE, rows)[row]
    length = int(rng.choice([1, 2, 3]))
    piece = ((x + shift) * length // _SIZE) % length
    tone = rng.normal(0, rng.uniform(0.03, 0.14), (rows, length))[row, piece]
    grain = cv2.blur(rng.standard_normal((_SIZE, _SIZE), np.float32), (41, 1)) * 0.35
    grain += cv2.blur(cloud_noise(rng, (32, 64)), (63, 1)) * 0.12
    image = _wood(rng) * (1 + tone + grain * rng.uniform(0.3, 1.2))[:, :, None]
    gap = (y % (_SIZE / rows) < 1) | ((x + shift) % (_SIZE / length) < 1)
    image[gap] *= rng.uniform(0.4, 0.9)
    return image.astype(np.float32), float(rows * rng.uniform(0.08, 0.2))


def _tiles(rng: np.random.Generator) -> tuple[Image, float]:
    count = int(rng.choice([2, 4, 8]))
    y, x = np.mgrid[:_SIZE, :_SIZE]
    cell = _SIZE // count
    base = _colour(rng, 0.25, 0.95, 0.1)
    other = base * rng.uniform(0.3, 1.1) if rng.random() < 0.25 else base
    odd = ((y // cell + x // cell) % 2)[:, :, None]
    tone = rng.normal(0, rng.uniform(0, 0.05), (count, count))[y // cell, x // cell]
    image = (base * (1 - odd) + other * odd) * (1 + tone)[:, :, None]
    image = image * (1 + 0.04 * rng.uniform(0, 2) * cloud_noise(rng, (4, 16, 64)))[:, :, None]
    gap = (y % cell < 2) | (x % cell < 2)
    image[gap] = _colour(rng, 0.3, 0.8, 0.03) * rng.uniform(0.6, 1)
    return image.astype(np.float32), float(count * rng.choice([0.1, 0.2, 0.3, 0.45, 0.6]))


def _carpet(rng: np.random.Generator) -> tuple[Image, float]:
    fine = rng.standard_normal((_SIZE, _SIZE), np.float32)
    fine = cv2.blur(fine, tuple(int(side) for side in rng.choice([1, 2, 3], 2)))
    amount = rng.uniform(0.03, 0.15)
    image = _colour(rng, 0.12, 0.7, 0.15) * (1 + amount * fine)[:, :, None]
    if rng.random() < 0.3:
        stripes = np.sin(np.arange(_SIZE) * 2 * np.pi * rng.integers(4, 40) / _SIZE)
        image *= (1 + 0.12 * stripes)[:, None, None]
    return image.astype(np.float32), float(rng.uniform(0.4, 1.5))


def _plaster(rng: np.random.Generator) -> tuple[Image, float]:
    noise = cloud_noise(rng, (2, 4, 8, 64)) * rng.uniform(0.0, 0.03)
    fine = rng.standard_normal((_SIZE, _SIZE), np.float32) * rng.uniform(0, 0.03)
    image = (
        _colour(rng, 0.45, 0.97, rng.choice([0.02, 0.02, 0.12])) * (1 + noise + fine)[:, :, None]
    )
    return image.astype(np.float32), float(rng.uniform(1.5, 4))


def _concrete(rng: np.random.Generator) -> tuple[Image, float]:
    noise = cloud_noise(rng, (2, 4, 8, 16, 32)) * rng.uniform(0.04, 0.16)
    fine = rng.standard_normal((_SIZE, _SIZE), np.float32) * rng.uniform(0.01, 0.06)
    image = _colour(rng, 0.25, 0.75, 0.04) * (1 + noise + fine)[:, :, None]
    return image.astype(np.float32), float(rng.uniform(1.5, 5))


def _brick(rng: np.random.Generator) -> tuple[Image, float]:
    rows, columns = 12, 4
    y, x = np.mgrid[:_SIZE, :_SIZE]
    row = y * rows // _SIZE
    moved = x + (row % 2) * _SIZE // (2 * columns)
    column = moved * columns // _SIZE % columns
    base = _colour(rng, 0.3, 0.6, 0.1) * np.array([1.25, 0.9, 0.75])
    tone = rng.normal(0, 0.1, (rows, columns))[row, column]
    image = base * (1 + tone + 0.1 * cloud_noise(rng, (16, 64)))[:, :, None]
    gap = (y % (_SIZE / rows) < 2) | (moved % (_SIZE / columns) < 2)
    image[gap] = _colour(rng, 0.4, 0.8, 0.03)
    return image.astype(np.float32), float(rng.uniform(0.8, 1.1))


def _asphalt(rng: np.random.Generator) -> tuple[Image, float]:
    noise = cloud_noise(rng, (2, 4, 8)) * 0.07
    fine = rng.standard_normal((_SIZE, _SIZE), np.float32) * rng.uniform(0.03, 0.12)
    image = _colour(rng, 0.18, 0.45, 0.03) * (1 + noise + fine)[:, :, None]
    return image.astype(np.float32), float(rng.uniform(2, 6))


def _paving(rng: np.random.Generator) -> tuple[Image, float]:
    image, _ = _tiles(rng)
    grey = image.mean(axis=2, keepdims=True)
    image = (0.8 * grey + 0.2 * image) * (1 + 0.1 * cloud_noise(rng, (8, 32)))[:, :, None]
    return image.astype(np.float32), float(rng.uniform(1.2, 4))


def _grass(rng: np.random.Generator) -> tuple[Image, float]:
    base = np.array([0.34, 0.42, 0.18]) * rng.uniform(0.6, 1.5) * (1 + rng.normal(0, 0.1, 3))
    fine = cv2.blur(rng.standard_normal((_SIZE, _SIZE), np.float32), (1, 3)) * 0.35
    image = base * (1 + fine + 0.15 * cloud_noise(rng, (2, 4, 16)))[:, :, None]
    return image.astype(np.float32), float(rng.uniform(1, 3))


def _ceiling_panels(rng: np.random.Generator) -> tuple[Image, float]:
    y, x = np.mgrid[:_SIZE, :_SIZE]
    fine = rng.standard_normal((_SIZE, _SIZE), np.float32) * 0.03
    image = _colour(rng, 0.75, 0.95, 0.02) * (1 + fine)[:, :, None]
    image[(y % 128 < 3) | (x % 128 < 3)] *= rng.uniform(0.6, 0.95)
    return image.astype(np.float32), 1.2


_MAKERS: dict[str, Callable[[np.random.Generator], tuple[Image, float]]] = {
    'planks': _planks,
    'tiles': _tiles,
    'carpet': _carpet,
    'plaster': _plaster,
    'concrete': _concrete,
    'brick': _brick,
    'asphalt': _asphalt,
    'paving': _paving,
    'grass': _grass,
    'panels': _ceiling_panels,
}
_SHINE = {'planks': 0.15, 'tiles': 0.3, 'concrete': 0.03}


def surface(
    kind: str, rng: np.random.Generator, *, emission: float = 0.0
) -> tuple[Material, float]:
    """Return a material of a kind and the metres that its texture covers.

    :param kind: planks, tiles, carpet, plaster, concrete, brick, asphalt, paving, grass, panels.
    """
    image, metres = _MAKERS[kind](rng)
    eight_bit = (image * 255).clip(0, 255).astype(np.uint8)
    shine = _SHINE.get(kind, 0.0) * rng.uniform(0, 2)
    return Material((1, 1, 1), emission, 1.0, shine, Texture.from_image(eight_bit)), metres


def outside(rng: np.random.Generator) -> Material:
    """Return what is seen through a window: bright sky, something darker below."""
    y = np.linspace(0, 1, 64)[:, None]
    line = rng.uniform(0.3, 0.9) + 0.2 * cloud_noise(rng, (4, 8), 64)
    sky = np.array([0.85, 0.93, 1.0]) * rng.uniform(0.7, 1)
    ground = _colour(rng, 0.25, 0.7, 0.15)
    image = np.where(
        (y < line)[:, :, None], sky, ground * (1 + 0.3 * cloud_noise(rng, (8, 16), 64))[:, :, None]
    )
    texture = Texture.from_image((image * 255).clip(0, 255).astype(np.uint8))
    return Material((1, 1, 1), float(rng.uniform(1, 6)), texture=texture)
