"""Triangle meshes with materials and textures, and a cache of the models as such."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

# Textures are kept no larger than this: a picture has 320 columns.
TEXTURE_SIZE = 256


@dataclass(frozen=True, eq=False)
class Texture:
    """An image and its halved copies, uint8 ``[H, W, 4]`` each; the last channel is opacity."""

    levels: tuple[NDArray[np.uint8], ...]

    @classmethod
    def from_image(cls, image: NDArray[np.uint8]) -> Texture:
        """Take an image ``[H, W, 3]`` or ``[H, W, 4]``, shrinking it where it is large."""
        if image.shape[2] == 3:
            image = np.dstack((image, np.full(image.shape[:2], 255, np.uint8)))
        shrink = TEXTURE_SIZE / max(image.shape[:2])
        if shrink < 1:
            image = _resized(image, shrink)
        levels = [np.ascontiguousarray(image)]
        while min(levels[-1].shape[:2]) > 2:
            levels.append(_resized(levels[-1], 0.5))
        return cls(tuple(levels))

    @property
    def transparent(self) -> bool:
        """Whether rays pass through parts of it."""
        return bool((self.levels[0][..., 3] < 128).any())


def _resized(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, eq=False)
class Material:
    """How a surface looks."""

    #: Reflected share of light, linear red, green, blue; multiplies the texture.
    colour: tuple[float, ...] = (0.7, 0.7, 0.7)
    #: Light it gives off [the unit of lights].
    emission: float = 0.0
    #: 1 = opaque; rays pass below a half.
    opacity: float = 1.0
    #: Strength of highlights, 0 = matt.
    shine: float = 0.0
    texture: Texture | None = None


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in metres, z up, resting on z = 0, the front towards -y."""

    vertices: NDArray[np.float32]  # [V, 3]
    normals: NDArray[np.float32]  # [V, 3]
    uv: NDArray[np.float32]  # [V, 2]
    faces: NDArray[np.int32]  # [F, 3]
    #: Index into `materials` of each face.
    material: NDArray[np.int16]  # [F]
    materials: list[Material] = field(default_factory=list)
    #: Height of the uppermost surface seen from above on a grid [m], NaN beside the model.
    top: NDArray[np.float32] | None = None  # [G, G], rows along y

    @property
    def size(self) -> NDArray[np.float32]:
        """Extent along x, y, z [m]."""
        return np.ptp(self.vertices, axis=0)


def joined(meshes: list[Mesh]) -> Mesh:
    """Return one mesh of several."""
    vertex_offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    material_offsets = np.cumsum([0] + [len(mesh.materials) for mesh in meshes])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.concatenate([m.faces + o for m, o in zip(meshes, vertex_offsets)]).astype(np.int32),
        np.concatenate([m.material + o for m, o in zip(meshes, material_offsets)]).astype(
            np.int16
        ),
        [material for mesh in meshes for material in mesh.materials],
    )


def quad(
    corner: tuple[float, float, float],
    along: tuple[float, float, float],
    up: tuple[float, float, float],
    material: Material,
    *,
    metres: float = 1.0,
) -> Mesh:
    """Return a rectangle seen from the side towards which ``along x up`` points.

    :param metres: side of the square that the texture covers [m].
    """
    a, b = np.array(along, np.float32), np.array(up, np.float32)
    vertices = np.array(corner, np.float32) + np.stack((a * 0, a, a + b, b))
    normal = np.cross(a, b)
    normal /= max(float(np.linalg.norm(normal)), 1e-9)
    u, v = np.linalg.norm(a) / metres, np.linalg.norm(b) / metres
    return Mesh(
        vertices.astype(np.float32),
        np.tile(normal.astype(np.float32), (4, 1)),
        np.array([(0, 0), (u, 0), (u, v), (0, v)], np.float32),
        np.array([(0, 1, 2), (0, 2, 3)], np.int32),
        np.zeros(2, np.int16),
        [material],
    )


def box(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    material: Material,
    *,
    metres: float = 1.0,
) -> Mesh:
    """Return an axis-aligned box between two corners [m]."""
    low_corner, size = np.array(low, np.float32), np.subtract(high, low).astype(np.float32)
    vertices = low_corner + _BOX_CORNERS * size
    # Texture coordinates: the two axes that span each side.
    corners = np.asarray(_BOX_CORNERS * size / np.float32(metres), np.float32)
    uv = corners[np.arange(24)[:, None], _BOX_AXES]
    return Mesh(vertices, _BOX_NORMALS, uv, _BOX_FACES, np.zeros(12, np.int16), [material])


def _box_sides() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """Return corners ``[24, 3]`` of the unit box's sides, their normals, and axes ``[24, 2]``."""
    corners, normals, axes = [], [], []
    for axis in range(3):
        others = [i for i in (0, 1, 2) if i != axis]
        for end in (0, 1):
            for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)):
                corner = np.zeros(3)
                corner[axis], corner[others[0]], corner[others[1]] = end, a, b
                corners.append(corner)
                normals.append(np.eye(3)[axis] * (2 * end - 1))
                axes.append(others)
    return np.array(corners, np.float32), np.array(normals, np.float32), np.array(axes)


_BOX_CORNERS, _BOX_NORMALS, _BOX_AXES = _box_sides()
_BOX_FACES = np.array(
    [(4 * i + a, 4 * i + b, 4 * i + c) for i in range(6) for a, b, c in ((0, 1, 2), (0, 2, 3))],
    np.int32,
)
