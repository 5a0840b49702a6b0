"""What needs a process of its own: signals, exit codes, start-up time, transports."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.messages import image_message

ROOT = Path(__file__).parents[2]
NODE = [sys.executable, '-m', 'mirror_depth_ros.ros.depth_node']
PATIENCE_S = 100.0  # a busy machine imports slowly


def start(command, **environment):
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(command, **environment):
    process = start(command, **environment)
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


def test_a_signal_while_pytorch_is_loaded_ends_the_node_with_code_0(ros_domain_id):
    process = start([*NODE, '--ros-args', '-p', 'device:=cpu'])
    maps, deadline = Path(f'/proc/{process.pid}/maps'), time.monotonic() + 2 * PATIENCE_S
    while 'libtorch_cpu' not in maps.read_text():
        assert time.monotonic() < deadline, 'PyTorch is not loaded'
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    lines = [line for line in output.splitlines() if '[INFO]' not in line]
    assert (process.returncode, lines) == (0, [])


NODE_WITHOUT_ROOM = """
    import os, sys
    from types import SimpleNamespace
    from rclpy.node import Node
    from mirror_depth_ros.ros.process import run_node

    os.statvfs = lambda _: SimpleNamespace(f_bavail=1000, f_frsize=4096)
    sys.exit(run_node(lambda: Node('poor'), sys.argv, name='poor_node'))
"""


def test_a_node_warns_where_shared_memory_is_short(ros_domain_id, run_program, large_messages):
    process = run_program(NODE_WITHOUT_ROOM, **large_messages)
    deadline = time.monotonic() + PATIENCE_S
    while '--shm-size' not in process.log.read_text():
        assert time.monotonic() < deadline, process.log.read_text()
        time.sleep(0.05)
    assert '[poor]: got 4.1 MB free in /dev/shm, expected 16.1 MB' in process.log.read_text()


NODE_AT_WORK = """
    import sys, time
    from types import SimpleNamespace
    import numpy as np
    from mirror_depth_ros.ros.depth_node import DepthNode
    from mirror_depth_ros.ros.process import run_node

    def estimate(rgb, focal_px):
        time.sleep(0.1)  # so that a newer image always waits
        return np.ones(rgb.shape[:2], np.float32)

    class SlowToStop(DepthNode):
        def destroy_node(self):
            time.sleep(0.5)  # the worker goes on to that image, in a context that has ended
            super().destroy_node()

    def load(model, **_):
        return SimpleNamespace(
            estimate_batch=lambda *batch, **_: [(d, None, None) for d in map(estimate, *batch)],
            device='cpu', precision='fp32', backend='torch', notice='', has_confidence=False,
        )

    sys.exit(run_node(lambda: SlowToStop(load_estimator=load), sys.argv, name='depth_node'))
"""


def test_ctrl_c_is_quiet_while_images_flow(ros_context):
    camera = CameraModel(9, 7, fx=6.0, fy=5.0, cx=4.0, cy=2.0)
    image = image_message(Header(), 'rgb8', np.zeros((7, 9, 3), np.uint8))
    user, depths = Node('user', context=ros_context), []
    user.create_subscription(Image, 'mirror_depth/depth/image', depths.append, 10)
    images = user.create_publisher(Image, 'image', 1)
    infos = user.create_publisher(CameraInfo, 'camera_info', 1)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(user)
    process = start([sys.executable, '-c', textwrap.dedent(NODE_AT_WORK)])
    deadline, n_more = time.monotonic() + PATIENCE_S, 0
    while process.poll() is None:
        assert time.monotonic() < deadline
        infos.publish(info_from_camera(camera, image.header))
        images.publish(image)
        executor.spin_once(timeout_sec=0.02)
        n_more += len(depths) > 2
        if n_more == 4:  # one of these waits while another is worked on
            process.send_signal(signal.SIGINT)
    executor.shutdown()
    user.destroy_node()
    # A slow machine comes as far as the first issue: the images have no stamps.
    logged = ('[INFO]', '[WARN]')
    output = process.communicate()[0].splitlines()
    lines = [line for line in output if not line.startswith(logged)]
    assert (process.returncode, lines) == (0, [])


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        (['-p', 'precision:=int4'], "depth_node: got precision 'int4', expected one of auto"),
        (['-p', 'max_range:=2000'], 'max_range out of range'),
        (['-p', 'max_range:=far'], "'max_range'"),
    ],
)
def test_parameters_that_are_not_allowed_end_the_node_with_code_1(ros_domain_id, arguments, error):
    code, output = run([*NODE, '--ros-args', *arguments])
    assert code == 1
    assert error in output
    assert 'Traceback' not in output


@pytest.mark.parametrize('module', ['depth_node', 'demo.frame_camera', 'demo.recorder'])
@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        (['-p', 'foo'], "Couldn't parse parameter override rule: '-p foo'"),
        (['--params-file', '/no/such'], "Couldn't parse params file: '--params-file /no/such'"),
        (['--nonsense'], '--nonsense'),
    ],
)
def test_ros_arguments_that_cannot_be_read_end_with_one_line_and_code_2(
    ros_domain_id, module, arguments, error
):
    code, output = run(
        [sys.executable, '-m', f'mirror_depth_ros.ros.{module}', '--ros-args', *arguments]
    )
    assert code == 2, output
    name = module.rpartition('.')[2]
    assert output.startswith(f'{name}: got ROS arguments that cannot be read (')
    assert error in output
    assert output.endswith(
        'expected -p NAME:=VALUE, -r FROM:=TO, --params-file FILE; correct them\n'
    )
    assert output.count('\n') == 1


PROGRAMS = [
    ['depth_node'],
    ['demo.frame_camera'],
    ['demo.recorder'],
]


@pytest.mark.parametrize('program', PROGRAMS, ids=[program[0] for program in PROGRAMS])
def test_without_a_log_folder_every_program_names_the_remedy_in_one_line(
    ros_domain_id, tmp_path, program
):
    (tmp_path / 'file').touch()  # root could write anywhere else
    code, output = run(
        [sys.executable, '-m', f'mirror_depth_ros.ros.{program[0]}', *program[1:]],
        ROS_LOG_DIR=str(tmp_path / 'file' / 'log'),
    )
    assert code == 1, output
    assert f"Failed to create log directory '{tmp_path / 'file' / 'log'}'" in output
    assert output.endswith(
        'expected a folder for logs that can be written; set ROS_LOG_DIR to one\n'
    )
    assert output.count('\n') == 1, output


@pytest.mark.parametrize(
    ('environment', 'reason', 'remedy'),
    [
        # Of the log library rather than of ROS: the folder is there, and takes no file.
        ({'ROS_LOG_DIR': '/proc/sys'}, 'Failed opening file', 'set ROS_LOG_DIR'),
        ({'ROS_LOG_DIR': '', 'HOME': '/dev/null'}, '/dev/null/.ros/log', 'set ROS_LOG_DIR'),
        ({'ROS_DOMAIN_ID': 'abc'}, 'ROS_DOMAIN_ID is not an integral', 'correct the environment'),
        (
            {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce'},
            '',
            'correct ROS_SECURITY_KEYSTORE and --enclave, or unset ROS_SECURITY_ENABLE',
        ),
        (
            {
                'ROS_SECURITY_ENABLE': 'true',
                'ROS_SECURITY_STRATEGY': 'Enforce',
                'ROS_SECURITY_KEYSTORE': '/no/such',
            },
            "'/no/such/enclaves' does not exist",
            'correct ROS_SECURITY_KEYSTORE and --enclave, or unset ROS_SECURITY_ENABLE',
        ),
    ],
)
def test_where_ros_cannot_start_one_line_says_why(ros_domain_id, environment, reason, remedy):
    code, output = run(NODE, **environment)
    assert code == 1, output
    assert output.startswith('depth_node: ROS 2 does not start: got "')
    assert reason in output
    assert remedy in output
    assert output.count('\n') == 1, output


def test_an_enclave_without_keys_ends_the_node_without_a_traceback(ros_domain_id, tmp_path):
    (tmp_path / 'enclaves' / 'robot').mkdir(parents=True)
    code, output = run(
        [*NODE, '--ros-args', '--enclave', '/robot'],
        ROS_SECURITY_ENABLE='true',
        ROS_SECURITY_STRATEGY='Enforce',
        ROS_SECURITY_KEYSTORE=str(tmp_path),
    )
    assert code == 1, output
    # Before it, rcl's own words on what it found.
    assert output.splitlines()[-1].startswith('depth_node: ROS 2 does not start: got "')
    assert 'correct ROS_SECURITY_KEYSTORE and --enclave' in output
    assert 'Traceback' not in output
    assert 'Warning' not in output


def test_help_names_topics_services_and_parameters():
    code, output = run([*NODE, '--help'])
    assert code == 0
    assert '~/nav_points (sensor_msgs/PointCloud2)' in output
    assert '~/calibrate_scale (std_srvs/Trigger)' in output
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


def test_large_clouds_reach_best_effort_subscribers_with_the_fast_dds_profile(
    ros_domain_id, large_messages
):
    publisher, subscriber = (
        start([sys.executable, '-c', textwrap.dedent(code)], **large_messages)
        for code in (CLOUD_PUBLISHER, CLOUD_SUBSCRIBER)
    )
    output, _ = subscriber.communicate(timeout=PATIENCE_S)
    publisher.kill()
    assert output == f'{[640 * 480 * 16] * 5}\n'
    assert publisher.communicate()[0] == ''  # no complaint about the profile


def test_the_node_belongs_to_the_enclave_it_is_given(ros_context):
    process = start([*NODE, '--ros-args', '--enclave', '/robot/depth', '-p', 'autostart:=false'])
    user = Node('user', context=ros_context)
    try:
        expected = ('mirror_depth', '/', '/robot/depth')
        deadline = time.monotonic() + PATIENCE_S
        while expected not in user.get_node_names_and_namespaces_with_enclaves():
            assert time.monotonic() < deadline, 'waited in vain'
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
        user.destroy_node()
