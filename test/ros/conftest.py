"""Real ROS 2 for the tests: each test on a DDS domain of its own, on this machine only.

With the wheels of ``ros-rclpy`` the interpreter finds their libraries by itself (a ``.pth`` file
restarts it with the right environment before pytest begins, and child processes inherit that);
with a sourced ROS installation there is nothing to find. So nothing is set up for that here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

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
def run_program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return what runs Python code as a process of its own, which ends with the test.

    What it says lies in ``process.log``.
    """
    processes: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        log = tmp_path / f'program_{len(processes)}.log'
        with log.open('w') as stream:
            process = subprocess.Popen(
                [sys.executable, '-c', textwrap.dedent(code), *arguments],
                cwd=Path(__file__).parents[2],
                env={**os.environ, **environment},
                text=True,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        process.log = log  # type: ignore[attr-defined]
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def large_messages() -> dict[str, str]:
    """The environment in which Fast DDS moves clouds through shared memory."""
    profile = Path(__file__).parents[2] / 'config' / 'fastdds.xml'
    is_old = os.environ.get('ROS_DISTRO') in ('humble', 'iron', 'jazzy')
    return {f'FAST{"RTPS" if is_old else "DDS"}_DEFAULT_PROFILES_FILE': str(profile)}


@pytest.fixture
def ros_context(ros_domain_id: int):
    """An initialised rclpy context on that domain, shut down after the test."""
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    yield context
    rclpy.shutdown(context=context)
