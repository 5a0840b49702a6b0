"""One picture of a scene with its depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from research.scenes.assembly import Scene
from research.scenes.camera import View
from research.scenes.cast import F32
from research.scenes.shading import hazed, open_shares, shade, sky_colour
from research.scenes.surface import Surface, meet

# Rays more at pixels on edges, where one ray shows stairs.
_MORE_RAYS = 2


@dataclass(frozen=True)
class Frame:
    """What a perfect camera would give."""

    radiance: F32  # [H, W, 3], linear
    #: Metres along Z; infinity where the sky is.
    depth: F32  # [H, W]
    #: Index of the thing seen, -1 = sky.
    thing: NDArray[np.int32]  # [H, W]


def render(scene: Scene, view: View, height: int, width: int, rng: np.random.Generator) -> Frame:
    """Render a picture: a ray through each pixel's centre, more where edges are."""
    row, column = (grid.ravel().astype(np.float64) for grid in np.mgrid[:height, :width])
    directions = view.rays(column, row, height, width)
    pixel_rad = 1 / view.focal_px(width)
    surface = _met(scene, view, directions, pixel_rad)
    depth = np.full(height * width, np.inf, np.float32)
    thing = np.full(height * width, -1, np.int32)
    depth[surface.hit], thing[surface.hit] = surface.t, surface.thing
    shares = open_shares(scene, surface, (height, width), rng)
    radiance = _radiance(scene, surface, directions, shares)
    edge = np.flatnonzero(_edges(depth.reshape(height, width), thing.reshape(height, width)))
    if len(edge):
        more = np.repeat(edge, _MORE_RAYS)
        shift = rng.uniform(-0.5, 0.5, (2, len(more)))
        extra = view.rays(column[more] + shift[0], row[more] + shift[1], height, width)
        met = _met(scene, view, extra, pixel_rad)
        colours = np.minimum(_radiance(scene, met, extra, shares[more]), 4.0)
        radiance[edge] += colours.reshape(len(edge), _MORE_RAYS, 3).sum(axis=1)
        radiance[edge] /= _MORE_RAYS + 1
    return Frame(
        radiance.reshape(height, width, 3),
        depth.reshape(height, width),
        thing.reshape(height, width),
    )


def _met(scene: Scene, view: View, directions: F32, pixel_rad: float) -> Surface:
    origins = np.broadcast_to(np.float32(view.position), directions.shape)
    return meet(scene, origins, directions, pixel_rad)


def _radiance(scene: Scene, surface: Surface, directions: F32, shares: F32) -> F32:
    """Return the light that comes along each ray ``[N, 3]``; ``shares`` as of the N rays."""
    radiance = sky_colour(scene.sky, directions)
    lit = shade(scene, surface, directions, shares[surface.hit])
    length = np.linalg.norm(directions[surface.hit], axis=1)
    radiance[surface.hit] = hazed(lit, surface.t * length, scene.sky)
    return radiance


def _edges(depth: F32, thing: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark pixels beside which another thing, or another depth, begins."""
    near = np.log(np.minimum(depth, 1e4))
    edge = np.zeros(depth.shape, bool)
    down = (thing[1:] != thing[:-1]) | (np.abs(near[1:] - near[:-1]) > 0.04)
    right = (thing[:, 1:] != thing[:, :-1]) | (np.abs(near[:, 1:] - near[:, :-1]) > 0.04)
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge
