"""Things put together into one scene: a triangle soup with a table of materials and textures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from research.scenes.cast import F32, Caster
from research.scenes.mesh import Mesh, Texture

# As many halvings as a texture of 256 texels has.
_LEVELS = 9


@dataclass(frozen=True)
class Light:
    """A lamp (a place) or the sun (a direction towards it)."""

    #: Where it is [m], or the direction towards the sun.
    position: NDArray[np.float64]
    #: Linear red, green, blue; of a lamp at one metre.
    colour: NDArray[np.float64]
    #: Radius of a lamp [m], of the sun [rad]: softens shadows.
    radius: float = 0.1
    is_sun: bool = False


@dataclass(frozen=True)
class Sky:
    """What is seen where no triangle is, and the light that comes from everywhere."""

    zenith: NDArray[np.float64]
    horizon: NDArray[np.float64]
    #: Ambient light from above and from below.
    above: NDArray[np.float64]
    below: NDArray[np.float64]
    #: Distance after which haze hides two thirds [m]; infinite indoors.
    haze_m: float = np.inf
    #: Share of clouds, 0 to 1.
    clouds: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Thing:
    """Something that a caption can name."""

    name: str
    #: Key of the model; empty for what the scene itself makes.
    model: str
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    position: NDArray[np.float64]
    yaw: float


@dataclass(frozen=True)
class Textures:
    """All texels of a scene, end to end."""

    texels: NDArray[np.uint8]  # [T, 4]
    offset: NDArray[np.int64]  # [K, LEVELS]
    height: NDArray[np.int32]  # [K, LEVELS]
    width: NDArray[np.int32]  # [K, LEVELS]


@dataclass(frozen=True)
class Scene:
    """Everything that a picture needs but the camera."""

    caster: Caster
    vertices: F32  # [V, 3]
    normals: F32  # [V, 3]
    uv: F32  # [V, 2]
    faces: NDArray[np.int32]  # [F, 3]
    material: NDArray[np.int32]  # [F]
    thing: NDArray[np.int32]  # [F]
    colour: F32  # [M, 3]
    #: Columns emission, opacity, shine.
    optics: F32  # [M, 3]
    texture: NDArray[np.int32]  # [M], -1 = none
    see_through: NDArray[np.bool_]  # [M]
    textures: Textures
    things: list[Thing]
    lights: list[Light]
    sky: Sky
    place: str


@dataclass
class SceneBuilder:
    """Collects meshes at their places."""

    _parts: list[tuple[F32, F32, Mesh]] = field(default_factory=list)
    _tints: list[NDArray] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)

    def add(
        self,
        mesh: Mesh,
        position: tuple[float, float, float] | NDArray = (0.0, 0.0, 0.0),
        *,
        yaw: float = 0.0,
        scale: float = 1.0,
        name: str = '',
        model: str = '',
        tint: NDArray | None = None,
    ) -> Thing:
        """Put a mesh at a position, turned by ``yaw`` about z [rad]; return what stands there."""
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([(c, -s, 0), (s, c, 0), (0, 0, 1)], np.float32)
        vertices = np.asarray((mesh.vertices * np.float32(scale)) @ turn.T, np.float32)
        vertices += np.asarray(position, np.float32)
        self._parts.append((vertices, mesh.normals @ turn.T, mesh))
        self._tints.append(np.ones(3) if tint is None else np.asarray(tint))
        thing = Thing(
            name, model, vertices.min(axis=0), vertices.max(axis=0), np.array(position), yaw
        )
        self.things.append(thing)
        return thing

    @property
    def triangles(self) -> int:
        """Triangles so far."""
        return sum(len(mesh.faces) for _, _, mesh in self._parts)

    def build(self, sky: Sky, place: str, *, slope: tuple[float, float] = (0.0, 0.0)) -> Scene:
        """Arrange all for casting rays.

        :param slope: rise per metre along x and y of the whole scene.
        """
        meshes = [mesh for _, _, mesh in self._parts]
        vertex_offset = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
        material_offset = np.cumsum([0] + [len(mesh.materials) for mesh in meshes])
        vertices = np.concatenate([v for v, _, _ in self._parts])
        vertices[:, 2] += vertices[:, :2] @ np.asarray(slope, np.float32)
        faces = np.concatenate([m.faces + np.int32(o) for m, o in zip(meshes, vertex_offset)])
        materials = [
            replace(material, colour=tuple(np.clip(np.array(material.colour) * tint, 0, 0.95)))
            for mesh, tint in zip(meshes, self._tints)
            for material in mesh.materials
        ]
        known: dict[int, tuple[int, Texture]] = {}
        texture = np.full(len(materials), -1, np.int32)
        for i, material in enumerate(materials):
            if material.texture is not None:
                entry = known.setdefault(id(material.texture), (len(known), material.texture))
                texture[i] = entry[0]
        optics = np.array([(m.emission, m.opacity, m.shine) for m in materials], np.float32)
        return Scene(
            caster=Caster(vertices, faces),
            vertices=vertices,
            normals=np.concatenate([n for _, n, _ in self._parts]).astype(np.float32),
            uv=np.concatenate([mesh.uv for mesh in meshes]),
            faces=faces,
            material=np.concatenate(
                [m.material + np.int32(o) for m, o in zip(meshes, material_offset)]
            ),
            thing=np.repeat(
                np.arange(len(meshes), dtype=np.int32), [len(m.faces) for m in meshes]
            ),
            colour=np.array([m.colour for m in materials], np.float32),
            optics=optics,
            texture=texture,
            see_through=np.array(
                [
                    m.opacity < 0.5 or (m.texture is not None and m.texture.transparent)
                    for m in materials
                ]
            ),
            textures=_laid_out([texture for _, texture in known.values()]),
            things=self.things,
            lights=self.lights,
            sky=sky,
            place=place,
        )


def _laid_out(textures: list[Texture]) -> Textures:
    """Put all levels of all textures end to end; the last level of each fills up its row."""
    count = len(textures)
    offset = np.zeros((count, _LEVELS), np.int64)
    height, width = np.ones((count, _LEVELS), np.int32), np.ones((count, _LEVELS), np.int32)
    texels = [np.full((1, 4), 255, np.uint8)]
    end = 1
    for i, texture in enumerate(textures):
        for level in range(_LEVELS):
            if level < len(texture.levels):
                image = texture.levels[level]
                texels.append(image.reshape(-1, 4))
                offset[i, level] = end
                height[i, level], width[i, level] = image.shape[:2]
                end += image.shape[0] * image.shape[1]
            else:
                for array in (offset, height, width):
                    array[i, level] = array[i, level - 1]
    return Textures(np.concatenate(texels), offset, height, width)
