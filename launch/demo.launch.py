"""A camera that plays frames, and the node: ``ros2 launch mirror_depth_ros demo.launch.py -s``."""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# Those of depth.launch.py (model, device, rviz, python, ...) may be given as well.
ARGUMENTS = {
    'rate_hz': ('10.0', 'Frames per second.'),
    'images': (
        '',
        'Folder of photographs to play in place of the recording that the package brings along.',
    ),
    'fov': ('0.0', 'Field of view of images without meta.json along the longer side, in degrees.'),
}
# Those of depth.launch.py that follow from the camera: any other value is refused.
OF_THE_CAMERA = {
    'image': '/camera/image_raw',
    'camera_info': '/camera/camera_info',
    'image_compressed': '',
    'image_transport': 'raw',
    'cameras': '',
}

# As depth.launch.py runs its node, and for the same reasons.
RUN_CAMERA = (
    'import sys; sys.path[:] = filter(None, sys.path); '
    'from mirror_depth_ros.ros.demo.frame_camera import main; sys.exit(main())'
)


def generate_launch_description():
    depth = PythonLaunchDescriptionSource(str(Path(__file__).with_name('depth.launch.py')))
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            *(
                DeclareLaunchArgument(
                    name,
                    default_value=value,
                    description='What the camera publishes.',
                    choices=[value],
                )
                for name, value in OF_THE_CAMERA.items()
            ),
            # Before the depth node starts, which an error afterwards would leave behind.
            OpaqueFunction(function=check_camera),
            # Before the camera, which shares its interpreter and its transport for large messages.
            IncludeLaunchDescription(depth),
            OpaqueFunction(function=start_camera),
        ]
    )


def check_camera(context):
    camera_parameters(context)


def camera_parameters(context):
    """Return the parameters of the camera, as their types."""
    argument = context.launch_configurations
    return {
        'rate_hz': number(argument, 'rate_hz'),
        'images': ParameterValue(os.path.expanduser(argument['images']), value_type=str),
        'fov': number(argument, 'fov'),
    }


def number(argument, name):
    try:
        return float(argument[name])
    except ValueError:
        raise ValueError(f'got {name}:={argument[name]}, expected a number; correct it') from None


def start_camera(context):
    argument = context.launch_configurations
    camera = Node(
        executable=os.path.expanduser(argument['python']),
        exec_name='frame_camera',
        arguments=['-c', RUN_CAMERA],
        ros_arguments=['--log-level', argument['log_level']],
        name='frame_camera',
        namespace='/camera',
        parameters=[camera_parameters(context)],
        remappings=[('image', 'image_raw')],
        output='screen',
        emulate_tty=True,
    )
    return [camera]
