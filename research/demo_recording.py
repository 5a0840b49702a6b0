"""The recording that ``mirror_depth demo`` plays: ``python -m research.demo_recording --help``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from mirror_depth_ros.depth.files import write_json

#: Photographs wider than this are made smaller [pixels].
WIDEST_PX = 640
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class Choice:
    """Frames of a recording that are shown."""

    #: As it is called in the demo.
    name: str
    #: Its folder among the recordings.
    source: str
    #: The frames' folders below that, in their order; pictures show the first and the middle one.
    frames: tuple[str, ...]


#: Different places and distances; no two of the frames are the same picture.
CHOICES = (
    Choice(
        'bedroom',
        'realsense-felixchenfy',
        ('000004', '000002', '000005', '000008', '000001', '000009', '000006'),
    ),
    Choice('bins', 'arc-bins', ('pick_0', 'suction', 'pick_1')),
    Choice('building', 'lingbot-examples', ('5', '2', '0', '4')),
    Choice('desk_1', 'tum-fr1-desk-9', ('000', '004', '008')),
    Choice('desk_2', 'tum-slambook', ('fr2_desk_1', 'fr2_desk_2')),
    Choice(
        'street',
        'pandaset-002',
        (
            'front_camera_00',
            'front_camera_65',
            'front_left_camera_79',
            'front_right_camera_50',
            'left_camera_65',
            'back_camera_00',
        ),
    ),
)


def shrink(
    rgb: NDArray[np.uint8], units: NDArray[np.uint16], camera: dict[str, float]
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], dict[str, float]]:
    """Make a frame smaller by a whole number, so that it is at most :data:`WIDEST_PX` wide.

    Of each block of pixels the nearest known depth stays, as a lidar's points are sparse.

    :param rgb: ``[H, W, 3]``.
    :param units: depth, 0 = unknown, ``[H, W]``.
    :param camera: fx, fy, cx, cy, width, height [pixels].
    :raises ValueError: for a size that is no multiple of the factor.
    """
    height, width = units.shape
    factor = -(-width // WIDEST_PX)
    if factor == 1:
        return rgb, units, camera
    if height % factor or width % factor:
        raise ValueError(
            f'got a frame of {width} x {height} pixels, expected multiples of {factor}; cut it'
        )
    size = (width // factor, height // factor)
    blocks = units.reshape(size[1], factor, size[0], factor)
    most = np.iinfo(np.uint16).max
    nearest = np.where(blocks == 0, most, blocks).min(axis=(1, 3))
    small = {
        'fx': camera['fx'] / factor,
        'fy': camera['fy'] / factor,
        # The edges of the picture stay: pixel centres lie at whole numbers.
        'cx': (camera['cx'] + 0.5) / factor - 0.5,
        'cy': (camera['cy'] + 0.5) / factor - 0.5,
        'width': size[0],
        'height': size[1],
    }
    depth = np.where(nearest == most, 0, nearest).astype(np.uint16)
    shrunk = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return shrunk, depth, small


def copy_frame(source: Path, target: Path) -> None:
    """Write a frame of a recording as it ships: JPEG, 16-bit PNG, and whence it came."""
    meta: dict[str, Any] = json.loads((source / 'meta.json').read_text())
    rgb = cv2.imread(str(source / meta['rgb']), cv2.IMREAD_COLOR)
    units = cv2.imread(str(source / meta['depth']), cv2.IMREAD_UNCHANGED)
    rgb, units, camera = shrink(rgb, units, meta['camera'])
    target.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target / 'rgb.jpg'), rgb, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    cv2.imwrite(str(target / 'depth.png'), units, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    kept = ('depth_scale', 'domain', 'original_dataset', 'source_repo', 'source_path', 'licence')
    write_json(target / 'meta.json', {'camera': camera, **{name: meta[name] for name in kept}})


def main(
    photographs: Annotated[Path, typer.Option(help='Folder of recordings, of frames each.')],
    output: Annotated[Path, typer.Option(help='Where the frames go.')] = Path(
        'resource/demo/photographs'
    ),
) -> None:
    """Copy the photographs of the demo; ``research.scenes.video`` renders its videos.

    Its room is ``--kind indoor --seed 11000008``, its street ``--kind outdoor --seed 11000001``.
    """
    for choice in CHOICES:
        for i, frame in enumerate(choice.frames):
            copy_frame(photographs / choice.source / frame, output / choice.name / f'{i:03d}')


if __name__ == '__main__':
    typer.run(main)
