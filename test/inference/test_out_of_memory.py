"""Out of memory once: a smaller input, and depth goes on; a second time it is an error."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.inference.process_tuning import is_out_of_memory

IMAGE = np.random.default_rng(5).integers(0, 256, (47, 75, 3), np.uint8)


@pytest.fixture
def estimator(tiny_model: Path, device: str) -> DepthEstimator:
    return DepthEstimator.load(tiny_model, device=device, precision='fp32', degrade_on_oom=True)


def too_large(device: str, *_: object) -> None:
    torch.empty(2**60, dtype=torch.uint8, device=device)  # an exabyte: PyTorch's own error


def test_the_input_is_shrunk_once(
    estimator: DepthEstimator, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = estimator.estimate(IMAGE, 60.0)
    assert estimator.notice == ''
    predict = estimator._predict

    def predict_what_is_small(*arguments: Any) -> list[np.ndarray]:
        # Trained at 48 x 64: 12 patches of 16 pixels. Half of them: sqrt(6 * 256 / (47 * 75)) is
        # 0.66, so 31.0 x 49.5 pixels, which is 1.9 x 3.1 patches.
        if estimator.input_size(47, 75) != (32, 48):
            too_large(device)
        return predict(*arguments)

    monkeypatch.setattr(estimator, '_predict', predict_what_is_small)
    depth = estimator.estimate(IMAGE, 60.0)
    assert estimator.notice == (
        f'the model ran out of memory on {device} and sees images at 48 x 32 pixels now, in place '
        'of 64 x 48: depth is coarser; free memory, then clean up and configure the node'
    )
    assert depth.shape == whole.shape == (47, 75)
    assert (depth != whole).any()
    assert (
        0.5 < np.median(depth) / np.median(whole) < 2.0
    )  # still metres: the focal length shrinks
    monkeypatch.setattr(estimator, '_predict', partial(too_large, device))
    reason = 'allocate memory' if device == 'cpu' else 'CUDA out of memory'
    message = (
        f"got too little memory on {device} .*{reason}.*, expected room for the model's input"
    )
    with pytest.raises(MemoryError, match=message):
        estimator.estimate(IMAGE, 60.0)
    assert estimator.input_size(47, 75) == (32, 48)
    monkeypatch.setattr(estimator, '_predict', predict)
    np.testing.assert_array_equal(estimator.estimate(IMAGE, 60.0), depth)


def test_an_input_shrinks_down_to_one_patch(estimator: DepthEstimator) -> None:
    # 3 x 4 patches times sqrt(1 / 2), 1 / 2, sqrt(1 / 8): 2.1 x 2.8, 1.5 x 2, 1.1 x 1.4
    for size in ((48, 64), (32, 48), (32, 32), (16, 16)):
        assert estimator.input_size(48, 64) == size
        assert (estimator.estimate(IMAGE, 60.0) > 0).all()
        estimator.shrink_input()
    for _ in range(60):
        estimator.shrink_input()
    assert estimator.input_size(480, 640) == (16, 16)
    assert estimator.estimate(IMAGE, 60.0).shape == (47, 75)


def test_other_errors_pass(estimator: DepthEstimator, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match='expected positive pixels'):
        estimator.estimate(IMAGE, -1.0)
    assert estimator.notice == ''


def test_unasked_the_input_is_not_shrunk(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = DepthEstimator.load(tiny_model, device='cpu', precision='fp32')
    monkeypatch.setattr(estimator, '_predict', partial(too_large, 'cpu'))
    with pytest.raises(RuntimeError, match='allocate memory'):
        estimator.estimate(IMAGE, 60.0)
    assert (estimator.notice, estimator.input_size(47, 75)) == ('', (48, 64))


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError('CUDA out of memory.'), True),
        (RuntimeError('MPS backend out of memory (MPS allocated: 1 GB)'), True),
        (RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`'), True),
        (RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "CUDACachingAllocator"'), True),
        (RuntimeError('mat1 and mat2 shapes cannot be multiplied'), False),
        (ValueError('out of memory'), False),
    ],
)
def test_which_errors_are_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def errors_of_too_little_memory(library: str) -> str:
    """Return what a child without room for 16 GB says of the error that a library raises."""
    pytest.importorskip('onnx', reason="needs pip install '.[accelerate]'")
    pytest.importorskip(library, reason="needs pip install '.[accelerate]'")
    code = CHILD.format(library=library)
    child = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    return child.stdout


# One number, made a plane of 2^16 x 2^16: 16 GiB in fp32.
CHILD = """
import resource
import numpy as np
from onnx import TensorProto, helper

def describe(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)

graph = helper.make_graph(
    [helper.make_node('Expand', ['number', 'shape'], ['plane'])],
    'large',
    [describe('number', TensorProto.FLOAT, [1]), describe('shape', TensorProto.INT64, [2])],
    [describe('plane', TensorProto.FLOAT, ['height', 'width'])],
)
opset = [helper.make_opsetid('', 18)]
onnx = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
inputs = {{'number': np.ones(1, np.float32), 'shape': np.array([2**16, 2**16])}}

def by_onnxruntime():
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx, providers=['CPUExecutionProvider'])
    return lambda: session.run(None, inputs)

def by_openvino():
    import openvino

    core = openvino.Core()
    request = core.compile_model(core.read_model(onnx), 'CPU').create_infer_request()
    return lambda: request.infer(inputs)

from mirror_depth_ros.inference.process_tuning import is_out_of_memory

run = by_{library}()
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
try:
    run()
except Exception as error:
    print(type(error).__module__, type(error).__name__, is_out_of_memory(error))
    inputs['shape'] = np.array([[2, 2]])  # an error of another kind
try:
    run()
except Exception as error:
    print(is_out_of_memory(error))
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='address space is limited on Linux alone')
@pytest.mark.parametrize(
    ('library', 'kind'),
    [
        ('onnxruntime', 'onnxruntime.capi.onnxruntime_pybind11_state Fail'),
        ('openvino', 'builtins RuntimeError'),
    ],
)
def test_what_libraries_raise_without_memory_is_understood(library: str, kind: str) -> None:
    assert errors_of_too_little_memory(library) == f'{kind} True\nFalse\n'


class SmallRoom:
    """Room for only so many images at once."""

    def __init__(self, estimator: DepthEstimator, most: int) -> None:
        self.passes: list[int] = []
        self.most = most
        self._predict = estimator._predict

    def predict(self, names: list[str], images: list[np.ndarray], *arguments: Any) -> Any:
        self.passes.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB.\nMore')
        return self._predict(names, images, *arguments)


def test_images_that_have_no_room_together_go_one_by_one_from_then_on(
    estimator: DepthEstimator, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SmallRoom(estimator, most=1)
    images = [IMAGE, IMAGE[::-1]]
    expected = [estimator.estimate(rgb, focal) for rgb, focal in zip(images, (60.0, 90.0))]
    monkeypatch.setattr(estimator, '_predict', room.predict)
    for _ in range(2):
        depths = [found.depth for found in estimator.estimate_batch(images, [60.0, 90.0])]
        np.testing.assert_array_equal(depths, expected)
    assert room.passes == [2, 1, 1, 1, 1]
    assert estimator.notice.startswith(
        f'the model ran out of memory on {device} for 2 images at once'
    )
    room.most = 0
    with pytest.raises(MemoryError, match=f'on {device} .CUDA out of memory. Tried .* 2 GiB..,'):
        estimator.estimate_batch(images, [60.0, 90.0])


def test_batches_that_have_room_stay_whole(
    estimator: DepthEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SmallRoom(estimator, most=3)
    monkeypatch.setattr(estimator, '_predict', room.predict)
    estimator.estimate_batch([IMAGE] * 3, [60.0] * 3)
    assert (room.passes, estimator.notice) == ([3], '')
