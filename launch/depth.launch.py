"""Metric depth from a camera: ``ros2 launch mirror_depth_ros depth.launch.py --show-args``."""

import os
import shutil
import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import SubstitutionFailure
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import ExecutableInPackage
from launch_ros.utilities import make_namespace_absolute, prefix_namespace

# The package's share folder when installed, its source folder otherwise: both hold config/.
SHARE = Path(__file__).resolve().parents[1]

# Empty stands for what the node itself would take, so that parameters which an including launch
# file sets are not overridden. docs/launch.md has the same table.
ARGUMENTS = {
    'image': (
        '/{camera}/image_raw',
        'Topic of the images; {camera} stands for each name in cameras, or else for camera. '
        'Without a leading slash it is inside the namespace.',
    ),
    'camera_info': ('/{camera}/camera_info', 'Topic of their calibration, in the same way.'),
    'image_compressed': (
        '',
        'Topic of compressed images, in the same way, where it is not that of image with '
        '/compressed behind it; the node then listens to compressed images.',
    ),
    'cameras': (
        '',
        'Names of several cameras, such as front,left; empty: one, whose topics have no name.',
    ),
    'namespace': ('', 'Namespace of the node and of its topics without a leading slash.'),
    'name': ('mirror_depth', 'Name of the node, and so of its topics, services and parameters.'),
    'model': ('', 'builtin or the path of a checkpoint.'),
    'device': ('', 'auto, cpu, cuda, cuda:1, mps.'),
    'image_transport': ('', 'raw or compressed.'),
    'image_reliability': (
        '',
        'auto (as the camera offers), reliable or best_effort: how to subscribe to the images.',
    ),
    'params_file': ('', 'Parameters of the node as YAML; the other arguments go before it.'),
    'autostart': ('', 'false waits for a lifecycle manager to configure and activate the node.'),
    'use_sim_time': ('', 'true takes the time of /clock, for the node and RViz.'),
    'respawn': ('false', 'Start the node again, after 2 s, when it ends by itself.'),
    'rviz': ('false', 'Also start RViz, showing image, depth, preview and cloud.'),
    'frame': ('', 'Fixed frame of RViz; empty: camera_optical_frame.'),
    'python': (
        sys.executable,
        'Interpreter that runs the node, such as that of a virtual environment with PyTorch.',
    ),
    'enclave': ('', 'SROS 2 enclave of the node; empty: the root enclave /.'),
    'log_level': ('info', 'debug, info, warn, error or fatal.'),
}
CHOICES = {
    'image_transport': ['', 'raw', 'compressed'],
    'image_reliability': ['', 'auto', 'reliable', 'best_effort'],
}

# Without the working directory, where a file would stand for any module of its name: -m and -c
# look there first, and Python 3.10 has no -P. Not the installed script, whose first line names the
# interpreter that the package was built with: one without PyTorch, where that is in a virtual
# environment.
RUN_NODE = (
    'import sys; sys.path[:] = filter(None, sys.path); '
    'from mirror_depth_ros.ros.depth_node import main; sys.exit(main())'
)
RESPAWN_DELAY_S = 2.0
# What config/depth.rviz shows.
RVIZ_TOPICS = ('depth/image', 'depth/preview', 'confidence/image', 'points')


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    name,
                    default_value=default,
                    description=description,
                    choices=CHOICES.get(name),
                )
                for name, (default, description) in ARGUMENTS.items()
            ),
            *large_message_transport(),
            OpaqueFunction(function=start_nodes),
        ]
    )


def large_message_transport():
    """Let Fast DDS carry clouds between processes, unless the user has chosen for it."""
    profiles = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'
    if any(name in os.environ for name in (*profiles, 'FASTDDS_BUILTIN_TRANSPORTS')):
        return []
    # Only the one that the distribution reads: later ones warn about the former name.
    is_former = os.environ.get('ROS_DISTRO') in ('humble', 'iron', 'jazzy')
    return [SetEnvironmentVariable(profiles[is_former], str(SHARE / 'config' / 'fastdds.xml'))]


def start_nodes(context):
    """Check all arguments, then start: an error must leave no process behind."""
    argument = {name: context.launch_configurations[name] for name in ARGUMENTS}
    cameras = [name.strip() for name in argument['cameras'].split(',') if name.strip()]
    actions = [depth_node(argument, cameras)]
    if boolean(argument, 'rviz'):
        parent = context.launch_configurations.get('ros_namespace')
        namespace = make_namespace_absolute(prefix_namespace(parent, argument['namespace']))
        actions.append(rviz(context, argument, cameras, namespace))
    elif argument['frame']:
        actions.append(LogInfo(msg=f'frame:={argument["frame"]} is of no use without rviz:=true'))
    return actions


def depth_node(argument, cameras):
    params_file = os.path.expanduser(argument['params_file'])
    # The node itself would run on its defaults: launch_ros only warns.
    if params_file and not os.path.isfile(params_file):
        raise FileNotFoundError(
            f'got params_file {params_file}, which is no file, expected the parameters of the '
            'node as YAML; correct the path or leave the argument out'
        )
    enclave = ['--enclave', argument['enclave']] if argument['enclave'] else []
    given = overrides(argument, cameras)
    return Node(
        executable=interpreter(argument['python']),
        exec_name='depth_node',
        arguments=['-c', RUN_NODE],
        ros_arguments=['--log-level', argument['log_level'], *enclave],
        name=argument['name'],
        namespace=argument['namespace'],
        parameters=[*([params_file] if params_file else []), *([given] if given else [])],
        remappings=remappings(cameras, input_topics(argument)),
        respawn=boolean(argument, 'respawn'),
        respawn_delay=RESPAWN_DELAY_S,
        output='screen',
        emulate_tty=True,
    )


def overrides(argument, cameras):
    """Return the parameters that arguments set; none of those that are empty."""
    texts = {
        name: argument[name]
        for name in ('model', 'device', 'image_transport', 'image_reliability')
        if argument[name]
    }
    if argument['image_compressed']:
        if argument['image_transport'] == 'raw':
            raise ValueError(
                f'got image_transport:=raw and image_compressed:={argument["image_compressed"]}, '
                'expected one of them; leave one out'
            )
        texts['image_transport'] = 'compressed'
    return {
        # As text: launch_ros would read a folder called 2026 as a number.
        **{name: ParameterValue(value, value_type=str) for name, value in texts.items()},
        **{
            name: boolean(argument, name)
            for name in ('autostart', 'use_sim_time')
            if argument[name]
        },
        **({'cameras': cameras} if cameras else {}),
    }


def input_topics(argument):
    """Return the topic of each of the node's inputs; of the images the one that it listens to."""
    if argument['image_compressed']:
        images = {'image/compressed': argument['image_compressed']}
    else:
        images = {'image': argument['image']}
    return {**images, 'camera_info': argument['camera_info']}


def boolean(argument, name):
    """Return an argument as what it says; Python launch files write True, others true."""
    truths = {'true': True, '1': True, 'false': False, '0': False}
    if argument[name].lower() not in truths:
        raise ValueError(f'got {name}:={argument[name]}, expected true or false; correct it')
    return truths[argument[name].lower()]


def interpreter(python):
    """Return the path of the interpreter; launch would go on without the node."""
    path = shutil.which(os.path.expanduser(python))
    if path is None:
        raise FileNotFoundError(
            f'got python:={python}, which is no program, expected an interpreter that has the '
            "node's packages; correct the path or leave the argument out"
        )
    return path


def remappings(cameras, topics):
    """Return where the inputs come from, for one camera without a name or for several with one."""
    for name, topic in topics.items():
        if len(cameras) > 1 and '{camera}' not in topic:
            raise ValueError(
                f'got {name.replace("/", "_")}:={topic} for {len(cameras)} cameras, expected '
                '{camera} in it, which stands for the name of each; or remap in a launch file of '
                'your own'
            )
    if not cameras:
        return [(name, topic.replace('{camera}', 'camera')) for name, topic in topics.items()]
    return [
        (f'{camera}/{name}', topic.replace('{camera}', camera))
        for camera in cameras
        for name, topic in topics.items()
    ]


def rviz(context, argument, cameras, namespace):
    """Start RViz on the topics that the configuration names, wherever they are now.

    Of several cameras it shows the first.
    """
    try:
        executable = ExecutableInPackage(package='rviz2', executable='rviz2').perform(context)
    except (LookupError, OSError, SubstitutionFailure) as error:
        raise FileNotFoundError(
            f'got rviz:=true, but {error.args[0].strip()}, expected the package rviz2; install it '
            '(sudo apt install ros-$ROS_DISTRO-rviz2) or leave the argument out'
        ) from error
    prefix = namespace.rstrip('/')
    image = argument['image'].replace('{camera}', cameras[0] if cameras else 'camera')
    node = '/'.join([prefix, argument['name'], *cameras[:1]])
    moved = {
        '/camera/image_raw': image if image.startswith('/') else f'{prefix}/{image}',
        **{f'/mirror_depth/{topic}': f'{node}/{topic}' for topic in RVIZ_TOPICS},
    }
    clock = {'use_sim_time': boolean(argument, 'use_sim_time')} if argument['use_sim_time'] else {}
    return Node(
        executable=executable,
        arguments=[
            *('-d', str(SHARE / 'config' / 'depth.rviz')),
            *(['-f', argument['frame']] if argument['frame'] else []),
        ],
        remappings=[(name, topic) for name, topic in moved.items() if name != topic],
        parameters=[clock] if clock else [],
        output='screen',
    )
