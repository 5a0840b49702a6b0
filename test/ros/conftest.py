"""Real ROS 2 for the tests: each test on a DDS domain of its own, on this machine only.

With the wheels of ``ros-rclpy`` the interpreter finds their libraries by itself (a ``.pth`` file
restarts it with the right environment before pytest begins, and child processes inherit that);
with a sourced ROS installation there is nothing to find. So nothing is set up for that here.
"""

from __future__ import annotations

import itertools
import os

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: source an installation, or pip install .[ros]')

# Linux leaves the ports of domains 0 to 101 alone. Starting from the process's own number keeps
# test runs at the same time apart.
_DOMAINS = itertools.count(os.getpid() * 7)


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of a DDS domain that no other test uses, set for child processes as well."""
    domain_id = next(_DOMAINS) % 101 + 1
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
