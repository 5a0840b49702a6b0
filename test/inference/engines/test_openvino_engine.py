"""The compiler by OpenVINO, and what it leaves behind in its process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytest.importorskip('openvino', reason="needs pip install '.[accelerate]'")

# Two compilers go in the order in which they came, and then the process handles a signal.
CHILD = """
import signal
import torch
from mirror_depth_ros.inference.engines.openvino_engine import OpenVino

first, second = (OpenVino('fp32', torch.device('cpu')) for _ in range(2))
assert first.traits == second.traits  # the plug-in is loaded
del first
del second
signal.signal(signal.SIGUSR1, lambda number, frame: print(signal.Signals(number).name))
signal.raise_signal(signal.SIGUSR1)
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='no SIGUSR1')
def test_signals_are_handled_after_compilers_have_gone() -> None:
    child = subprocess.run([sys.executable, '-c', CHILD], capture_output=True, text=True)
    assert child.returncode != -signal.SIGSEGV, 'no stack is left for signal handlers'
    assert (child.returncode, child.stdout) == (0, 'SIGUSR1\n'), child.stderr
