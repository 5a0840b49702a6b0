"""How this process uses what it shares with others: threads, memory and shared memory."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# glibc takes no more. Beyond 2 million points a cloud, it is as if nothing had been said.
_LARGEST_KEPT_BYTES = 32 << 20
# Twice what passes through the node for an image of 4K with all outputs.
_KEPT_BYTES = 512 << 20
# Where users say such things themselves.
_OF_USERS = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES')
# What PyTorch, ONNX Runtime and OpenVINO say where an allocation fails; the first is
# OutOfMemoryError's, the second that of the other two.
_OUT_OF_MEMORY = (
    'out of memory',
    'Failed to allocate',
    "can't allocate memory",
    'not enough memory',
    'STATUS_ALLOC_FAILED',
    'NVML_SUCCESS == r INTERNAL ASSERT FAILED',  # PyTorch's of a Jetson whose memory is full
    'bad_alloc',
)
# Where Linux has this process's memory, and the shared memory of all.
_STATM = Path('/proc/self/statm')
SHM_FOLDER = Path('/dev/shm')
#: What names the profile: of Fast DDS from 3 on, and before.
PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
# Of the segment, what Fast DDS adds to manage it; and its ports beside it, by process [bytes].
_OVERHEAD, _BESIDE_BYTES = 1.05, 700_000


def set_passive_omp_wait() -> None:
    """Make OpenMP threads sleep while they wait, unless the user has chosen otherwise.

    By default they spin, and on busy cores a spinning thread keeps the core from the very thread
    it waits for: an estimate then takes tens of times as long. Call this before PyTorch is
    imported; afterwards it has no effect.
    """
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')


def tune_malloc() -> bool:
    """Let this process use freed memory again, in place of returning it to the system at once.

    Images and clouds are large enough for glibc to fetch each from the system and to return it
    when it is freed. The system clears every page at its first touch, which takes several times
    as long as all that is computed there. ``malloc_trim`` returns what is kept.

    :returns: whether it was done: not where users have chosen for themselves, nor without glibc.
    """
    if not sys.platform.startswith('linux') or any(name in os.environ for name in _OF_USERS):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)  # glibc's own
    if mallopt is None:
        return False
    return all(
        [mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES), mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)]
    )


@contextmanager
def gc_paused() -> Iterator[None]:
    """Let Python look for no garbage meanwhile: for imports, which make what stays.

    Of the time it takes to import PyTorch and open_clip, looking for garbage is a fifth.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on whatever device."""
    if isinstance(error, MemoryError):
        return True
    # ONNX Runtime's own errors are of Exception alone; the package may not be there to ask.
    is_of_onnxruntime = type(error).__module__.partition('.')[0] == 'onnxruntime'
    if not (isinstance(error, RuntimeError) or is_of_onnxruntime):
        return False
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def free_caches() -> None:
    """Give back to the system what Python, the C library and PyTorch keep for later use."""
    gc.collect()
    trim = (
        getattr(ctypes.CDLL(None), 'malloc_trim', None)
        if sys.platform.startswith('linux')
        else None
    )  # glibc's own
    if trim is not None:
        trim(0)
    torch = sys.modules.get('torch')  # loaded with the model, and not to be loaded for this
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def resident_bytes() -> int | None:
    """Return the process's resident memory [bytes]; None where the system has no ``/proc``."""
    try:
        pages = int(_STATM.read_text(encoding='ascii').split()[1])
    except OSError:
        return None
    return pages * os.sysconf('SC_PAGE_SIZE')


def gpu_bytes(device: str) -> int | None:
    """Return what PyTorch keeps of a GPU's memory [bytes]; None for a device that is no CUDA one.

    :param device: as PyTorch names it, such as ``cuda:1``.
    """
    torch = sys.modules.get('torch')  # loaded with the model, and not to be loaded for this
    if torch is None or not device.startswith('cuda'):
        return None
    return int(torch.cuda.memory_reserved(device))


def find_shm_shortage(
    n_processes: int, environment: Mapping[str, str], *, folder: Path = SHM_FOLDER
) -> str:
    """Say that there is less room than processes about to start need; empty if there is enough.

    Without it Fast DDS sends everything through the network's buffers, which lose large messages,
    and does not stop.

    :param n_processes: how many start with this environment.
    :param folder: where shared memory lies.
    """
    size = _segment_bytes(environment)
    if size is None or not folder.is_dir():
        return ''
    needed = n_processes * (_OVERHEAD * size + _BESIDE_BYTES)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if free >= needed:
        return ''
    return (
        f'got {free / 1e6:.1f} MB free in {folder}, expected {needed / 1e6:.1f} MB for the shared '
        'memory that carries images and clouds: without it they are late or lost; give a '
        'container more (docker run --shm-size=256m), or clear what ended processes have left '
        'there (fastdds shm clean)'
    )


def _segment_bytes(environment: Mapping[str, str]) -> int | None:
    """Return the size that the profile gives each process; None where none gives any [bytes]."""
    middleware = environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')
    if not middleware.startswith('rmw_fastrtps'):
        return None
    profile = next((environment[name] for name in PROFILES if environment.get(name)), '')
    try:
        elements = ElementTree.parse(profile).iter() if profile else ()
        sizes = [int(e.text or '') for e in elements if e.tag.endswith('}segment_size')]
    except (OSError, ValueError, ElementTree.ParseError):
        return None  # which Fast DDS reports itself
    return max(sizes, default=None)
