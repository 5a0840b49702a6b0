"""The launch files against the real launch, where it is installed (it comes with ROS only)."""

import os
import runpy
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip('launch', reason='needs launch: source a ROS 2 installation')
pytest.importorskip('launch_ros', reason='needs launch_ros: source a ROS 2 installation')

import yaml
from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node, PushRosNamespace, SetParameter

from mirror_depth_ros.cli.ros_environment import free_domain

ROOT = Path(__file__).parents[1]
LAUNCH_FILE = ROOT / 'launch' / 'depth.launch.py'
DEMO_FILE = ROOT / 'launch' / 'demo.launch.py'
PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
PATIENCE_S = 100.0

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
source = PythonLaunchDescriptionSource(sys.argv[1])
arguments = [argument.split(':=', 1) for argument in sys.argv[2:]]
# Without a terminal, which would send Ctrl-C to the node as well.
service = LaunchService(noninteractive=True)
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
    """Launch the file in a process, on a domain of its own.

    Launch would kill a node that a busy machine keeps from ending within 5 s.
    """
    environment = {
        'ROS_LOG_DIR': str(log_folder),
        'ROS_DOMAIN_ID': str(domain_id or free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    return subprocess.Popen(
        [
            sys.executable,
            '-c',
            RUN,
            str(LAUNCH_FILE),
            f'sigterm_timeout:={PATIENCE_S}',
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def include(launch_file=LAUNCH_FILE, **arguments):
    source = PythonLaunchDescriptionSource(str(launch_file))
    return IncludeLaunchDescription(source, launch_arguments=arguments.items())


@pytest.fixture
def program(tmp_path):
    """Return what makes a program that notes its arguments, in ``.arguments``, and ends."""

    def make(path):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.arguments"\n')
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def rviz2(tmp_path, monkeypatch, program):
    """A package rviz2 whose program notes its arguments."""
    marker = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'rviz2'
    marker.parent.mkdir(parents=True)
    marker.touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    return program('lib/rviz2/rviz2')


def run_launch(monkeypatch, tmp_path, *actions):
    """Launch actions in this process until all that they start has ended."""
    monkeypatch.setenv('ROS_LOG_DIR', str(tmp_path / 'log'))
    service = LaunchService(noninteractive=True)
    service.include_launch_description(LaunchDescription(actions))
    assert service.run() == 0


def arguments_of(program):
    return Path(f'{program}.arguments').read_text().splitlines()


def after(option, arguments):
    """Return what follows each occurrence of an option."""
    return [value for name, value in pairwise(arguments) if name == option]


def parameters_of(arguments):
    """Return the contents of the parameter files, the later ones over the earlier."""
    texts = [Path(f).read_text() for f in after('--params-file', arguments)]
    # launch_ros writes lists with a tag of Python, which rcl does not look at.
    files = [yaml.safe_load(text.replace('!!python/tuple', '')) for text in texts]
    return {k: v for f in files for node in f.values() for k, v in node['ros__parameters'].items()}


def start_nodes(**arguments):
    """Return what the launch file would start with these arguments, or raise what it says."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    module = runpy.run_path(str(LAUNCH_FILE))
    for action in entities(module['generate_launch_description'](), DeclareLaunchArgument):
        action.execute(context)
    return module['start_nodes'](context)


def test_without_arguments_the_node_gets_its_topics_and_no_parameter(
    monkeypatch, tmp_path, program
):
    python = program('python')
    run_launch(monkeypatch, tmp_path, include(python=str(python)))
    arguments = arguments_of(python)
    assert arguments[0] == '-c'
    assert after('-r', arguments) == [
        '__node:=mirror_depth',
        '__ns:=/',
        'image:=/camera/image_raw',
        'camera_info:=/camera/camera_info',
    ]
    assert not {'--params-file', '-p', '--enclave'} & set(arguments)
    assert after('--log-level', arguments) == ['info']


def test_arguments_become_parameters_and_topics_of_the_node(monkeypatch, tmp_path, program):
    python, params_file = program('python'), tmp_path / 'mine.yaml'
    params_file.write_text('/**: {ros__parameters: {model: builtin, max_range: 7.5}}')
    run_launch(
        monkeypatch,
        tmp_path,
        include(
            python=str(python),
            namespace='robot',
            name='eyes',
            cameras='front, left',
            image_compressed='{camera}/jpeg',
            image_reliability='best_effort',
            model='2026',
            device='cuda:1',
            autostart='False',
            use_sim_time='1',
            params_file=str(params_file),
            enclave='/robot/depth',
            log_level='debug',
        ),
    )
    arguments = arguments_of(python)
    assert parameters_of(arguments) == {
        'cameras': ['front', 'left'],
        'image_transport': 'compressed',
        'image_reliability': 'best_effort',
        'model': '2026',
        'device': 'cuda:1',
        'autostart': False,
        'use_sim_time': True,
        'max_range': 7.5,
    }
    assert after('-r', arguments) == [
        '__node:=eyes',
        '__ns:=/robot',
        'front/image/compressed:=front/jpeg',
        'front/camera_info:=/front/camera_info',
        'left/image/compressed:=left/jpeg',
        'left/camera_info:=/left/camera_info',
    ]
    assert after('--enclave', arguments) == ['/robot/depth']
    assert after('--log-level', arguments) == ['debug']


def test_parameters_of_an_including_file_hold_and_its_arguments_stay_out(
    monkeypatch, tmp_path, program
):
    python = program('python')
    group = [
        PushRosNamespace('robot'),
        SetParameter('max_range', 20.0),
        SetParameter('use_sim_time', True),
        include(python=str(python), model='', params_file='', image='camera/image_raw'),
    ]
    after_group = []

    def note(context):
        after_group.append(dict(context.launch_configurations))

    run_launch(
        monkeypatch,
        tmp_path,
        SetLaunchConfiguration('model', 'yolo.pt'),
        SetLaunchConfiguration('params_file', '/no/such.yaml'),
        GroupAction(group, scoped=True),
        OpaqueFunction(function=note),
    )
    arguments = arguments_of(python)
    assert after('-p', arguments) == ['max_range:=20.0', 'use_sim_time:=True']
    assert '--params-file' not in arguments
    assert '__ns:=/robot' in arguments
    assert 'image:=camera/image_raw' in arguments
    kept = {k: v for k, v in after_group[0].items() if k in ('model', 'params_file', 'image')}
    assert kept == {'model': 'yolo.pt', 'params_file': '/no/such.yaml'}


def test_rviz_shows_the_topics_where_they_are(monkeypatch, tmp_path, program, rviz2):
    run_launch(
        monkeypatch,
        tmp_path,
        PushRosNamespace('fleet'),
        include(
            python=str(program('python')),
            rviz='True',
            frame='map',
            namespace='robot',
            name='eyes',
            image='camera/color',
            use_sim_time='true',
        ),
    )
    arguments = arguments_of(rviz2)
    assert after('-d', arguments) == [str(ROOT / 'config' / 'depth.rviz')]
    assert after('-f', arguments) == ['map']
    assert parameters_of(arguments) == {'use_sim_time': True}
    assert after('-r', arguments) == [
        '__ns:=/fleet',
        '/camera/image_raw:=/fleet/robot/camera/color',
        '/mirror_depth/depth/image:=/fleet/robot/eyes/depth/image',
        '/mirror_depth/depth/preview:=/fleet/robot/eyes/depth/preview',
        '/mirror_depth/confidence/image:=/fleet/robot/eyes/confidence/image',
        '/mirror_depth/points:=/fleet/robot/eyes/points',
    ]


def test_rviz_without_arguments_needs_no_remapping(monkeypatch, tmp_path, program, rviz2):
    run_launch(monkeypatch, tmp_path, include(python=str(program('python')), rviz='true'))
    arguments = arguments_of(rviz2)
    assert not {'-r', '-f', '--params-file'} & set(arguments)


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        (
            {'rviz': 'true'},
            'got rviz:=true, but .*rviz2.*, expected the package rviz2; install it',
        ),
        ({'rviz': 'yes'}, 'got rviz:=yes, expected true or false'),
        ({'respawn': ''}, 'got respawn:=, expected true or false'),
        ({'autostart': 'off'}, 'got autostart:=off, expected true or false'),
        ({'use_sim_time': '2'}, 'got use_sim_time:=2, expected true or false'),
        ({'python': '/no/such/python'}, 'got python:=/no/such/python, which is no program'),
        ({'image_transport': 'zip'}, '"image_transport" provided value "zip" is not valid'),
        ({'image_reliability': 'best'}, '"image_reliability" provided value "best" is not valid'),
        (
            {'image_transport': 'raw', 'image_compressed': '/jpeg'},
            'got image_transport:=raw and image_compressed:=/jpeg, expected one of them',
        ),
        (
            {'cameras': 'front,left', 'image_compressed': '/jpeg'},
            r'got image_compressed:=/jpeg for 2 cameras, expected \{camera\}',
        ),
    ],
)
def test_wrong_arguments_are_refused_before_anything_starts(
    monkeypatch, tmp_path, arguments, error
):
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    with pytest.raises((ValueError, RuntimeError, FileNotFoundError), match=error):
        start_nodes(**arguments)


def test_a_frame_without_rviz_is_said_to_be_of_no_use():
    node, log = start_nodes(frame='map')
    assert isinstance(node, Node)
    assert isinstance(log, LogInfo)
    assert text(log.msg) == 'frame:=map is of no use without rviz:=true'


def test_respawn_starts_the_node_again(tmp_path, program):
    python = program('python')
    python.write_text(
        '#!/bin/sh\n'
        'echo >> "$0.arguments"\n'
        # It ends the first time, and goes on the second.
        'test $(wc -l < "$0.arguments") = 1 || exec sleep 600\n'
    )
    process = start(tmp_path, f'python:={python}', 'respawn:=true')
    deadline = time.monotonic() + PATIENCE_S
    while not python.with_name('python.arguments').exists() or len(arguments_of(python)) < 2:
        assert time.monotonic() < deadline, 'waited in vain'
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert output.count('process started') == 2, output


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        ({'fov': 'wide'}, r'got fov:=wide, expected a number; correct it'),
        ({'rate_hz': 'slow'}, r'got rate_hz:=slow, expected a number; correct it'),
        ({'image': '/webcam'}, '"image" provided value "/webcam" is not valid'),
        ({'cameras': 'front'}, '"cameras" provided value "front" is not valid'),
        ({'image_transport': 'compressed'}, '"image_transport" .*"compressed" is not valid'),
    ],
)
def test_the_demo_refuses_what_its_camera_does_not_do(arguments, error):
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    described = runpy.run_path(str(DEMO_FILE))['generate_launch_description']()

    def execute_what_comes_before_the_depth_node():
        for entity in described.entities:
            if isinstance(entity, IncludeLaunchDescription):
                return
            entity.execute(context)

    with pytest.raises((ValueError, RuntimeError), match=error):
        execute_what_comes_before_the_depth_node()


def test_the_demo_starts_camera_and_node_on_the_same_topics(monkeypatch, tmp_path, program):
    python = program('python')
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.$(echo "$2" | cksum | cut -c1-8)"\n')
    run_launch(monkeypatch, tmp_path, include(DEMO_FILE, python=str(python), rate_hz='7'))
    by_program = {
        'depth' if 'depth_node' in lines[1] else 'camera': lines
        for lines in (f.read_text().splitlines() for f in tmp_path.glob('python.*'))
    }
    assert after('-r', by_program['depth'])[2:] == [
        'image:=/camera/image_raw',
        'camera_info:=/camera/camera_info',
    ]
    assert parameters_of(by_program['depth']) == {'image_transport': 'raw'}
    assert '__ns:=/camera' in by_program['camera']
    assert 'image:=image_raw' in by_program['camera']
    assert parameters_of(by_program['camera'])['rate_hz'] == 7.0


@pytest.mark.parametrize(
    ('environment', 'names'),
    [
        ({}, [PROFILES[0]]),
        ({'ROS_DISTRO': 'kilted'}, [PROFILES[0]]),
        ({'ROS_DISTRO': 'lyrical'}, [PROFILES[0]]),
        ({'ROS_DISTRO': 'humble'}, [PROFILES[1]]),
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
    topics = {'image': image, 'camera_info': '/{camera}/info'}
    assert dict(remappings(cameras, topics)) == expected


def test_one_topic_for_two_cameras_is_refused():
    remappings = runpy.run_path(str(LAUNCH_FILE))['remappings']
    with pytest.raises(ValueError, match=r'got image:=/webcam for 2 cameras, expected \{camera\}'):
        remappings(['front', 'left'], {'image': '/webcam', 'camera_info': '/{camera}/info'})


def test_a_parameter_file_that_does_not_exist_is_refused(tmp_path):
    process = start(tmp_path, f'params_file:={tmp_path / "typo.yaml"}')
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f'got params_file {tmp_path / "typo.yaml"}, which is no file, expected' in output
    assert 'process started' not in output


@pytest.mark.timeout(3 * PATIENCE_S)
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


@pytest.mark.timeout(3 * PATIENCE_S)
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
        # The graph learns of topics before it learns whose they are.
        node = ('mirror_depth', '/', '/robot/depth')
        while node not in user.get_node_names_and_namespaces_with_enclaves():
            assert time.monotonic() < deadline, user.get_node_names_and_namespaces_with_enclaves()
            time.sleep(0.1)
    finally:
        user.destroy_node()
        rclpy.shutdown(context=context)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    assert 'process has finished cleanly' in output
