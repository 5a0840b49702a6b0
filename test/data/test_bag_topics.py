from __future__ import annotations

from types import SimpleNamespace

import pytest

from mirror_depth_ros.data.bag_topics import BagTopics, find_topics

INFO = 'CameraInfo'


class Recording:
    """Topics and what their first message says: an encoding, a format, or ``CameraInfo``."""

    path = 'drive'

    def __init__(self, topics):
        self._messages = {}
        self.topics = {}
        for topic, says in topics.items():
            is_compressed = says == 'jpeg' or ';' in says
            field, kind = ('format', 'CompressedImage') if is_compressed else ('encoding', 'Image')
            self._messages[topic] = SimpleNamespace(**{field: says})
            self.topics[topic] = f'sensor_msgs/msg/{INFO if says == INFO else kind}'
            if says == 'imu':
                self.topics[topic] = 'sensor_msgs/msg/Imu'

    def first(self, topic):
        return self._messages[topic]


def find(topics, *, image=None, depth=None, camera_info=None):
    return find_topics(Recording(topics), image=image, depth=depth, camera_info=camera_info)


REALSENSE = {
    '/camera/color/image_raw': 'rgb8',
    '/camera/color/image_raw/compressed': 'rgb8; jpeg compressed bgr8',
    '/camera/color/camera_info': INFO,
    '/camera/depth/image_rect_raw': '16UC1',
    '/camera/depth/camera_info': INFO,
    '/camera/aligned_depth_to_color/image_raw': '16UC1',
    '/camera/aligned_depth_to_color/image_raw/compressedDepth': '16UC1; compressedDepth',
    '/camera/aligned_depth_to_color/camera_info': INFO,
    '/camera/infra1/image_rect_raw': 'mono8',
    '/camera/imu': 'imu',
}


def test_a_realsense_is_understood():
    topics = find(REALSENSE)
    assert topics == BagTopics(
        '/camera/color/image_raw',
        '/camera/aligned_depth_to_color/image_raw',
        '/camera/color/camera_info',
    )
    assert not topics.is_rectified
    assert topics.is_registered


def test_a_recording_of_compressed_images():
    topics = find(
        {
            '/rgb/image_raw/compressed': 'jpeg',
            '/rgb/camera_info': INFO,
            '/depth_registered/image_rect/compressedDepth': '32FC1; compressedDepth png',
        }
    )
    assert topics.image == '/rgb/image_raw/compressed'
    assert topics.depth == '/depth_registered/image_rect/compressedDepth'
    assert topics.camera_info == '/rgb/camera_info'


def test_a_confidence_map_is_no_depth():
    topics = {
        '/zed/rgb/color/rect/image': 'bgra8',
        '/zed/rgb/color/rect/camera_info': INFO,
        '/zed/confidence/map': '32FC1',
        '/zed/depth/map': '32FC1',
    }
    found = find(topics)
    assert found.depth == '/zed/depth/map'
    assert found.is_rectified
    assert not found.is_registered


def test_grey_images_serve_where_there_is_no_colour():
    topics = find({'/left/image': 'mono8', '/depth/image': '32FC1', '/left/camera_info': INFO})
    assert topics.image == '/left/image'


def test_what_is_given_is_taken():
    topics = find(
        REALSENSE,
        image='/camera/infra1/image_rect_raw',
        depth='/camera/depth/image_rect_raw',
        camera_info='/camera/depth/camera_info',
    )
    assert topics.image == '/camera/infra1/image_rect_raw'
    assert topics.depth == '/camera/depth/image_rect_raw'
    assert topics.camera_info == '/camera/depth/camera_info'
    assert topics.is_rectified
    assert not topics.is_registered


@pytest.mark.parametrize(
    ('image', 'is_rectified'),
    [
        ('/image_rect', True),
        ('/image_rect_color', True),
        ('/rectified/image', True),
        ('/direct_camera/image_raw', False),
        ('/rectangle/image_raw', False),
    ],
)
def test_names_of_rectified_images(image, is_rectified):
    assert BagTopics(image, '/depth', '/info').is_rectified is is_rectified


@pytest.mark.parametrize(
    ('depth', 'is_registered'),
    [
        ('/depth_registered/image', True),
        ('/depth_to_rgb/image_aligned', True),
        ('/depth/unregistered', False),
        ('/depth/image', False),
    ],
)
def test_names_of_registered_depth(depth, is_registered):
    assert BagTopics('/image', depth, '/info').is_registered is is_registered


TWO = {
    '/front/image': 'rgb8',
    '/front/camera_info': INFO,
    '/front/depth_registered': '16UC1',
    '/rear/image': 'bgr8',
    '/rear/camera_info': INFO,
    '/rear/depth_registered': '16UC1',
}


@pytest.mark.parametrize(
    ('topics', 'given', 'error'),
    [
        (
            TWO,
            {},
            'got 2 topics in drive that may be the image: /front/image, /rear/image, expected '
            'one; say which as image',
        ),
        (
            TWO,
            {'image': '/rear/image'},
            'that may be the depth: /front/depth_registered, /rear/depth_registered, .* as depth',
        ),
        (
            {'/image': 'rgb8', '/imu': 'imu'},
            {},
            r'got no topic in drive that may be the depth, expected one; it holds /image '
            r'\(sensor_msgs/msg/Image\), /imu \(sensor_msgs/msg/Imu\); record it too',
        ),
        ({}, {}, 'got no topic in drive that may be the image, .*; it holds no message'),
        (
            {'/a/image': 'rgb8', '/depth': '16UC1', '/b/camera_info': INFO},
            {},
            r'images on /a/image and no /a/camera_info, expected .* \(there is /b/camera_info\)',
        ),
        (
            {'/a/image/compressed': 'jpeg', '/depth': '16UC1'},
            {},
            r'no /a/camera_info or /a/image/camera_info, expected .* \(there is none\)',
        ),
        (TWO, {'image': '/top', 'depth': '/front/depth_registered'}, 'got image /top, which has'),
        (
            TWO,
            {'image': '/rear/image', 'depth': '/rear/camera_info'},
            'got depth /rear/camera_info, which is sensor_msgs/msg/CameraInfo in drive, expected',
        ),
        (
            TWO,
            {
                'image': '/rear/image',
                'depth': '/rear/depth_registered',
                'camera_info': '/rear/image',
            },
            'got camera_info /rear/image, which is .* expected sensor_msgs/msg/CameraInfo; it',
        ),
    ],
)
def test_topics_that_are_missing_or_ambiguous(topics, given, error):
    with pytest.raises(ValueError, match=error):
        find(topics, **given)


def test_a_camera_may_lie_below_its_compressed_topic():
    topics = {'/image/jpeg': 'jpeg', '/image/camera_info': INFO, '/depth': '16UC1'}
    assert find(topics).camera_info == '/image/camera_info'
