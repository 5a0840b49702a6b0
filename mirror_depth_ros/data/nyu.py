"""NYU Depth v2 (Silberman et al., 2012): folders as BTS has them, and the labelled MAT file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.file_list import (
    ListedFrame,
    check_split,
    first_file,
    read_file_list,
)
from mirror_depth_ros.data.frames import read_depth, read_rgb
from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera import CameraModel

#: The Kinect's colour camera; ``camera_params.m`` of the data set's own toolbox.
NYU_CAMERA = CameraModel(640, 480, 518.8579, 519.4696, 325.5824, 253.7362)

_METRES_PER_UNIT = 1e-3
_LISTS = {
    'train': 'nyudepthv2_train_files_with_gt.txt',
    'test': 'nyudepthv2_test_files_with_gt.txt',
}
# Where the paths of a list begin, in the order they are tried.
_LISTED_BELOW = {'train': ('sync', '.'), 'test': ('official_splits/test', '.')}
# What splits.mat calls the splits.
_NUMBERS = {'train': 'trainNdxs', 'test': 'testNdxs'}


class NyuFolder(LazySequence[DepthSample]):
    """Photographs and 16-bit depth images (millimetres, 0 = no truth), opened when asked for.

    With a file list, ``nyudepthv2_SPLIT_files_with_gt.txt`` in ``root`` or another: the paths of a
    training list are searched below ``root/sync`` and ``root``, those of a test list below
    ``root/official_splits/test`` and ``root``. Without one, every ``rgb_*.jpg`` below
    ``root/official_splits/SPLIT`` is taken, with the ``sync_depth_*.png`` beside it.

    :param split: ``train`` or ``test``.
    :param file_list: a file list that is not in ``root``.
    :raises FileNotFoundError: if the folder or the list does not exist, or neither a list nor the
        official folder is in it.
    :raises ValueError: for an unknown split, a malformed line, or one of another camera.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        split: str,
        file_list: str | os.PathLike[str] | None = None,
    ) -> None:
        check_split(split)
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(
                f'got {self.root}, expected the folder of NYU Depth v2; check the path'
            )
        listed = self.root / _LISTS[split] if file_list is None else Path(file_list)
        official = self.root / 'official_splits' / split
        if file_list is not None or listed.is_file():
            self._frames = _read_list(listed)
            self._folders = [self.root / folder for folder in _LISTED_BELOW[split]]
        elif official.is_dir():
            self._frames = _find_pairs(official)
            self._folders = [official]
        else:
            raise FileNotFoundError(
                f'got {self.root} with neither {listed.name} nor official_splits/{split}, '
                'expected one of them; put the file list there, or give the path of '
                'nyu_depth_v2_labeled.mat'
            )

    def __len__(self) -> int:
        return len(self._frames)

    def item(self, index: int) -> DepthSample:
        """Open a photograph and its depth."""
        frame = self._frames[index]
        rgb = read_rgb(self._find(frame.rgb, frame))
        depth = None
        if frame.depth is not None:
            depth = read_depth(self._find(frame.depth, frame), _METRES_PER_UNIT)
        return DepthSample(rgb, depth, NYU_CAMERA, frame.rgb)

    def name_of(self, index: int) -> str:
        """Return the photograph's path as listed."""
        return self._frames[index].rgb

    def _find(self, path: str, frame: ListedFrame) -> Path:
        return first_file([folder / path for folder in self._folders], frame.origin)


class NyuMat(LazySequence[DepthSample]):
    """The labelled images, out of ``nyu_depth_v2_labeled.mat``, read when asked for.

    True depth is ``rawDepths``, as the sensor measured it, without the in-painted parts. The
    samples' names are their numbers as in ``splits.mat``, from 1. Needs h5py and SciPy.

    :param mat: the file, HDF5 as MATLAB 7.3 writes it.
    :param split: ``train`` or ``test``.
    :param splits: where ``splits.mat`` is; beside ``mat`` by default.
    :raises FileNotFoundError: if a file does not exist.
    :raises ValueError: for an unknown split, or files that hold something else.
    :raises ModuleNotFoundError: without h5py or SciPy.
    """

    def __init__(
        self,
        mat: str | os.PathLike[str],
        *,
        split: str,
        splits: str | os.PathLike[str] | None = None,
    ) -> None:
        check_split(split)
        self.mat = Path(mat)
        if not self.mat.is_file():
            raise FileNotFoundError(
                f'got {self.mat}, expected the file nyu_depth_v2_labeled.mat; check the path'
            )
        splits = self.mat.with_name('splits.mat') if splits is None else Path(splits)
        self._numbers = _read_numbers(splits, _NUMBERS[split])
        with _open_hdf5(self.mat) as file:
            count = _count_images(file, self.mat)
        first, last = self._numbers.min(), self._numbers.max()
        if not 1 <= first <= last <= count:
            raise ValueError(
                f'got numbers {first} to {last} in {splits}, expected 1 to {count}, the images of '
                f'{self.mat}; take the two files of one download'
            )

    def __len__(self) -> int:
        return len(self._numbers)

    def item(self, index: int) -> DepthSample:
        """Read an image and its depth."""
        number = int(self._numbers[index])
        # Opened anew each time, which takes less than a millisecond: an open HDF5 file neither
        # survives pickling nor may be shared with a forked process, and data loaders do both.
        with _open_hdf5(self.mat) as file:
            try:
                rgb, depth = file['images'][number - 1], file['rawDepths'][number - 1]
            except (OSError, RuntimeError) as error:
                raise ValueError(
                    f'got image {number} of {self.mat} damaged ({error}), expected it to be '
                    'readable; download the file again'
                ) from error
        # MATLAB counts the axes from the other end: [3, W, H] and [W, H].
        metres = depth.T.astype(np.float32, order='C')
        metres[metres == 0] = np.nan
        rgb = np.ascontiguousarray(rgb.transpose(2, 1, 0))
        return DepthSample(rgb, metres, NYU_CAMERA, self.name_of(index))

    def name_of(self, index: int) -> str:
        """Return the image's number in the file, from 1."""
        return f'{self._numbers[index]:04d}'


def _read_list(path: Path) -> list[ListedFrame]:
    """Read a file list, all of it from NYU's camera."""
    frames = read_file_list(path)
    for frame in frames:
        if abs(frame.focal_px - NYU_CAMERA.fx) > 1:
            raise ValueError(
                f'got a focal length of {frame.focal_px} in {frame.origin}, expected '
                f'{NYU_CAMERA.fx} as NYU Depth v2 has; is it the list of another data set?'
            )
    return frames


def _find_pairs(folder: Path) -> list[ListedFrame]:
    """Return the photographs below a folder and the depth images that belong beside them."""
    photographs = sorted(folder.rglob('rgb_*.jpg'))
    if not photographs:
        raise FileNotFoundError(
            f'got no rgb_*.jpg below {folder}, expected some; unpack them there'
        )
    frames = []
    for photograph in photographs:
        number = photograph.stem.removeprefix('rgb_')
        depth = photograph.with_name(f'sync_depth_{number}.png')
        rgb = photograph.relative_to(folder).as_posix()
        frames.append(ListedFrame(rgb, depth.relative_to(folder).as_posix(), NYU_CAMERA.fx, rgb))
    return frames


def _read_numbers(path: Path, name: str) -> NDArray[np.int64]:
    """Return one of the lists of ``splits.mat``, ``[N]``, numbers from 1."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ModuleNotFoundError as error:
        raise _missing('SciPy') from error
    if not path.is_file():
        raise FileNotFoundError(
            f'got no {path}, expected the splits of NYU Depth v2; download splits.mat, too'
        )
    try:
        numbers = np.asarray(loadmat(path, variable_names=[name])[name], np.int64).ravel()
        if not numbers.size:
            raise ValueError('no numbers')
        return numbers
    except (MatReadError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f'got {path} with {type(error).__name__} {error}, expected a MAT file (version 5) '
            f'that holds {name}; download splits.mat again'
        ) from error


def _open_hdf5(path: Path) -> Any:
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise _missing('h5py') from error
    try:
        return h5py.File(path, 'r')
    except OSError as error:
        raise ValueError(
            f'got {path}, which is no whole HDF5 file ({error}), expected '
            'nyu_depth_v2_labeled.mat; download it again'
        ) from error


def _count_images(file: Any, path: Path) -> int:
    """Return how many images a file holds, after making sure that they are NYU's."""
    width, height = NYU_CAMERA.width, NYU_CAMERA.height
    shapes = {name: getattr(file.get(name), 'shape', None) for name in ('images', 'rawDepths')}
    count = (shapes['images'] or (0,))[0]
    expected = {'images': (count, 3, width, height), 'rawDepths': (count, width, height)}
    if not count or shapes != expected:
        raise ValueError(
            f'got {shapes} in {path}, expected images [N, 3, {width}, {height}] and rawDepths '
            f'[N, {width}, {height}]; is it nyu_depth_v2_labeled.mat?'
        )
    return int(count)


def _missing(package: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f'got no {package}, expected it for nyu_depth_v2_labeled.mat; '
        'pip install mirror_depth_ros[train]'
    )
