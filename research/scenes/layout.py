"""Where things stand: on free floor, at walls, on other things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from research.scenes.assembly import SceneBuilder, Thing
from research.scenes.catalogue import Entry
from research.scenes.library import Library
from research.scenes.mesh import Material, Mesh
from research.scenes.textures import surface

Rectangle = tuple[float, float, float, float]
# A surface carries a thing if it is as level as this below it [m].
_LEVEL_M = 0.015


@dataclass
class Layout:
    """A scene in the making, and which parts of its floor are taken."""

    builder: SceneBuilder
    library: Library
    rng: np.random.Generator
    taken: list[Rectangle] = field(default_factory=list)
    #: Most triangles that the scene may come to.
    budget: int = 200_000
    _coverings: dict[str, list[tuple[Material, float]]] = field(default_factory=dict)

    def pick(self, entries: Iterable[Entry]) -> tuple[Entry, Mesh] | None:
        """Return a random model of these that the scene can still afford."""
        if self.builder.triangles > self.budget:
            return None
        # Now and then a model of many triangles may use up half of what is left.
        share = 0.5 if self.rng.random() < 0.2 else 0.12
        most = max(3000, int(share * (self.budget - self.builder.triangles)))
        return self.library.pick(entries, self.rng, most=most)

    def covering(self, kinds: tuple[str, ...]) -> tuple[Material, float]:
        """Return a surface of one of the kinds and its texture's side [m].

        A scene makes two of each kind and tints them; one in eight has a model's own texture.
        """
        kind = str(self.rng.choice(kinds))
        pool = self._coverings.setdefault(kind, [])
        if len(pool) < 2:
            own = self._model_texture() if self.rng.random() < 0.12 else None
            pool.append(own or surface(kind, self.rng))
            return pool[-1]
        material, metres = pool[int(self.rng.integers(2))]
        tint = self.rng.uniform(0.45, 1.0) * self.rng.uniform(0.85, 1.0, 3)
        return replace(material, colour=tuple(float(c) for c in tint)), metres

    def _model_texture(self) -> tuple[Material, float] | None:
        found = self.library.pick(self.library.role('wall'), self.rng)
        for material in found[1].materials if found else []:
            texture = material.texture
            if texture and not texture.transparent and min(texture.levels[0].shape[:2]) > 100:
                return Material((0.9, 0.9, 0.9), texture=texture), float(
                    self.rng.uniform(0.5, 2.5)
                )
        return None

    def free(self, rectangle: Rectangle, within: Rectangle | None = None) -> bool:
        """Tell whether a rectangle overlaps nothing that stands already."""
        x0, y0, x1, y1 = rectangle
        if within is not None and (
            x0 < within[0] or y0 < within[1] or x1 > within[2] or y1 > within[3]
        ):
            return False
        return all(x1 <= a or x0 >= c or y1 <= b or y0 >= d for a, b, c, d in self.taken)

    def put(
        self,
        found: tuple[Entry, Mesh],
        position: tuple[float, float, float] | NDArray,
        yaw: float,
        *,
        scale: float = 1.0,
    ) -> Thing:
        """Add a model at a place, in slightly other colours and size than the last time."""
        entry, mesh = found
        tint = np.clip(self.rng.lognormal(0, 0.2) * self.rng.lognormal(0, 0.08, 3), 0.5, 1.6)
        if entry.category == 'Vehicles':
            mesh = painted(mesh, self.rng)
        return self.builder.add(
            mesh, position, yaw=yaw, scale=scale, name=entry.word, model=entry.key, tint=tint
        )

    def try_put(
        self,
        found: tuple[Entry, Mesh] | None,
        place: tuple[float, float],
        yaw: float,
        *,
        within: Rectangle | None = None,
        gap: float = 0.02,
        height: float = 0.0,
    ) -> Thing | None:
        """Put a model on the floor if there is room; return it or None."""
        if found is None:
            return None
        half = footprint(found[1], yaw) / 2
        rectangle = (
            place[0] - half[0] - gap,
            place[1] - half[1] - gap,
            place[0] + half[0] + gap,
            place[1] + half[1] + gap,
        )
        if not self.free(rectangle, within):
            return None
        self.taken.append(rectangle)
        return self.put(found, (*place, height), yaw)

    def scatter(
        self, found: tuple[Entry, Mesh] | None, within: Rectangle, *, tries: int = 8
    ) -> Thing | None:
        """Put a model somewhere on the free floor of a rectangle."""
        for _ in range(tries):
            place = (
                float(self.rng.uniform(within[0], within[2])),
                float(self.rng.uniform(within[1], within[3])),
            )
            thing = self.try_put(found, place, self.any_yaw(), within=within)
            if thing is not None:
                return thing
        return None

    def any_yaw(self) -> float:
        """Return a turn, more often square to the walls than not."""
        if self.rng.random() < 0.6:
            return float(self.rng.integers(4) * np.pi / 2 + self.rng.normal(0, 0.05))
        return float(self.rng.uniform(0, 2 * np.pi))

    def lay_on(
        self,
        carrier: Mesh,
        position: tuple[float, float, float] | NDArray,
        yaw: float,
        entries: list[Entry],
        count: int,
    ) -> None:
        """Lay small things on the level parts of a model's upper side."""
        if carrier.top is None:
            return
        size = carrier.size
        cells = carrier.top.shape[0]
        laid: list[Rectangle] = []
        for _ in range(count):
            found = self.pick(entries)
            if found is None:
                return
            turn = float(self.rng.uniform(0, 2 * np.pi))
            half = footprint(found[1], turn) / 2
            x, y = self.rng.uniform(-0.5, 0.5, 2) * np.maximum(size[:2] - 2 * half * 0.8, 0.01)
            own = (x - half[0], y - half[1], x + half[0], y + half[1])
            if any(
                not (own[2] <= a or own[0] >= c or own[3] <= b or own[1] >= d)
                for a, b, c, d in laid
            ):
                continue
            place = np.array([x, y])
            spots = place + np.array([(0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]) * half * 0.6
            index = np.floor((spots / size[:2] + 0.5) * cells).astype(int)
            if (index < 0).any() or (index >= cells).any():
                continue
            heights = carrier.top[index[:, 1], index[:, 0]]
            if not np.isfinite(heights).all() or np.ptp(heights) > _LEVEL_M:
                continue
            laid.append(own)
            c, s = np.cos(yaw), np.sin(yaw)
            offset = np.array([c * x - s * y, s * x + c * y, float(heights.max())])
            spot = np.asarray(position) + offset
            self.put(found, spot, yaw + turn)


def footprint(mesh: Mesh, yaw: float) -> NDArray[np.float64]:
    """Return width along x and y of a mesh turned by ``yaw``."""
    c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
    width, depth = mesh.size[:2]
    return np.array([c * width + s * depth, s * width + c * depth])


# Grey, white, black, silver, blue, red and the rest as cars have them, linear.
_PAINTS = (
    *((0.75, 0.75, 0.75), (0.4, 0.41, 0.43), (0.12, 0.12, 0.13), (0.015, 0.015, 0.018)),
    *((0.25, 0.26, 0.27), (0.02, 0.05, 0.2), (0.3, 0.02, 0.02), (0.03, 0.1, 0.06)),
    *((0.5, 0.45, 0.35), (0.55, 0.35, 0.03)),
)


def painted(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    """Return a vehicle in another colour: that of its most frequent plain material."""
    counts = np.bincount(mesh.material, minlength=len(mesh.materials)).astype(float)
    colours = np.array([m.colour for m in mesh.materials])
    # Paint is colourful, or light: not tyres, not windows.
    vivid = np.ptp(colours, axis=1) + 0.5 * colours.max(axis=1)
    plain = [m.texture is None and m.opacity > 0.9 for m in mesh.materials]
    score = np.sqrt(counts) * vivid * plain
    if not score.any():
        return mesh
    paint = _PAINTS[int(rng.choice(len(_PAINTS), p=_PAINT_SHARES))]
    materials = list(mesh.materials)
    chosen = int(np.argmax(score))
    materials[chosen] = replace(
        materials[chosen], colour=paint, shine=float(rng.uniform(0.3, 0.9))
    )
    return replace(mesh, materials=materials)


_PAINT_SHARES = np.array([22, 14, 12, 18, 10, 9, 7, 2, 4, 2]) / 100


def wall_place(
    side: int, along: float, w: float, long: float, off: float
) -> tuple[float, float, float]:
    """Return x, y and yaw of something with its back to a wall, ``off`` before it."""
    if side == 0:
        return along, off, np.pi
    if side == 1:
        return w - off, along, -np.pi / 2
    if side == 2:
        return along, long - off, 0.0
    return off, along, np.pi / 2
