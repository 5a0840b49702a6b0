import json
import os
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from mirror_depth_ros.cli import ros_environment
from mirror_depth_ros.cli.main import app
from mirror_depth_ros.cli.ros_environment import private_environment

H, W = 45, 61


@pytest.fixture
def demo(monkeypatch):
    """Return a function that runs the command and returns its exit code and messages."""
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)

    def run(*arguments):
        result = CliRunner().invoke(app, ['demo', *map(str, arguments)])
        return result.exit_code, result.stdout, ' '.join(result.stderr.split())

    return run


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / 'photographs'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, size in enumerate([(H, W), (H + 8, W - 12)]):
        cv2.imwrite(str(folder / f'{i}.png'), rng.integers(0, 255, (*size, 3), np.uint8))
    (folder / 'notes.txt').write_text('no image')
    return folder


@pytest.mark.usefixtures('model_packages')
def test_plays_photographs_through_the_node(demo, photographs, tmp_path):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    output, copy = tmp_path / 'a folder', tmp_path / 'figures.json'
    code, table, messages = demo(
        *('--images', photographs, '--fov', 70, '--seconds', 0.5),
        *('--output', output, '--json', copy),
    )
    assert code == 0, messages
    assert 'latency' in table
    assert 'no truth' in table
    summary = json.loads(copy.read_text())
    assert [p['name'] for p in summary['pictures']] == ['0.png', '1.png']
    assert summary['frames_processed'] >= 2
    depth = cv2.imread(str(output / 'frames/001/depth.png'), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (H + 8, W - 12)
    assert (depth > 0).all()
    assert (output / 'frames/001/cloud.ply').is_file()


@pytest.mark.timeout(400)  # 73 frames through the built-in model, on whatever else is busy
@pytest.mark.usefixtures('model_packages')
def test_plays_the_recording_brought_along_and_tells_its_kinds_apart(demo, tmp_path):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    code, tables, messages = demo('--seconds', 0.5, '--rate', 60, '--output', tmp_path)
    assert code == 0, messages
    assert re.search(r'photographs +. 25 +. 0\.\d{3} ', tables)
    assert re.search(r'rendered +. 48 +. 0\.\d{3} ', tables)
    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert [(g['name'], g['frames'], g['recordings']) for g in summary['groups']] == [
        ('photographs', 25, 6),
        ('rendered', 48, 2),
    ]
    # Two of each place, photographs first.
    assert [p['name'].split('/')[0] for p in summary['pictures']] == ['photographs'] * 12 + [
        'rendered'
    ] * 4
    assert cv2.imread(str(tmp_path / 'overview.png')) is not None
    assert (tmp_path / 'cloud.ply').is_file()


@pytest.mark.usefixtures('model_packages')
def test_says_at_once_why_the_depth_node_cannot_start(demo, photographs, tmp_path):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    missing = tmp_path / 'missing.safetensors'
    code, _, messages = demo(
        *('--images', photographs, '--fov', 70, '--output', tmp_path / 'out', '--model', missing)
    )
    assert code == 1
    assert 'The depth node says: not configured' in messages
    assert 'missing.safetensors' in messages


def test_warns_where_shared_memory_is_short(demo, photographs, tmp_path, monkeypatch):
    pytest.importorskip('rclpy')
    monkeypatch.setattr(os, 'statvfs', lambda _: SimpleNamespace(f_bavail=1000, f_frsize=4096))
    missing = tmp_path / 'missing.safetensors'
    code, _, messages = demo(
        *('--images', photographs, '--fov', 70, '--output', tmp_path / 'out', '--model', missing)
    )
    assert code == 1
    # Three processes with 14 MB each, and what Fast DDS has beside them.
    assert 'got 4.1 MB free in /dev/shm, expected 48.3 MB for the shared memory' in messages
    assert 'docker run --shm-size=256m' in messages


@pytest.mark.usefixtures('model_packages')
def test_reports_a_photograph_that_cannot_be_read(demo, photographs, tmp_path):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    (photographs / '2.png').write_text('no picture either')
    code, _, messages = demo('--images', photographs, '--fov', 70, '--output', tmp_path / 'out')
    assert code == 1
    assert '2.png' in messages
    assert 'is no BMP, JPEG, PNG' in messages


@pytest.mark.usefixtures('model_packages')
def test_names_files_that_are_not_read_and_says_so_by_the_exit_code(demo, photographs, tmp_path):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation')
    (photographs / 'IMG_1.HEIC').write_bytes(b'content')
    output = tmp_path / 'out'
    code, table, messages = demo(
        *('--images', photographs, '--fov', 70, '--seconds', 0.5, '--output', output)
    )
    assert code == 1
    assert 'latency' in table  # the others are played all the same
    assert 'left out: IMG_1.HEIC: no images that are read; convert them' in messages


def test_refuses_folders_without_photographs_before_starting_anything(demo, tmp_path):
    code, _, messages = demo('--images', tmp_path / 'nowhere', '--output', tmp_path / 'out')
    assert code == 1
    assert 'expected a folder of images' in messages
    (tmp_path / 'notes.txt').write_text('no image')
    code, _, messages = demo('--images', tmp_path, '--output', tmp_path / 'out')
    assert code == 1
    assert 'got no image in' in messages
    assert not (tmp_path / 'out').exists()


def test_refuses_an_output_folder_that_is_a_file(demo, tmp_path):
    (tmp_path / 'out').write_text('')
    code, _, messages = demo('--output', tmp_path / 'out')
    assert code == 1
    assert 'could not make the folder' in messages
    assert 'choose another one' in messages


def test_says_how_to_get_ros(demo, monkeypatch, tmp_path):
    monkeypatch.setattr(ros_environment, 'find_spec', lambda name: None)
    code, _, messages = demo('--output', tmp_path / 'out')
    assert code == 1
    assert 'got no Python package rclpy' in messages
    assert 'pip install "mirror_depth_ros[ros]"' in messages


def test_keeps_to_itself_unless_the_user_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(ros_environment, 'version', {'rclpy': '9.1.2'}.__getitem__)
    environment = private_environment({'PATH': os.defpath}, tmp_path)
    assert 1 <= int(environment['ROS_DOMAIN_ID']) <= 101
    assert environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert environment['FASTDDS_DEFAULT_PROFILES_FILE'].endswith('config/fastdds.xml')
    assert environment['PATH'] == os.defpath
    own = {
        'ROS_DOMAIN_ID': '7',
        'ROS_LOCALHOST_ONLY': '0',
        'FASTRTPS_DEFAULT_PROFILES_FILE': '/mine.xml',
        'ROS_LOG_DIR': '/logs',
    }
    assert private_environment(own, tmp_path) == own
    humble = private_environment({'ROS_DISTRO': 'humble'}, tmp_path)
    assert humble['ROS_LOCALHOST_ONLY'] == '1'
    assert humble['FASTRTPS_DEFAULT_PROFILES_FILE'].endswith('config/fastdds.xml')


@pytest.mark.parametrize(
    ('rclpy_version', 'environment', 'name'),
    [
        ('9.1.2', {}, 'FASTDDS_DEFAULT_PROFILES_FILE'),  # Kilted, Fast DDS 3
        ('7.1.6', {}, 'FASTRTPS_DEFAULT_PROFILES_FILE'),  # Jazzy, Fast DDS 2
        ('7.1.6', {'ROS_DISTRO': 'kilted'}, 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ('9.1.2', {'ROS_DISTRO': 'jazzy'}, 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('unknown', {}, 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_the_variable_that_this_fast_dds_reads(monkeypatch, rclpy_version, environment, name):
    monkeypatch.setattr(ros_environment, 'version', {'rclpy': rclpy_version}.__getitem__)
    assert ros_environment.profile_variable(environment) == name
