"""Transforms of recordings that rosbags wrote."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.data.bag_reader import BagReader
from mirror_depth_ros.data.bag_transforms import read_transforms
from mirror_depth_ros.depth.transforms import ExtrapolationError

START_NS = 1_700_000_000 * 10**9
MS = 10**6
OPTICAL = (-0.5, 0.5, -0.5, 0.5)


@pytest.fixture
def record(bag_maker):
    """Write a recording of a camera 0.2 m ahead of the base, and what else is given."""

    def record(*messages):
        mounted = bag_maker.transform('base_link', 'optical', xyz=(0.2, 0, 0), quaternion=OPTICAL)
        return BagReader(bag_maker.write([('/tf_static', mounted), *messages]))

    return record


def test_static_and_moving_transforms(record, bag_maker):
    driven = [
        ('/tf', bag_maker.transform('odom', 'base_link', START_NS + i * 100 * MS, xyz=(i, 0, 0)))
        for i in range(3)
    ]
    buffer = read_transforms(record(*driven))
    # Halfway between 1 and 2 m, the camera 0.2 m ahead: what is 3 m before it is at 1.7 + 3.
    camera = buffer.lookup('odom', 'optical', START_NS + 150 * MS)
    np.testing.assert_allclose(camera @ [0, 0, 3, 1], [4.7, 0, 0, 1], atol=1e-12)
    with pytest.raises(ExtrapolationError, match='expected one from 1700000000.000000000 to'):
        buffer.lookup('odom', 'optical', START_NS + 201 * MS)


def test_a_recording_of_ros_1(record, bag_maker, tmp_path):
    from rosbags.convert.converter import convert

    driven = ('/tf', bag_maker.transform('odom', 'base_link', START_NS, xyz=(1, 2, 3)))
    file = tmp_path / 'old.bag'
    convert([record(driven).path], file, 'mcap', 8, None, 'none', None, None, [], [], [], [])
    buffer = read_transforms(BagReader(file))
    np.testing.assert_array_equal(buffer.lookup('odom', 'base_link', START_NS)[:3, 3], (1, 2, 3))
    assert buffer.is_static('base_link', 'optical')


def test_a_namespace_before_tf(bag_maker):
    static = bag_maker.transform('base', 'camera', START_NS, xyz=(1, 0, 0))
    buffer = read_transforms(BagReader(bag_maker.write([('/robot1/tf_static', static)])))
    assert buffer.is_static('base', 'camera')


def test_odometry_takes_the_place_of_tf(record, bag_maker):
    odometry = [
        ('/odom', bag_maker.odometry(START_NS + i * 100 * MS, xyz=(i, 0, 0))) for i in range(2)
    ]
    buffer = read_transforms(record(*odometry))
    assert buffer.lookup('odom', 'base_link', START_NS + 50 * MS)[0, 3] == 0.5


def test_odometry_is_not_read_where_tf_has_the_frame(record, bag_maker):
    reader = record(
        ('/tf', bag_maker.transform('map', 'base_link', START_NS, xyz=(5, 0, 0))),
        ('/odom', bag_maker.odometry(START_NS, xyz=(1, 0, 0))),
    )
    assert read_transforms(reader).frames == ['base_link', 'map', 'optical']
    expected = "got odometry /odom for .*, whose TF says where 'base_link' is, expected one of"
    with pytest.raises(ValueError, match=expected):
        read_transforms(reader, odometry='/odom')


def test_of_several_topics_of_odometry_one_is_taken_and_named(record, bag_maker, caplog):
    reader = record(
        ('/filtered', bag_maker.odometry(START_NS, xyz=(1, 0, 0))),
        ('/wheels', bag_maker.odometry(START_NS, xyz=(2, 0, 0))),
    )
    assert read_transforms(reader).lookup('odom', 'base_link', START_NS)[0, 3] == 1
    assert (
        'took odometry of base_link from /filtered; for another, add ,odometry=/wheels to bag:'
        in (caplog.text)
    )
    caplog.clear()
    buffer = read_transforms(reader, odometry='/wheels')
    assert buffer.lookup('odom', 'base_link', START_NS)[0, 3] == 2
    assert not caplog.text


def test_a_topic_of_another_type_is_no_odometry(record):
    with pytest.raises(ValueError, match='got odometry /tf_static, which is tf2_msgs/msg/TFMess'):
        read_transforms(record(), odometry='/tf_static')


def test_a_recording_without_transforms(bag_maker):
    reader = BagReader(bag_maker.write([('/info', bag_maker.info(4, 3))]))
    assert read_transforms(reader).frames == []
