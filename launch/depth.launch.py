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
    'image': ('/camera/image_raw', 'Topic of the images.'),
    'camera_info': ('/camera/camera_info', 'Topic of their calibration.'),
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
            remappings=[
                ('image', argument['image']),
                ('camera_info', argument['camera_info']),
            ],
            output='screen',
            emulate_tty=True,
        )
    ]
    if argument['rviz'].lower() in ('true', '1'):
        nodes.append(rviz(argument['image'], argument['namespace']))
    return nodes


def rviz(image, namespace):
    """Start RViz on the topics that the configuration names, wherever they are now."""
    prefix = f'/{namespace.strip("/")}' if namespace.strip('/') else ''
    moved = [(f'/mirror_depth/{t}', f'{prefix}/mirror_depth/{t}') for t in RVIZ_TOPICS]
    return Node(
        package='rviz2',
        executable='rviz2',
        arguments=['-d', str(SHARE / 'config' / 'depth.rviz')],
        remappings=[('/camera/image_raw', image), *(moved if prefix else [])],
        output='screen',
    )
