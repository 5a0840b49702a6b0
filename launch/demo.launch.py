"""A camera that plays frames, and the node: ``ros2 launch mirror_depth_ros demo.launch.py -s``."""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

# Those of depth.launch.py (model, device, rviz, python, ...) may be given as well.
ARGUMENTS = {
    'rate_hz': ('10.0', 'Frames per second.'),
    'images': (
        '',
        'Folder of photographs to play in place of the recording that the package brings along.',
    ),
    'fov': ('0.0', 'Field of view of images without meta.json along the longer side, in degrees.'),
}


def generate_launch_description():
    depth = PythonLaunchDescriptionSource(str(Path(__file__).with_name('depth.launch.py')))
    topics = {'image': '/camera/image_raw', 'camera_info': '/camera/camera_info'}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            # Before the camera, which shares its interpreter and its transport for large messages.
            IncludeLaunchDescription(depth, launch_arguments=topics.items()),
            OpaqueFunction(function=start_camera),
        ]
    )


def start_camera(context):
    argument = context.launch_configurations
    camera = Node(
        executable=os.path.expanduser(argument['python']),
        exec_name='frame_camera',
        arguments=['-m', 'mirror_depth_ros.ros.frame_camera'],
        ros_arguments=['--log-level', argument['log_level']],
        name='frame_camera',
        namespace='/camera',
        parameters=[
            {
                'rate_hz': float(argument['rate_hz']),
                'images': os.path.expanduser(argument['images']),
                'fov': float(argument['fov']),
            }
        ],
        remappings=[('image', 'image_raw')],
        output='screen',
        emulate_tty=True,
    )
    return [camera]
