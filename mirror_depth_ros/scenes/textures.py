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
        self._tile = tile.flatten() / tile.abs().amax()

    def __call__(self, u: Tensor, v: Tensor) -> Tensor:
        """Return noise in -1..1 at surface coordinates in periods."""
        column = (u * self.CELLS_PER_PERIOD).floor().to(torch.int64) % self.SIZE
        row = (v * self.CELLS_PER_PERIOD).floor().to(torch.int64) % self.SIZE
        return self._tile.index_select(0, row * self.SIZE + column)


@dataclass(frozen=True)
class _Patch:
    """The points of one texture: coordinates and width of a pixel, all in periods."""

    u: Tensor
    v: Tensor
    footprint: Tensor
    noise: NoiseTile

    def detail(self, parts: int = 1) -> Tensor:
        """Return how sharp a pattern of so many parts to the period can be seen.

        1 where it is resolved, 0 where a pixel covers most of a part: there only its mean is seen.
        """
        return (1.5 - 2.0 * parts * self.footprint).clamp(0.0, 1.0)


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
    planes = torch.stack([u, v, footprint / period])
    mix = torch.zeros_like(u)
    for kind, pattern in _PATTERNS.items():
        where = (texture == int(kind)).nonzero()[:, 0]
        if len(where):
            u_there, v_there, width_there = planes.index_select(1, where)
            mix.index_copy_(0, where, pattern(_Patch(u_there, v_there, width_there, noise)))
    return torch.lerp(first, second, mix)


def _surface_coordinates(local: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Return two coordinates on the surface [m]: v upwards on walls, v along y on floors."""
    x, y, z = local
    axis = largest_axis(normal.abs())
    return torch.where(axis == 0, y, x), torch.where(axis == 2, y, z)


def largest_axis(values: Tensor) -> Tensor:
    """Return which of three planes is largest at each point, ``[3, P]`` to ``[P]``.

    Like ``values.argmax(dim=0)``, which takes ten times as long for a dimension of three.
    """
    x, y, z = values
    return torch.where(x >= y, torch.where(x >= z, 0, 2), torch.where(y >= z, 1, 2))


def _speckle(p: _Patch) -> Tensor:
    return 0.25 * p.noise(p.u, p.v) * p.detail()


def _plain(p: _Patch) -> Tensor:
    return 0.06 * (1.0 + p.noise(p.u, p.v))


def _noise(p: _Patch) -> Tensor:
    return 0.5 + 0.5 * p.noise(p.u, p.v)


def _tiles(p: _Patch) -> Tensor:
    joint = ((p.u % 1.0) < 0.05) | ((p.v % 1.0) < 0.05)
    checker = ((p.u.floor() + p.v.floor()) % 2.0) * 0.35
    return torch.lerp(_full(p, 0.2), torch.where(joint, 0.9, checker), p.detail()) + _speckle(p)


def _brick(p: _Patch) -> Tensor:
    # Three courses to a brick's length: 25 cm by 8 cm, joints of 1 cm.
    row = (p.v * 3.0).floor()
    joint = (((p.u + 0.5 * (row % 2.0)) % 1.0) < 0.05) | (((p.v * 3.0) % 1.0) < 0.14)
    return torch.lerp(_full(p, 0.18), joint.float(), p.detail(3)) + _speckle(p)


def _stripes(p: _Patch) -> Tensor:
    return torch.lerp(_full(p, 0.5), ((p.u % 1.0) < 0.5).float(), p.detail(2))


def _wood(p: _Patch) -> Tensor:
    return 0.4 + 0.4 * p.noise(p.u * 0.25, p.v * 3.0) * p.detail()


def _windows(p: _Patch) -> Tensor:
    across, up = ((p.u % 1.0) - 0.5).abs(), ((p.v % 1.0) - 0.5).abs()
    pane = (across < 0.22) & (up < 0.28) & (across > 0.012)  # two wings
    return torch.lerp(_full(p, 0.22), 0.9 * pane, p.detail(2)) + 0.8 * _speckle(p)


def _planks(p: _Patch) -> Tensor:
    # Eight boards to a period, each with its own tone; the ends are staggered.
    board = (p.v * 8.0).floor()
    along = p.u * 0.5 + board * 0.37
    seam = (((p.v * 8.0) % 1.0) < 0.07) | ((along % 1.0) < 0.006)
    tone = 0.5 * torch.frac((board * 12.9898 + along.floor() * 78.233).sin().abs() * 437.5)
    grain = 0.25 * p.noise(p.u * 0.25, p.v * 3.0)
    return torch.lerp(_full(p, 0.3), torch.where(seam, 0.95, tone + grain), p.detail(8))


def _cloth(p: _Patch) -> Tensor:
    # Threads over and under, four to a period each way.
    weave = ((p.u * 4.0).floor() + (p.v * 4.0).floor()) % 2.0
    return torch.lerp(_full(p, 0.5), 0.25 + 0.5 * weave, p.detail(4)) + _speckle(p)


def _grass(p: _Patch) -> Tensor:
    return 0.5 + 0.3 * p.noise(p.u, p.v) + 0.4 * p.noise(p.u * 7.0, p.v * 7.0) * p.detail()


def _asphalt(p: _Patch) -> Tensor:
    fine = p.noise(p.u * 9.0, p.v * 9.0) * p.detail()
    return 0.45 + 0.25 * p.noise(p.u * 0.3, p.v * 0.3) + 0.3 * fine


def _full(p: _Patch, value: float) -> Tensor:
    """Return what is left of a pattern that is too far away to be seen."""
    return torch.full_like(p.u, value)


_PATTERNS: dict[Texture, Callable[[_Patch], Tensor]] = {
    Texture.PLAIN: _plain,
    Texture.NOISE: _noise,
    Texture.TILES: _tiles,
    Texture.BRICK: _brick,
    Texture.STRIPES: _stripes,
    Texture.WOOD: _wood,
    Texture.WINDOWS: _windows,
    Texture.PLANKS: _planks,
    Texture.CLOTH: _cloth,
    Texture.GRASS: _grass,
    Texture.ASPHALT: _asphalt,
}
