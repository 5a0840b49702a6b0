"""Threads that sleep, memory that is used again, and shared memory that is short."""

import gc
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mirror_depth_ros.inference.process_tuning import (
    find_shm_shortage,
    gc_paused,
    set_passive_omp_wait,
)

# Page faults of taking and freeing 8 MB fifty times, before and after.
CODE = """
import json, resource
import numpy as np
from mirror_depth_ros.inference.process_tuning import tune_malloc

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        images = [np.full(1 << 20, 1, np.uint8) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
kept = tune_malloc()
faults()  # the first ones come from the system
print(json.dumps([kept, before, faults()]))
"""


def measure(monkeypatch, **environment):
    for name in ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES'):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    output = subprocess.run(
        [sys.executable, '-c', CODE], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return json.loads(output)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='of glibc')
def test_what_is_freed_is_not_fetched_from_the_system_again(monkeypatch):
    kept, _, after = measure(monkeypatch)
    if not kept:
        pytest.skip('a C library without mallopt')
    assert after < 200  # of 100,000 pages


def test_what_users_have_set_stays(monkeypatch):
    # 128 KB and no more: every image is fetched and returned, as they want it.
    kept, _, after = measure(monkeypatch, MALLOC_MMAP_THRESHOLD_='131072')
    assert not kept
    if sys.platform.startswith('linux'):
        assert after > 10_000


def test_garbage_collection_goes_on_after_an_import_that_failed():
    seen = []

    def fail():
        with gc_paused():
            seen.append(gc.isenabled())
            raise ImportError('got no such module')

    with pytest.raises(ImportError, match='got no such module'):
        fail()
    assert seen == [False]
    assert gc.isenabled()


def test_garbage_collection_stays_off_where_it_was():
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_openmp_waits_passively_but_never_overrules(monkeypatch):
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)
    set_passive_omp_wait()
    assert os.environ['OMP_WAIT_POLICY'] == 'passive'
    monkeypatch.setenv('OMP_WAIT_POLICY', 'active')
    set_passive_omp_wait()
    assert os.environ['OMP_WAIT_POLICY'] == 'active'


# Shared memory

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
    assert find_shm_shortage(2, {name: str(profile)}, folder=tmp_path) == (
        f'got 42.0 MB free in {tmp_path}, expected 43.4 MB for the shared memory that carries '
        'images and clouds: without it they are late or lost; give a container more (docker run '
        '--shm-size=256m), or clear what ended processes have left there (fastdds shm clean)'
    )


def test_enough_is_not_worth_a_word(profile, free, tmp_path):
    assert find_shm_shortage(1, {NAMES[0]: str(profile)}, folder=tmp_path) == ''


@pytest.mark.parametrize('text', ['', 'no XML', '<dds/>', PROFILE.replace('20000000', 'large')])
def test_what_says_no_size_is_left_to_fast_dds(profile, free, tmp_path, text):
    profile.write_text(text)
    assert find_shm_shortage(9, {NAMES[0]: str(profile)}, folder=tmp_path) == ''


def test_others_do_not_take_it(profile, free, tmp_path):
    environment = {NAMES[0]: str(profile), 'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
    assert find_shm_shortage(9, environment, folder=tmp_path) == ''
    assert find_shm_shortage(9, {}, folder=tmp_path) == ''
    assert find_shm_shortage(9, {NAMES[0]: str(tmp_path / 'none.xml')}, folder=tmp_path) == ''
    assert find_shm_shortage(9, {NAMES[0]: str(profile)}, folder=tmp_path / 'none') == ''
