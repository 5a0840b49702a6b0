"""Data sets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.kitti import KittiFolder
from mirror_depth_ros.data.nyu import NyuFolder, NyuMat
from mirror_depth_ros.data.scene_samples import SceneSamples
from mirror_depth_ros.data.specification import open_data
from mirror_depth_ros.scenes.video import SPLITS


def test_scenes_are_unseen_ones() -> None:
    data = open_data('scenes:outdoor', scene_count=2)
    assert (data.protocol, data.left_out) == ('outdoor', 0)
    samples = data.samples
    assert isinstance(samples, SceneSamples)
    assert len(samples) == 2
    assert samples[1].name == f'outdoor/{SPLITS["test"].start + 1}'
    with pytest.raises(IndexError):
        samples[2]


def test_scenes_of_another_split() -> None:
    (scene,) = (data := open_data('scenes:indoor', scene_count=1, split='train')).samples
    assert scene.name == f'indoor/{SPLITS["train"].start}'
    assert data.protocol == 'indoor'


@pytest.mark.parametrize('split', ['train', 'test'])
def test_nyu_in_both_forms(tmp_path: Path, split: str) -> None:
    h5py = pytest.importorskip('h5py', reason='needs h5py: pip install .[train]')
    scipy_io = pytest.importorskip('scipy.io', reason='needs SciPy: pip install .[train]')
    (tmp_path / f'nyudepthv2_{split}_files_with_gt.txt').write_text(f'{split}.jpg None 518.8579\n')
    folder = open_data(f'nyu:{tmp_path}', scene_count=1, split=split)
    assert isinstance(folder.samples, NyuFolder)
    assert (folder.samples.name_of(0), folder.protocol) == (f'{split}.jpg', 'nyu')
    with h5py.File(tmp_path / 'nyu.mat', 'w') as file:
        file.create_dataset('images', (2, 3, 640, 480), np.uint8, compression='gzip')
        file.create_dataset('rawDepths', (2, 640, 480), np.float32, compression='gzip')
    scipy_io.savemat(tmp_path / 'splits.mat', {'trainNdxs': [[1]], 'testNdxs': [[2]]})
    mat = open_data(f'nyu:{tmp_path / "nyu.mat"}', scene_count=1, split=split)
    assert isinstance(mat.samples, NyuMat)
    assert mat.samples.name_of(0) == {'train': '0001', 'test': '0002'}[split]
    assert mat.protocol == 'nyu'


@pytest.mark.parametrize('split', ['train', 'test'])
def test_kitti_with_its_truth(tmp_path: Path, split: str) -> None:
    lines = 'a.png a_depth.png 721.5377\nb.png None 721.5377\n'
    (tmp_path / f'eigen_{split}_files_with_gt.txt').write_text(lines)
    data = open_data(f'kitti:{tmp_path}', scene_count=1, split=split)
    assert isinstance(data.samples, KittiFolder)
    assert (len(data.samples), data.left_out, data.protocol) == (1, 1, 'kitti_garg_full')


def test_recordings_say_how_many_images_had_no_depth(bag_maker: Any) -> None:
    rgb, depth = np.zeros((37, 53, 3), np.uint8), np.full((37, 53), 1500, np.uint16)
    messages = [('/rgb/image_raw', bag_maker.image(rgb, 'rgb8', stamp)) for stamp in (0, 10**9)]
    messages.append(('/depth/image', bag_maker.image(depth, '16UC1', 10**9)))
    messages.append(('/rgb/camera_info', bag_maker.info(53, 37)))
    data = open_data(f'bag:{bag_maker.write(messages)}', scene_count=1)
    assert (len(data.samples), data.left_out, data.protocol) == (1, 1, 'indoor')


def test_frame_folders(tmp_path: Path) -> None:
    (tmp_path / 'meta.json').write_text('{}')
    cv2.imwrite(str(tmp_path / 'rgb.png'), np.zeros((3, 5, 3), np.uint8))
    data = open_data(f'frames:{tmp_path}', scene_count=1)
    assert isinstance(data.samples, FrameFolder)
    assert data.protocol == 'indoor'


def test_the_sky_has_no_truth() -> None:
    sample = SceneSamples('outdoor', count=1, split='val', width=53, height=39)[0]
    assert sample.rgb.shape == (39, 53, 3)
    assert sample.depth is not None
    assert np.isnan(sample.depth).any()
    assert not np.isinf(sample.depth).any()


def test_errors_say_what_is_expected(tmp_path: Path) -> None:
    for name in ('nyu', 'nyu:', 'kitti:', 'bag:', 'frames:', 'scenes:', 'disc:x', ''):
        with pytest.raises(
            ValueError, match=f"got data set '{name}', expected nyu:FOLDER, nyu:FI"
        ):
            open_data(name, scene_count=1)
    with pytest.raises(ValueError, match="got scene kind 'mars', expected one of indoor, outdoor"):
        open_data('scenes:mars', scene_count=1)
    with pytest.raises(FileNotFoundError, match='expected a folder of images'):
        open_data(f'frames:{tmp_path / "none"}', scene_count=1)
    with pytest.raises(FileNotFoundError, match='expected the folder of NYU Depth v2'):
        open_data(f'nyu:{tmp_path / "none"}', scene_count=1)
    with pytest.raises(FileNotFoundError, match=r'expected the file nyu_depth_v2_labeled.mat'):
        open_data(f'nyu:{tmp_path / "none.mat"}', scene_count=1)
    with pytest.raises(ValueError, match="got split 'all', expected one of train, val, test"):
        SceneSamples('indoor', count=1, split='all')
    with pytest.raises(ValueError, match='got 0 scenes, expected 1 to'):
        SceneSamples('indoor', count=0)
