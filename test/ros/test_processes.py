"""What needs a process of its own: signals, exit codes, start-up time, transports."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE = [sys.executable, '-m', 'mirror_depth_ros.ros.depth_node']
PATIENCE_S = 30.0


def start(command, **environment):
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(command):
    process = start(command)
    output, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, output


# A model that takes its time, or that is not there.
NODE_WITH_LOADER = """
    import sys, time
    from mirror_depth_ros.ros.depth_node import DepthNode
    from mirror_depth_ros.ros.process import run_node

    def slow(model, **_):
        print('loading', flush=True)
        time.sleep(60)

    def missing(model, **_):
        raise FileNotFoundError('got no model')

    load = {'slow': slow, 'missing': missing}[sys.argv[1]]
    sys.exit(run_node(lambda: DepthNode(load_estimator=load), sys.argv, name='depth_node'))
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(('loader', 'sign'), [('slow', 'loading'), ('missing', 'got no model')])
def test_signals_end_the_node_quietly_with_code_0(ros_domain_id, loader, sign, number):
    process = start([sys.executable, '-c', textwrap.dedent(NODE_WITH_LOADER), loader])
    assert sign in process.stdout.readline()
    time.sleep(0.3)  # a signal just while a line is on its way to /rosout makes rcl complain
    process.send_signal(number)
    process.send_signal(number)  # ros2 launch and the terminal may both send it
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, output) == (0, '')


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        (['-p', 'precision:=int8'], "depth_node: got precision 'int8', expected one of auto"),
        (['-p', 'max_range:=20'], "'max_range'"),
    ],
)
def test_parameters_that_are_not_allowed_end_the_node_with_code_1(ros_domain_id, arguments, error):
    code, output = run([*NODE, '--ros-args', *arguments])
    assert code == 1
    assert error in output
    assert 'Traceback' not in output


def test_help_names_the_parameters():
    code, output = run([*NODE, '--help'])
    assert code == 0
    assert 'preview_max_depth: Depth of the farthest colour' in output


def test_an_argument_unknown_to_ros_is_refused(ros_domain_id):
    code, output = run([*NODE, '--image', '/camera/image_raw'])
    assert code == 2
    assert 'unrecognized arguments: --image /camera/image_raw' in output


def test_the_node_starts_without_the_heavy_packages():
    code = (
        'import sys, mirror_depth_ros.ros.depth_node\n'
        'print(sorted({"torch", "open_clip", "lightning", "plyfile"} & set(sys.modules)))'
    )
    assert run([sys.executable, '-c', code]) == (0, '[]\n')


CLOUD_PUBLISHER = """
    import numpy as np, rclpy
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Header
    from mirror_depth_ros.ros.messages import cloud_message
    rclpy.init()
    node = rclpy.create_node('publisher')
    cloud = cloud_message(
        Header(),
        np.ones((480, 640), np.float32),
        np.zeros((480, 640, 2), np.float32),
        np.zeros((480, 640, 3), np.uint8),
    )
    publisher = node.create_publisher(PointCloud2, 'points', 5)
    node.create_timer(0.1, lambda: publisher.publish(cloud))
    rclpy.spin(node)
"""
CLOUD_SUBSCRIBER = """
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import PointCloud2
    rclpy.init()
    node = rclpy.create_node('subscriber')
    sizes = []
    node.create_subscription(
        PointCloud2, 'points', lambda m: sizes.append(len(m.data)), qos_profile_sensor_data
    )
    for _ in range(200):
        rclpy.spin_once(node, timeout_sec=0.1)
        if len(sizes) == 5:
            break
    print(sizes)
"""


def test_large_clouds_reach_best_effort_subscribers_with_the_fast_dds_profile(ros_domain_id):
    profile = str(ROOT / 'config' / 'fastdds.xml')
    is_old = os.environ.get('ROS_DISTRO') in ('humble', 'iron', 'jazzy')
    variable = 'FASTRTPS_DEFAULT_PROFILES_FILE' if is_old else 'FASTDDS_DEFAULT_PROFILES_FILE'
    publisher, subscriber = (
        start([sys.executable, '-c', textwrap.dedent(code)], **{variable: profile})
        for code in (CLOUD_PUBLISHER, CLOUD_SUBSCRIBER)
    )
    output, _ = subscriber.communicate(timeout=PATIENCE_S)
    publisher.kill()
    assert output == f'{[640 * 480 * 16] * 5}\n'
    assert publisher.communicate()[0] == ''  # no complaint about the profile
