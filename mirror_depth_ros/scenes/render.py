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
    x, y = torch.from_numpy(camera.rays).unbind(dim=-1)
    rays = torch.stack([x, y, torch.ones_like(x)])  # [3, H, W]
    depth, index = cast_rays(solids, origin, axes, rays)
    world_rays = (axes @ rays.flatten(1)).view_as(rays)
    radiance = _shade(scene, solids, origin, world_rays, depth, index, camera.focal_px)
    rgb = expose(
        radiance,
        camera_seed=scene.seed,
        noise_seed=scene.seed if noise_seed is None else noise_seed,
    )
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
    horizon = (1.0 - rays[2].clamp(0.0, 1.0)).pow(2)[..., None]  # skies pale downwards
    picture += (0.95 - picture) * 0.6 * horizon
    seen = index >= 0
    solid, t = index[seen], depth[seen]  # [P]
    point = origin[:, None] + t * rays[:, seen]  # [3, P]
    of_solid = solids.facts.index_select(1, solid)  # [9, P]
    half_size = of_solid[3:6]
    local = _turn(point - of_solid[:3], of_solid[6], -of_solid[7])
    normal = _local_normals(local / half_size, half_size, of_solid[8])
    albedo = paint(
        scene, solid, local, normal, footprint=t / focal_px, noise=NoiseTile(scene.seed)
    )
    light = _light(scene, point, _turn(normal, of_solid[6], of_solid[7]))
    picture[seen] = (albedo * light).T
    return picture


def _turn(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn vectors ``[3, P]`` about the vertical."""
    x, y, z = vectors
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z])


def _local_normals(unit: Tensor, half_size: Tensor, shape: Tensor) -> Tensor:
    """Return outward unit normals in each solid's own axes.

    :param unit: where on the unit shape the ray hit, ``[3, P]``.
    :param half_size: of the solid, ``[3, P]`` [m].
    :param shape: :class:`Shape` of the solid, ``[P]``.
    """
    is_cylinder = shape == Shape.CYLINDER
    # Flat faces: along the axis on which the point lies farthest out; a cylinder's are its caps.
    axis = torch.where(is_cylinder, 2, unit.abs().argmax(dim=0))
    face = torch.stack([(axis == i) * unit[i].sign() for i in range(3)])
    face = torch.where(shape == Shape.SHELL, -face, face)
    # Round ones: the gradient of the implicit surface.
    gradient = unit / half_size
    gradient[2] *= ~is_cylinder
    gradient /= gradient.square().sum(dim=0).sqrt().clamp(min=1e-12)
    is_round = (shape == Shape.ELLIPSOID) | (is_cylinder & (unit[2].abs() < 1.0 - 1e-4))
    return torch.where(is_round, gradient, face)


def _light(scene: Scene, point: Tensor, normal: Tensor) -> Tensor:
    """Lambert's law, light from everywhere, and darkening where things meet the floor, ``[P]``."""
    light = scene.light
    towards = torch.tensor(light.position, dtype=torch.float32)[:, None]
    if not light.is_sun:
        towards = towards - point
    square = towards.square().sum(dim=0)
    lambert = ((normal * towards).sum(dim=0) * square.rsqrt()).clamp(min=0.0)
    if not light.is_sun:
        lambert = lambert * (2.0 / (1.0 + square / 8.0)).clamp(max=1.5)
    sky_view = 0.75 + 0.25 * normal[2]
    contact = 1.0 - 0.35 * torch.exp(-point[2].clamp(min=0.0) / 0.15)
    contact = torch.where(normal[2] > 0.9, 1.0, contact)
    return light.gain * contact * (light.ambient * sky_view + (1.0 - light.ambient) * lambert)
