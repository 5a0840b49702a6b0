"""Configuration files agree with the code that they configure."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from sensor_msgs.msg import PointCloud2

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.inference.process_tuning import find_shm_shortage
from mirror_depth_ros.ros.outputs import OUTPUTS
from mirror_depth_ros.ros.parameters import DepthParameters

CONFIG = Path(__file__).parents[2] / 'config'


@pytest.fixture
def displays():
    text = (CONFIG / 'depth.rviz').read_text(encoding='utf-8')
    return yaml.safe_load(text)['Visualization Manager']['Displays']


def test_rviz_shows_topics_that_the_node_publishes_and_in_their_types(displays):
    published = {o.topic.replace('~', '/mirror_depth'): o.message_type for o in OUTPUTS}
    shown = {d['Topic']['Value']: d['Class'] for d in displays if 'Topic' in d}
    assert shown.pop('/camera/image_raw') == 'rviz_default_plugins/Image'
    assert set(shown) == {
        '/mirror_depth/depth/image',
        '/mirror_depth/depth/preview',
        '/mirror_depth/confidence/image',
        '/mirror_depth/points',
    }
    for topic, display in shown.items():
        assert display == f'rviz_default_plugins/{published[topic].__name__}'


def test_foxglove_shows_topics_of_the_node_and_all_panels_have_a_place():
    layout = json.loads((CONFIG / 'foxglove.json').read_text(encoding='utf-8'))
    panels = layout['configById']

    def leaves(part):
        if isinstance(part, str):
            return [part]
        assert part['direction'] in ('row', 'column')
        return leaves(part['first']) + leaves(part['second'])

    assert sorted(leaves(layout['layout'])) == sorted(panels)
    published = {o.topic.replace('~', '/mirror_depth'): o.message_type.__name__ for o in OUTPUTS}
    published['/diagnostics'] = 'DiagnosticArray'
    (cloud,) = panels['3D!points']['topics']
    preview = panels['Image!preview']['imageMode']
    health = panels['DiagnosticSummary!health']['topicToRender']
    topics = (cloud, preview['imageTopic'], preview['calibrationTopic'], health)
    assert [published[topic] for topic in topics] == [
        'PointCloud2',
        'CompressedImage',
        'CameraInfo',
        'DiagnosticArray',
    ]
    # And no other names of topics anywhere.
    text = (CONFIG / 'foxglove.json').read_text(encoding='utf-8')
    assert set(re.findall(r'"(/[^"]+)"', text)) == set(topics)


def test_fast_dds_has_room_for_clouds_and_docker_for_four_processes():
    root = ElementTree.parse(CONFIG / 'fastdds.xml').getroot()
    sizes = [int(e.text) for e in root.iter('{http://www.eprosima.com}segment_size')]
    cloud_bytes = 640 * 480 * 16
    assert sizes == [14 * 1024 * 1024]
    assert sizes[0] >= 2 * cloud_bytes
    environment = {'FASTDDS_DEFAULT_PROFILES_FILE': str(CONFIG / 'fastdds.xml')}
    docker = SimpleNamespace(f_bavail=64 * 1024 * 1024, f_frsize=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'statvfs', lambda _: docker)
        assert find_shm_shortage(4, environment) == ''
        assert find_shm_shortage(5, environment).startswith(
            'got 67.1 MB free in /dev/shm, expected'
        )


@pytest.fixture
def sources():
    """The two sources of Nav2's voxel layer: the one that marks and the one that clears."""
    layer = yaml.safe_load((CONFIG / 'nav2_voxel_layer.yaml').read_text(encoding='utf-8'))
    for name in ('local_costmap', 'local_costmap', 'ros__parameters', 'voxel_layer'):
        layer = layer[name]
    return layer['depth_marks'], layer['depth_clears']


def test_nav2_reads_points_as_the_node_makes_them_by_default(sources):
    marks, clears = sources
    (output,) = (o for o in OUTPUTS if o.topic == '~/nav_points')
    clear_range = DepthParameters().nav_clear_range
    for source in sources:
        assert source['topic'] == output.topic.replace('~', '/mirror_depth')
        assert source['data_type'] == output.message_type.__name__
    # Two cells of 0.05 m that are not cleared, and the diagonal of a marked voxel, 0.14 m.
    assert marks['obstacle_max_range'] + 0.1 + 0.15 < clear_range <= clears['raytrace_max_range']


def test_nav2_clears_with_far_rays_of_the_real_message_and_marks_none(make_camera_bench, sources):
    """Under an open sky, with a wall behind a box: what the node publishes, by Nav2's rules."""
    marks, clears = sources
    depth = np.full((121, 161), np.inf, np.float32)  # beyond range
    depth[61:] = 30.0  # within range, beyond what Nav2 marks
    depth[80:100, 60:80] = 2.0  # blocks of 4 x 4 pixels: 5 x 5
    depth[:8] = np.nan  # no measurement
    depth[8:12] = 0.05  # too close
    camera = CameraModel(161, 121, fx=120.0, fy=118.0, cx=81.0, cy=59.0)
    bench = make_camera_bench(camera, lambda rgb, focal_px: depth)
    bench.wait_active()
    clouds = bench.collect('nav_points', PointCloud2)
    bench.stream()
    bench.wait(lambda: clouds)
    cloud = clouds[0]

    assert cloud.header.frame_id == 'camera_optical_frame'
    assert (cloud.height, cloud.point_step, cloud.is_dense) == (1, 12, True)
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, 3)
    assert len(points) == cloud.width == (31 - 3) * 41  # 31 x 41 blocks, three rows without any
    assert np.isfinite(points).all()
    distance = np.linalg.norm(points, axis=1)
    is_near = distance < marks['obstacle_max_range']
    assert is_near.sum() == 5 * 5
    np.testing.assert_array_equal(points[is_near, 2], 2.0)
    # All others, those of +Inf and those of 30 m, end where they clear and mark nothing.
    np.testing.assert_allclose(distance[~is_near], DepthParameters().nav_clear_range, rtol=1e-5)
    assert (distance <= clears['raytrace_max_range']).all()
