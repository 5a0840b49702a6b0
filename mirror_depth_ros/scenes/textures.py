"""Procedural surface patterns, evaluated at the points that are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mirror_depth_ros.scenes.solids import Scene, Texture


class NoiseTile:
    """Fractal value noise on a repeating tile, drawn once and looked up by coordinates."""

    SIZE = 256
    #: Noise cells per metre of surface at period 1 m.
    CELLS_PER_PERIOD = 64

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        tile = torch.zeros(1, 1, self.SIZE, self.SIZE)
        for octave in range(2, 8):
            cells = torch.rand(1, 1, 2**octave, 2**octave, generator=generator) - 0.5
            # Doubled and cropped from the middle, so that the tile's edges meet.
            wrapped = torch.nn.functional.pad(cells, (1, 1, 1, 1), mode='circular')
            scale = self.SIZE // 2**octave
            grown = torch.nn.functional.interpolate(wrapped, scale_factor=scale, mode='bilinear')
            tile += grown[..., scale:-scale, scale:-scale] / octave
        self._tile = tile[0, 0] / tile.abs().amax()

    def __call__(self, u: Tensor, v: Tensor) -> Tensor:
        """Return noise in -1..1 at surface coordinates in periods."""
        column = (u * self.CELLS_PER_PERIOD).floor().to(torch.int64) % self.SIZE
        row = (v * self.CELLS_PER_PERIOD).floor().to(torch.int64) % self.SIZE
        return self._tile[row, column]


@dataclass(frozen=True)
class _Patch:
    """The points of one texture: coordinates in periods, and how sharp the pattern can be seen."""

    u: Tensor
    v: Tensor
    #: 1 where the pattern is resolved, 0 where a pixel covers a whole period.
    detail: Tensor
    noise: NoiseTile


def paint(
    scene: Scene,
    solid: Tensor,
    local: Tensor,
    normal: Tensor,
    *,
    footprint: Tensor,
    noise: NoiseTile,
) -> Tensor:
    """Return the surface colour of every point, ``[3, P]``.

    :param solid: index of each point's solid, ``[P]``.
    :param local: point in the solid's own axes [m], ``[3, P]``.
    :param normal: unit normal in the solid's own axes, ``[3, P]``.
    :param footprint: width of a pixel on the surface [m], ``[P]``.
    """
    surfaces = [s.surface for s in scene.solids]
    table = torch.tensor(
        [(*s.colour, *s.second_colour, s.period, float(s.texture)) for s in surfaces],
        dtype=torch.float32,
    ).T.contiguous()  # [8, N]
    of_solid = table.index_select(1, solid)  # [8, P]
    first, second, period, texture = of_solid[:3], of_solid[3:6], of_solid[6], of_solid[7]
    u, v = _surface_coordinates(local, normal)
    # Two unlike solids must not carry the same noise, hence an offset by solid.
    u, v = u / period + solid * 0.37, v / period
    detail = (1.5 - 2.0 * footprint / period).clamp(0.0, 1.0)
    mix = torch.zeros_like(u)
    for kind, pattern in _PATTERNS.items():
        where = (texture == int(kind)).nonzero()[:, 0]
        if len(where):
            mix[where] = pattern(_Patch(u[where], v[where], detail[where], noise))
    return torch.lerp(first, second, mix)


def _surface_coordinates(local: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Return two coordinates on the surface [m]: v upwards on walls, v along y on floors."""
    x, y, z = local
    axis = normal.abs().argmax(dim=0)
    return torch.where(axis == 0, y, x), torch.where(axis == 2, y, z)


def _speckle(p: _Patch) -> Tensor:
    return 0.25 * p.noise(p.u, p.v) * p.detail


def _plain(p: _Patch) -> Tensor:
    return 0.06 * (1.0 + p.noise(p.u, p.v))


def _noise(p: _Patch) -> Tensor:
    return 0.5 + 0.5 * p.noise(p.u, p.v)


def _tiles(p: _Patch) -> Tensor:
    joint = ((p.u % 1.0) < 0.05) | ((p.v % 1.0) < 0.05)
    checker = ((p.u.floor() + p.v.floor()) % 2.0) * 0.35
    return torch.where(joint, 0.9, checker) * p.detail + 0.2 * (1 - p.detail) + 0.3 * _speckle(p)


def _brick(p: _Patch) -> Tensor:
    row = (p.v * 2.0).floor()
    joint = (((p.u + 0.5 * (row % 2.0)) % 1.0) < 0.06) | (((p.v * 2.0) % 1.0) < 0.12)
    return joint * p.detail + 0.15 * (1 - p.detail) + _speckle(p)


def _stripes(p: _Patch) -> Tensor:
    return ((p.u % 1.0) < 0.5) * p.detail + 0.5 * (1 - p.detail)


def _wood(p: _Patch) -> Tensor:
    return 0.4 + 0.4 * p.noise(p.u * 0.25, p.v * 3.0) * p.detail


def _windows(p: _Patch) -> Tensor:
    pane = (((p.u % 1.0) - 0.5).abs() < 0.25) & (((p.v % 1.0) - 0.5).abs() < 0.3)
    return pane * 0.9 * p.detail + 0.25 * (1 - p.detail) + 0.2 * _speckle(p)


_PATTERNS: dict[Texture, Callable[[_Patch], Tensor]] = {
    Texture.PLAIN: _plain,
    Texture.NOISE: _noise,
    Texture.TILES: _tiles,
    Texture.BRICK: _brick,
    Texture.STRIPES: _stripes,
    Texture.WOOD: _wood,
    Texture.WINDOWS: _windows,
}
