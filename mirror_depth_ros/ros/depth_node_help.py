"""What the depth node answers to ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mirror_depth_ros.ros.outputs import OUTPUTS
from mirror_depth_ros.ros.parameters import parameter_specs
from mirror_depth_ros.ros.process import own_arguments


def parse_arguments(arguments: Sequence[str]) -> None:
    """Answer ``--help`` and refuse what is no argument of ROS; either ends the process."""
    argparse.ArgumentParser(
        prog='depth_node',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='%(prog)s [--help] [--ros-args -r image:=TOPIC -r camera_info:=TOPIC -p NAME:=V]',
        description='Metric depth and point clouds from a calibrated RGB camera.',
        epilog='\n\n'.join('\n  '.join((f'{title}:', *_SECTIONS[title])) for title in _SECTIONS),
    ).parse_args(own_arguments(arguments, name='depth_node'))


def _kind(message_type: type) -> str:
    return f'{message_type.__module__.partition(".")[0]}/{message_type.__name__}'


_SECTIONS = {
    'subscribes to': (
        'image (sensor_msgs/Image) or image/compressed (sensor_msgs/CompressedImage)',
        'camera_info (sensor_msgs/CameraInfo)',
    ),
    'publishes': (
        *(f'{output.topic} ({_kind(output.message_type)})' for output in OUTPUTS),
        '/diagnostics (diagnostic_msgs/DiagnosticArray)',
    ),
    'services': (
        '~/enable (std_srvs/SetBool): pause and resume',
        '~/calibrate_scale (std_srvs/Trigger): set depth_scale by the known camera_height',
    ),
    'parameters': tuple(f'{name}: {s.description}' for name, s in parameter_specs().items()),
}
