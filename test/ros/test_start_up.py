"""How soon a depth node listens, by the time of the CPU: that of the clock is others' as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What any such node must import takes 3 to 9 s by the machine; the rest is ours, 1 s or so.
IMPORTS = 'import os, torch, open_clip, onnxruntime, rclpy; print(sum(os.times()[:2]))'


def cpu_s(pid):
    """What a living process has taken so far, in all of its threads [s]."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def start_up(environment):
    """Start a node and return what it logged until it listened, and what that took [CPU s]."""
    node = subprocess.Popen(
        [sys.executable, '-m', 'mirror_depth_ros.ros.depth_node'],
        cwd=Path(__file__).parents[2],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        log = []
        while not (log and 'listening to /image and /camera_info' in log[-1]):
            line = node.stdout.readline()
            assert line, log  # the end: it said why
            log.append(line)
        return log, cpu_s(node.pid)
    finally:
        node.kill()
        node.communicate()


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='reads Linux process times')
@pytest.mark.usefixtures('model_packages')
@pytest.mark.serial
def test_a_node_with_the_builtin_model_is_active_soon(ros_domain_id, tmp_path):
    # The second start counts: some installations, and environments that forbid Python to write
    # bytecode, have none of PyTorch, which then takes 5 s more to import.
    environment = os.environ | {'PYTHONPYCACHEPREFIX': str(tmp_path)}
    environment.pop('PYTHONDONTWRITEBYTECODE', None)
    start_up(environment)
    imports = subprocess.run(
        [sys.executable, '-c', IMPORTS], env=environment, stdout=subprocess.PIPE, check=True
    )
    log, taken_s = start_up(environment)
    assert any('model builtin on' in line for line in log)
    assert taken_s < 2 * float(imports.stdout), log
