"""Freed memory is used again, without the system's clearing it once more."""

import gc
import json
import subprocess
import sys

import pytest

from mirror_depth_ros.inference.process_tuning import gc_paused

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
