"""Scene in, photograph and exact depth out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.scenes.cast import SolidTensors, cast_rays
from mirror_depth_ros.scenes.sensor import expose
from mirror_depth_ros.scenes.solids import Pose, Scene, Shape
from mirror_depth_ros.scenes.textures import NoiseTile, paint


@dataclass(frozen=True)
class RenderedFrame:
    """One picture with everything that is known about it."""

    #: uint8 ``[H, W, 3]``.
    rgb: NDArray[np.uint8]
    #: Metres along Z, float32 ``[H, W]``; infinity where the sky is.
    depth: NDArray[np.float32]
    #: Index into ``scene.things``, int16 ``[H, W]``; -1 where the sky is.
    things: NDArray[np.int16]
    camera: CameraModel


def render(
    scene: Scene, camera: CameraModel, pose: Pose | None = None, *, noise_seed: int | None = None
) -> RenderedFrame:
    """Render a scene through an ideal pinhole camera.

    :param pose: where the camera is; the scene's own place by default.
    :param noise_seed: seed of the sensor's noise; the scene's seed by default.
    :raises ValueError: for a camera with lens distortion.
    """
    if any(camera.distortion):
        raise ValueError(
            f'got a camera with {camera.distortion_model} distortion, expected an ideal pinhole; '
            'render with CameraModel.from_fov()'
        )
    pose = scene.pose if pose is None else pose
    solids = SolidTensors.from_scene(scene)
    origin = torch.tensor(pose.position, dtype=torch.float32)
    axes = torch.tensor(pose.rotation, dtype=torch.float32)
    rays = torch.from_numpy(np.dstack([camera.rays, np.ones(camera.rays.shape[:2], np.float32)]))
    depth, index = cast_rays(solids, origin, axes, rays)
    radiance = _shade(scene, solids, origin, rays @ axes.T, depth, index, camera.focal_px)
    rgb = expose(radiance, np.random.default_rng(scene.seed if noise_seed is None else noise_seed))
    thing_of_solid = torch.tensor([*scene.thing_of_solid, -1], dtype=torch.int16)
    return RenderedFrame(rgb, depth.numpy(), thing_of_solid[index].numpy(), camera)


def _shade(
    scene: Scene,
    solids: SolidTensors,
    origin: Tensor,
    rays: Tensor,
    depth: Tensor,
    index: Tensor,
    focal_px: float,
) -> Tensor:
    """Return the light that reaches every pixel, ``[H, W, 3]``, before the sensor."""
    picture = torch.tensor(scene.sky, dtype=torch.float32).expand(*depth.shape, 3).clone()
    horizon = (1.0 - rays[..., 2].clamp(0.0, 1.0)).pow(2)[..., None]  # skies pale downwards
    picture += (0.95 - picture) * 0.6 * horizon
    seen = index >= 0
    solid, t, ray = index[seen], depth[seen], rays[seen]  # [P], [P], [P, 3]
    point = origin + t[:, None] * ray
    local = ((point - solids.centre[solid])[:, None] @ solids.to_local[solid])[:, 0]
    normal = _local_normals(local, solids, solid)
    albedo = paint(
        scene,
        solid,
        local * solids.half_size[solid],
        normal,
        footprint=t / focal_px,
        noise=NoiseTile(scene.seed),
    )
    world_normal = (normal[:, None] @ solids.rotation[solid].transpose(1, 2))[:, 0]
    picture[seen] = albedo * _light(scene, point, world_normal)[:, None]
    return picture


def _local_normals(local: Tensor, solids: SolidTensors, solid: Tensor) -> Tensor:
    """Return outward unit normals in each solid's own axes, ``[P, 3]``."""
    shape = torch.tensor(solids.shape)[solid]
    face = torch.nn.functional.one_hot(local.abs().argmax(dim=1), 3) * local.sign()  # boxes
    face = torch.where((shape == Shape.SHELL)[:, None], -face, face)
    gradient = local / solids.half_size[solid]
    gradient[:, 2] = torch.where(shape == Shape.CYLINDER, 0.0, gradient[:, 2])
    is_round = (shape == Shape.ELLIPSOID) | (
        (shape == Shape.CYLINDER) & (local[:, 2].abs() < 1.0 - 1e-4)
    )
    cap = torch.zeros_like(local)
    cap[:, 2] = local[:, 2].sign()
    flat = torch.where((shape == Shape.CYLINDER)[:, None], cap, face)
    return torch.where(is_round[:, None], torch.nn.functional.normalize(gradient, dim=1), flat)


def _light(scene: Scene, point: Tensor, normal: Tensor) -> Tensor:
    """Lambert's law, light from everywhere, and darkening where things meet the floor, ``[P]``."""
    light = scene.light
    towards = torch.tensor(light.position, dtype=torch.float32)
    if not light.is_sun:
        towards = towards - point
    distance = towards.norm(dim=-1, keepdim=True)
    lambert = (normal * (towards / distance)).sum(dim=-1).clamp(min=0.0)
    if not light.is_sun:
        lambert = lambert * (2.0 / (1.0 + distance[:, 0] ** 2 / 8.0)).clamp(max=1.5)
    sky_view = 0.75 + 0.25 * normal[:, 2]
    contact = 1.0 - 0.35 * torch.exp(-point[:, 2].clamp(min=0.0) / 0.15)
    contact = torch.where(normal[:, 2] > 0.9, 1.0, contact)
    return light.gain * contact * (light.ambient * sky_view + (1.0 - light.ambient) * lambert)
