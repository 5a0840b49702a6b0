from __future__ import annotations

import json
from math import nan as NAN

import cv2
import numpy as np
import pytest
from PIL import Image

from mirror_depth_ros.data.frames import FrameFolder, read_depth, read_rgb
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.files import write_rgb_png

RGB = np.zeros((15, 21, 3), np.uint8)
RGB[..., 0], RGB[3, 4] = 200, (10, 20, 30)
CAMERA = {'fx': 19.0, 'fy': 18.0, 'cx': 10.5, 'cy': 6.5, 'width': 21, 'height': 15}


def write_frame(folder, *, rgb_name='rgb.png', depth=True, **meta):
    folder.mkdir(parents=True)
    write_rgb_png(folder / rgb_name, RGB)
    if depth:
        values = np.zeros((15, 21), np.uint16)
        values[3, 4] = 7000
        cv2.imwrite(str(folder / 'depth.png'), values)
    meta = {'camera': CAMERA, 'depth_scale': 0.0002, **meta}
    (folder / 'meta.json').write_text(json.dumps(meta))


def test_frames_with_intrinsics_and_truth_at_any_depth(tmp_path):
    write_frame(tmp_path / 'kitchen' / 'b')
    write_frame(tmp_path / 'kitchen' / 'a', rgb_name='photo.png', rgb='photo.png')
    write_frame(tmp_path / 'street', depth=False)
    frames = FrameFolder(tmp_path)
    assert frames.names == ['kitchen/a', 'kitchen/b', 'street']
    assert frames.name_of(1) == 'kitchen/b'
    first, second, third = frames
    assert first.name == 'kitchen/a'
    np.testing.assert_array_equal(first.rgb, RGB)
    assert first.camera == CameraModel(21, 15, 19.0, 18.0, 10.5, 6.5)
    # 7000 * 0.0002 = 1.4 m, and NaN where the file holds 0
    assert second.depth[3, 4] == pytest.approx(1.4)
    assert np.isnan(second.depth).sum() == 15 * 21 - 1
    assert third.depth is None


def test_a_frame_itself_is_a_folder_of_one(tmp_path):
    write_frame(tmp_path / 'frame')
    frames = FrameFolder(tmp_path / 'frame')
    assert frames.names == ['frame']
    assert frames[0].depth is not None


def test_plain_images_take_the_field_of_view(tmp_path, caplog):
    for name in ('b.png', 'a.JPG', 'c.png'):
        cv2.imwrite(str(tmp_path / name), RGB)
    (tmp_path / 'notes.txt').write_text('not an image')
    frames = FrameFolder(tmp_path, hfov_deg=90.0)
    assert frames.names == ['a.JPG', 'b.png', 'c.png']
    assert frames[-1].camera == CameraModel.from_fov(21, 15, 90.0)
    assert [sample.name for sample in frames[1:]] == ['b.png', 'c.png']
    assert 'notes.txt: not an image by its suffix' in caplog.text


def test_images_are_opened_only_when_asked_for(tmp_path):
    write_rgb_png(tmp_path / 'a.png', RGB)
    (tmp_path / 'b.png').write_text('not an image')
    frames = FrameFolder(tmp_path, hfov_deg=90.0)
    assert frames[0].rgb.shape == (15, 21, 3)
    with pytest.raises(ValueError, match=r'got .*b.png, which is no BMP, JPEG, PNG, TIFF or WEBP'):
        frames[1]
    with pytest.raises(IndexError):
        frames[2]


def test_missing_or_empty_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent, expected a folder of images'):
        FrameFolder(tmp_path / 'absent')
    (tmp_path / 'notes.txt').write_text('not an image')
    with pytest.raises(ValueError, match='got no image in .*, expected FRAME/meta.json folders'):
        FrameFolder(tmp_path)


def test_plain_images_without_a_field_of_view_are_refused(tmp_path):
    write_rgb_png(tmp_path / 'a.png', RGB)
    with pytest.raises(
        ValueError, match=r'images without meta.json in .* \(a.png, 1 in all\).*--'
    ):
        FrameFolder(tmp_path)


def test_a_frame_without_its_image_is_refused(tmp_path):
    write_frame(tmp_path / 'a', rgb_name='other.png')
    with pytest.raises(FileNotFoundError, match=r'expected rgb.png or rgb.jpg beside it'):
        FrameFolder(tmp_path)


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        ({'camera': {**CAMERA, 'fx': 0.0}}, r'got meta.camera.fx=0.0, .* pixels .*a.meta.json'),
        ({'camera': {**CAMERA, 'fx': True}}, 'got meta.camera.fx=True, expected pixels above 0'),
        ({'camera': {**CAMERA, 'cy': NAN}}, 'got meta.camera.cy=nan, expected pixels from -1000'),
        ({'camera': {**CAMERA, 'width': 21.7}}, 'got meta.camera.width=21.7, expected an integer'),
        ({'camera': {**CAMERA, 'height': '15'}}, "got meta.camera.height='15', expected an integ"),
        ({'camera': {'fx': 3.0}}, 'got meta.camera without width, height, fy, cx, cy, expected'),
        ({'depth_scale': None}, 'meta.json without depth_scale, expected the metres per unit of'),
        ({'depth_scale': True}, 'got meta.depth_scale=True, expected metres per unit above 0'),
        ({'depth_scale': NAN}, 'got meta.depth_scale=nan, expected metres per unit above 0'),
        ({'depth_scale': -0.001}, 'got meta.depth_scale=-0.001, expected metres per unit above'),
        ({'camera': 3}, 'got meta.camera=3, expected a section of names'),
        ({'camera': {**CAMERA, 'width': 20}}, r'uint8 \(15, 21, 3\) as the image of a'),
    ],
)
def test_bad_metadata_is_refused(tmp_path, meta, message):
    write_frame(tmp_path / 'a', **meta)
    frames = FrameFolder(tmp_path)
    with pytest.raises(ValueError, match=message):
        frames[0]


def test_the_name_of_an_image_is_text(tmp_path):
    write_frame(tmp_path / 'a', rgb=3)
    with pytest.raises(ValueError, match='got rgb in .*meta.json=3, expected text'):
        FrameFolder(tmp_path)


def test_metadata_that_is_no_json_object_is_refused(tmp_path):
    write_frame(tmp_path / 'a')
    for text, message in (('{', 'meta.json, expected JSON'), ('[]', 'got a list in')):
        (tmp_path / 'a' / 'meta.json').write_text(text)
        with pytest.raises(ValueError, match=message):
            FrameFolder(tmp_path)


def test_metadata_may_begin_with_a_byte_order_mark(tmp_path):
    write_frame(tmp_path / 'a')
    meta = tmp_path / 'a' / 'meta.json'
    meta.write_bytes(b'\xef\xbb\xbf' + meta.read_bytes())
    assert FrameFolder(tmp_path)[0].name == 'a'


def test_files_that_are_no_images_are_refused(tmp_path):
    (tmp_path / 'empty.png').write_bytes(b'')
    encoded = cv2.imencode('.png', RGB)[1].tobytes()
    (tmp_path / 'cut.png').write_bytes(encoded[: len(encoded) // 2])
    for name, reason in (('empty.png', 'is no BMP'), ('cut.png', 'is cut short or damaged')):
        with pytest.raises(ValueError, match=f'{name}, which {reason}.*, expected a whole image'):
            read_rgb(tmp_path / name)
    with pytest.raises(ValueError, match='cut.png, which is cut short .*, expected a 16-bit PNG'):
        read_depth(tmp_path / 'cut.png', 0.001)
    write_rgb_png(tmp_path / 'colour.png', RGB)
    with pytest.raises(
        ValueError, match=r'got uint8 \(15, 21, 3\) in .*colour.png, expected a 16'
    ):
        read_depth(tmp_path / 'colour.png', 0.001)


def test_an_image_of_floats_is_refused(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / 'a.tiff'), np.ones((15, 21), np.float32))
    floats = np.ones((15, 21, 3), np.float32)  # of some releases of OpenCV
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: floats)
    with pytest.raises(ValueError, match='a.tiff of float32, expected an image of 8 or 16 bits'):
        read_rgb(tmp_path / 'a.tiff')


def write_turned(path, picture):
    """An image with EXIF data that say: to be turned clockwise by a quarter."""
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(picture).save(path, exif=exif)


def test_what_intrinsics_and_depth_belong_to_is_read_as_stored(tmp_path):
    for size in (
        (15, 21),
        (15, 15),
    ):  # a square image does not show by its size that it was turned
        folder = tmp_path / f'{size[1]}'
        picture = np.zeros((*size, 3), np.uint8)
        picture[1, 2] = 90, 80, 70
        write_frame(folder, camera={**CAMERA, 'width': size[1]}, depth=False)
        write_turned(folder / 'rgb.png', picture)
        np.testing.assert_array_equal(FrameFolder(folder)[0].rgb, picture)


def test_plain_images_are_turned_upright(tmp_path):
    picture = np.zeros((15, 21, 3), np.uint8)
    picture[1, 2] = 90, 80, 70
    write_turned(tmp_path / 'a.png', picture)
    (sample,) = FrameFolder(tmp_path, hfov_deg=60.0)
    assert sample.rgb.shape == (21, 15, 3)
    assert sample.rgb[2, 13].tolist() == [90, 80, 70]  # row 1 is the second column from the right


def test_16_bit_images_of_a_folder_share_their_levels(tmp_path, caplog):
    bright = np.linspace(0, 4095, 15 * 21).astype(np.uint16).reshape(15, 21)
    cv2.imwrite(str(tmp_path / 'a.png'), bright)
    cv2.imwrite(str(tmp_path / 'b.png'), bright // 8)
    first, second = FrameFolder(tmp_path, hfov_deg=60.0)
    assert (first.rgb.min(), first.rgb.max()) == (0, 255)
    assert second.rgb.max() == 32  # 511 * 255 / 4095 = 31.8
    assert caplog.messages == [f'values of {tmp_path / "a.png"} fill 12 of 16 bits']


def test_files_of_no_kind_that_is_read_are_known(tmp_path):
    write_rgb_png(tmp_path / 'a.png', RGB)
    for name in ('b.HEIC', 'c.gif', 'notes.txt', '.hidden.gif'):
        (tmp_path / name).write_bytes(b'content')
    assert FrameFolder(tmp_path, hfov_deg=60.0).left_out == [
        tmp_path / 'b.HEIC',
        tmp_path / 'c.gif',
    ]


def test_a_frame_says_where_it_was_taken(tmp_path):
    write_frame(tmp_path / 'a')
    write_frame(tmp_path / 'b', domain='outdoor')
    write_frame(tmp_path / 'c', domain='space')
    frames = FrameFolder(tmp_path)
    assert (frames.domain_of(0), frames.domain_of(1)) == ('indoor', 'outdoor')
    with pytest.raises(ValueError, match=r"domain 'space' in .*c/meta.json, expected one of in"):
        frames.domain_of(2)


def test_a_plain_image_is_taken_indoors(tmp_path):
    write_rgb_png(tmp_path / 'a.png', RGB)
    assert FrameFolder(tmp_path, hfov_deg=60.0).domain_of(0) == 'indoor'


def test_a_frame_has_the_pose_of_its_camera(tmp_path):
    pose = [[0, 0, 1, 2.5], [-1, 0, 0, 0], [0, -1, 0, 0.3], [0, 0, 0, 1]]
    write_frame(tmp_path / 'a', camera_to_world=pose)
    write_frame(tmp_path / 'b')
    write_frame(tmp_path / 'c', camera_to_world=pose[:3])
    frames = FrameFolder(tmp_path)
    assert frames[0].pose.tolist() == pose
    assert frames[1].pose is None
    with pytest.raises(ValueError, match=r'got meta.camera_to_world=.*, expected a list of 4, ea'):
        frames[2]
