"""What a user names on a command line: images, videos, and folders of both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath

from mirror_depth_ros.data.frames import IMAGE_SUFFIXES, FrameFolder, is_companion, read_rgb
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.grey_levels import GreyLevels
from mirror_depth_ros.depth.picture_file import FocalLength, PictureError, read_focal_length

#: Files with these suffixes are videos.
VIDEO_SUFFIXES = frozenset({'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm'})

_ALL_SUFFIXES_TEXT = ', '.join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))

#: Returns the camera of a picture that does not say which took it, from its width and height.
CameraOf = Callable[[int, int], CameraModel]


class Kind(Enum):
    """What lies at a path."""

    IMAGE = 'image'
    #: A folder with an image, its ``meta.json`` and perhaps its true depth.
    FRAME = 'frame'
    VIDEO = 'video'


@dataclass(frozen=True)
class Medium:
    """One image, frame or video."""

    path: Path
    kind: Kind
    #: Unlike every other medium's, whatever their folders: a relative path without a suffix.
    name: str
    #: What is known of the camera's 16-bit images; those of one folder share it.
    levels: GreyLevels = field(default_factory=GreyLevels, compare=False, repr=False)

    def count(self, every: int = 1) -> int:
        """Return how many samples to expect; a video's own figure is not always right."""
        if self.kind is not Kind.VIDEO:
            return 1
        from mirror_depth_ros.data.video_file import count_frames  # loads FFmpeg

        return -(-count_frames(self.path) // every)

    def focal_length(self) -> FocalLength | None:
        """Return the focal length in an image's EXIF data; None without one, and for a video.

        :raises ValueError: if it is no image.
        :raises OSError: if it cannot be read.
        """
        if self.kind is not Kind.IMAGE:
            return None
        try:
            with self.path.open('rb') as file:
                return read_focal_length(file)
        except PictureError as error:
            raise ValueError(f'got {self.path}, which {error}, expected an image') from error

    def samples(self, camera_of: CameraOf | None, *, every: int = 1) -> Iterator[DepthSample]:
        """Open it and yield its samples, images and videos turned upright as they say.

        :param camera_of: gives the camera where the medium does not; None: by the focal length in
            an image's EXIF data.
        :param every: take only each ``every``-th frame of a video, from the first.
        :raises ValueError: if it cannot be decoded or its metadata is wrong; at the end of a video
            of which something is missing.
        :raises OSError: if it cannot be read.
        """
        if self.kind is Kind.FRAME:
            yield replace(FrameFolder(self.path)[0], name=self.name)
        elif self.kind is Kind.IMAGE:
            rgb = read_rgb(self.path, upright=True, levels=self.levels)
            camera = (camera_of or self._camera_by_exif)(rgb.shape[1], rgb.shape[0])
            yield DepthSample(rgb, None, camera, self.name)
        else:
            from mirror_depth_ros.data.video_file import read_frames  # loads FFmpeg

            for index, rgb in read_frames(self.path, every=every):
                camera = (camera_of or self._camera_by_exif)(rgb.shape[1], rgb.shape[0])
                yield DepthSample(rgb, None, camera, f'{self.name}/{index:06d}')

    def _camera_by_exif(self, width: int, height: int) -> CameraModel:
        focal = self.focal_length()
        if focal is None:
            raise ValueError(
                f'got {self.path} without a focal length in its EXIF data, expected to know its '
                'camera; give its field of view'
            )
        return centred_camera(width, height, focal.pixels)


def centred_camera(width: int, height: int, focal_px: float) -> CameraModel:
    """Return a camera of square pixels whose principal point is the image's centre."""
    return CameraModel(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)


def find_media(
    paths: Iterable[str | os.PathLike[str]],
    *,
    excluded: Path | None = None,
    left_out: list[Path] | None = None,
) -> list[Medium]:
    """Return all media at these paths, folders searched to their depth, in a fixed order.

    A folder's media are named below the folder's name; a number keeps apart what would have the
    same name.

    :param excluded: a folder that is not searched, such as the one that results go to.
    :param left_out: is given the files of folders that are of no kind that is read, but those that
        lie beside pictures without being any, such as ``notes.txt``.
    :raises FileNotFoundError: for a path at which nothing lies.
    :raises ValueError: for a file that is neither image nor video, or a folder without any.
    """
    found: list[tuple[Path, Kind, PurePosixPath]] = []
    others: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += _in_folder(path, excluded.resolve() if excluded else None, others)
        elif path.is_file():
            kind = _kind(path)
            if kind is None:
                raise ValueError(
                    f'got {path}, expected an image or a video, a file of {_ALL_SUFFIXES_TEXT}; '
                    'convert it'
                )
            found.append((path, kind, PurePosixPath(path.stem)))
        else:
            raise FileNotFoundError(f'got {path}, expected an image, a video or a folder of them')
    names = _distinct_names([(wanted, kind) for _, kind, wanted in found])
    if left_out is not None:
        left_out += others
    levels = {path.parent: GreyLevels() for path, *_ in found}
    return [
        Medium(path, kind, name, levels[path.parent])
        for (path, kind, _), name in zip(found, names)
    ]


def _in_folder(
    folder: Path, excluded: Path | None, others: list[Path]
) -> list[tuple[Path, Kind, PurePosixPath]]:
    """Return a folder's media with the names they would like.

    :param others: is given the files that are none.
    """
    media, unread = [], []
    for path in _search(folder, excluded):
        kind = Kind.FRAME if path.is_dir() else _kind(path)
        if kind is None:
            unread.append(path)
            continue
        name = PurePosixPath(folder.resolve().name, path.relative_to(folder).as_posix())
        media.append((path, kind, name if kind is Kind.FRAME else name.with_suffix('')))
    others += [path for path in unread if not is_companion(path)]
    if not media:
        instead = f' but {", ".join(path.name for path in unread[:3])}' if unread else ''
        raise ValueError(
            f'got no image or video in {folder}{instead}, expected files of {_ALL_SUFFIXES_TEXT}'
        )
    return media


def _search(folder: Path, excluded: Path | None) -> Iterator[Path]:
    """Yield the frames and files below a folder, by name, without what is hidden."""
    if (folder / 'meta.json').is_file():
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith('.') or (excluded and path.resolve() == excluded):
            continue
        if path.is_dir():
            yield from _search(path, excluded)
        else:
            yield path


def _kind(path: Path) -> Kind | None:
    """Return what a file is by its suffix; None: nothing that is read."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return Kind.IMAGE
    return Kind.VIDEO if suffix in VIDEO_SUFFIXES else None


def _distinct_names(wanted: list[tuple[PurePosixPath, Kind]]) -> list[str]:
    """Number names until none is another's, nor that of a folder where a video goes."""
    taken: set[str] = set()
    folders: set[str] = set()
    names = [''] * len(wanted)
    # Videos come last: they alone need a folder of their own.
    for i in sorted(range(len(wanted)), key=lambda i: wanted[i][1] is Kind.VIDEO):
        path, kind = wanted[i]
        name, number = path, 1
        while _folded(name) in (taken | folders if kind is Kind.VIDEO else taken):
            number += 1
            name = path.with_name(f'{path.name}-{number}')
        taken.add(_folded(name))
        folders.update(map(_folded, name.parents))
        names[i] = name.as_posix()
    return names


def _folded(name: PurePosixPath) -> str:
    """Return how file systems see a name that do not tell capitals from small letters."""
    return name.as_posix().casefold()
