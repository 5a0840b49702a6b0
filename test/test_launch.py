"""The launch files against the real launch, where it is installed (it comes with ROS only)."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip('launch', reason='needs launch: source a ROS 2 installation')
pytest.importorskip('launch_ros', reason='needs launch_ros: source a ROS 2 installation')

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable

from mirror_depth_ros.cli.ros_environment import free_domain

ROOT = Path(__file__).parents[1]
LAUNCH_FILE = ROOT / 'launch' / 'depth.launch.py'
PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
PATIENCE_S = 60.0

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [argument.split(':=', 1) for argument in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


def description(monkeypatch, **environment):
    for name in (*PROFILES, 'FASTDDS_BUILTIN_TRANSPORTS', 'ROS_DISTRO'):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(LAUNCH_FILE))['generate_launch_description']()


def entities(launch_description, kind):
    return [e for e in launch_description.entities if isinstance(e, kind)]


def text(substitutions):
    return ''.join(s.perform(None) for s in substitutions)


def start(log_folder, *arguments, domain_id=None):
    """Launch the file in a process, on a domain of its own."""
    environment = {
        'ROS_LOG_DIR': str(log_folder),
        'ROS_DOMAIN_ID': str(domain_id or free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    return subprocess.Popen(
        [sys.executable, '-c', RUN, str(LAUNCH_FILE), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_arguments_and_their_defaults(monkeypatch):
    declared = entities(description(monkeypatch), DeclareLaunchArgument)
    assert {d.name: text(d.default_value) for d in declared} == {
        'image': '/{camera}/image_raw',
        'camera_info': '/{camera}/camera_info',
        'cameras': '',
        'namespace': '',
        'model': '',
        'device': '',
        'image_transport': '',
        'params_file': str(ROOT / 'config' / 'depth.yaml'),
        'rviz': 'false',
        'python': sys.executable,
        'enclave': '',
        'log_level': 'info',
    }


@pytest.mark.parametrize(
    ('environment', 'names'),
    [
        ({}, [PROFILES[0]]),
        ({'ROS_DISTRO': 'kilted'}, [PROFILES[0]]),
        ({'ROS_DISTRO': 'jazzy'}, [PROFILES[1]]),
        ({'ROS_DISTRO': 'jazzy', PROFILES[1]: 'mine.xml'}, []),
        ({PROFILES[0]: 'mine.xml'}, []),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'}, []),
    ],
)
def test_fast_dds_profile_is_set_unless_the_user_has_chosen(monkeypatch, environment, names):
    actions = entities(description(monkeypatch, **environment), SetEnvironmentVariable)
    assert [text(a.name) for a in actions] == names
    assert [text(a.value) for a in actions] == [str(ROOT / 'config' / 'fastdds.xml')] * len(names)


@pytest.mark.parametrize(
    ('cameras', 'image', 'expected'),
    [
        ([], '/{camera}/image_raw', {'image': '/camera/image_raw', 'camera_info': '/camera/info'}),
        ([], '/webcam', {'image': '/webcam', 'camera_info': '/camera/info'}),
        (['front'], '/webcam', {'front/image': '/webcam', 'front/camera_info': '/front/info'}),
        (
            ['front', 'left'],
            '/robot/{camera}/color/image_raw',
            {
                'front/image': '/robot/front/color/image_raw',
                'front/camera_info': '/front/info',
                'left/image': '/robot/left/color/image_raw',
                'left/camera_info': '/left/info',
            },
        ),
    ],
)
def test_where_the_images_come_from(cameras, image, expected):
    remappings = runpy.run_path(str(LAUNCH_FILE))['remappings']
    assert dict(remappings(cameras, image, '/{camera}/info')) == expected


def test_one_topic_for_two_cameras_is_refused():
    remappings = runpy.run_path(str(LAUNCH_FILE))['remappings']
    with pytest.raises(ValueError, match=r'got image:=/webcam for 2 cameras, expected \{camera\}'):
        remappings(['front', 'left'], '/webcam', '/{camera}/info')


def test_a_parameter_file_that_does_not_exist_is_refused(tmp_path):
    process = start(tmp_path, f'params_file:={tmp_path / "typo.yaml"}')
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f'got params_file {tmp_path / "typo.yaml"}, which is no file, expected' in output
    assert 'process started' not in output


def test_the_node_starts_with_the_arguments_and_stops_cleanly(tmp_path):
    process = start(
        tmp_path,
        *('namespace:=front', 'model:=/no/such.safetensors', 'device:=cpu'),
        f'python:={sys.executable}',
    )
    output = ''
    while 'not configured' not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    assert '/no/such.safetensors' in output
    assert 'ros2 lifecycle set /front/mirror_depth configure' in output
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert 'process has finished cleanly' in output


def test_the_node_of_several_cameras_has_their_topics_and_its_enclave(tmp_path):
    rclpy = pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    domain_id = free_domain()
    process = start(
        tmp_path,
        *('cameras:=front, left', 'image:=/robot/{camera}/color', 'enclave:=/robot/depth'),
        f'python:={sys.executable}',
        domain_id=domain_id,
    )
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain_id)
    user = rclpy.create_node('user', context=context)
    expected = {
        *(f'/robot/{camera}/color' for camera in ('front', 'left')),
        *(f'/{camera}/camera_info' for camera in ('front', 'left')),
        *(f'/mirror_depth/{camera}/points' for camera in ('front', 'left')),
    }
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not expected <= {name for name, _ in user.get_topic_names_and_types()}:
            assert time.monotonic() < deadline, user.get_topic_names_and_types()
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        nodes = user.get_node_names_and_namespaces_with_enclaves()
        assert ('mirror_depth', '/', '/robot/depth') in nodes
    finally:
        user.destroy_node()
        rclpy.shutdown(context=context)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    assert 'process has finished cleanly' in output
