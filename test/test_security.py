"""What docs/security.md promises."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

PACKAGE = Path(__file__).parents[1] / 'mirror_depth_ros'
SOURCES = sorted(PACKAGE.rglob('*.py'))
PICKLING = {'pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve'}
RUNNING = {'eval', 'exec', 'compile', '__import__'}
#: Methods of modules; what they are called on tells them from others of that name.
UNSAFE = {
    'torch.load',
    'torch.jit.load',
    'yaml.load',
    'yaml.unsafe_load',
    'yaml.full_load',
    'os.system',
    'os.popen',
    'tarfile.open',
}
NETWORK = {'socket', 'requests', 'urllib', 'http', 'ftplib', 'huggingface_hub'}
#: It binds a port of this machine, and sends nothing, to see which DDS domains are in use.
EXCEPTIONS = {'cli/ros_environment.py': ['socket']}
#: What PyTorch does on being imported: an empty folder for its compiler, and a look at what
#: libraries there are.
OF_PYTORCH = ('open /dev/null', "subprocess.Popen ('/sbin/ldconfig', ['/sbin/ldconfig', '-p']")

#: Loads a model and estimates depth under the eyes of Python's audit hooks.
WATCHED = """
import os, sys
seen = []
def watch(event, arguments):
    if event in ('socket.connect', 'socket.getaddrinfo', 'subprocess.Popen', 'os.system'):
        seen.append((event, str(arguments)))
    elif event == 'open':
        path, mode, flags = arguments
        if flags and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append((event, str(path)))
    elif event in ('os.remove', 'os.rename', 'os.mkdir', 'os.rmdir'):
        seen.append((event, str(arguments)))
sys.dont_write_bytecode = True
sys.addaudithook(watch)
import numpy as np
from mirror_depth_ros.inference.estimator import DepthEstimator
estimator = DepthEstimator.load(sys.argv[1], device='cpu', backend=sys.argv[2])
assert estimator.backend == sys.argv[2]
depth = estimator.estimate(np.zeros((48, 80, 3), np.uint8), 60.0)
assert depth.shape == (48, 80)
for event in seen:
    print(*event)
"""


def violations(source: str) -> list[str]:
    """Return what of the above a source does."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {(node.module or '').split('.')[0]}
        else:
            names = set()
        found += sorted(names & (PICKLING | NETWORK))
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in RUNNING | UNSAFE:
                found.append(name)
            for keyword in node.keywords:
                if (keyword.arg, ast.unparse(keyword.value)) in {
                    ('shell', 'True'),
                    ('allow_pickle', 'True'),
                    ('weights_only', 'False'),
                }:
                    found.append(ast.unparse(keyword))
    return found


@pytest.mark.parametrize('path', SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_pickle_no_eval_no_shell_no_network(path: Path) -> None:
    expected = EXCEPTIONS.get(path.relative_to(PACKAGE).as_posix(), [])
    assert violations(path.read_text()) == expected


def test_the_search_finds_them() -> None:
    bad = (
        'import pickle, os\nfrom urllib import request\n'
        "eval('1')\ntorch.load(f)\nnp.load(f, allow_pickle=True)\nsubprocess.run(x, shell=True)"
    )
    assert sorted(violations(bad)) == sorted(
        ['pickle', 'urllib', 'eval', 'torch.load', 'allow_pickle=True', 'shell=True']
    )
    assert violations('model.eval()\nre.compile(x)\nyaml.safe_load(f)') == []


@pytest.mark.parametrize(
    ('model', 'backend'), [('builtin', 'torch'), ('a path', 'torch'), ('a path', 'openvino')]
)
def test_a_model_is_loaded_without_network_and_without_writing(
    model: str, backend: str, tiny_model: Path
) -> None:
    if backend != 'torch':
        pytest.importorskip('onnxscript', reason="needs pip install '.[accelerate]'")
        pytest.importorskip('openvino', reason="needs pip install '.[accelerate]'")
        from mirror_depth_ros.inference.estimator import DepthEstimator

        DepthEstimator.load(tiny_model, device='cpu', backend=backend)  # it is in the cache now
    environment = {k: v for k, v in os.environ.items() if not k.startswith('HF_')}
    folder = f"os.mkdir ('{tempfile.gettempdir()}/torchinductor_"
    process = subprocess.run(
        [sys.executable, '-c', WATCHED, str(tiny_model) if model == 'a path' else model, backend],
        cwd=PACKAGE.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert process.returncode == 0, process.stderr
    seen = process.stdout.splitlines()
    assert [line for line in seen if not line.startswith((*OF_PYTORCH, folder))] == []


def test_a_pickle_beside_a_clips_weights_is_refused(tiny_clip: str, tmp_path: Path) -> None:
    from mirror_depth_ros.model.clip_loading import load_clip

    for file in Path(tiny_clip.removeprefix('local-dir:')).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    load_clip(f'local-dir:{tmp_path}')
    torch.save({'weights': torch.zeros(1)}, tmp_path / 'open_clip_pytorch_model.bin')
    with pytest.raises(ValueError, match=r'with open_clip_pytorch_model.bin, expected .safeten'):
        load_clip(f'local-dir:{tmp_path}')


def test_arrays_on_disk_are_read_without_pickle(tmp_path: Path) -> None:
    np.save(tmp_path / 'objects.npy', np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match='allow_pickle=False'):
        np.load(tmp_path / 'objects.npy')  # the default, which nothing here changes
