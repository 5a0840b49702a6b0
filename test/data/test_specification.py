"""Data sets by name."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.data.kitti import KittiFolder
from mirror_depth_ros.data.nyu import NyuFolder, NyuMat
from mirror_depth_ros.data.sample import Selection
from mirror_depth_ros.data.specification import open_data, part_bounds


@pytest.mark.parametrize('split', ['train', 'test'])
def test_nyu_in_both_forms(tmp_path: Path, split: str) -> None:
    h5py = pytest.importorskip('h5py', reason='needs h5py: pip install .[train]')
    scipy_io = pytest.importorskip('scipy.io', reason='needs SciPy: pip install .[train]')
    (tmp_path / f'nyudepthv2_{split}_files_with_gt.txt').write_text(f'{split}.jpg None 518.8579\n')
    folder = open_data(f'nyu:{tmp_path}', split=split)
    assert isinstance(folder.samples, NyuFolder)
    assert (folder.samples.name_of(0), folder.protocol) == (f'{split}.jpg', 'nyu')
    with h5py.File(tmp_path / 'nyu.mat', 'w') as file:
        file.create_dataset('images', (2, 3, 640, 480), np.uint8, compression='gzip')
        file.create_dataset('rawDepths', (2, 640, 480), np.float32, compression='gzip')
    scipy_io.savemat(tmp_path / 'splits.mat', {'trainNdxs': [[1]], 'testNdxs': [[2]]})
    mat = open_data(f'nyu:{tmp_path / "nyu.mat"}', split=split)
    assert isinstance(mat.samples, NyuMat)
    assert mat.samples.name_of(0) == {'train': '0001', 'test': '0002'}[split]
    assert mat.protocol == 'nyu'


@pytest.mark.parametrize('split', ['train', 'test'])
def test_kitti_with_its_truth(tmp_path: Path, split: str) -> None:
    lines = 'a.png a_depth.png 721.5377\nb.png None 721.5377\n'
    (tmp_path / f'eigen_{split}_files_with_gt.txt').write_text(lines)
    data = open_data(f'kitti:{tmp_path}', split=split)
    assert isinstance(data.samples, KittiFolder)
    assert (len(data.samples), data.left_out, data.protocol) == (1, 1, 'kitti_garg_full')


def test_recordings_say_how_many_images_had_no_depth(bag_maker: Any) -> None:
    rgb, depth = np.zeros((37, 53, 3), np.uint8), np.full((37, 53), 1500, np.uint16)
    messages = [('/rgb/image_raw', bag_maker.image(rgb, 'rgb8', stamp)) for stamp in (0, 10**9)]
    messages.append(('/depth/image', bag_maker.image(depth, '16UC1', 10**9)))
    messages.append(('/rgb/camera_info', bag_maker.info(53, 37)))
    data = open_data(f'bag:{bag_maker.write(messages)}')
    assert (len(data.samples), data.left_out, data.protocol) == (1, 1, 'indoor')


def test_frame_folders(tmp_path: Path) -> None:
    (tmp_path / 'meta.json').write_text('{}')
    cv2.imwrite(str(tmp_path / 'rgb.png'), np.zeros((3, 5, 3), np.uint8))
    data = open_data(f'frames:{tmp_path}')
    assert isinstance(data.samples, FrameFolder)
    assert data.protocol == 'indoor'


def test_errors_say_what_is_expected(tmp_path: Path) -> None:
    for name in ('nyu', 'nyu:', 'kitti:', 'bag:', 'frames:', 'scenes:indoor', 'disc:x', ''):
        with pytest.raises(
            ValueError, match=f"got data set '{name}', expected nyu:FOLDER, nyu:FI"
        ):
            open_data(name)
    with pytest.raises(FileNotFoundError, match='expected a folder of images'):
        open_data(f'frames:{tmp_path / "none"}')
    with pytest.raises(FileNotFoundError, match='expected the folder of NYU Depth v2'):
        open_data(f'nyu:{tmp_path / "none"}')
    with pytest.raises(FileNotFoundError, match=r'expected the file nyu_depth_v2_labeled.mat'):
        open_data(f'nyu:{tmp_path / "none.mat"}')


def write_frames(folder: Path, count: int) -> Path:
    """Write frames a, b, ... that nobody will open."""
    for number in range(count):
        frame = folder / 'abcdefghij'[number]
        frame.mkdir(parents=True)
        (frame / 'meta.json').write_text('{}')
        cv2.imwrite(str(frame / 'rgb.png'), np.zeros((3, 5, 3), np.uint8))
    return folder


def names(specification: str, **options: Any) -> list[str]:
    samples = open_data(specification, **options).samples
    return [samples.name_of(i) for i in range(len(samples))]


def test_parts_of_a_folder(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / 'frames', 5)
    everything = names(f'frames:{folder}')
    assert len(everything) == 5
    assert isinstance(open_data(f'frames:{folder}[:4]').samples, Selection)
    # 50% of 5 is 2.5, rounded upwards; 12.5% is 0.625
    for part, first, last in (
        ('[:80%]', 0, 4),
        ('[80%:]', 4, 5),
        ('[:50%]', 0, 3),
        ('[12.5%:3]', 1, 3),
        ('[-2:]', 3, 5),
        ('[-20%:]', 4, 5),
        ('[:-20%]', 0, 4),
        ('[0:5]', 0, 5),
        ('[:]', 0, 5),
    ):
        assert names(f'frames:{folder}{part}') == everything[first:last], part


def test_parts_of_the_published_data_sets(tmp_path: Path, bag_maker: Any) -> None:
    lines = ''.join(f'{name}.png {name}_depth.png 721.5377\n' for name in 'abcd')
    (tmp_path / 'eigen_test_files_with_gt.txt').write_text(f'{lines}e.png None 721.5377\n')
    assert names(f'kitti:{tmp_path}[1:3]') == ['b.png', 'c.png']
    data = open_data(f'kitti:{tmp_path}[75%:]')  # of those that have a truth
    assert (len(data.samples), data.left_out, data.protocol) == (1, 1, 'kitti_garg_full')
    (tmp_path / 'nyudepthv2_test_files_with_gt.txt').write_text(
        lines.replace('721.5377', '518.8579')
    )
    assert names(f'nyu:{tmp_path}[:2]') == ['a.png', 'b.png']
    rgb, depth = np.zeros((37, 53, 3), np.uint8), np.full((37, 53), 1500, np.uint16)
    messages = [('/rgb/camera_info', bag_maker.info(53, 37))]
    for stamp in (0, 10**9, 2 * 10**9):
        messages.append(('/rgb/image_raw', bag_maker.image(rgb, 'rgb8', stamp)))
        messages.append(('/depth/image', bag_maker.image(depth, '16UC1', stamp)))
    assert names(f'bag:{bag_maker.write(messages)}[-1:]') == ['000002-2.000000000']


H, W, MS = 37, 53, 10**6


@pytest.fixture
def two_cameras(bag_maker: Any) -> Path:
    """Return a recording of two cameras; the rear one's depth comes 40 ms after its images."""
    messages = []
    for i in range(5):
        for camera, grey, late_ms in (('front', 50, 0), ('rear', 200, 40)):
            stamp_ns = 10**9 + 100 * MS * i
            rgb, depth = np.full((H, W, 3), grey, np.uint8), np.full((H, W), 10 * grey, np.uint16)
            image = bag_maker.image(rgb, 'rgb8', stamp_ns, camera)
            truth = bag_maker.image(depth, 'mono16', stamp_ns + late_ms * MS, camera)
            info = bag_maker.info(W, H, stamp_ns)
            messages += [(f'/{camera}/image', image), (f'/{camera}/camera_info', info)]
            messages += [(f'/{camera}/truth', truth)]
    return Path(bag_maker.write(messages))


def test_a_recording_is_told_its_topics_and_tolerance(two_cameras: Path) -> None:
    # As a user would: the text of each error, added to the name, leads to the next.
    data = f'bag:{two_cameras}'
    for added in (
        ',image=/rear/image',
        ',depth=/rear/truth',
        ',tolerance_s=0.040',
    ):
        with pytest.raises(ValueError, match='.+') as error:
            open_data(data)
        assert added.replace('/rear/truth', 'TOPIC') in str(error.value)
        data += added
    opened = open_data(data)
    assert (len(opened.samples), opened.left_out, opened.protocol) == (5, 0, 'indoor')
    sample = opened.samples[0]
    assert sample.rgb[0, 0, 0] == 200
    assert sample.depth is not None
    assert sample.depth[0, 0] == np.float32(2.0)
    # A part, of them, too.
    assert names(f'{data}[80%:]') == ['000004-1.400000000']


def test_any_topic_of_a_recording_and_in_any_order(two_cameras: Path) -> None:
    options = ',camera_info=/rear/camera_info,depth=/front/truth,image=/front/image'
    assert len(open_data(f'bag:{two_cameras}{options}').samples) == 5
    with pytest.raises(ValueError, match=r'got camera_info /none, which has no messages in '):
        open_data(
            f'bag:{two_cameras},image=/front/image,depth=/front/truth,camera_info=/none',
        )


def test_a_recording_whose_name_looks_like_options(two_cameras: Path) -> None:
    options = ',image=/front/image,depth=/front/truth'
    for name in ('run,1', 'run[7],2'):
        two_cameras = two_cameras.rename(two_cameras.with_name(name))
        assert len(open_data(f'bag:{two_cameras}{options}').samples) == 5, name
    with pytest.raises(FileNotFoundError, match=r'got .*/run,3, expected a rosbag2 recording'):
        open_data(f'bag:{two_cameras.with_name("run,3")}{options}')
    two_cameras = two_cameras.rename(two_cameras.with_name('run,image=3'))
    with pytest.raises(ValueError, match=r'got 2 topics in .*/run,image=3 that may be the image'):
        open_data(f'bag:{two_cameras}')


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        (
            ',img=/a',
            r"got option 'img' of a recording, expected one of image, depth, camera_info, "
            r'lidar, range, floor, motion, frame_id, odom_frame, odometry, tolerance_s; correct '
            r'bag:.*,img=/a$',
        ),
        (',image=/a,image=/b', r"got option 'image' of a recording twice, expected it once"),
        (',image=', r"got no value for option 'image' of a recording, expected one"),
        (',tolerance_s=a bit', r"got tolerance_s='a bit', expected seconds such as 0.04"),
        (',motion=maybe', r"got motion='maybe', expected yes or no; correct it"),
        (',tolerance_s=-1', r'got a tolerance of -1.0 s, expected 0 or more'),
        (
            '[80%:],image=/a',
            r'got a part before the options of a recording, expected it behind '
            r'them; write bag:.*/bag,image=/a\[80%:\]$',
        ),
    ],
)
def test_options_that_are_none(two_cameras: Path, options: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        open_data(f'bag:{two_cameras}{options}')


def test_a_folder_whose_name_looks_like_a_part(tmp_path: Path) -> None:
    plain = write_frames(tmp_path / 'frames', 4)
    named_so = write_frames(tmp_path / 'frames[:50%]', 3)
    assert len(names(f'frames:{plain}[:25%]')) == 1
    assert len(names(f'frames:{named_so}')) == 3
    assert len(names(f'frames:{named_so}[:2]')) == 2
    odd = write_frames(tmp_path / 'run[7]', 2)
    assert len(names(f'frames:{odd}')) == 2


PERCENTAGES = st.one_of(
    st.integers(0, 100).map(str),
    st.decimals(0, 100, places=3).map(lambda share: f'{share:f}'),
    st.sampled_from(['12.5', '33.333333333', '66.6666666666666667', '0.00000001', '99.9']),
)


@given(count=st.one_of(st.integers(1, 50), st.integers(1, 10**15)), share=PERCENTAGES)
def test_two_parts_never_overlap_and_together_are_everything(count: int, share: str) -> None:
    exact = float(share) / 100 * count
    assume(0.5 + 1e-6 * count < exact < count - 0.5 - 1e-6 * count)  # neither of them is empty
    first, second = part_bounds(f'[:{share}%]', count), part_bounds(f'[{share}%:]', count)
    assert (first[0], second[1]) == (0, count)
    assert first[1] == second[0]
    assert abs(first[1] - exact) <= 0.5 + 1e-6 * count  # the nearest, as far as floats can tell


@given(count=st.integers(1, 10**6), shares=st.lists(PERCENTAGES, min_size=1, max_size=5))
def test_any_number_of_parts_has_every_sample_once(count: int, shares: list[str]) -> None:
    bounds = ['', *(f'{share}%' for share in sorted(shares, key=float)), '']
    reached = 0
    for start, stop in pairwise(bounds):
        with suppress(ValueError):  # those that are empty
            first, last = part_bounds(f'[{start}:{stop}]', count)
            assert first == reached
            reached = last
    assert reached == count


def test_parts_that_are_none(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / 'frames', 3)
    for part, start, stop in (('[:10%]', 0, 0), ('[2:1]', 2, 1), ('[90%:]', 3, 3)):
        message = (
            rf'got part \{part[:-1]}\] of 3 samples, which is from {start} to {stop} and empty'
        )
        with pytest.raises(ValueError, match=f'{message}, expected .*; take a larger part'):
            open_data(f'frames:{folder}{part}')
    for part in ('[:4]', '[-4:]', '[0:99999999999999999999]'):
        with pytest.raises(
            ValueError, match='of 3 samples, expected bounds within them; take num'
        ):
            open_data(f'frames:{folder}{part}')
    for part in (
        '[5]',
        '[]',
        '[::2]',
        '[a:b]',
        '[1.5:]',
        '[: 80%]',
        '[:٣]',
        '[:1e1%]',
        '[:100.5%]',
        '[-101%:]',
    ):
        with pytest.raises(ValueError, match=r'got part .*, expected \[FROM:TO\] with numbers or'):
            open_data(f'frames:{folder}{part}')
    with pytest.raises(FileNotFoundError, match='none, expected a folder of images'):
        open_data(f'frames:{tmp_path / "none"}[:80%]')
