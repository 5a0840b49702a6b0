from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from mirror_depth_ros.data.media import Kind, find_media
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.files import write_rgb_png

RGB = np.full((15, 21, 3), (200, 100, 0), np.uint8)


def camera_of(width, height):
    return CameraModel.from_fov(width, height, 60.0)


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rgb_png(path, RGB)
    return path


def write_video(path, n_frames=5):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mjpeg', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuvj420p'
        for i in range(n_frames):
            pixels = np.full((48, 64, 3), 40 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')))
        container.mux(stream.encode())
    return path


def write_photo(path, *, orientation=1, focal=None):
    """A photograph 21 x 15 as stored, white in its top left corner, with EXIF data."""
    exif = Image.Exif()
    exif[0x112] = orientation
    if focal is not None:
        exif.get_ifd(0x8769)[0xA405] = focal
    picture = np.zeros((15, 21, 3), np.uint8)
    picture[:8, :8] = 250
    Image.fromarray(picture).save(path, exif=exif)
    return path


def test_folders_are_searched_deeply_and_in_order(tmp_path):
    for name in ('b.png', 'a/c.png', 'a/.hidden/x.png', 'out/old_depth.png'):
        write_image(tmp_path / 'photos' / name)
    (tmp_path / 'photos' / 'notes.txt').write_text('not an image')
    (tmp_path / 'photos' / 'frame').mkdir()
    (tmp_path / 'photos' / 'frame' / 'meta.json').write_text('{}')
    media = find_media([tmp_path / 'photos'], excluded=tmp_path / 'photos' / 'out')
    assert [(m.name, m.kind) for m in media] == [
        ('photos/a/c', Kind.IMAGE),
        ('photos/b', Kind.IMAGE),
        ('photos/frame', Kind.FRAME),
    ]


def test_no_two_media_share_a_name_or_a_folder(tmp_path):
    paths = [write_image(tmp_path / name) for name in ('x.png', 'x.jpg', 'X.bmp', 'k/x.png')]
    write_image(tmp_path / 'clip' / '000000.png')
    video = write_video(tmp_path / 'clip.avi')
    media = find_media([*paths, video, tmp_path / 'clip', paths[0]])
    assert [m.name for m in media] == [
        'x',
        'x-2',
        'X-3',
        'x-4',
        'clip-2',  # clip/ is where the folder's images go
        'clip/000000',
        'x-5',
    ]


def test_a_dot_in_a_name_is_kept(tmp_path):
    assert [m.name for m in find_media([write_image(tmp_path / '1305.25.png')])] == ['1305.25']


def test_every_nth_frame_of_a_video(tmp_path):
    (medium,) = find_media([write_video(tmp_path / 'clip.avi')])
    assert medium.count(every=2) == 3
    samples = list(medium.samples(camera_of, every=2))
    assert [s.name for s in samples] == ['clip/000000', 'clip/000002', 'clip/000004']
    assert samples[0].camera == camera_of(64, 48)
    assert [int(s.rgb.mean().round(-1)) for s in samples] == [0, 80, 160]


def test_a_video_without_frames_is_refused(tmp_path):
    (tmp_path / 'clip.mp4').write_text('not a video')
    (medium,) = find_media([tmp_path / 'clip.mp4'])
    with pytest.raises(ValueError, match=r'got no frame from .*clip.mp4 \(.*, expected a video'):
        list(medium.samples(camera_of))


def test_what_is_no_medium_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='got absent.png, expected an image, a video'):
        find_media([Path('absent.png')])
    (tmp_path / 'notes.txt').write_text('not an image')
    with pytest.raises(
        ValueError, match='notes.txt, expected an image or a video, a file of .avi'
    ):
        find_media([tmp_path / 'notes.txt'])
    with pytest.raises(ValueError, match='no image or video in .* but notes.txt, expected files'):
        find_media([tmp_path])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(
        ValueError, match='got no image or video in .*empty, expected files of .avi'
    ):
        find_media([tmp_path / 'empty'])


def test_files_of_no_kind_that_is_read_are_named(tmp_path):
    for name in ('a/IMG_1.HEIC', 'a/loop.gif', 'b.cr2', '.hidden.gif', 'notes.txt', 'map.json'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'content')
    write_image(tmp_path / 'a' / 'photo.png')
    left_out = []
    media = find_media([tmp_path], left_out=left_out)
    assert [m.path.name for m in media] == ['photo.png']
    names = [path.relative_to(tmp_path).as_posix() for path in left_out]
    assert names == ['a/IMG_1.HEIC', 'a/loop.gif', 'b.cr2']


@pytest.mark.parametrize(('orientation', 'corner'), [(6, (3, -4)), (8, (-4, 3)), (3, (-4, -4))])
def test_a_photograph_is_turned_upright(tmp_path, orientation, corner):
    (medium,) = find_media([write_photo(tmp_path / 'a.jpg', orientation=orientation)])
    (sample,) = medium.samples(camera_of)
    assert sample.rgb.shape == ((15, 21, 3) if orientation == 3 else (21, 15, 3))
    assert (sample.camera.height, sample.camera.width) == sample.rgb.shape[:2]
    assert sample.rgb[corner].min() > 240


def test_a_photograph_brings_its_focal_length(tmp_path):
    (medium,) = find_media([write_photo(tmp_path / 'a.jpg', orientation=6, focal=28)])
    assert medium.focal_length().film_mm == 28.0
    (sample,) = medium.samples(None)
    # 28 / sqrt(36**2 + 24**2) * sqrt(21**2 + 15**2) = 16.701
    camera = sample.camera
    assert (camera.width, camera.height, camera.cx, camera.cy) == (15, 21, 7.0, 10.0)
    assert (camera.fx, camera.fy) == pytest.approx((16.701, 16.701), abs=1e-3)
    (medium,) = find_media([write_photo(tmp_path / 'b.jpg')])
    with pytest.raises(
        ValueError, match='b.jpg without a focal length in its EXIF data, expected'
    ):
        list(medium.samples(None))


def test_images_of_a_folder_share_the_levels_of_their_camera(tmp_path):
    bright = np.linspace(0, 4095, 15 * 21).astype(np.uint16).reshape(15, 21)
    cv2.imwrite(str(tmp_path / 'a.png'), bright)
    cv2.imwrite(str(tmp_path / 'b.png'), bright // 8)
    first, second = (next(m.samples(camera_of)).rgb for m in find_media([tmp_path]))
    assert first.max() == 255
    assert second.max() == 32  # 511 * 255 / 4095 = 31.8
