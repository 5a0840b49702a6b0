"""Metric depth from a camera: ``ros2 launch mirror_depth_ros depth.launch.py --show-args``."""

import os
import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

# The package's share folder when installed, its source folder otherwise: both hold config/.
SHARE = Path(__file__).resolve().parents[1]

ARGUMENTS = {
    'image': (
        '/{camera}/image_raw',
        'Topic of the images; {camera} stands for each name in cameras, or else for camera.',
    ),
    'camera_info': ('/{camera}/camera_info', 'Topic of their calibration, in the same way.'),
    'cameras': (
        '',
        'Names of several cameras, such as front,left; empty: one, whose topics have no name.',
    ),
    'namespace': ('', 'Namespace of the node and its topics.'),
    'model': (
        '',
        'builtin, clip2depth, or the path of a checkpoint; empty: as the parameter file says.',
    ),
    'device': ('', 'auto, cpu, cuda, cuda:1, mps; empty: as the parameter file says.'),
    'image_transport': ('', 'raw or compressed; empty: as the parameter file says.'),
    'params_file': (str(SHARE / 'config' / 'depth.yaml'), 'Parameters of the node.'),
    'rviz': ('false', 'Also start RViz, showing image, depth, preview and cloud.'),
    'python': (
        sys.executable,
        'Interpreter that runs the node, such as that of a virtual environment with PyTorch.',
    ),
    'enclave': ('', 'SROS 2 enclave of the node; empty: as its name says, if security is on.'),
    'log_level': ('info', 'debug, info, warn, error or fatal.'),
}

# What config/depth.rviz shows.
RVIZ_TOPICS = ('depth/image', 'depth/preview', 'points')


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
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
    argument = {name: context.launch_configurations[name] for name in ARGUMENTS}
    overrides = {
        name: argument[name] for name in ('model', 'device', 'image_transport') if argument[name]
    }
    cameras = [name.strip() for name in argument['cameras'].split(',') if name.strip()]
    if cameras:
        overrides['cameras'] = cameras
    params_file = os.path.expanduser(argument['params_file'])
    # The node itself would run on its defaults: launch_ros only warns.
    if not os.path.isfile(params_file):
        raise FileNotFoundError(
            f'got params_file {params_file}, which is no file, expected the parameters of the '
            'node as YAML; correct the path or leave the argument out'
        )
    enclave = ['--enclave', argument['enclave']] if argument['enclave'] else []
    # As a module, not through the installed script, whose first line names the interpreter that
    # the package was built with: one without PyTorch, where that is in a virtual environment.
    nodes = [
        Node(
            executable=os.path.expanduser(argument['python']),
            exec_name='depth_node',
            arguments=['-m', 'mirror_depth_ros.ros.depth_node'],
            ros_arguments=['--log-level', argument['log_level'], *enclave],
            name='mirror_depth',
            namespace=argument['namespace'],
            parameters=[params_file, overrides],
            remappings=remappings(cameras, argument['image'], argument['camera_info']),
            output='screen',
            emulate_tty=True,
        )
    ]
    if argument['rviz'].lower() in ('true', '1'):
        nodes.append(rviz(argument['image'], argument['namespace'], cameras))
    return nodes


def remappings(cameras, image, camera_info):
    """Return where the inputs come from, for one camera without a name or for several with one."""
    given = {'image': image, 'camera_info': camera_info}
    for argument, topic in given.items():
        if len(cameras) > 1 and '{camera}' not in topic:
            raise ValueError(
                f'got {argument}:={topic} for {len(cameras)} cameras, expected {{camera}} in it, '
                'which stands for the name of each; or remap in a launch file of your own'
            )
    if not cameras:
        return [(name, topic.replace('{camera}', 'camera')) for name, topic in given.items()]
    return [
        (f'{camera}/{name}', topic.replace('{camera}', camera))
        for camera in cameras
        for name, topic in given.items()
    ]


def rviz(image, namespace, cameras):
    """Start RViz on the topics that the configuration names, wherever they are now.

    Of several cameras it shows the first.
    """
    image = image.replace('{camera}', cameras[0] if cameras else 'camera')
    prefix = f'/{namespace.strip("/")}' if namespace.strip('/') else ''
    node = '/'.join([f'{prefix}/mirror_depth', *cameras[:1]])
    moved = [(f'/mirror_depth/{t}', f'{node}/{t}') for t in RVIZ_TOPICS]
    return Node(
        package='rviz2',
        executable='rviz2',
        arguments=['-d', str(SHARE / 'config' / 'depth.rviz')],
        remappings=[('/camera/image_raw', image), *(moved if prefix or cameras else [])],
        output='screen',
    )
