from __future__ import annotations

from types import SimpleNamespace

import pytest

from mirror_depth_ros.data.bag_topics import BagTopics, find_topics

INFO = 'CameraInfo'


class Recording:
    """Topics and what their first message says: an encoding, a format, or ``CameraInfo``.

    Behind an ``@`` it may say its frame.
    """

    path = 'drive'

    def __init__(self, topics):
        self._messages = {}
        self.topics = {}
        for topic, says in topics.items():
            says, _, frame = says.partition('@')
            is_compressed = says == 'jpeg' or ';' in says
            field, kind = ('format', 'CompressedImage') if is_compressed else ('encoding', 'Image')
            header = SimpleNamespace(frame_id=frame or 'camera')
            self._messages[topic] = SimpleNamespace(header=header, **{field: says})
            self.topics[topic] = f'sensor_msgs/msg/{INFO if says == INFO else kind}'
            other = {'imu': 'Imu', 'scan': 'LaserScan', 'range': 'Range'}.get(says)
            if other is not None:
                self.topics[topic] = f'sensor_msgs/msg/{other}'

    def first(self, topic):
        return self._messages[topic]


def find(topics, **given):
    return find_topics(Recording(topics), **given)


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
        '/camera/color/camera_info',
        '/camera/aligned_depth_to_color/image_raw',
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


AZURE_KINECT = {
    '/rgb/image_raw': 'bgra8@rgb_camera_link',
    '/rgb/camera_info': INFO,
    '/depth/image_raw': '16UC1@depth_camera_link',
    '/depth/camera_info': INFO,
    '/depth_to_rgb/image_raw': '16UC1@rgb_camera_link',
    '/depth_to_rgb/camera_info': INFO,
    '/rgb_to_depth/image_raw': 'bgra8@depth_camera_link',
    '/rgb_to_depth/camera_info': INFO,
    '/ir/image_raw': 'mono16@depth_camera_link',
    '/ir/camera_info': INFO,
}


@pytest.mark.parametrize(
    ('image', 'depth'),
    [
        ('/rgb/image_raw', '/depth_to_rgb/image_raw'),
        ('/rgb_to_depth/image_raw', '/depth/image_raw'),
        ('/ir/image_raw', '/depth/image_raw'),
    ],
)
def test_an_azure_kinect_is_told_its_image_and_finds_the_depth_in_the_same_frame(image, depth):
    with pytest.raises(
        ValueError,
        match='add ,image=/rgb/image_raw or ,image=/rgb_to_depth/image_raw to bag:drive',
    ):
        find(AZURE_KINECT)
    topics = find(AZURE_KINECT, image=image)
    assert (topics.image, topics.depth) == (image, depth)


def test_a_zed_is_told_its_image():
    topics = {
        f'/zed/zed_node/{side}/color/rect/{name}': says
        for side in ('left', 'rgb', 'right')
        for name, says in (('image', 'bgra8@left'), ('camera_info', INFO))
    }
    topics['/zed/zed_node/depth/depth_registered'] = '32FC1@left'
    topics['/zed/zed_node/confidence/confidence_map'] = '32FC1@left'
    with pytest.raises(
        ValueError,
        match='got 3 topics in drive .*; add ,image=/zed/zed_node/left/color/rect/image or '
        ',image=/zed/zed_node/rgb/color/rect/image or ',
    ):
        find(topics)
    found = find(topics, image='/zed/zed_node/left/color/rect/image')
    assert found.depth == '/zed/zed_node/depth/depth_registered'
    assert found.camera_info == '/zed/zed_node/left/color/rect/camera_info'


def test_each_of_two_cameras_has_its_own_depth():
    # That of the rear camera is registered, but to the rear camera's images.
    topics = {
        '/front/image': 'rgb8@front',
        '/front/camera_info': INFO,
        '/front/depth_to_rgb': '16UC1@front',
        '/rear/image': 'rgb8@rear',
        '/rear/camera_info': INFO,
        '/rear/depth_registered': '16UC1@rear',
    }
    assert find(topics, image='/front/image').depth == '/front/depth_to_rgb'
    assert find(topics, image='/rear/image').depth == '/rear/depth_registered'


def test_sixteen_bits_of_grey_are_depth_only_by_name():
    thermal = {'/thermal/image': 'mono16', '/thermal/camera_info': INFO}
    found = find({**thermal, '/depth/image': '16UC1'})
    assert (found.image, found.depth) == ('/thermal/image', '/depth/image')
    found = find({**thermal, '/camera/depth/image': 'mono16'})
    assert (found.image, found.depth) == ('/thermal/image', '/camera/depth/image')
    assert find(thermal).depth == ''
    found = find({**thermal, '/top/ir': 'mono16'}, image='/thermal/image', depth='/top/ir')
    assert found.depth == '/top/ir'


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
    assert BagTopics('/image', '/info', depth).is_registered is is_registered


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
            'got 2 topics in drive that may be the image, expected one; add ,image=/front/image '
            'or ,image=/rear/image to bag:drive$',
        ),
        (
            TWO,
            {'image': '/rear/image'},
            'got 2 topics in drive that may be the depth, expected one; add '
            ',depth=/front/depth_registered or ,depth=/rear/depth_registered to bag:drive$',
        ),
        ({}, {}, 'got no topic in drive that may be the image, .*; it holds no message'),
        (
            {'/a/image': 'rgb8', '/depth': '16UC1', '/b/camera_info': INFO},
            {},
            r'images on /a/image and no /a/camera_info, expected their CameraInfo; record it too, '
            r'or add ,camera_info=/b/camera_info to bag:drive$',
        ),
        (
            {'/a/image/compressed': 'jpeg', '/depth': '16UC1'},
            {},
            'no /a/camera_info or /a/image/camera_info, expected their CameraInfo; record it too$',
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


def test_what_is_not_to_be_used_is_not_found():
    robot = {
        '/image': 'rgb8',
        '/camera_info': INFO,
        '/depth': '16UC1',
        '/scan': 'scan',
        '/sonar_1': 'range',
        '/sonar_2': 'range',
    }
    found = find(robot)
    assert (found.depth, found.lidars, found.ranges) == ('/depth', (), ())
    found = find(robot, depth='no')
    assert (found.depth, found.lidars) == ('', ('/scan',))
    assert found.ranges == ('/sonar_1', '/sonar_2')
    found = find(robot, depth='no', lidar='no', range_sensor='no')
    assert (found.depth, found.lidars, found.ranges) == ('', (), ())
    found = find(robot, depth='/depth', range_sensor='/sonar_2')
    assert (found.depth, found.lidars, found.ranges) == ('/depth', (), ('/sonar_2',))


def test_the_nodes_own_depth_is_no_truth():
    camera = {'/image': 'rgb8', '/camera_info': INFO}
    own = {
        '/mirror_depth/depth/image_raw': '32FC1',
        '/mirror_depth/depth/preview': 'rgb8',
        '/robot/mirror_depth/points': 'scan',
    }
    found = find(camera | own)
    assert (found.image, found.depth, found.lidars) == ('/image', '', ())
    found = find(camera | own, depth='/mirror_depth/depth/image_raw')
    assert found.depth == '/mirror_depth/depth/image_raw'
