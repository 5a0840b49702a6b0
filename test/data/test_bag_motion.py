"""Recordings without depth whose motion is known."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest

from mirror_depth_ros.data.bag import BagFrames
from mirror_depth_ros.data.specification import open_data
from mirror_depth_ros.depth.camera import CameraModel

START_NS = 1_700_000_000 * 10**9
MS = 10**6
#: Of a camera that looks ahead: its z is the base's x, its x the base's -y.
OPTICAL = (-0.5, 0.5, -0.5, 0.5)


@pytest.fixture
def pictures(bag_maker):
    """Make images 100 ms apart, with calibrations."""

    def make(count, frame='optical', width=21, height=13):
        messages = []
        for i in range(count):
            stamp_ns = START_NS + i * 100 * MS
            rgb = np.full((height, width, 3), 10 * i, np.uint8)
            messages += [
                ('/camera/image_raw', bag_maker.image(rgb, 'rgb8', stamp_ns, frame)),
                ('/camera/camera_info', bag_maker.info(width, height, stamp_ns)),
            ]
        return messages

    return make


@pytest.fixture
def mounting(bag_maker):
    """A camera 0.2 m before the base."""
    static = bag_maker.transform('base_link', 'optical', xyz=(0.2, 0, 0), quaternion=OPTICAL)
    return ('/tf_static', static)


@pytest.fixture
def odometry(bag_maker):
    """A robot that drives ahead at 1 m/s from 50 ms before the first image, at 10 Hz."""

    def make(count, topic='/odom', parent_ms=-50):
        return [
            (topic, bag_maker.odometry(START_NS + (parent_ms + i * 100) * MS, xyz=(0.1 * i, 0, 0)))
            for i in range(count)
        ]

    return make


def test_every_image_has_the_pose_of_its_stamp(bag_maker, pictures, mounting, odometry):
    frames = BagFrames(bag_maker.write([mounting, *odometry(5), *pictures(4)]))
    assert len(frames) == 4
    sample = frames[2]
    assert sample.depth is None
    assert sample.rgb.shape == (13, 21, 3)
    assert sample.rgb[0, 0, 0] == 20
    assert (sample.camera.width, sample.camera.height) == (21, 13)
    # 200 ms after the start the robot has driven 250 ms at 1 m/s, and the camera is 0.2 m ahead.
    np.testing.assert_allclose(sample.pose @ [0, 0, 0, 1], [0.45, 0, 0, 1], atol=1e-9)
    # What is 3 m before it and 1 m to its right is there:
    np.testing.assert_allclose(sample.pose @ [1, 0, 3, 1], [3.45, -1, 0, 1], atol=1e-9)
    assert sample.name == frames.name_of(2) == '000002-1700000000.200000000'
    assert sample.sequence == ''
    assert pickle.loads(pickle.dumps(frames))[2].name == sample.name
    assert frames.describe() == [
        ('images', '/camera/image_raw'),
        ('calibration', '/camera/camera_info'),
        ('motion', 'from odom -> optical'),
        ('with pose', '4 of 4 images'),
    ]
    assert frames.has_hints
    assert not frames.has_depth(2)


def test_tf_says_where_the_camera_is(bag_maker, pictures, mounting):
    driven = [
        ('/tf', bag_maker.transform('map', 'base_link', START_NS + i * 100 * MS, xyz=(i, 0, 0)))
        for i in range(3)
    ]
    frames = BagFrames(bag_maker.write([mounting, *driven, *pictures(3)]), odom_frame='map')
    assert [frames[i].pose[0, 3] for i in range(3)] == pytest.approx([0.2, 1.2, 2.2])


def test_images_without_a_pose_are_left_out(bag_maker, pictures, mounting, odometry, caplog):
    recording = bag_maker.write([mounting, *odometry(4), *pictures(6)])
    with caplog.at_level(logging.WARNING):
        frames = BagFrames(recording)
    # Odometry ends 250 ms after the first image.
    assert [frames.name_of(i)[:6] for i in range(len(frames))] == ['000000', '000001', '000002']
    assert frames.unmatched == 3
    assert 'no pose is known of 3 of the 6 images on /camera/image_raw' in caplog.text
    assert 'got the time 1700000000.300000000 s, expected one from' in caplog.text


def test_no_image_with_a_pose(bag_maker, pictures, mounting, odometry):
    with pytest.raises(
        ValueError, match='that may be the depth, .* or to learn from motion, record /tf'
    ):
        BagFrames(bag_maker.write([mounting, *odometry(3, parent_ms=5000), *pictures(2)]))


def test_a_camera_that_no_transform_names(bag_maker, pictures, odometry):
    with pytest.raises(
        ValueError,
        match=r"the transform from its child_frame_id to 'optical', .*add ,odom_frame=FRAME to "
        r"bag:.*: got frame 'optical', which no transform names",
    ):
        BagFrames(bag_maker.write([*odometry(5), *pictures(3)]))


def test_the_image_is_resized_on_its_way(bag_maker, pictures, mounting, odometry):
    messages = [m for m in pictures(3) if m[0] != '/camera/camera_info']
    info = ('/camera/camera_info', bag_maker.info(42, 26, START_NS))
    sample = BagFrames(bag_maker.write([mounting, *odometry(5), info, *messages]))[0]
    assert isinstance(sample.camera, CameraModel)
    assert (sample.camera.width, sample.camera.height) == (21, 13)


def test_a_data_set_without_depth_is_one_of_motion(bag_maker, pictures, mounting, odometry):
    recording = bag_maker.write([mounting, *odometry(8), *pictures(5)])
    data = open_data(f'bag:{recording},image=/camera/image_raw[20%:]', needs_depth=False)
    assert [data.samples.name_of(i)[:6] for i in range(len(data.samples))] == [
        *('000001', '000002', '000003', '000004')
    ]
    assert data.samples[0].pose is not None
    with pytest.raises(
        ValueError, match='of whose 5 images none has depth, expected depth images or a lidar'
    ):
        open_data(f'bag:{recording}')
    with pytest.raises(
        ValueError, match='got tolerance_s for .*, which has no depth to be near in'
    ):
        open_data(f'bag:{recording},tolerance_s=0.1', needs_depth=False)
