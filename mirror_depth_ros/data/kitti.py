"""KITTI: raw drives (Geiger et al., 2013) with the depth of Uhrig et al. (2017)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mirror_depth_ros.data.file_list import (
    ListedFrame,
    check_split,
    first_file,
    read_file_list,
)
from mirror_depth_ros.data.frames import read_depth, read_rgb
from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.camera import CameraModel

_METRES_PER_UNIT = 1 / 256
# As BTS and as AdaBins name them.
_LISTS = ('eigen_{split}_files_with_gt.txt', 'kitti_eigen_{split}_files_with_gt.txt')
# Where the paths of a list begin, in the order they are tried.
_RAW_BELOW = ('.', 'raw', 'kitti_raw')
_DEPTH_BELOW = (
    'data_depth_annotated',
    'data_depth_annotated/train',
    'data_depth_annotated/val',
    'gt',
    '.',
)
_CALIBRATION = 'calib_cam_to_cam.txt'


class KittiFolder(LazySequence[DepthSample]):
    """Photographs and 16-bit depth images (1/256 m, 0 = no truth), opened when asked for.

    A line of the file list reads ``DATE/DRIVE_sync/image_02/data/N.png
    DRIVE_sync/proj_depth/groundtruth/image_02/N.png FOCAL``, with ``None`` for a depth image that
    does not exist. The first path is searched below ``root``, ``root/raw`` and ``root/kitti_raw``,
    the second below ``root/data_depth_annotated``, ``train`` and ``val`` in it, ``root/gt`` and
    ``root``. The list is ``eigen_SPLIT_files_with_gt.txt`` or
    ``kitti_eigen_SPLIT_files_with_gt.txt`` in ``root``, or another.

    Intrinsics are those of the rectified camera (``P_rect_02``, ``P_rect_03``) in
    ``DATE/calib_cam_to_cam.txt``. Where that file is missing, the line's focal length holds in
    both directions, and the principal point is taken to be the image's centre: some 15
    pixels off, which moves points but changes no metric scale.

    :param split: ``train`` or ``test``.
    :param file_list: a file list that is not in ``root``.
    :param with_truth_only: leave out what the list gives no depth for; :attr:`left_out` counts it.
    :raises FileNotFoundError: if the folder or the list does not exist.
    :raises ValueError: for an unknown split, a malformed line, or a list without any depth.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        split: str,
        file_list: str | os.PathLike[str] | None = None,
        with_truth_only: bool = False,
    ) -> None:
        check_split(split)
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(
                f'got {self.root}, expected the folder of KITTI; check the path'
            )
        listed = _find_list(self.root, split) if file_list is None else Path(file_list)
        frames = read_file_list(listed)
        self._frames = [f for f in frames if f.depth is not None or not with_truth_only]
        if not self._frames:
            raise ValueError(
                f'got {len(frames)} lines without depth in {listed}, expected some with it; take '
                'the list that names the ground truth'
            )
        #: How many lines of the list were left out.
        self.left_out = len(frames) - len(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def item(self, index: int) -> DepthSample:
        """Open a photograph, its depth and its calibration."""
        frame = self._frames[index]
        path = self._find(frame.rgb, _RAW_BELOW, frame)
        rgb = read_rgb(path)
        depth = None
        if frame.depth is not None:
            depth = read_depth(self._find(frame.depth, _DEPTH_BELOW, frame), _METRES_PER_UNIT)
        height, width = rgb.shape[:2]
        # DATE/DRIVE/image_02/data/N.png lies three folders below its date.
        calibration = path.parents[3] / _CALIBRATION if len(path.parents) > 3 else None
        if calibration is not None and calibration.is_file():
            camera = _calibrated(calibration, frame, width, height)
        else:
            focal = frame.focal_px
            camera = CameraModel(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)
        return DepthSample(rgb, depth, camera, frame.rgb)

    def name_of(self, index: int) -> str:
        """Return the photograph's path as listed."""
        return self._frames[index].rgb

    def _find(self, path: str, below: tuple[str, ...], frame: ListedFrame) -> Path:
        return first_file([self.root / folder / path for folder in below], frame.origin)


def _find_list(root: Path, split: str) -> Path:
    names = [name.format(split=split) for name in _LISTS]
    for name in names:
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(
        f'got {root} without {" or ".join(names)}, expected a file list; put one there'
    )


def _calibrated(path: Path, frame: ListedFrame, width: int, height: int) -> CameraModel:
    """Return a rectified camera of ``calib_cam_to_cam.txt``.

    :raises ValueError: if it does not hold that camera, or for images of another size.
    """
    lines = path.read_text(encoding='utf-8-sig').splitlines()
    entries = dict(line.split(':', 1) for line in lines if ':' in line)
    camera = re.search(r'image_0(\d)', frame.rgb)
    number = camera[1] if camera else '?'
    try:
        matrix = [float(value) for value in entries[f'P_rect_0{number}'].split()]
        columns, rows = (float(value) for value in entries[f'S_rect_0{number}'].split())
        fx, _, cx, _, _, fy, cy, *_ = matrix
        if len(matrix) != 12:
            raise ValueError(f'{len(matrix)} numbers in P_rect_0{number}')
    except (KeyError, ValueError) as error:
        raise ValueError(
            f'got {path} with {type(error).__name__} {error} for {frame.rgb}, expected '
            'P_rect_0N (12 numbers) and S_rect_0N (2) of its camera image_0N; unpack the '
            'calibration again'
        ) from error
    if (columns, rows) != (width, height):
        raise ValueError(
            f'got {frame.rgb} of {width} x {height} pixels, expected {columns:g} x {rows:g} as '
            f'{path} says; take the images of the raw drives as they are'
        )
    return CameraModel(width, height, fx, fy, cx, cy)
