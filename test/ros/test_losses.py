"""Images that the middleware loses between two processes are on /diagnostics, and why."""

import os
import re
import time
from types import SimpleNamespace

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mirror_depth_ros.ros.depth_node import DepthNode

PATIENCE_S = 60.0
# 640 x 480 rgb8, of which Fast DDS's default shared memory of 512 KB holds not one.
CAMERA = """
    import sys
    import numpy as np
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header
    from mirror_depth_ros.ros.messages import image_message

    rclpy.init()
    node = rclpy.create_node('camera')
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy[sys.argv[1]])
    images = node.create_publisher(Image, 'image', qos)
    image = image_message(Header(), 'rgb8', np.zeros((480, 640, 3), np.uint8))
    node.create_timer(0.02, lambda: images.publish(image))
    rclpy.spin(node)
"""


@pytest.fixture
def plain_transport(monkeypatch):
    """As a camera driver runs that nobody has given a profile."""
    for name in list(os.environ):
        if name.endswith(('DEFAULT_PROFILES_FILE', 'BUILTIN_TRANSPORTS')):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ('offered', 'asked', 'remedy'),
    [
        (
            'BEST_EFFORT',
            'auto',
            'their publisher sends them only once; give the camera driver config/fastdds.xml as '
            'well, or let it publish reliably',
        ),
        (
            'RELIABLE',
            'best_effort',
            'image_reliability has them sent only once; set the parameter image_reliability to '
            'auto, and give the camera driver config/fastdds.xml as well',
        ),
    ],
)
def test_lost_images_are_told_with_the_remedy(
    plain_transport, ros_context, run_program, offered, asked, remedy
):
    stand_in = SimpleNamespace(
        device='cpu', precision='fp32', backend='torch', notice='', has_confidence=False
    )
    node = DepthNode(
        load_estimator=lambda *_, **__: stand_in,
        context=ros_context,
        parameter_overrides=[Parameter('image_reliability', value=asked)],
    )
    user, said = Node('user', context=ros_context), []
    user.create_subscription(
        DiagnosticArray, '/diagnostics', lambda message: said.extend(message.status), 10
    )
    executor = SingleThreadedExecutor(context=ros_context)
    for each in (node, user):
        executor.add_node(each)
    camera = run_program(CAMERA, offered)

    def issues():
        for status in said:
            values = {pair.key: pair.value for pair in status.values}
            for issue in (status.message, *values.get('also', '').split(' | ')):
                if 'were lost on their way' in issue:
                    yield status.level, issue, int(values['images lost on the way'])

    deadline = time.monotonic() + PATIENCE_S
    try:
        while not any(issues()):
            assert time.monotonic() < deadline, (camera.log.read_text(), said[-1:])
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
        node.destroy_node()
        user.destroy_node()
    level, issue, n_lost = next(issues())
    assert issue.endswith((f'; {remedy}', f': {remedy}'))
    assert re.match(
        r'\d+ of \d+ images on /image were lost on their way in the last 5 s: '
        r'|got no image on /image.*: \d+ were lost on their way; ',
        issue,
    )
    assert level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
    assert n_lost > 1
