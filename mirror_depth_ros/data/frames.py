"""Folders of photographs, with or without true depth."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.picture_file import PictureError, decode_pixels
from mirror_depth_ros.validation import ByName, Integer, Number, OrNone, PlainData, Several, Text

#: Files with these suffixes are images.
IMAGE_SUFFIXES = frozenset({'.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'})

# Files that lie beside pictures without being any: tables, notes, clouds, and what systems leave.
_COMPANION_SUFFIXES = frozenset(
    {'.csv', '.db', '.ini', '.json', '.md', '.npy', '.npz', '.ply', '.txt', '.xml', '.xmp'}
    | {'.yaml', '.yml'}
)

#: Where photographs are taken; names of :data:`mirror_depth_ros.depth.eval_protocols.PROTOCOLS`.
DOMAINS = ('indoor', 'outdoor')

_META_NAME = 'meta.json'
_CAMERA = {
    **dict.fromkeys(('width', 'height'), Integer(1, 100_000)),
    **dict.fromkeys(('fx', 'fy'), Number(0, 1_000_000, 'pixels', above=True)),
    **dict.fromkeys(('cx', 'cy'), Number(-1_000_000, 1_000_000, 'pixels')),
}
# What else a frame's file says, such as where the frame is from, is nobody's business here.
_META = ByName(
    {
        'camera': ByName(_CAMERA, required=tuple(_CAMERA), others=PlainData()),
        'depth_scale': OrNone(Number(0, 1000, 'metres per unit', above=True)),
        'rgb': Text(),
        'depth': Text(),
        'camera_to_world': OrNone(Several(Several(Number(-1e9, 1e9), 4), 4)),
    },
    required=('camera',),
    others=PlainData(),
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Frame:
    """Where one sample lies."""

    name: str
    image: Path
    #: Of a frame with intrinsics; None for a plain image.
    meta: Path | None


class FrameFolder(LazySequence[DepthSample]):
    """The photographs below a folder, opened when asked for.

    Two layouts are understood. ``ROOT/.../FRAME/{rgb.png|rgb.jpg, depth.png, meta.json}``, nested
    as deep as one likes: ``meta.json`` holds ``camera`` (fx, fy, cx, cy, width, height),
    ``depth_scale`` (metres per unit of the 16-bit ``depth.png``, 0 = no truth), ``domain``
    (``indoor``, the default, or ``outdoor``) and, for frames with other file names, ``rgb`` and
    ``depth``. These are read as stored, which is what their intrinsics belong to.
    ``camera_to_world``, the 4 x 4 pose of the optical frame (x right, y down, z forward) [m], says
    where it was taken; frames in one folder are of one world, in the order of their names. Or
    ``ROOT`` has plain image files, which need ``hfov_deg``, and are turned upright as their EXIF
    data say. Other files are skipped with a log message.

    :param hfov_deg: field of view of plain images along their longer side [degrees].
    :raises FileNotFoundError: if the folder does not exist.
    :raises ValueError: if it holds no image, or plain images and no field of view.
    """

    def __init__(self, root: str | os.PathLike[str], *, hfov_deg: float | None = None) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(
                f'got {self.root}, expected a folder of images; check the path'
            )
        self._hfov_deg = hfov_deg
        self._levels = GreyLevels()
        #: Files in the folder that may be pictures, but of no kind that is read.
        self.left_out: list[Path] = []
        self._frames = _find_frames(self.root, self.left_out)
        if not self._frames:
            raise ValueError(
                f'got no image in {self.root}, expected FRAME/meta.json folders or files of '
                f'{", ".join(sorted(IMAGE_SUFFIXES))}'
            )
        plain = [frame.name for frame in self._frames if frame.meta is None]
        if plain and hfov_deg is None:
            raise ValueError(
                f'got images without meta.json in {self.root} ({plain[0]}, {len(plain)} in all), '
                'expected intrinsics; give --fov (the field of view along the longer side in '
                'degrees), or add a meta.json to each'
            )

    @property
    def names(self) -> list[str]:
        """The samples' names, without opening them."""
        return [frame.name for frame in self._frames]

    def __len__(self) -> int:
        return len(self._frames)

    def item(self, index: int) -> DepthSample:
        """Open a photograph."""
        frame = self._frames[index]
        if frame.meta is not None:
            return _read_frame(frame, frame.meta, self._levels)
        rgb = read_rgb(frame.image, upright=True, levels=self._levels)
        assert self._hfov_deg is not None  # the constructor has seen to it
        camera = CameraModel.from_longer_side(rgb.shape[1], rgb.shape[0], self._hfov_deg)
        return DepthSample(rgb, None, camera, frame.name)

    def name_of(self, index: int) -> str:
        """Return the sample's path below the folder."""
        return self._frames[index].name

    def has_depth(self, index: int) -> bool:
        """Say whether the sample has true depth."""
        meta = self._frames[index].meta
        return meta is not None and _depth_path(meta, _read_meta(meta)).is_file()

    def domain_of(self, index: int) -> str:
        """Return where a photograph was taken: ``indoor``, unless its meta.json says otherwise.

        :raises ValueError: for a domain that there is not.
        """
        meta = self._frames[index].meta
        domain = 'indoor' if meta is None else _read_meta(meta).get('domain', 'indoor')
        if domain not in DOMAINS:
            raise ValueError(
                f'got domain {domain!r} in {meta}, expected one of {", ".join(DOMAINS)}'
            )
        return str(domain)


def is_companion(path: Path) -> bool:
    """Whether a file that is no image is none by its suffix either: nothing is missing without."""
    return path.suffix.lower() in _COMPANION_SUFFIXES


def read_rgb(
    path: str | os.PathLike[str], *, upright: bool = False, levels: GreyLevels | None = None
) -> NDArray[np.uint8]:
    """Read an image file as RGB uint8 ``[H, W, 3]``.

    :param upright: turn it as its EXIF data say; otherwise it is as stored, which is what
        intrinsics and depth images belong to.
    :param levels: what is known of the camera's 16-bit images; None: of this one alone. What it
        finds is logged.
    :raises FileNotFoundError: if there is no such file.
    :raises ValueError: if it is no whole image of 8 or 16 bits, or too large.
    """
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        image = decode_pixels(Path(path).read_bytes(), flags, upright=upright)
    except PictureError as error:
        raise ValueError(
            f'got {path}, which {error}, expected a whole image; copy or convert it again'
        ) from error
    if image.dtype == np.uint16:
        levels = levels or GreyLevels()
        before = levels.description
        image = levels.convert(image)
        if levels.description != before:
            _log.warning('values of %s fill %s', path, levels.description)
    elif image.dtype != np.uint8:
        raise ValueError(
            f'got {path} of {image.dtype}, expected an image of 8 or 16 bits; convert it'
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_depth(path: str | os.PathLike[str], scale: float) -> NDArray[np.float32]:
    """Read a 16-bit PNG as metres along Z, float32 ``[H, W]``, NaN where it is 0.

    :param scale: metres per unit.
    :raises FileNotFoundError: if there is no such file.
    :raises ValueError: if it is no whole 16-bit image of one channel.
    """
    try:
        image = decode_pixels(Path(path).read_bytes(), cv2.IMREAD_UNCHANGED)
    except PictureError as error:
        raise ValueError(
            f'got {path}, which {error}, expected a 16-bit PNG of one channel'
        ) from error
    if image.dtype != np.uint16 or image.ndim != 2:
        raise ValueError(
            f'got {image.dtype} {image.shape} in {path}, expected a 16-bit PNG of one channel'
        )
    depth = image.astype(np.float32) * np.float32(scale)
    depth[image == 0] = np.nan
    return depth


def _find_frames(root: Path, left_out: list[Path]) -> list[_Frame]:
    """Return all frames below ``root`` and plain images in it, sorted by name.

    :param left_out: is given the files in it that may be pictures, but of no kind that is read.
    """
    frames = []
    for meta in sorted(root.rglob(_META_NAME)):
        image = _image_beside(meta)
        name = meta.parent.relative_to(root).as_posix()
        frames.append(_Frame(root.resolve().name if name == '.' else name, image, meta))
    if (root / _META_NAME).is_file():
        return frames  # ROOT is itself a frame: its rgb.png and depth.png are no plain images
    for path in sorted(p for p in root.iterdir() if p.is_file() and not p.name.startswith('.')):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            frames.append(_Frame(path.name, path, None))
        else:
            _log.warning('skipped %s: not an image by its suffix', path)
            if not is_companion(path):
                left_out.append(path)
    return frames


def _image_beside(meta: Path) -> Path:
    """Return the photograph that belongs to a ``meta.json``."""
    named = _read_meta(meta).get('rgb')
    OrNone(Text())(f'rgb in {meta}', named)
    candidates = [named] if named else ['rgb.png', 'rgb.jpg']
    for name in candidates:
        if (meta.parent / name).is_file():
            return meta.parent / name
    raise FileNotFoundError(
        f'got {meta} without its image, expected {" or ".join(candidates)} beside it'
    )


def _read_frame(frame: _Frame, meta_path: Path, levels: GreyLevels) -> DepthSample:
    meta = _read_meta(meta_path)
    try:
        _META('meta', meta)
    except ValueError as error:
        raise ValueError(f'{error} (in {meta_path})') from None
    camera = CameraModel(**{name: meta['camera'][name] for name in _CAMERA})
    pose = meta.get('camera_to_world')
    pose = None if pose is None else np.array(pose, np.float64)
    depth_path = _depth_path(meta_path, meta)
    if not depth_path.is_file():
        return DepthSample(read_rgb(frame.image, levels=levels), None, camera, frame.name, pose)
    if meta.get('depth_scale') is None:
        raise ValueError(
            f'got {meta_path} without depth_scale, expected the metres per unit of '
            f'{depth_path.name}; add it'
        )
    depth = read_depth(depth_path, meta['depth_scale'])
    return DepthSample(read_rgb(frame.image, levels=levels), depth, camera, frame.name, pose)


def _depth_path(meta_path: Path, meta: dict[str, Any]) -> Path:
    return meta_path.parent / meta.get('depth', 'depth.png')


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'got {path}, expected JSON: {error}') from error
    if not isinstance(meta, dict):
        raise ValueError(f'got a {type(meta).__name__} in {path}, expected a JSON object')
    return meta
