from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.data.media import Kind, find_media
from mirror_depth_ros.writers import write_rgb_png

RGB = np.full((15, 21, 3), (200, 100, 0), np.uint8)


def camera_of(width, height):
    return CameraModel.from_fov(width, height, 60.0)


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rgb_png(path, RGB)
    return path


def write_video(path, n_frames=5):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, (64, 48))
    for i in range(n_frames):
        writer.write(np.full((48, 64, 3), 40 * i, np.uint8))
    writer.release()
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
    with pytest.raises(ValueError, match=r'got no frame from .*clip.mp4, expected a video'):
        list(medium.samples(camera_of))


def test_what_is_no_medium_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='got absent.png, expected an image, a video'):
        find_media([Path('absent.png')])
    (tmp_path / 'notes.txt').write_text('not an image')
    with pytest.raises(
        ValueError, match='notes.txt, expected an image or a video, a file of .avi'
    ):
        find_media([tmp_path / 'notes.txt'])
    with pytest.raises(ValueError, match='got no image or video in .*, expected files of .avi'):
        find_media([tmp_path])
