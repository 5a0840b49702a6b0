"""Configuration files agree with the code that they configure."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from mirror_depth_ros.ros.outputs import OUTPUTS

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
        '/mirror_depth/points',
    }
    for topic, display in shown.items():
        assert display == f'rviz_default_plugins/{published[topic].__name__}'


def test_fast_dds_has_shared_memory_for_a_dozen_clouds():
    root = ElementTree.parse(CONFIG / 'fastdds.xml').getroot()
    sizes = [int(e.text) for e in root.iter('{http://www.eprosima.com}segment_size')]
    cloud_bytes = 640 * 480 * 16
    assert sizes == [64 * 1024 * 1024]
    assert sizes[0] >= 12 * cloud_bytes
