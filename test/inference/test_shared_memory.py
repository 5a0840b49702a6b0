"""What is said where /dev/shm has no room for what Fast DDS is told to take."""

import os
from types import SimpleNamespace

import pytest

from mirror_depth_ros.inference.shared_memory import find_shortage

PROFILE = """<?xml version="1.0"?>
<dds xmlns="http://www.eprosima.com"><profiles><transport_descriptors>
  <transport_descriptor><segment_size>20000000</segment_size></transport_descriptor>
</transport_descriptors></profiles></dds>
"""
NAMES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / 'profile.xml'
    path.write_text(PROFILE)
    return path


@pytest.fixture
def free(monkeypatch):
    """Let the system have 42 MB of shared memory to give."""
    monkeypatch.setattr(os, 'statvfs', lambda _: SimpleNamespace(f_bavail=10_500, f_frsize=4_000))


@pytest.mark.parametrize('name', NAMES)
def test_a_shortage_is_told_with_its_remedy(profile, free, tmp_path, name):
    # Two take 2 * (1.05 * 20 + 0.7) = 43.4 MB.
    assert find_shortage(2, {name: str(profile)}, folder=tmp_path) == (
        f'got 42.0 MB free in {tmp_path}, expected 43.4 MB for the shared memory that carries '
        'images and clouds: without it they are late or lost; give a container more (docker run '
        '--shm-size=256m), or clear what ended processes have left there (fastdds shm clean)'
    )


def test_enough_is_not_worth_a_word(profile, free, tmp_path):
    assert find_shortage(1, {NAMES[0]: str(profile)}, folder=tmp_path) == ''


@pytest.mark.parametrize('text', ['', 'no XML', '<dds/>', PROFILE.replace('20000000', 'large')])
def test_what_says_no_size_is_left_to_fast_dds(profile, free, tmp_path, text):
    profile.write_text(text)
    assert find_shortage(9, {NAMES[0]: str(profile)}, folder=tmp_path) == ''


def test_others_do_not_take_it(profile, free, tmp_path):
    environment = {NAMES[0]: str(profile), 'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
    assert find_shortage(9, environment, folder=tmp_path) == ''
    assert find_shortage(9, {}, folder=tmp_path) == ''
    assert find_shortage(9, {NAMES[0]: str(tmp_path / 'none.xml')}, folder=tmp_path) == ''
    assert find_shortage(9, {NAMES[0]: str(profile)}, folder=tmp_path / 'none') == ''
