"""What the node publishes of depth out of range and between surfaces, over real DDS."""

import struct
import time

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.preview import colorize_depth

H, W = 17, 23
CAMERA = CameraModel(W, H, fx=20.0, fy=19.0, cx=11.0, cy=8.0)
NAN, INF = np.nan, np.inf
# Columns of 0.5, 2, 3 (which flies), 6 and 30 m; and the row 0 without a measurement.
DEPTH = np.repeat(np.array([[0.5, 2.0, 3.0, 6.0, 30.0]], np.float32), [4, 7, 1, 7, 4], axis=1)
DEPTH = np.repeat(DEPTH, H, axis=0)
DEPTH[0] = NAN
COLUMNS = (0, 4, 11, 12, 19)
IMAGES = ('depth/image', 'depth/image_raw', 'depth/preview')
CLOUDS = ('points', 'nav_points')


@pytest.fixture
def bench(make_camera_bench):
    bench = make_camera_bench(CAMERA, lambda rgb, focal_px: DEPTH, min_range=1.0, max_range=20.0)
    bench.wait_active()
    bench.received = {name: bench.collect(name, Image) for name in IMAGES}
    bench.received |= {name: bench.collect(name, PointCloud2) for name in CLOUDS}
    bench.stream()
    return bench


def outputs_with(bench, **parameters):
    """Set parameters and return what comes after them, as arrays by name."""
    bench.set_parameters(**parameters)
    changed_ns = time.time_ns()
    newest = {}
    for name, messages in bench.received.items():
        bench.wait(lambda m=messages: m and stamp_ns(m[-1]) > changed_ns)
        newest[name] = messages[-1]
    dtypes = {'depth/image_raw': np.uint16, 'depth/preview': np.uint8}
    arrays = {n: np.frombuffer(m.data, dtypes.get(n, np.float32)) for n, m in newest.items()}
    return {
        'depth/image': arrays['depth/image'].reshape(H, W),
        'depth/image_raw': arrays['depth/image_raw'].reshape(H, W),
        'depth/preview': arrays['depth/preview'].reshape(H, W, 3),
        'points': arrays['points'].reshape(H, W, 4)[..., :3],
        'nav_points': arrays['nav_points'].reshape(-1, 3),
    }


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.mark.parametrize(
    ('out_of_range', 'depths', 'millimetres'),
    [
        ('inf', [-INF, 2.0, NAN, 6.0, INF], [0, 2000, 0, 6000, 0]),
        ('nan', [NAN, 2.0, NAN, 6.0, NAN], [0, 2000, 0, 6000, 0]),
        ('clamp', [1.0, 2.0, NAN, 6.0, 20.0], [1000, 2000, 0, 6000, 20000]),
    ],
)
def test_out_of_range_is_marked_alike_wherever_depth_is(bench, out_of_range, depths, millimetres):
    got = outputs_with(bench, out_of_range=out_of_range, nav_decimation=1)
    depth = got['depth/image']
    np.testing.assert_array_equal(depth[5, COLUMNS], np.array(depths, np.float32))
    assert np.isnan(depth[0]).all()
    np.testing.assert_array_equal(got['depth/image_raw'][5, COLUMNS], millimetres)
    np.testing.assert_array_equal(got['depth/preview'], colorize_depth(depth))
    # In a cloud nothing is infinite: a point has a place or it has none.
    is_finite = np.isfinite(depth)
    np.testing.assert_array_equal(got['points'][is_finite][:, 2], depth[is_finite])
    assert np.isnan(got['points'][~is_finite]).all()

    # For a costmap it is all the same: 7 + 7 columns with a depth, 4 beyond range that clear.
    assert len(got['nav_points']) == (H - 1) * 18
    far = np.linalg.norm(got['nav_points'], axis=1) > 4.4 - 1e-4
    assert far.sum() == (H - 1) * 11  # 30 m and 6 m
    np.testing.assert_array_equal(got['nav_points'][~far, 2], 2.0)


def test_the_edge_filter_can_be_switched_off(bench):
    got = outputs_with(bench, edge_filter=0.0, nav_decimation=1)
    assert got['depth/image'][5, 11] == 3.0
    assert got['depth/image_raw'][5, 11] == 3000
    assert got['points'][5, 11, 2] == 3.0
    assert (got['nav_points'][:, 2] == 3.0).sum() == H - 1


def test_depth_is_scaled_in_all_of_them(bench):
    got = outputs_with(bench, depth_scale=0.5, min_range=0.2, nav_decimation=1)
    depth = np.array([0.25, 1.0, NAN, 3.0, 15.0], np.float32)
    np.testing.assert_array_equal(got['depth/image'][5, COLUMNS], depth)
    np.testing.assert_array_equal(got['depth/image_raw'][5, COLUMNS], [250, 1000, 0, 3000, 15000])
    np.testing.assert_array_equal(got['points'][5, COLUMNS, 2], depth)
    assert set(np.unique(got['nav_points'][:, 2].round(4))) >= {0.25, 1.0, 3.0}


def test_points_for_a_costmap_are_one_a_block_and_end_where_told(bench):
    got = outputs_with(bench, nav_decimation=3, nav_clear_range=1.5)
    assert len(got['nav_points']) == 6 * (8 - 1)  # blocks; those of the first column are too close
    distance = np.linalg.norm(got['nav_points'], axis=1)
    np.testing.assert_allclose(distance, 1.5, rtol=1e-5)


@pytest.mark.parametrize('step', [2, 5])
def test_a_decimated_cloud_is_organised_and_has_the_same_points(bench, step):
    whole = outputs_with(bench, edge_filter=0.0)['points']
    bench.set_parameters(cloud_decimation=step)
    height, width = -(-H // step), -(-W // step)  # 9 x 12 and 4 x 5
    bench.wait(lambda: bench.received['points'][-1].width == width)
    cloud = bench.received['points'][-1]
    assert (cloud.height, cloud.width, cloud.row_step) == (height, width, 16 * width)
    points = np.frombuffer(cloud.data, np.float32).reshape(height, width, 4)[..., :3]
    np.testing.assert_array_equal(points, whole[::step, ::step])
    # What is for costmaps has its own.
    assert len(bench.received['nav_points'][-1].data) == len(bench.received['nav_points'][0].data)


def test_no_more_images_a_second_are_computed_than_wanted(make_camera_bench):
    computed_s = []

    def estimate(rgb, focal_px):
        computed_s.append(time.monotonic())
        return DEPTH

    bench = make_camera_bench(CAMERA, estimate, max_rate_hz=4.0)
    bench.wait_active()
    depths = bench.collect('depth/image', Image)
    bench.stream(rate_hz=40.0)
    bench.wait(lambda: len(computed_s) >= 5)
    assert np.diff(computed_s[:5]).min() > 0.2
    # Of those between nothing was made, and they are not held against the model.
    counts = bench.counts
    assert counts['left_out'] >= counts['processed'] > 0
    assert (counts['dropped'], counts['ignored']) == (0, 0)
    bench.set_parameters(max_rate_hz=0.0)
    n_before = len(computed_s)
    bench.wait(lambda: len(computed_s) >= n_before + 12)
    assert np.median(np.diff(computed_s[n_before + 1 :])) < 0.2
    bench.wait(lambda: len(depths) >= 12)


def test_a_cloud_of_no_points_is_published_all_the_same(bench):
    got = outputs_with(bench, depth_scale=0.1, min_range=19.0)  # everything is too close
    assert got['nav_points'].shape == (0, 3)
    cloud = bench.received['nav_points'][-1]
    assert (cloud.width, cloud.height, cloud.point_step, cloud.row_step) == (0, 1, 12, 0)


def test_compressed_images_hold_what_the_others_do(bench):
    forms = {
        'depth/image/compressedDepth': '32FC1; compressedDepth png',
        'depth/image_raw/compressedDepth': '16UC1; compressedDepth png',
        'depth/preview/compressed': 'rgb8; jpeg compressed bgr8',
    }
    received = {name: bench.collect(name, CompressedImage) for name in forms}
    got = outputs_with(bench, min_range=0.2)
    changed_ns = time.time_ns()
    for messages in received.values():
        bench.wait(lambda m=messages: m and stamp_ns(m[-1]) > changed_ns)
    newest = {name: messages[-1] for name, messages in received.items()}
    assert {name: message.format for name, message in newest.items()} == forms
    for message in newest.values():
        assert message.header.frame_id == 'camera_optical_frame'
    # By the rules of the plugins' decoders: a header of 12 bytes, A / (value - B), NaN for 0.
    data = newest['depth/image/compressedDepth'].data.tobytes()
    _, a, b = struct.unpack_from('<iff', data)
    values = decode_picture(data[12:])[5, COLUMNS].astype(np.float32)
    # min_range and max_range of the bench: 30 m is beyond range, 3 m flies.
    depth = [a / (value - b) if value else NAN for value in values]
    np.testing.assert_allclose(depth, [0.5, 2.0, NAN, 6.0, NAN], rtol=1e-3)
    millimetres = decode_picture(newest['depth/image_raw/compressedDepth'].data.tobytes()[12:])
    np.testing.assert_array_equal(millimetres, got['depth/image_raw'])
    bgr = decode_picture(newest['depth/preview/compressed'].data.tobytes()).astype(int)
    picture = got['depth/preview']
    right, swapped = (np.abs(channels - picture).mean() for channels in (bgr[..., ::-1], bgr))
    assert right < 12 < swapped  # JPEG blurs these few columns


def decode_picture(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_preview_is_coloured_once_for_all_who_see_it(make_camera_bench, monkeypatch):
    coloured = []

    def colour(depth, **limits):
        coloured.append(depth)
        return colorize_depth(depth, **limits)

    monkeypatch.setattr('mirror_depth_ros.ros.outputs.colorize_depth', colour)
    bench = make_camera_bench(CAMERA, lambda rgb, focal_px: DEPTH)
    bench.wait_active()
    raw = bench.collect('depth/preview', Image)
    compressed = bench.collect('depth/preview/compressed', CompressedImage)
    bench.send()
    bench.wait(lambda: raw and compressed)
    assert len(coloured) == 1


@pytest.mark.parametrize(
    'maker', ['nav_points', 'compress_metres', 'compress_millimetres', 'compress_picture']
)
def test_what_is_costly_is_not_made_for_nobody(make_camera_bench, monkeypatch, maker):
    made = []
    monkeypatch.setattr(f'mirror_depth_ros.ros.outputs.{maker}', lambda *_, **__: made.append(1))
    bench = make_camera_bench(CAMERA, lambda rgb, focal_px: DEPTH)
    bench.wait_active()
    depths = bench.collect('depth/image', Image)
    bench.stream()
    bench.wait(lambda: len(depths) >= 2)
    assert made == []
