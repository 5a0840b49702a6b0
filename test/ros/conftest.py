"""Real ROS 2 for the tests: each test on a DDS domain of its own, on this machine only.

With the wheels of ``ros-rclpy`` the interpreter finds their libraries by itself (a ``.pth`` file
restarts it with the right environment before pytest begins, and child processes inherit that);
with a sourced ROS installation there is nothing to find. So nothing is set up for that here.
"""

from __future__ import annotations

import pytest

from mirror_depth_ros.cli.ros_environment import free_domain

pytest.importorskip('rclpy', reason='needs ROS 2: source an installation, or pip install .[ros]')


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of a DDS domain that nothing here uses, set for child processes as well."""
    domain_id = free_domain()
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    return domain_id


@pytest.fixture
def ros_context(ros_domain_id: int):
    """An initialised rclpy context on that domain, shut down after the test."""
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    yield context
    rclpy.shutdown(context=context)
