"""The environment of ROS processes that a command starts on this machine, for itself alone."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from mirror_depth_ros.inference.process_tuning import PROFILES
from mirror_depth_ros.model.resources import config_file

# RTPS: the ports of domain d begin at 7400 + 250 d.
_PORT_BASE, _PORTS_PER_DOMAIN = 7400, 250
_FIRST_UNICAST_PORT = 10
# Above 101 they may meet ephemeral ports; 0 is what everybody has who chooses none.
_DOMAINS: Sequence[int] = range(1, 102)

_KILTED_RCLPY = 9


def missing_ros() -> str | None:
    """Return what to do if ROS's Python packages cannot be found, None if they can."""
    missing = [name for name in ('rclpy', 'sensor_msgs') if find_spec(name) is None]
    if not missing:
        return None
    return (
        f'got no Python package {" and ".join(missing)}, expected ROS 2: source its set-up file '
        '(source /opt/ros/$ROS_DISTRO/setup.bash), or install it from the package registry '
        '(pip install "mirror_depth_ros[ros]")'
    )


def private_environment(environment: Mapping[str, str], log_folder: Path) -> dict[str, str]:
    """Return an environment for ROS processes that meet only each other.

    What the user has set stays: the domain, the discovery range, the DDS profile, the log folder.

    :param environment: the present environment.
    :param log_folder: where ROS puts its own logs.
    """
    private = {'ROS_LOG_DIR': str(log_folder)}
    if 'ROS_DOMAIN_ID' not in environment:
        private['ROS_DOMAIN_ID'] = str(free_domain())
    if not environment.keys() & {'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY'}:
        # Releases since Iron warn of the variable that Humble understands.
        if environment.get('ROS_DISTRO') == 'humble':
            private['ROS_LOCALHOST_ONLY'] = '1'
        else:
            private['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    is_chosen = any(name in environment for name in (*PROFILES, 'FASTDDS_BUILTIN_TRANSPORTS'))
    if not is_chosen:
        private[profile_variable(environment)] = str(config_file('fastdds.xml'))
    return {**private, **environment}


def profile_variable(environment: Mapping[str, str]) -> str:
    """Return the environment variable that names Fast DDS's profile.

    Fast DDS 3, of ROS 2 Kilted on, warns of the name that earlier ones know, and they ignore its
    own. ROS from the package registry sets no ``ROS_DISTRO``; there rclpy's version tells.
    """
    distribution = environment.get('ROS_DISTRO')
    if distribution is not None:
        return PROFILES[distribution in ('humble', 'iron', 'jazzy')]
    try:
        return PROFILES[int(version('rclpy').partition('.')[0]) < _KILTED_RCLPY]
    except (PackageNotFoundError, ValueError):
        return PROFILES[0]


def free_domain() -> int:
    """Return a ROS domain that no process of this machine seems to use."""
    domains = random.SystemRandom().sample(_DOMAINS, len(_DOMAINS))
    return next((domain for domain in domains if _is_free(domain)), domains[0])


def _is_free(domain: int) -> bool:
    """Tell whether no participant has a port in a domain; its number there may be any."""
    first = _PORT_BASE + _PORTS_PER_DOMAIN * domain
    for port in range(first + _FIRST_UNICAST_PORT, first + _PORTS_PER_DOMAIN):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', port))
            except OSError:
                return False
    return True
