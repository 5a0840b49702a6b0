"""A disk that is full while ``mirror_depth demo`` writes: one line, exit code 1, nothing half."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import plyfile
import pytest

H, W = 45, 61
# A transport that needs no file: limits on their size would keep Fast DDS from its shared memory.
PROFILE = """<?xml version="1.0" encoding="UTF-8" ?>
<dds xmlns="http://www.eprosima.com"><profiles>
  <transport_descriptors><transport_descriptor>
    <transport_id>network</transport_id><type>UDPv4</type>
  </transport_descriptor></transport_descriptors>
  <participant profile_name="network_only" is_default_profile="true"><rtps>
    <userTransports><transport_id>network</transport_id></userTransports>
    <useBuiltinTransports>false</useBuiltinTransports>
  </rtps></participant>
</profiles></dds>
"""


def is_whole(path):
    """Whether a file can be read by those whom it is for."""
    if path.suffix == '.png':
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
    if path.suffix == '.ply':
        return len(plyfile.PlyData.read(str(path))['vertex']) > 0
    return path.suffix == '.log' or bool(json.loads(path.read_text()))


@pytest.mark.parametrize(
    ('what', 'limit', 'reason'),
    [
        pytest.param(
            'while it records',
            20_000,
            'could not put a frame aside in',
            marks=pytest.mark.soak,
        ),
        ('while it writes the pictures', 50_000, 'could not write'),
    ],
)
@pytest.mark.usefixtures('model_packages')
def test_the_demo_says_that_the_disk_is_full(
    ros_domain_id, files_up_to, tmp_path, report_row, what, limit, reason
):
    """Of a size that the system refuses files of, as it refuses all of them on a full disk."""
    photographs, output, profile = (tmp_path / n for n in ('photographs', 'out', 'udp.xml'))
    photographs.mkdir()
    profile.write_text(PROFILE)
    random = np.random.default_rng(0)
    for i in range(2):
        picture = random.integers(0, 255, (H, W, 3), np.uint8)
        cv2.imwrite(str(photographs / f'{i}.png'), picture)
    options = ['--images', photographs, '--fov', 70, '--seconds', 0.5, '--output', output]
    command = [sys.executable, '-m', 'mirror_depth_ros.cli.main', 'demo', *map(str, options)]
    environment = {**os.environ, 'FASTDDS_DEFAULT_PROFILES_FILE': str(profile)}
    with files_up_to(limit):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=110, check=False
        )
    assert done.returncode == 1
    # The first line is the domain's, of those who succeed as well.
    _, message = [line for line in done.stderr.splitlines() if line]
    assert message.startswith(f'The recorder says: {reason}')
    files = [path for path in output.rglob('*') if path.is_file()]
    assert [path for path in files if not is_whole(path)] == []
    assert not (output / 'summary.json').exists()
    assert not list(output.glob('.*'))
    outcome = f'exit code 1, one line ({reason} ...), no half-written file'
    report_row('faults', f'disk full while mirror_depth demo runs: {what}', outcome)
