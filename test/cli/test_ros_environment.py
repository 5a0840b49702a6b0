"""What the processes of a demo have in common."""

import socket

import pytest

from mirror_depth_ros.cli import ros_environment
from mirror_depth_ros.cli.ros_environment import free_domain


@pytest.mark.parametrize('participant', [0, 7, 119])
def test_a_domain_with_any_participant_is_not_free(monkeypatch, participant):
    monkeypatch.setattr(ros_environment, '_DOMAINS', range(1, 3))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(('', 7400 + 250 * 1 + 10 + 2 * participant))  # RTPS 2.5, 9.6.2.3
        assert {free_domain() for _ in range(30)} == {2}
