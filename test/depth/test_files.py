from __future__ import annotations

import os

import cv2
import numpy as np
import plyfile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_depth_ros.depth.files import (
    depth_to_millimetres,
    write_bytes,
    write_confidence_png,
    write_depth_png,
    write_ply,
    write_rgb_png,
)


def test_millimetres_are_rounded_and_zero_where_there_is_no_depth():
    depth = np.array([[1.0, 0.0016, 2.3456, 65.535, 65.536, 0.0, -1.0]], np.float32)
    assert depth_to_millimetres(depth).tolist() == [[1000, 2, 2346, 65535, 0, 0, 0]]
    odd = np.array([[np.nan, np.inf, -np.inf, 1e30]], np.float32)
    assert depth_to_millimetres(odd).tolist() == [[0, 0, 0, 0]]
    assert depth_to_millimetres(odd).dtype == np.uint16


@given(st.integers(1, 65535))
def test_millimetres_survive_metres(millimetres):
    depth = np.array([[millimetres / 1000]], np.float32)
    assert depth_to_millimetres(depth)[0, 0] == millimetres


def test_a_depth_png_holds_millimetres(tmp_path):
    depth = np.linspace(0.5, 9.0, 35, dtype=np.float32).reshape(5, 7)
    depth[1, 2] = np.nan
    write_depth_png(tmp_path / 'depth.png', depth)
    stored = cv2.imread(str(tmp_path / 'depth.png'), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert stored[1, 2] == 0
    np.testing.assert_allclose(stored[2:] / 1000, depth[2:], atol=5e-4)


def test_a_confidence_png_holds_255ths(tmp_path):
    confidence = np.array([[0.0, 0.1, 0.5], [0.998, 1.0, 1.0001]], np.float32)
    write_confidence_png(tmp_path / 'confidence.png', confidence)
    stored = cv2.imread(str(tmp_path / 'confidence.png'), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint8
    assert stored.tolist() == [[0, 26, 128], [254, 255, 255]]  # 25.5, 127.5 to even; 254.49


def test_an_rgb_png_keeps_the_channels_in_order(tmp_path):
    rgb = np.zeros((5, 7, 3), np.uint8)
    rgb[..., 0], rgb[2, 3, 2] = 250, 9
    write_rgb_png(tmp_path / 'image.png', rgb)
    bgr = cv2.imread(str(tmp_path / 'image.png'))
    np.testing.assert_array_equal(bgr[..., ::-1], rgb)


def test_a_ply_holds_the_finite_points_with_their_colours(tmp_path):
    points = np.arange(45, dtype=np.float32).reshape(3, 5, 3)
    points[0, 1, 2], points[2, 4, 0] = np.nan, np.inf
    rgb = np.arange(100, 145, dtype=np.uint8).reshape(3, 5, 3)
    write_ply(tmp_path / 'cloud.ply', points, rgb)
    data = plyfile.PlyData.read(str(tmp_path / 'cloud.ply'))
    vertex = data['vertex']
    assert not data.text
    assert len(vertex) == 13
    # The second finite point is pixel (0, 2): entries 6, 7, 8.
    assert [vertex[name][1] for name in ('x', 'y', 'z')] == [6.0, 7.0, 8.0]
    assert [vertex[name][1] for name in ('red', 'green', 'blue')] == [106, 107, 108]


def test_bytes_replace_what_was_there(tmp_path):
    write_bytes(tmp_path / 'file', b'a longer text')
    write_bytes(tmp_path / 'file', b'abc')
    assert (tmp_path / 'file').read_bytes() == b'abc'


def test_an_empty_cloud_is_a_valid_file(tmp_path):
    write_ply(tmp_path / 'cloud.ply', np.full((3, 5, 3), np.nan), np.zeros((3, 5, 3), np.uint8))
    assert len(plyfile.PlyData.read(str(tmp_path / 'cloud.ply'))['vertex']) == 0


def test_a_cloud_without_a_colour_for_each_point_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'points of shape \(3, 5, 3\) and colours of shape'):
        write_ply(tmp_path / 'cloud.ply', np.zeros((3, 5, 3)), np.zeros((5, 3, 3), np.uint8))


@pytest.mark.parametrize(
    'write',
    [
        lambda path: write_depth_png(path, np.ones((3, 5), np.float32)),
        lambda path: write_rgb_png(path, np.zeros((3, 5, 3), np.uint8)),
        lambda path: write_bytes(path, b'abc'),
        lambda path: write_ply(path, np.zeros((3, 3)), np.zeros((3, 3), np.uint8)),
    ],
)
def test_a_failed_write_names_the_file_and_the_reason(tmp_path, write):
    with pytest.raises(OSError, match=r'could not write .*absent/x: No such file or directory'):
        write(tmp_path / 'absent' / 'x')


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / 'image.png'
    write_rgb_png(path, np.zeros((3, 5, 3), np.uint8))
    before = path.read_bytes()

    def full(source, target):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(OSError, match='image.png: No space left on device'):
        write_rgb_png(path, np.full((3, 5, 3), 9, np.uint8))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['image.png']
