"""First hits of rays with triangles, by Embree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Hits:
    """Where rays first meet triangles."""

    #: Index of the triangle, -1 where the ray meets nothing.
    face: NDArray[np.int32]  # [N]
    #: Barycentric weights of the triangle's second and third corner.
    u: F32  # [N]
    v: F32  # [N]
    #: Ray parameter: the distance in lengths of the direction.
    t: F32  # [N]


class Caster:
    """Triangles, arranged for casting rays."""

    def __init__(self, vertices: F32, faces: NDArray[np.int32]) -> None:
        self._scene = rtcore_scene.EmbreeScene()
        self._mesh = TriangleMesh(
            self._scene, np.ascontiguousarray(vertices), np.ascontiguousarray(faces)
        )

    def first(self, origins: F32, directions: F32) -> Hits:
        """Return the first hit of each ray; origins and directions are ``[N, 3]``."""
        origins, directions = (
            np.ascontiguousarray(rays, np.float32) for rays in (origins, directions)
        )
        found = self._scene.run(origins, directions, output=True)
        return Hits(found['primID'], found['u'], found['v'], found['tfar'])

    def blocked(self, origins: F32, directions: F32, far: F32) -> NDArray[np.bool_]:
        """Tell which rays meet something before ``far`` lengths of their direction."""
        origins, directions = (
            np.ascontiguousarray(rays, np.float32) for rays in (origins, directions)
        )
        found = self._scene.run(origins, directions, dists=far, query='OCCLUDED')
        return np.asarray(found) != -1
