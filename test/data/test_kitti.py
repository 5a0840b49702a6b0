"""KITTI's folders, written here as the raw drives and the annotated depth unpack."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mirror_depth_ros.data.kitti import KittiFolder
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.files import write_rgb_png

DATE, DRIVE = '2011_09_26', '2011_09_26_drive_0002_sync'
LIST = 'eigen_test_files_with_gt.txt'
# P_rect_0N is 3 x 4; its last column is the baseline's, not the intrinsics'.
CALIBRATION = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_02: 1.392000e+03 5.120000e+02
K_02: 9.597910e+02 0.0 6.960217e+02 0.0 9.569251e+02 2.241806e+02 0.0 0.0 1.0
S_rect_02: 2.100000e+01 1.500000e+01
P_rect_02: 7.2e+02 0.0 1.05e+01 4.485728e+01 0.0 7.1e+02 6.5e+00 2.163791e-01 0.0 0.0 1.0 2.7e-03
S_rect_03: 2.100000e+01 1.500000e+01
P_rect_03: 7.3e+02 0.0 1.15e+01 -3.3e+02 0.0 7.4e+02 5.5e+00 2.2 0.0 0.0 1.0 2.7e-03
"""


def rgb_path(number: int, camera: str = 'image_02') -> str:
    return f'{DATE}/{DRIVE}/{camera}/data/{number:010d}.png'


def depth_path(number: int, camera: str = 'image_02') -> str:
    return f'{DRIVE}/proj_depth/groundtruth/{camera}/{number:010d}.png'


def write_rgb(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.zeros((15, 21, 3), np.uint8)
    rgb[3, 4] = (10, 20, 30)
    write_rgb_png(path, rgb)


def write_depth(path: Path, value: int = 2560) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    depth = np.zeros((15, 21), np.uint16)
    depth[3, 4] = value
    assert cv2.imwrite(str(path), depth)


def write_list(root: Path, *lines: str, name: str = LIST) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text('\n'.join(lines) + '\n')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write one frame of the left camera, one of the right, and one without depth."""
    for camera, value in (('image_02', 2560), ('image_03', 5130)):
        write_rgb(tmp_path / rgb_path(69, camera))
        write_depth(tmp_path / 'data_depth_annotated' / depth_path(69, camera), value)
    write_rgb(tmp_path / rgb_path(75))
    (tmp_path / DATE / 'calib_cam_to_cam.txt').write_text(CALIBRATION)
    write_list(
        tmp_path,
        f'{rgb_path(69)} {depth_path(69)} 721.5377',
        f'{rgb_path(75)} None 721.5377',
        f'{rgb_path(69, "image_03")} {depth_path(69, "image_03")} 721.5377',
    )
    return tmp_path


def test_photographs_with_depth_and_calibration(root: Path) -> None:
    samples = KittiFolder(root, split='test')
    assert samples.left_out == 0
    left, bare, right = samples
    assert left.name == samples.name_of(0) == rgb_path(69)
    assert left.rgb[3, 4].tolist() == [10, 20, 30]
    assert left.camera == CameraModel(21, 15, 720.0, 710.0, 10.5, 6.5)
    assert left.depth is not None
    assert left.depth[3, 4] == 10.0  # 2560 / 256
    assert np.isnan(left.depth).sum() == 15 * 21 - 1
    assert bare.depth is None
    assert right.camera == CameraModel(21, 15, 730.0, 740.0, 11.5, 5.5)
    assert right.depth is not None
    assert right.depth[3, 4] == pytest.approx(5130 / 256)


def test_a_calibration_may_begin_with_a_byte_order_mark(root: Path) -> None:
    lines = [line for line in CALIBRATION.splitlines() if '_rect_0' in line]
    lines.sort(key=lambda line: line[:9] != 'P_rect_02')  # that one first
    text = '\n'.join(lines)
    (root / DATE / 'calib_cam_to_cam.txt').write_text(text, encoding='utf-8-sig')
    assert KittiFolder(root, split='test')[0].camera.fx == 720.0


def test_what_has_no_truth_is_left_out_and_counted(root: Path) -> None:
    samples = KittiFolder(root, split='test', with_truth_only=True)
    assert [s.name for s in samples] == [rgb_path(69), rgb_path(69, 'image_03')]
    assert samples.left_out == 1
    write_list(root, f'{rgb_path(75)} None 721.5377')
    with pytest.raises(ValueError, match=f'got 1 lines without depth in .*{LIST}, expected some'):
        KittiFolder(root, split='test', with_truth_only=True)


def test_without_a_calibration_the_focal_length_of_the_list_counts(root: Path) -> None:
    (root / DATE / 'calib_cam_to_cam.txt').unlink()
    # the centre of 21 x 15 pixels is (10, 7)
    expected = CameraModel(21, 15, 721.5377, 721.5377, 10.0, 7.0)
    assert KittiFolder(root, split='test')[0].camera == expected


@pytest.mark.parametrize('raw', ['.', 'raw', 'kitti_raw'])
@pytest.mark.parametrize(
    'annotated',
    ['data_depth_annotated', 'data_depth_annotated/train', 'data_depth_annotated/val', 'gt', '.'],
)
def test_the_usual_places(tmp_path: Path, raw: str, annotated: str) -> None:
    write_rgb(tmp_path / raw / rgb_path(5))
    (tmp_path / raw / DATE / 'calib_cam_to_cam.txt').write_text(CALIBRATION)
    write_depth(tmp_path / annotated / depth_path(5))
    write_list(
        tmp_path,
        f'{rgb_path(5)} {depth_path(5)} 721.5377',
        name='kitti_eigen_train_files_with_gt.txt',
    )
    (sample,) = KittiFolder(tmp_path, split='train')
    assert sample.depth is not None
    assert sample.depth[3, 4] == 10.0
    assert sample.camera.fx == 720.0


def test_a_list_from_elsewhere(root: Path, tmp_path: Path) -> None:
    (tmp_path / 'mine.txt').write_text(f'{rgb_path(75)} None 721.5377\n')
    (sample,) = KittiFolder(root, split='test', file_list=tmp_path / 'mine.txt')
    assert sample.name == rgb_path(75)


def test_folders_that_are_not_kitti(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='got .*absent, expected the folder of KITTI'):
        KittiFolder(tmp_path / 'absent', split='test')
    with pytest.raises(ValueError, match="got split 'val', expected one of train, test"):
        KittiFolder(tmp_path, split='val')
    with pytest.raises(
        FileNotFoundError, match=f'without {LIST} or kitti_{LIST}, expected a file'
    ):
        KittiFolder(tmp_path, split='test')
    write_list(tmp_path, f'{rgb_path(5)} None')
    with pytest.raises(ValueError, match=f'in .*{LIST}, line 1, expected "rgb depth focal"'):
        KittiFolder(tmp_path, split='test')


def test_missing_and_broken_files_are_named(root: Path) -> None:
    samples = KittiFolder(root, split='test')
    (root / rgb_path(69)).write_bytes(b'')
    with pytest.raises(ValueError, match=r'0000000069.png, which is no BMP, JPEG, PNG'):
        samples[0]
    (root / rgb_path(75)).unlink()
    with pytest.raises(
        FileNotFoundError,
        match=rf'got no file .*{rgb_path(75)} or .*kitti_raw/{rgb_path(75)} for .*{LIST}, line 2',
    ):
        samples[1]
    (root / 'data_depth_annotated' / depth_path(69, 'image_03')).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf'val/{depth_path(69, "image_03")} or .* for .*{LIST}, line 3'
    ):
        samples[2]


def test_images_are_read_as_stored(root: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 3  # half a turn, which the size does not show
    stored = Image.open(root / rgb_path(69))
    stored.save(root / rgb_path(69), exif=exif)
    assert KittiFolder(root, split='test')[0].rgb[3, 4].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('P_rect_02', 'P_rect_01', "calib_cam_to_cam.txt with KeyError 'P_rect_02' for .*69.png"),
        ('S_rect_02', 'S_rect_01', "calib_cam_to_cam.txt with KeyError 'S_rect_02' for .*69.png"),
        ('7.2e+02', 'x', "with ValueError could not convert string to float: 'x' for"),
        ('7.2e+02 0.0', '7.2e+02', 'with ValueError 11 numbers in P_rect_02 for'),
        ('S_rect_02: 2.1', 'S_rect_02: 2.2', r'of 21 x 15 pixels, expected 22 x 15 as .*cam.txt'),
        ('7.2e+02', '0.0', 'got focal lengths fx=0.0'),
    ],
)
def test_bad_calibrations_are_refused(root: Path, old: str, new: str, message: str) -> None:
    path = root / DATE / 'calib_cam_to_cam.txt'
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        KittiFolder(root, split='test')[0]


def test_a_photograph_of_no_known_camera(root: Path) -> None:
    path = f'{DATE}/{DRIVE}/left/data/1.png'
    write_rgb(root / path)
    write_list(root, f'{path} None 721.5377')
    with pytest.raises(ValueError, match=r"with KeyError 'P_rect_0\?' for .*left/data/1.png, exp"):
        KittiFolder(root, split='test')[0]
