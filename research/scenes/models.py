"""Models out of the furniture libraries, as meshes in metres, kept as compact files."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from research.scenes.cast import Caster
from research.scenes.catalogue import Entry
from research.scenes.mesh import Material, Mesh, Texture

CACHE = Path('build/research/models')
# A model of more triangles is left out, or loses leaves: a scene holds many.
MOST_TRIANGLES = 60_000
# A part of an outdoor model with more triangles than this is foliage.
_LEAVES = 15_000
_TOP_CELLS = 24
# OBJ has y up and the front towards +z; here z is up and the front towards -y.
_UPRIGHT = np.array([(1, 0, 0), (0, 0, -1), (0, 1, 0)], np.float64)


class TooLargeError(ValueError):
    """A model of more triangles than a scene should hold."""


@functools.lru_cache(maxsize=1024)
def load_model(entry: Entry, cache: Path = CACHE) -> Mesh:
    """Return a model's mesh, from the cache if it has been read before.

    :raises TooLargeError: if it has too many triangles, and no leaves to shed.
    """
    path = cache / f'{entry.key.replace("#", "_").replace("/", "_").replace(" ", "_")}.npz'
    if path.exists():
        return _unpacked(path)
    refused = path.with_suffix('.refused')
    if refused.exists():
        raise TooLargeError(refused.read_text())
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        mesh = _read(entry)
    except TooLargeError as error:
        refused.write_text(str(error))
        raise
    part = path.with_suffix(f'.{np.random.default_rng().integers(2**60)}.part')
    with part.open('wb') as file:
        np.savez(file, allow_pickle=False, **_packed(mesh))
    part.rename(path)  # whole or not there: other processes read it
    return mesh


def _read(entry: Entry) -> Mesh:
    """Read a model out of its library."""
    parts = _geometries(entry)
    turn = _UPRIGHT @ entry.rotation_matrix()
    vertices, normals, uv, faces, material = [], [], [], [], []
    materials: list[Material] = []
    offset = 0
    for part in parts:
        colour = _material(part)
        points = np.asarray(part.vertices) @ turn.T
        corners, triangles = points, np.asarray(part.faces, np.int32)
        part_uv = getattr(part.visual, 'uv', None)
        part_uv = np.zeros((len(points), 2)) if part_uv is None else np.asarray(part_uv)
        part_normals = np.asarray(part.vertex_normals) @ turn.T
        if entry.category == 'Exterior' and len(part.faces) > _LEAVES:
            corners, part_uv, part_normals, triangles = _shed_leaves(
                corners, part_uv, part_normals, triangles, sum(len(p.faces) for p in parts)
            )
        vertices.append(corners)
        normals.append(part_normals)
        uv.append(part_uv)
        faces.append(triangles + offset)
        material.append(np.full(len(triangles), len(materials), np.int16))
        materials.append(colour)
        offset += len(corners)
    count = sum(len(triangles) for triangles in faces)
    if count > 1.5 * MOST_TRIANGLES:
        raise TooLargeError(
            f'got {count} triangles in {entry.key}, expected {MOST_TRIANGLES} at most'
        )
    sized = _to_size(np.concatenate(vertices), entry.size)
    indices = np.concatenate(faces).astype(np.int32)
    return Mesh(
        sized,
        np.concatenate(normals).astype(np.float32),
        np.concatenate(uv).astype(np.float32),
        indices,
        np.concatenate(material),
        materials,
        _seen_from_above(sized, indices),
    )


def _geometries(entry: Entry) -> list[trimesh.Trimesh]:
    folder = entry.model.rsplit('/', 1)[0]
    with zipfile.ZipFile(entry.library) as archive:
        files = {
            name: io.BytesIO(archive.read(name))
            for name in archive.namelist()
            if name.startswith(f'{folder}/') and not name.endswith('/')
        }
    loaded = trimesh.load(
        io.BytesIO(files[entry.model].getvalue()),
        file_type='obj',
        resolver=trimesh.resolvers.ZipResolver(files, namespace=folder),
        process=False,
        group_material=True,
    )
    parts = loaded.geometry.values() if isinstance(loaded, trimesh.Scene) else [loaded]
    return [part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)]


def _material(part: trimesh.Trimesh) -> Material:
    source = getattr(part.visual, 'material', None)
    values = getattr(source, 'kwargs', None) or {}
    image = getattr(source, 'image', None)
    colour = np.array(values.get('kd', (0.7, 0.7, 0.7)), np.float64)[:3]
    texture = None
    if image is not None:
        texture = Texture.from_image(np.asarray(image.convert('RGBA'), np.uint8))
        # Exporters leave black or grey beside a texture; the texture's own colours are meant.
        colour = np.ones(3)
    shine = np.mean(np.array(values.get('ks', (0, 0, 0)), np.float64))
    return Material(
        colour=tuple(float(c) for c in np.clip(colour, 0.02, 0.9)),
        opacity=float(np.ravel(values.get('d', 1.0)).astype(float)[0]),
        shine=float(np.clip(shine, 0, 1)),
        texture=texture,
    )


def _shed_leaves(
    points: NDArray, uv: NDArray, normals: NDArray, faces: NDArray, total: int
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Keep some of a tree's leaves, enlarged so that they cover as much as all did."""
    keep = MOST_TRIANGLES * 0.6 / max(total, 1)
    if keep >= 1:
        return points, uv, normals, faces
    _, place = np.unique(points.round(4), axis=0, return_inverse=True)
    place = place.ravel()[faces]
    links = coo_array(
        (np.ones(len(faces) * 2), (place[:, :2].ravel(), place[:, 1:].ravel())),
        (len(points), len(points)),
    )
    _, piece = connected_components(links, directed=False)
    piece = piece[place[:, 0]]
    kept = np.random.default_rng(0).random(piece.max() + 1) < keep
    chosen = kept[piece]
    piece, faces = piece[chosen], faces[chosen]
    corners = points[faces]  # [F, 3, 3]
    counts = np.maximum(np.bincount(piece), 1)
    means = corners.mean(axis=1)
    centre = np.stack([np.bincount(piece, means[:, i]) / counts for i in range(3)], 1)[piece]
    grown = centre[:, None] + (corners - centre[:, None]) / np.sqrt(keep)
    return (
        grown.reshape(-1, 3),
        uv[faces].reshape(-1, 2),
        normals[faces].reshape(-1, 3),
        np.arange(len(faces) * 3, dtype=np.int32).reshape(-1, 3),
    )


def _to_size(points: NDArray, size: tuple[float, float, float]) -> NDArray[np.float32]:
    """Centre on the origin, rest on z = 0 and stretch to width, depth and height [m]."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre = np.array([*(low + high)[:2] / 2, low[2]])
    return ((points - centre) * (np.array(size) / np.maximum(high - low, 1e-9))).astype(np.float32)


def _seen_from_above(points: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float32]:
    low, high = points.min(axis=0), points.max(axis=0)
    cells = (np.arange(_TOP_CELLS) + 0.5) / _TOP_CELLS
    x, y = np.meshgrid(low[0] + cells * (high - low)[0], low[1] + cells * (high - low)[1])
    origins = np.stack((x.ravel(), y.ravel(), np.full(x.size, high[2] + 1)), 1).astype(np.float32)
    hits = Caster(points, faces).first(
        origins, np.tile(np.array([0, 0, -1], np.float32), (x.size, 1))
    )
    heights = np.where(hits.face >= 0, high[2] + 1 - hits.t, np.nan)
    return heights.reshape(x.shape).astype(np.float32)


def _packed(mesh: Mesh) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {
        'vertices': mesh.vertices,
        'normals': mesh.normals.astype(np.float16),
        'uv': mesh.uv,
        'faces': mesh.faces,
        'material': mesh.material,
        'table': np.array([(*m.colour, m.emission, m.opacity, m.shine) for m in mesh.materials]),
    }
    if mesh.top is not None:
        arrays['top'] = mesh.top
    for i, material in enumerate(mesh.materials):
        if material.texture is not None:
            arrays[f'texture{i}'] = material.texture.levels[0]
    return arrays


def _unpacked(path: Path) -> Mesh:
    with np.load(path) as arrays:
        materials = []
        for i, (*colour, emission, opacity, shine) in enumerate(arrays['table'].tolist()):
            name = f'texture{i}'
            texture = Texture.from_image(arrays[name]) if name in arrays else None
            materials.append(Material(tuple(colour), emission, opacity, shine, texture))
        return Mesh(
            arrays['vertices'],
            arrays['normals'].astype(np.float32),
            arrays['uv'],
            arrays['faces'],
            arrays['material'],
            materials,
            arrays['top'],
        )
