import json

import cv2
import numpy as np
import pytest

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.evaluation import album as album_module
from mirror_depth_ros.evaluation.album import Album, evenly_spread

H, W = 5, 7


def picture(value):
    return np.full((H, W, 3), value, np.uint8)


def parts(value):
    fields = [(name, np.float32) for name in ('x', 'y', 'z', 'rgb')]
    return {
        'depth': np.full((H, W), value, np.float32),
        'preview': picture(value),
        'cloud': np.zeros((H, W), fields),
    }


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / 'photographs'
    folder.mkdir()
    for name, value in {'a': 1, 'b': 2, 'twin of a': 1}.items():
        cv2.imwrite(str(folder / f'{name}.png'), picture(value))
    return FrameFolder(folder, hfov_deg=60.0)


def test_keeps_each_frame_once_and_lists_the_missing(photographs, tmp_path):
    output = tmp_path / 'output'
    output.mkdir()
    with Album(photographs, output) as album:
        assert album.missing == ['a.png, twin of a.png', 'b.png']
        assert album.find(picture(9)) is None, 'a picture that is not of the folder'
        assert album.find(picture(1)[:3]) is None
        b = album.find(picture(2))
        assert album.is_empty
        assert album.add(b, parts(3.0), latency_ms=1.0)
        assert not album.add(b, parts(4.0), latency_ms=1.0)
        assert album.missing == ['a.png, twin of a.png']
        summary = album.write({'seconds': 1.5})
        assert summary['seconds'] == 1.5
        assert [(p['name'], p['latency_ms']) for p in summary['pictures']] == [('b.png', 1.0)]
        depth = cv2.imread(str(output / 'frames/000/depth.png'), cv2.IMREAD_UNCHANGED)
        assert (depth == 3000).all()
    assert not list(output.glob('.recording-*'))


def test_only_frames_that_are_shown_keep_more_than_their_depth(photographs, tmp_path):
    with Album(photographs, tmp_path, n_pictures=1) as album:
        for value in (1, 2):
            album.add(album.find(picture(value)), parts(value), latency_ms=1.0)
        kept = sorted(path.name for path in tmp_path.glob('.recording-*/*'))
    assert kept == ['0-cloud.npy', '0-depth.npy', '0-preview.npy', '1-depth.npy']


def test_a_full_disk_is_a_clear_error(photographs, tmp_path, monkeypatch):
    def full(path, array):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(album_module.np, 'save', full)
    with (
        Album(photographs, tmp_path) as album,
        pytest.raises(OSError, match='could not put a frame aside in .*No space left.*free space'),
    ):
        album.add(album.find(picture(1)), parts(1.0), latency_ms=1.0)
    assert not list(tmp_path.glob('.recording-*'))


def test_figures_reach_as_far_as_the_frames_domain_or_as_told(tmp_path):
    """Truth of 20 m, prediction of 25 m: beyond the 10 m of rooms, within the 80 m of streets."""
    camera = {'fx': 6.0, 'fy': 6.0, 'cx': 3.0, 'cy': 2.0, 'width': W, 'height': H}
    for value, domain in ((1, 'indoor'), (2, 'outdoor')):
        folder = tmp_path / 'frames' / domain / 'place' / '0'
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / 'rgb.png'), picture(value))
        cv2.imwrite(str(folder / 'depth.png'), np.full((H, W), 20_000, np.uint16))
        meta = {'camera': camera, 'depth_scale': 0.001, 'domain': domain}
        (folder / 'meta.json').write_text(json.dumps(meta))
    for max_depth, expected in ((0.0, [None, 0.25]), (30.0, [0.25, 0.25])):
        frames = FrameFolder(tmp_path / 'frames')
        with Album(frames, tmp_path, max_depth=max_depth) as album:
            for value in (1, 2):
                album.add(album.find(picture(value)), parts(25.0), latency_ms=1.0)
            groups = album.write({})['groups']
        assert [group['name'] for group in groups] == ['indoor', 'outdoor']
        assert [group['abs_rel'] for group in groups] == expected


@pytest.mark.parametrize(
    ('count', 'expected'), [(1, [0]), (2, [0, 5]), (4, [0, 2, 5, 7]), (20, list(range(10)))]
)
def test_evenly_spread_from_the_first_on(count, expected):
    assert evenly_spread(range(10), count) == expected
