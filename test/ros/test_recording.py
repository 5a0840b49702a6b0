import numpy as np
import pytest

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.ros import recording
from mirror_depth_ros.ros.recording import (
    FrameSpool,
    PhotographAlbum,
    SceneAlbum,
    Shot,
    StampMatcher,
)
from mirror_depth_ros.ros.tally import Tally

CAMERA = CameraModel.from_fov(7, 5, 60.0)


def picture(value):
    return np.full((5, 7, 3), value, np.uint8)


def parts(value):
    return {'rgb': picture(value), 'cloud': np.full((5, 7), value, np.float32)}


def matcher(capacity_bytes=1000):
    return StampMatcher(('image', 'depth'), answer='depth', capacity_bytes=capacity_bytes)


def test_matches_by_stamp_in_any_order_and_takes_optional_parts_along():
    match = matcher()
    assert match.add('image', 1, 'i1', 10) is None
    assert match.add('image', 2, 'i2', 10) is None
    assert match.add('truth', 2, 't2', 10) is None
    assert match.add('depth', 2, 'd2', 10) == {'image': 'i2', 'truth': 't2', 'depth': 'd2'}


def test_forgets_dropped_images_and_what_exceeds_its_memory():
    match = matcher()
    match.add('image', 1, 'i1', 10)
    match.add('image', 2, 'i2', 10)
    match.add('depth', 2, 'd2', 10)
    assert match.add('depth', 1, 'd1', 10) is None, 'image 1 was dropped: 2 was answered before'

    small = matcher(capacity_bytes=25)
    for stamp in (1, 2, 3):
        small.add('image', stamp, f'i{stamp}', 10)
    assert small.add('depth', 3, 'd3', 0) is not None
    assert small.add('depth', 1, 'd1', 0) is None


def test_scene_album_stays_bounded_and_evenly_spread(tmp_path):
    with FrameSpool(tmp_path) as spool:
        album = SceneAlbum(spool, limit=4)
        for i in range(20):
            album.offer(parts(i), Shot(stamp_ns=i, latency_ms=1.0))
        # Kept every 1st, 2nd, 4th and at last every 8th frame: 4 kept -> 2 kept, three times.
        assert [frame.shot.stamp_ns for frame in album.frames] == [0, 8, 16]
        assert [int(frame.load('rgb')[0, 0, 0]) for frame in album.frames] == [0, 8, 16]
        assert ['cloud' in frame.parts for frame in album.frames] == [True, False, False]
        assert len(list(tmp_path.glob('.recording-*/*'))) == 3
    assert list(tmp_path.iterdir()) == []


def test_photograph_album_keeps_each_once_and_lists_the_missing(tmp_path):
    names = {'a': 1, 'b': 2, 'twin of a': 1}
    photographs = [DepthSample(picture(v), None, CAMERA, name) for name, v in names.items()]
    with FrameSpool(tmp_path) as spool:
        album = PhotographAlbum(spool, photographs)
        shot = Shot(stamp_ns=0, latency_ms=1.0)
        assert album.missing == ('a, twin of a', 'b')
        assert not album.offer(parts(9), shot), 'a picture that is not of the folder'
        assert album.offer(parts(2), shot)
        assert not album.offer(parts(2), shot)
        assert album.missing == ('a, twin of a',)
        album.offer(parts(1), shot)
        assert [frame.shot.name for frame in album.frames] == ['a, twin of a', 'b']


def test_a_full_disk_is_a_clear_error(tmp_path, monkeypatch):
    def full(path, array):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(recording.np, 'save', full)
    with (
        FrameSpool(tmp_path) as spool,
        pytest.raises(OSError, match='could not put a frame aside in .*No space left.*free space'),
    ):
        SceneAlbum(spool).offer(parts(0), Shot(0, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_album_refuses_an_impossible_limit(tmp_path):
    with pytest.raises(ValueError, match='got a limit of 1 frames, expected at least 2'):
        SceneAlbum(FrameSpool(tmp_path), limit=1)


def test_tally_counts_from_the_first_answered_image():
    tally = Tally(started_s=0.0)
    for stamp_ns in (10, 20, 30):
        tally.count_image(stamp_ns)
    tally.count_depth(1.0, stamp_ns=20, latency_ms=40.0)  # image 10 was dropped before
    tally.count_image(40)
    tally.count_depth(1.5, stamp_ns=30, latency_ms=50.0)
    tally.count_depth(2.0, stamp_ns=40, latency_ms=60.0)
    summary = tally.summary()
    assert (summary['frames_published'], summary['frames_processed']) == (3, 3)
    assert summary['fps'] == 2.0  # two intervals in one second
    assert summary['latency_ms'] == {'p50': 50.0, 'p95': 59.0}  # 50 + 0.9 * 10


def test_tally_without_depth_has_no_summary():
    with pytest.raises(ValueError, match='got no depth image, expected at least one'):
        Tally(0.0).summary()
