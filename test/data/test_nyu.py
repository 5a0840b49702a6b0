"""NYU Depth v2 in the two forms it comes in, written here as it is published."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mirror_depth_ros.data.nyu import NyuFolder, NyuMat
from mirror_depth_ros.depth.camera import CameraModel

CAMERA = CameraModel(640, 480, 518.8579, 519.4696, 325.5824, 253.7362)
TRAIN_LIST = 'nyudepthv2_train_files_with_gt.txt'
TEST_LIST = 'nyudepthv2_test_files_with_gt.txt'


def write_pair(folder: Path, number: str, *, red: int = 200) -> None:
    """Write a photograph, red on top, and its depth: 1.234 m in one pixel."""
    folder.mkdir(parents=True, exist_ok=True)
    rgb = np.zeros((480, 640, 3), np.uint8)
    rgb[:240, :, 0] = red
    assert cv2.imwrite(str(folder / f'rgb_{number}.jpg'), rgb[..., ::-1])
    depth = np.zeros((480, 640), np.uint16)
    depth[7, 600] = 1234
    assert cv2.imwrite(str(folder / f'sync_depth_{number}.png'), depth)


def test_the_training_list(tmp_path: Path) -> None:
    write_pair(tmp_path / 'sync' / 'den_1', '00001')
    write_pair(tmp_path / 'den_2', '00002', red=90)  # not below sync/
    (tmp_path / TRAIN_LIST).write_text(
        '/den_1/rgb_00001.jpg /den_1/sync_depth_00001.png 518.8579\n'
        'den_2/rgb_00002.jpg den_2/sync_depth_00002.png 518.8579\n'
    )
    samples = NyuFolder(tmp_path, split='train')
    assert len(samples) == 2
    assert [samples.name_of(i) for i in range(2)] == [s.name for s in samples]
    first, second = samples
    assert first.name == 'den_1/rgb_00001.jpg'
    assert first.camera == CAMERA
    np.testing.assert_allclose(first.rgb[3, 5], [200, 0, 0], atol=4)  # JPEG
    np.testing.assert_allclose(second.rgb[3, 5], [90, 0, 0], atol=4)
    np.testing.assert_allclose(second.rgb[400, 5], [0, 0, 0], atol=4)
    assert first.depth is not None
    assert first.depth[7, 600] == pytest.approx(1.234)  # 1234 / 1000
    assert np.isnan(first.depth).sum() == 480 * 640 - 1


def test_the_test_list(tmp_path: Path) -> None:
    write_pair(tmp_path / 'official_splits' / 'test' / 'bathroom', '00045')
    (tmp_path / TEST_LIST).write_text(
        'bathroom/rgb_00045.jpg bathroom/sync_depth_00045.png 518.8579\n'
        'bathroom/rgb_00045.jpg None 518.8579\n'
    )
    first, second = NyuFolder(tmp_path, split='test')
    assert first.name == 'bathroom/rgb_00045.jpg'
    assert first.depth is not None
    assert second.depth is None


def test_a_list_from_elsewhere(tmp_path: Path) -> None:
    write_pair(tmp_path / 'data' / 'bathroom', '00045')
    (tmp_path / 'mine.txt').write_text('bathroom/rgb_00045.jpg None 518.9\n')
    (sample,) = NyuFolder(tmp_path / 'data', split='test', file_list=tmp_path / 'mine.txt')
    assert sample.name == 'bathroom/rgb_00045.jpg'
    with pytest.raises(FileNotFoundError, match=r'other.txt, expected a file list'):
        NyuFolder(tmp_path / 'data', split='test', file_list=tmp_path / 'other.txt')


def test_the_official_folder_without_a_list(tmp_path: Path) -> None:
    for split, scene in (('test', 'study'), ('test', 'bathroom'), ('train', 'den')):
        write_pair(tmp_path / 'official_splits' / split / scene, '00002')
    samples = NyuFolder(tmp_path, split='test')
    assert [s.name for s in samples] == ['bathroom/rgb_00002.jpg', 'study/rgb_00002.jpg']
    assert all(s.depth is not None and s.depth[7, 600] > 1 for s in samples)
    assert [s.name for s in NyuFolder(tmp_path, split='train')] == ['den/rgb_00002.jpg']


def test_folders_that_are_not_nyu(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='got .*absent, expected the folder of NYU Depth'):
        NyuFolder(tmp_path / 'absent', split='test')
    with pytest.raises(FileNotFoundError, match=f'neither {TEST_LIST} nor official_splits/test'):
        NyuFolder(tmp_path, split='test')
    (tmp_path / 'official_splits' / 'test').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='got no rgb_.*jpg below .*official_splits/test'):
        NyuFolder(tmp_path, split='test')
    with pytest.raises(ValueError, match="got split 'val', expected one of train, test"):
        NyuFolder(tmp_path, split='val')


def test_a_list_of_another_camera_is_refused(tmp_path: Path) -> None:
    (tmp_path / TEST_LIST).write_text('a.jpg None 519.8\na.jpg None 721.5377\n')
    with pytest.raises(
        ValueError, match=f'focal length of 721.5377 in .*{TEST_LIST}, line 2, expected 518.8579'
    ):
        NyuFolder(tmp_path, split='test')


def test_photographs_are_read_as_stored_and_whole(tmp_path: Path) -> None:
    write_pair(tmp_path / 'official_splits' / 'test', '1')
    photograph = tmp_path / 'official_splits' / 'test' / 'rgb_1.jpg'
    exif = Image.Exif()
    exif[0x112] = 3  # half a turn, which the size does not show
    Image.open(photograph).save(photograph, exif=exif)
    (sample,) = NyuFolder(tmp_path, split='test')
    np.testing.assert_allclose(sample.rgb[3, 5], [200, 0, 0], atol=6)  # red on top
    photograph.write_bytes(photograph.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r'rgb_1.jpg, which is cut short or damaged, expected a'):
        NyuFolder(tmp_path, split='test')[0]


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / 'official_splits' / 'test'
    for number in ('1', '2', '3', '4'):
        write_pair(folder, number)
    (folder / 'rgb_1.jpg').write_text('not an image')
    (folder / 'sync_depth_2.png').unlink()
    (folder / 'sync_depth_3.png').write_bytes(b'')
    cv2.imwrite(str(folder / 'rgb_4.jpg'), np.zeros((479, 640, 3), np.uint8))
    samples = NyuFolder(tmp_path, split='test')
    with pytest.raises(ValueError, match=r'rgb_1.jpg, which is no BMP, JPEG, PNG'):
        samples[0]
    with pytest.raises(FileNotFoundError, match=r'got no file .*sync_depth_2.png for rgb_2.jpg'):
        samples[1]
    with pytest.raises(ValueError, match=r'sync_depth_3.png, which is no .*, expected a 16-bit'):
        samples[2]
    with pytest.raises(ValueError, match=r'uint8 \(479, 640, 3\) as the image of rgb_4.jpg'):
        samples[3]
    (tmp_path / TEST_LIST).write_text('gone.jpg None 518.8579\n')
    with pytest.raises(
        FileNotFoundError, match=rf'test/gone.jpg or .*gone.jpg for .*{TEST_LIST}, line 1, expect'
    ):
        NyuFolder(tmp_path, split='test')[0]


@pytest.fixture
def mat(tmp_path: Path) -> Path:
    """Write three labelled images as MATLAB does; the second is for training."""
    h5py = pytest.importorskip('h5py', reason='needs h5py: pip install .[train]')
    scipy_io = pytest.importorskip('scipy.io', reason='needs SciPy: pip install .[train]')
    images = np.zeros((3, 3, 640, 480), np.uint8)  # [N, C, W, H]
    depths = np.zeros((3, 640, 480), np.float32)
    for i in range(3):
        images[i, 1, 600, 7] = 100 + i  # green, column 600, row 7
        depths[i, 600, 7] = 2.5 + i
    with h5py.File(tmp_path / 'nyu_depth_v2_labeled.mat', 'w') as file:
        file.create_dataset('images', data=images, compression='gzip', chunks=(1, 3, 640, 480))
        file.create_dataset('rawDepths', data=depths, compression='gzip', chunks=(1, 640, 480))
        file.create_dataset('depths', data=depths + 1, compression='gzip')  # in-painted: not truth
    splits = {'trainNdxs': np.array([[2]], np.uint16), 'testNdxs': np.array([[1], [3]], np.uint16)}
    scipy_io.savemat(tmp_path / 'splits.mat', splits)
    return tmp_path / 'nyu_depth_v2_labeled.mat'


def test_the_labelled_file(mat: Path) -> None:
    first, second = NyuMat(mat, split='test')
    assert (first.name, second.name) == ('0001', '0003')
    assert first.camera == CAMERA
    assert first.rgb.shape == (480, 640, 3)
    assert first.rgb.flags.c_contiguous
    assert first.rgb[7, 600].tolist() == [0, 100, 0]
    assert second.rgb[7, 600].tolist() == [0, 102, 0]
    assert second.rgb.sum() == 102
    assert second.depth is not None
    assert second.depth[7, 600] == 4.5  # 2.5 + 2
    assert np.isnan(second.depth).sum() == 480 * 640 - 1
    (train,) = NyuMat(mat, split='train')
    assert train.rgb[7, 600].tolist() == [0, 101, 0]


def test_splits_from_elsewhere(mat: Path) -> None:
    moved = mat.with_name('elsewhere.mat')
    mat.with_name('splits.mat').rename(moved)
    assert NyuMat(mat, split='train', splits=moved).name_of(0) == '0002'
    with pytest.raises(
        FileNotFoundError, match=r'got no .*splits.mat, expected the splits of NYU'
    ):
        NyuMat(mat, split='train')


def test_the_labelled_file_goes_to_other_processes(mat: Path) -> None:
    samples = NyuMat(mat, split='test')
    assert samples[0].name == '0001'  # what one process has read does not hinder another
    copy = pickle.loads(pickle.dumps(samples))
    np.testing.assert_array_equal(copy[1].rgb, samples[1].rgb)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
        (theirs,) = pool.map(samples.item, [1])
    np.testing.assert_array_equal(theirs.depth, samples[1].depth)


def test_files_that_are_not_the_labelled_one(mat: Path, tmp_path: Path) -> None:
    import h5py

    with pytest.raises(
        FileNotFoundError, match='absent.mat, expected the file nyu_depth_v2_label'
    ):
        NyuMat(tmp_path / 'absent.mat', split='test')
    with pytest.raises(ValueError, match="got split 'val', expected one of train, test"):
        NyuMat(mat, split='val')
    other = tmp_path / 'other.mat'
    with h5py.File(other, 'w') as file:
        file.create_dataset('images', data=np.zeros((1, 3, 5, 7), np.uint8))
    with pytest.raises(
        ValueError, match=r"'images': \(1, 3, 5, 7\), 'rawDepths': None} in .*other.mat, expected"
    ):
        NyuMat(other, split='test')
    with h5py.File(other, 'w') as file:
        file.create_group('images')
    with pytest.raises(ValueError, match=r"got {'images': None, .* in .*other.mat, expected imag"):
        NyuMat(other, split='test')
    other.write_bytes(mat.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r'got .*other.mat, which is no whole HDF5 file'):
        NyuMat(other, split='test')


def test_a_damaged_image_is_named(mat: Path) -> None:
    import h5py

    with h5py.File(mat) as file:
        chunk = file['images'].id.get_chunk_info(2)
    content = bytearray(mat.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    mat.write_bytes(content)
    samples = NyuMat(mat, split='test')
    assert samples[0].name == '0001'
    with pytest.raises(ValueError, match=r'got image 3 of .*nyu_depth_v2_labeled.mat damaged'):
        samples[1]


@pytest.mark.parametrize(
    ('splits', 'message'),
    [
        ({'trainNdxs': [[1]]}, "splits.mat with KeyError 'testNdxs', expected a MAT file"),
        ({'testNdxs': []}, 'splits.mat with ValueError no numbers, expected a MAT file'),
        ({'testNdxs': [[1], [4]]}, 'got numbers 1 to 4 in .*splits.mat, expected 1 to 3'),
        ({'testNdxs': [[0], [2]]}, 'got numbers 0 to 2 in .*splits.mat, expected 1 to 3'),
    ],
)
def test_splits_of_something_else(mat: Path, splits: dict[str, list], message: str) -> None:
    import scipy.io

    scipy.io.savemat(mat.with_name('splits.mat'), splits)
    with pytest.raises(ValueError, match=message):
        NyuMat(mat, split='test')


@pytest.mark.parametrize('content', [b'', b'not a MAT file' * 20])
def test_splits_that_are_no_mat_file(mat: Path, content: bytes) -> None:
    mat.with_name('splits.mat').write_bytes(content)
    with pytest.raises(ValueError, match=r'splits.mat with \w+ .*, expected a MAT file'):
        NyuMat(mat, split='test')


@pytest.mark.parametrize(('module', 'name'), [('h5py', 'h5py'), ('scipy.io', 'SciPy')])
def test_packages_that_are_not_there(
    mat: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = rf'got no {name}, expected it for .*; pip install mirror_depth_ros\[train\]'
    with pytest.raises(ModuleNotFoundError, match=message):
        NyuMat(mat, split='test')
