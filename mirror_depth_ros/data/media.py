"""What a user names on a command line: images, videos, and folders of both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.data.frames import IMAGE_SUFFIXES, FrameFolder, read_rgb
from mirror_depth_ros.data.sample import DepthSample

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

    def count(self, every: int = 1) -> int:
        """Return how many samples to expect; a video's own figure is not always right."""
        if self.kind is not Kind.VIDEO:
            return 1
        frames = int(cv2.VideoCapture(str(self.path)).get(cv2.CAP_PROP_FRAME_COUNT))
        return max(1, -(-frames // every))

    def samples(self, camera_of: CameraOf, *, every: int = 1) -> Iterator[DepthSample]:
        """Open it and yield its samples.

        :param camera_of: gives the camera where the medium does not.
        :param every: take only each ``every``-th frame of a video, from the first.
        :raises ValueError: if it cannot be decoded or its metadata is wrong.
        :raises OSError: if it cannot be read.
        """
        if self.kind is Kind.FRAME:
            yield replace(FrameFolder(self.path)[0], name=self.name)
        elif self.kind is Kind.IMAGE:
            rgb = read_rgb(self.path)
            yield DepthSample(rgb, None, camera_of(rgb.shape[1], rgb.shape[0]), self.name)
        else:
            yield from self._video_samples(camera_of, every)

    def _video_samples(self, camera_of: CameraOf, every: int) -> Iterator[DepthSample]:
        video = cv2.VideoCapture(str(self.path))
        try:
            index = -1
            while video.grab():
                index += 1
                if index % every == 0:
                    decoded, bgr = video.retrieve()
                    if not decoded:
                        raise ValueError(f'could not decode frame {index} of {self.path}')
                    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
                    camera = camera_of(rgb.shape[1], rgb.shape[0])
                    yield DepthSample(rgb, None, camera, f'{self.name}/{index:06d}')
            if index < 0:
                raise ValueError(
                    f'got no frame from {self.path}, expected a video that OpenCV can decode; '
                    'is it damaged? ffmpeg can convert it'
                )
        finally:
            video.release()


def find_media(
    paths: Iterable[str | os.PathLike[str]], *, excluded: Path | None = None
) -> list[Medium]:
    """Return all media at these paths, folders searched to their depth, in a fixed order.

    A folder's media are named below the folder's name; a number keeps apart what would have the
    same name.

    :param excluded: a folder that is not searched, such as the one that results go to.
    :raises FileNotFoundError: for a path at which nothing lies.
    :raises ValueError: for a file that is neither image nor video, or a folder without any.
    """
    found: list[tuple[Path, Kind, PurePosixPath]] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += _in_folder(path, excluded.resolve() if excluded else None)
        elif path.is_file():
            found.append((path, _kind(path), PurePosixPath(path.stem)))
        else:
            raise FileNotFoundError(f'got {path}, expected an image, a video or a folder of them')
    names = _distinct_names([(wanted, kind) for _, kind, wanted in found])
    return [Medium(path, kind, name) for (path, kind, _), name in zip(found, names)]


def _in_folder(folder: Path, excluded: Path | None) -> list[tuple[Path, Kind, PurePosixPath]]:
    """Return a folder's media with the names they would like."""
    media = []
    for path, kind in _search(folder, excluded):
        name = PurePosixPath(folder.resolve().name, path.relative_to(folder).as_posix())
        media.append((path, kind, name if kind is Kind.FRAME else name.with_suffix('')))
    if not media:
        raise ValueError(
            f'got no image or video in {folder}, expected files of {_ALL_SUFFIXES_TEXT}'
        )
    return media


def _search(folder: Path, excluded: Path | None) -> Iterator[tuple[Path, Kind]]:
    """Yield media below a folder, by name, without what is hidden."""
    if (folder / 'meta.json').is_file():
        yield folder, Kind.FRAME
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith('.') or (excluded and path.resolve() == excluded):
            continue
        if path.is_dir():
            yield from _search(path, excluded)
        elif path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
            yield path, _kind(path)


def _kind(path: Path) -> Kind:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return Kind.IMAGE
    if suffix in VIDEO_SUFFIXES:
        return Kind.VIDEO
    raise ValueError(f'got {path}, expected an image or a video, a file of {_ALL_SUFFIXES_TEXT}')


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
