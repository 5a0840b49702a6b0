from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from mirror_depth_ros.data.video_file import count_frames, read_frames

H, W = 48, 80
# a, b, c and d of a QuickTime matrix, by the orientation of EXIF that is the same: a display
# matrix takes column p and row q to a p + c q and b p + d q.
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),  # a quarter turn clockwise
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def marked(level=0):
    """A frame with a white top left corner and a grey top right one."""
    frame = np.full((H, W, 3), level, np.uint8)
    frame[:16, :16], frame[:16, -16:] = 250, 120
    return frame


def write_video(path, frames, *, codec='mpeg4', times=None, **options):
    """Write frames at 10 Hz, or at other times in tenths of a second."""
    with av.open(str(path), 'w', options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
        for index, rgb in zip(times or range(len(frames)), frames):
            frame = av.VideoFrame.from_ndarray(rgb, format='rgb24')
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path, matrix):
    """Write a display matrix into the track header (ISO 14496-12, 8.3.2) of an MP4."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    place = data.index(b'tkhd') + 4 + 40  # after version, times, identity, duration, layer, volume
    data[place : place + 36] = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_video_is_turned_upright(tmp_path, orientation, exif_corners, marked_corners):
    path = write_video(tmp_path / 'clip.mp4', [marked(), marked()])
    turn(path, MATRICES[orientation])
    frames = [frame for _, frame in read_frames(path)]
    assert len(frames) == 2
    for frame in frames:
        assert frame.shape == ((H, W, 3) if orientation <= 4 else (W, H, 3))
        assert marked_corners(frame) == exif_corners[orientation]


def test_every_nth_frame_with_its_number(tmp_path):
    path = write_video(tmp_path / 'clip.mp4', [marked(40 * i) for i in range(5)])
    assert count_frames(path) == 5
    found = {index: int(frame[-1, -1, 0]) for index, frame in read_frames(path, every=2)}
    assert found == {
        0: pytest.approx(0, abs=4),
        2: pytest.approx(80, abs=4),
        4: pytest.approx(160, abs=4),
    }


WHOLE = {
    'clip.mp4': {},
    'clip.mov': {'codec': 'mjpeg'},
    'clip.avi': {'codec': 'mjpeg'},
    'clip.mkv': {},
    'gaps.mp4': {'times': [0, 1, 2, 5, 6, 7, 11, 12, 13, 20]},
    'gaps.avi': {'times': [0, 1, 2, 5, 6, 7, 11, 12, 13, 20]},
    'gaps.mkv': {'times': [0, 1, 2, 5, 6, 7, 11, 12, 13, 20]},
}


@pytest.mark.parametrize('name', WHOLE)
def test_a_whole_video_lacks_nothing(tmp_path, name):
    path = write_video(tmp_path / name, [marked(20 * i) for i in range(10)], **WHOLE[name])
    assert [index for index, _ in read_frames(path)] == list(range(10))


def test_what_an_edit_list_leaves_out_is_not_missing(tmp_path):
    path = write_video(tmp_path / 'clip.mov', [marked(20 * i) for i in range(10)], codec='mjpeg')
    data = bytearray(path.read_bytes())
    place = data.index(b'elst') + 12  # ISO 14496-12, 8.6.6: duration, start
    data[place : place + 8] = struct.pack('>Ii', 500, 2048)  # from 0.2 s on, 0.5 s long
    path.write_bytes(data)
    levels = [int(frame[-1, -1, 0]) for _, frame in read_frames(path)]
    assert levels == pytest.approx([40, 60, 80, 100, 120], abs=4)


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('clip.mp4', {'movflags': 'faststart'}),
        ('clip.mov', {'movflags': 'faststart', 'codec': 'mjpeg'}),
        ('clip.mkv', {}),
        ('clip.avi', {'codec': 'mjpeg'}),
    ],
)
def test_a_video_that_ends_before_its_header_says_is_reported(tmp_path, name, options):
    noise = np.random.default_rng(0).integers(0, 256, (20, H, W, 3), np.uint8)
    path = write_video(tmp_path / name, list(noise), **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    read = []
    with pytest.raises(ValueError, match=r'clip\.\w+ with only \d\.\d+ of the 2.00 s that its h'):
        read.extend(index for index, _ in read_frames(path))
    assert read == list(range(len(read)))
    assert 2 <= len(read) <= 12


def test_a_damaged_frame_is_left_out_and_reported(tmp_path):
    path = write_video(tmp_path / 'clip.avi', [marked(20 * i) for i in range(10)], codec='mjpeg')
    data = bytearray(path.read_bytes())
    # The first is in the index of the header, and then each frame has one.
    places = [i for i in range(len(data)) if data[i : i + 4] == b'00dc']
    data[places[4] + 8 : places[4] + 608] = bytes(600)  # nearly all of the fourth JPEG
    path.write_bytes(data)
    read = []
    with pytest.raises(ValueError, match='clip.avi with 1 damaged frame left out, expected a w'):
        read.extend(int(frame[-1, -1, 0]) for _, frame in read_frames(path))
    assert read == pytest.approx([0, 20, 40, 80, 100, 120, 140, 160, 180], abs=4)


@pytest.mark.parametrize('content', [b'', b'not a video', bytes(4000)])
def test_what_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / 'clip.mp4'
    path.write_bytes(content)
    assert count_frames(path) == 1
    with pytest.raises(ValueError, match=r'got no frame from .*clip.mp4 \(.*, expected a video'):
        list(read_frames(path))


def test_sound_is_no_video(tmp_path):
    path = tmp_path / 'sound.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        frame = av.AudioFrame(format='s16', layout='mono', samples=800)
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r'got no frame from .*sound.mkv \(it holds no frame\)'):
        list(read_frames(path))
