"""Light on surfaces: lamps and sun with shadows, ambient light with occlusion, sky and haze."""

from __future__ import annotations

import cv2
import numpy as np

from research.scenes.assembly import Light, Scene, Sky
from research.scenes.cast import F32
from research.scenes.surface import Surface
from research.scenes.vectors import dot, unit

_OFFSET = 2e-3
# Ambient light is blocked by what is nearer than this, in distances of the surface or metres.
_OCCLUSION_M = 1.2


def shade(scene: Scene, surface: Surface, directions: F32, open_share: F32) -> F32:
    """Return the light that surfaces send towards the viewer, linear ``[K, 3]``.

    :param open_share: of ambient light and of each lamp, what is not blocked, ``[K, 1 + lamps]``.
    """
    view = unit(-directions[surface.hit])
    up = surface.normal[:, 2:] * np.float32(0.5) + np.float32(0.5)
    above, below, horizon = (
        np.float32(c) for c in (scene.sky.above, scene.sky.below, scene.sky.horizon)
    )
    ambient = open_share[:, :1]
    light = (up * above + (1 - up) * below) * ambient
    highlight = np.zeros_like(light)
    for i, lamp in enumerate(scene.lights, 1):
        towards, strength = _towards(lamp, surface)
        arriving = (strength * open_share[:, i])[:, None] * np.float32(lamp.colour)
        light += arriving
        glint = np.clip(dot(unit(towards + view), surface.normal), 0, 1) ** 40
        highlight += arriving * (glint * surface.shine)[:, None]
    fresnel = (1 - np.clip(dot(view, surface.normal), 0, 1)) ** 4 * surface.shine
    mirrored = fresnel[:, None] * ambient * horizon * np.float32(0.6)
    radiance = surface.albedo * (light + surface.emission[:, None])
    radiance += highlight * np.float32(0.6) + mirrored
    return (radiance * surface.veil[:, None]).astype(np.float32)


def _towards(lamp: Light, surface: Surface) -> tuple[F32, F32]:
    """Return the unit direction to a light ``[K, 3]`` and what it would add unblocked ``[K]``."""
    if lamp.is_sun:
        towards = np.broadcast_to(np.asarray(lamp.position, np.float32), surface.point.shape)
        falloff: F32 = np.ones(1, np.float32)
    else:
        towards = np.asarray(lamp.position, np.float32) - surface.point
        falloff = np.asarray(1 / np.maximum(dot(towards, towards), 0.2), np.float32)
    towards = unit(towards)
    return towards, np.clip(dot(towards, surface.normal), 0, 1) * falloff


def open_shares(
    scene: Scene, surface: Surface, shape: tuple[int, int], rng: np.random.Generator
) -> F32:
    """Return how much of ambient light and of each lamp gets to each pixel.

    One ray each, smoothed over neighbours of the same surface, ``[H * W, 1 + lamps]``.
    """
    start = surface.point + surface.flat_normal * np.float32(_OFFSET)
    shares = np.ones((shape[0] * shape[1], 1 + len(scene.lights)), np.float32)
    chance = _tile_directions(shape, rng)[surface.hit]
    reach = np.full(len(start), _OCCLUSION_M, np.float32)
    around = surface.normal + np.float32(0.98) * chance
    shares[surface.hit, 0] = ~scene.caster.blocked(start, around, reach)
    for i, lamp in enumerate(scene.lights, 1):
        jitter = chance * np.float32(lamp.radius)
        if lamp.is_sun:
            towards, far = np.float32(lamp.position) + jitter, np.float32(300)
        else:
            towards, far = np.float32(lamp.position) + jitter - start, np.float32(0.98)
        lit = np.flatnonzero(dot(towards, surface.flat_normal) > 0)
        visible = np.zeros(len(start), np.float32)
        visible[lit] = ~scene.caster.blocked(
            start[lit], towards[lit], np.full(len(lit), far, np.float32)
        )
        shares[surface.hit, i] = visible
    return _smoothed(shares.reshape(*shape, -1), surface).reshape(shares.shape)


# Pixels in a square of this side have different directions, and are averaged.
_TILE = 4


def _tile_directions(shape: tuple[int, int], rng: np.random.Generator) -> F32:
    """Return a direction for each pixel ``[H * W, 3]``: evenly spread within every square tile.

    The mean over any such square then has no noise where the surface is even.
    """
    count = _TILE * _TILE
    steps = rng.permutation(count) + 0.5
    z, turn = 1 - 2 * steps / count, steps * np.pi * (3 - np.sqrt(5)) + rng.uniform(0, 6.3)
    flat = np.sqrt(1 - z * z)
    tile = np.stack((flat * np.cos(turn), flat * np.sin(turn), z), 1).reshape(_TILE, _TILE, 3)
    repeats = [-(-side // _TILE) for side in shape]
    return np.tile(tile, (*repeats, 1))[: shape[0], : shape[1]].reshape(-1, 3).astype(np.float32)


_NEIGHBOURS = tuple((dy, dx) for dy in range(-2, 2) for dx in range(-2, 2) if (dy, dx) != (0, 0))


def _smoothed(shares: F32, surface: Surface) -> F32:
    """Average over the neighbours that face the same way and are about as far."""
    height, width, _ = shares.shape
    key = np.full((height * width, 4), 9.0, np.float32)
    key[surface.hit, :3] = surface.normal
    key[surface.hit, 3] = np.log(np.maximum(surface.t, 1e-3)) * 8
    key = key.reshape(height, width, 4)
    total, weights = shares.copy(), np.ones((height, width, 1), np.float32)
    for dy, dx in _NEIGHBOURS:
        here = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
        there = (slice(max(0, dy), height - max(0, -dy)), slice(max(0, dx), width - max(0, -dx)))
        difference = key[there] - key[here]
        apart = np.einsum('ijk,ijk->ij', difference, difference)
        near = np.maximum(1 - 3 * apart, 0)[:, :, None]
        total[here] += near * shares[there]
        weights[here] += near
    return total / weights


def sky_colour(sky: Sky, directions: F32) -> F32:
    """Return the sky's light along directions, linear ``[N, 3]``."""
    if not np.isfinite(sky.haze_m):
        return np.tile(np.float32(sky.horizon), (len(directions), 1))
    way = unit(directions)
    rise = np.sqrt(np.clip(way[:, 2:], 0, 1))
    colour = sky.horizon * (1 - rise) + sky.zenith * rise
    if sky.clouds > 0:
        rng = np.random.default_rng(sky.seed)
        noise = cv2.resize(
            rng.random((6, 12), np.float32), (256, 128), interpolation=cv2.INTER_CUBIC
        )
        noise += 0.5 * cv2.resize(
            rng.random((24, 48), np.float32), (256, 128), interpolation=cv2.INTER_CUBIC
        )
        noise += 0.25 * cv2.resize(
            rng.random((60, 120), np.float32), (256, 128), interpolation=cv2.INTER_CUBIC
        )
        column = ((np.arctan2(way[:, 1], way[:, 0]) / (2 * np.pi) + 0.5) * 255).astype(int)
        row = (np.clip(1 - way[:, 2], 0, 1) ** 0.7 * 127).astype(int)
        cover = np.clip((noise[row, column] / 1.75 - 0.75 + sky.clouds * 0.6) * 4, 0, 1)[:, None]
        white = np.mean(sky.horizon) * np.array([1.15, 1.15, 1.18])
        colour = colour * (1 - cover) + white * cover
    return colour.astype(np.float32)


def hazed(radiance: F32, distance: F32, sky: Sky) -> F32:
    """Let distance fade into the horizon's colour."""
    if not np.isfinite(sky.haze_m):
        return radiance
    kept = np.exp(-distance / sky.haze_m)[:, None]
    return (radiance * kept + np.float32(sky.horizon) * (1 - kept)).astype(np.float32)
