"""What rays meet: place, normal, colour; rays go on through leaves and glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from research.scenes.assembly import Scene
from research.scenes.cast import F32
from research.scenes.vectors import cross, dot, unit

# Surfaces that let a ray pass before it is stopped by whatever comes next.
_MOST_PASSES = 6
_STEP = 1e-3


@dataclass(frozen=True)
class Surface:
    """The first opaque point of each ray; ``hit`` rows of the rays only."""

    #: Rays that met something.
    hit: NDArray[np.intp]  # [K] into the N rays
    t: F32  # [K], in lengths of the direction
    point: F32  # [K, 3]
    #: Unit normals towards the viewer: shading and of the triangle.
    normal: F32  # [K, 3]
    flat_normal: F32  # [K, 3]
    albedo: F32  # [K, 3], linear
    emission: F32  # [K]
    shine: F32  # [K]
    thing: NDArray[np.int32]  # [K]
    #: What glass before it leaves of the light.
    veil: F32  # [K]


def meet(scene: Scene, origins: F32, directions: F32, pixel_rad: float) -> Surface:
    """Return what rays ``[N, 3]`` meet.

    :param pixel_rad: angle between neighbouring rays [rad], for the textures' resolution.
    """
    count = len(origins)
    face = np.full(count, -1, np.int32)
    u, v, t = (np.zeros(count, np.float32) for _ in range(3))
    colour = np.zeros((count, 4), np.float32)
    veil = np.ones(count, np.float32)
    active = np.arange(count)
    start = np.zeros(count, np.float32)
    for step in range(_MOST_PASSES):
        directed = directions[active]
        hits = scene.caster.first(origins[active] + start[active, None] * directed, directed)
        met = hits.face >= 0
        active = active[met]
        if not len(active):
            break
        face[active], u[active], v[active] = hits.face[met], hits.u[met], hits.v[met]
        t[active] = start[active] + hits.t[met]
        colour[active] = _colour(scene, face, u, v, t, directions, active, pixel_rad)
        if step == _MOST_PASSES - 1:
            break
        thin = scene.see_through[scene.material[face[active]]]
        active = active[thin]
        active = active[colour[active, 3] < 0.5]
        if not len(active):
            break
        glass = scene.optics[scene.material[face[active]], 1] < 0.5
        veil[active] *= np.where(glass, 0.85, 1.0).astype(np.float32)
        face[active] = -1
        start[active] = t[active] + _STEP
    hit = np.flatnonzero(face >= 0)
    return _surface(
        scene, hit, face[hit], u[hit], v[hit], t[hit], origins, directions, colour[hit], veil[hit]
    )


def _surface(
    scene: Scene,
    hit: NDArray[np.intp],
    face: NDArray[np.int32],
    u: F32,
    v: F32,
    t: F32,
    origins: F32,
    directions: F32,
    colour: F32,
    veil: F32,
) -> Surface:
    corners = scene.faces[face]
    directed = directions[hit]
    weights = np.stack((1 - u - v, u, v), 1)
    normal = np.einsum('ijk,ij->ik', scene.normals[corners], weights)
    a, b, c = (scene.vertices[corners[:, i]] for i in range(3))
    flat = unit(cross(b - a, c - a))
    flat *= -np.sign(dot(flat, directed))[:, None]
    normal = unit(normal)
    alike = dot(normal, flat)
    normal *= np.sign(alike)[:, None]
    # Files with wrong or missing normals: the triangle's own then.
    wrong = np.abs(alike) < 0.5
    normal[wrong] = flat[wrong]
    material = scene.material[face]
    return Surface(
        hit=hit,
        t=t,
        point=origins[hit] + t[:, None] * directed,
        normal=normal.astype(np.float32),
        flat_normal=flat.astype(np.float32),
        albedo=colour[:, :3],
        emission=scene.optics[material, 0],
        shine=scene.optics[material, 2],
        thing=scene.thing[face],
        veil=veil,
    )


def _colour(
    scene: Scene,
    face: NDArray[np.int32],
    u: F32,
    v: F32,
    t: F32,
    directions: F32,
    active: NDArray[np.intp],
    pixel_rad: float,
) -> F32:
    """Return linear colour and opacity ``[K, 4]`` at hits."""
    face, u, v, t = face[active], u[active], v[active], t[active]
    material = scene.material[face]
    colour = np.empty((len(face), 4), np.float32)
    colour[:, :3] = scene.colour[material]
    colour[:, 3] = scene.optics[material, 1]
    textured = np.flatnonzero(scene.texture[material] >= 0)
    if len(textured):
        texel = _texels(
            scene,
            face[textured],
            u[textured],
            v[textured],
            t[textured],
            directions[active[textured]],
            pixel_rad,
        )
        colour[textured, :3] *= texel[:, :3] ** 2  # gamma 2, close to sRGB's curve
        colour[textured, 3] *= texel[:, 3]
    return colour


def _texels(
    scene: Scene,
    face: NDArray[np.int32],
    u: F32,
    v: F32,
    t: F32,
    directed: F32,
    pixel_rad: float,
) -> F32:
    """Return texture values 0 to 1 ``[K, 4]``, bilinear, from the level of the right size."""
    textures = scene.textures
    texture = scene.texture[scene.material[face]]
    corners = scene.faces[face]
    uv = scene.uv[corners]
    e1, e2 = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    place = uv[:, 0] + u[:, None] * e1 + v[:, None] * e2
    p = scene.vertices[corners]
    normal = cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    area = np.maximum(np.sqrt(dot(normal, normal)), 1e-12)
    texels = np.abs(e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0])
    texels = texels * textures.height[texture, 0] * textures.width[texture, 0]
    length = np.sqrt(dot(directed, directed))
    slant = np.abs(dot(normal, directed)) / (area * length)
    footprint = t * length * pixel_rad / np.sqrt(np.maximum(slant, 0.05))
    level = 0.5 * np.log2(np.maximum(texels / area, 1e-9)) + np.log2(np.maximum(footprint, 1e-9))
    level = np.clip(np.round(level - 0.25), 0, textures.offset.shape[1] - 1).astype(np.int64)
    height, width = textures.height[texture, level], textures.width[texture, level]
    x = place[:, 0] * width - 0.5
    y = -place[:, 1] * height - 0.5  # OBJ's v runs upward, rows downward
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - column)[:, None].astype(np.float32), (y - row)[:, None].astype(np.float32)
    columns, rows = [(column + i) % width for i in (0, 1)], [(row + i) % height for i in (0, 1)]
    offset = textures.offset[texture, level]
    quarter = [
        textures.texels[offset + r * width + c].astype(np.float32) for r in rows for c in columns
    ]
    upper = quarter[0] * (1 - fx) + quarter[1] * fx
    lower = quarter[2] * (1 - fx) + quarter[3] * fx
    return (upper * (1 - fy) + lower * fy) / np.float32(255)
