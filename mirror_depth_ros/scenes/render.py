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
from mirror_depth_ros.scenes.shadows import ShadowMap
from mirror_depth_ros.scenes.solids import Pose, Scene, Shape
from mirror_depth_ros.scenes.textures import NoiseTile, largest_axis, paint


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
    noise = NoiseTile(scene.seed)
    is_sky = (index < 0).flatten()
    seen, unseen = (~is_sky).nonzero()[:, 0], is_sky.nonzero()[:, 0]
    rays = rays.flatten(1)
    picture = torch.empty(index.numel(), 3)
    picture.index_copy_(0, unseen, _sky(scene, rays.index_select(1, unseen), noise))
    solid = index.flatten().index_select(0, seen)  # [P]
    t = depth.flatten().index_select(0, seen)
    point = origin[:, None] + t * rays.index_select(1, seen)  # [3, P]
    of_solid = solids.facts.index_select(1, solid)  # [9, P]
    half_size = of_solid[3:6]
    local = _turn(point - of_solid[:3], of_solid[6], -of_solid[7])
    normal = _local_normals(local / half_size, half_size, of_solid[8])
    albedo = paint(scene, solid, local, normal, footprint=t / focal_px, noise=noise)
    light = _light(scene, solids, point, _turn(normal, of_solid[6], of_solid[7]))
    picture.index_copy_(0, seen, (albedo * light).T)
    return picture.view(*depth.shape, 3)


def _sky(scene: Scene, rays: Tensor, noise: NoiseTile) -> Tensor:
    """Return the sky along rays ``[3, P]``, paler towards the horizon, with clouds; ``[P, 3]``."""
    colour = torch.tensor(scene.sky, dtype=torch.float32)[:, None]
    up = (rays[2] * rays.square().sum(dim=0).rsqrt()).clamp(0.0, 1.0)
    ceiling = 0.12 / (up + 0.1)  # clouds hang on a plane
    clouds = noise(rays[0] * ceiling * 0.3, rays[1] * ceiling * 0.3).clamp(0.0, 0.6)
    white = (0.6 * (1.0 - up).pow(6) + clouds).clamp(max=0.85)
    return torch.lerp(colour, torch.tensor(0.92), white).T


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
    axis = torch.where(is_cylinder, 2, largest_axis(unit.abs()))
    face = torch.stack([(axis == i) * unit[i].sign() for i in range(3)])
    face = torch.where(shape == Shape.SHELL, -face, face)
    # Round ones: the gradient of the implicit surface.
    is_round = (shape == Shape.ELLIPSOID) | (is_cylinder & (unit[2].abs() < 1.0 - 1e-4))
    where = is_round.nonzero()[:, 0]
    gradient = unit.index_select(1, where) / half_size.index_select(1, where)
    gradient[2] *= ~is_cylinder.index_select(0, where)
    gradient /= gradient.square().sum(dim=0).sqrt().clamp(min=1e-12)
    return face.index_copy_(1, where, gradient)


def _light(scene: Scene, solids: SolidTensors, point: Tensor, normal: Tensor) -> Tensor:
    """Lambert's law with shadows, light from everywhere, and darkening in corners, ``[P]``."""
    light = scene.light
    towards = torch.tensor(light.position, dtype=torch.float32)[:, None]
    if not light.is_sun:
        towards = towards - point
    square = towards.square().sum(dim=0)
    lambert = ((normal * towards).sum(dim=0) * square.rsqrt()).clamp(min=0.0)
    if not light.is_sun:
        lambert = lambert * (2.0 / (1.0 + square / 8.0)).clamp(max=1.5)
    lambert *= ShadowMap(scene, solids)(point)
    sky_view = 0.75 + 0.25 * normal[2]
    contact = 1.0 - 0.35 * torch.exp(-point[2].clamp(min=0.0) / 0.15)
    contact = torch.where(normal[2] > 0.9, 1.0, contact)
    if int(Shape.SHELL) in solids.shape:
        contact = contact * _corners(solids, point)
    return light.gain * contact * (light.ambient * sky_view + (1.0 - light.ambient) * lambert)


def _corners(solids: SolidTensors, point: Tensor) -> Tensor:
    """Return how much light gets into a room's edges, where two of its faces meet, ``[P]``."""
    shell = solids.shape.index(int(Shape.SHELL))
    to_face = solids.half_size[shell][:, None] - (point - solids.centre[shell][:, None]).abs()
    # The nearest face may be the point's own; the second nearest makes the edge.
    x, y, z = to_face
    second = torch.maximum(torch.minimum(x, y), torch.minimum(torch.maximum(x, y), z))
    return 1.0 - 0.3 * torch.exp(-second.clamp(min=0.0) / 0.2)
