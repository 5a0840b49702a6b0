import json
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import plyfile
import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from mirror_depth_ros.ros.demo.frame_camera import FrameCamera
from mirror_depth_ros.ros.demo.recorder import Answer, Recorder, record, summarize_timing
from mirror_depth_ros.ros.depth_node import DepthNode
from mirror_depth_ros.ros.messages import depth_array

H, W = 21, 33
DEPTH_M = 2.5
OUTPUTS = ('depth/image', 'depth/preview', 'points')


def load_flat_world(model, **_):
    """A model that sees a wall everywhere."""

    def estimate(rgb, focal_px):
        return np.full(rgb.shape[:2], DEPTH_M, np.float32)

    return SimpleNamespace(
        estimate_batch=lambda *batch, **_: [(d, None, None) for d in map(estimate, *batch)],
        device='cpu',
        precision='fp32',
        backend='torch',
        notice='',
        has_confidence=False,
    )


def parameters(**values):
    return [Parameter(name, value=value) for name, value in values.items()]


def write_photographs(folder, sizes):
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, size in enumerate(sizes):
        cv2.imwrite(str(folder / f'{i}.png'), rng.integers(0, 255, (*size, 3), np.uint8))


def write_frame(folder, seed, units):
    """Write a frame with depth of so many millimetres."""
    folder.mkdir(parents=True)
    rgb = np.random.default_rng(seed).integers(0, 255, (H, W, 3), np.uint8)
    cv2.imwrite(str(folder / 'rgb.png'), rgb)
    cv2.imwrite(str(folder / 'depth.png'), np.full((H, W), units, np.uint16))
    camera = {'fx': 30.0, 'fy': 30.0, 'cx': 16.0, 'cy': 10.0, 'width': W, 'height': H}
    (folder / 'meta.json').write_text(json.dumps({'camera': camera, 'depth_scale': 0.001}))


def recorder(context, output, **values):
    remaps = [part for name in OUTPUTS for part in ('-r', f'{name}:=mirror_depth/{name}')]
    return Recorder(
        context=context,
        cli_args=['--ros-args', *remaps],
        parameter_overrides=parameters(output=str(output), seconds=0.5, **values),
    )


@pytest.fixture
def world(ros_context):
    """Return a function that starts a camera and the depth node; both end with the test."""
    executor = SingleThreadedExecutor(context=ros_context)
    nodes = []

    def start(**values):
        answers = 'depth/camera_info:=mirror_depth/depth/camera_info'
        nodes.append(
            FrameCamera(
                context=ros_context,
                cli_args=['--ros-args', '-r', answers],
                parameter_overrides=parameters(**{'rate_hz': 20.0, 'hold': True, **values}),
            )
        )
        nodes.append(DepthNode(context=ros_context, load_estimator=load_flat_world))
        for node in nodes:
            executor.add_node(node)

    def spin():
        while not stopped.is_set():
            executor.spin_once(timeout_sec=0.05)

    stopped = threading.Event()
    thread = threading.Thread(target=spin)
    thread.start()
    yield start
    stopped.set()
    thread.join()
    executor.shutdown()
    for node in nodes:
        node.destroy_node()


def run(node):
    try:
        with node.album:
            return record(node)
    finally:
        node.destroy_node()


def test_records_frames_by_kind_and_recording(ros_context, world, tmp_path):
    frames, output = tmp_path / 'frames', tmp_path / 'output'
    stale = output / 'frames' / '007'
    stale.mkdir(parents=True)
    (stale / 'rgb.png').write_text('of an earlier run')
    # The model says 2.5 m: errors of 0.25 and 0.25, of 1.5, and of 0.
    for i, (name, units) in enumerate(
        [('photographs/a/0', 2000), ('photographs/a/1', 2000), ('photographs/b/0', 1000)]
    ):
        write_frame(frames / name, i, units)
    write_frame(frames / 'rendered/room/000', 3, 2500)
    world(images=str(frames))
    assert run(recorder(ros_context, output, images=str(frames), pictures=1)) == 0

    summary = json.loads((output / 'summary.json').read_text())
    assert summary['frames_processed'] >= 4
    assert summary['frames_published'] >= summary['frames_processed']
    assert 0 < summary['latency_ms']['p50'] <= summary['latency_ms']['p95']
    assert summary['missing'] == []
    photographs, rendered = summary['groups']
    assert (photographs['name'], rendered['name']) == ('photographs', 'rendered')
    assert (photographs['frames'], photographs['recordings']) == (3, 2)
    # Each recording counts the same: (0.25 + 1.5) / 2.
    assert photographs['abs_rel'] == pytest.approx(0.875)
    assert photographs['abs_rel_median_scaled'] == pytest.approx(0.0, abs=1e-6)
    assert (rendered['abs_rel'], rendered['delta1']) == (pytest.approx(0.0, abs=1e-6), 1.0)
    assert [p['name'] for p in summary['pictures']] == [
        'photographs/a/0',
        'photographs/b/0',
        'rendered/room/000',
    ]
    folder = output / 'frames' / '001'
    depth = cv2.imread(str(folder / 'depth.png'), cv2.IMREAD_UNCHANGED)
    truth = cv2.imread(str(folder / 'truth.png'), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    assert depth.shape == truth.shape == (H, W)
    assert (depth == 2500).all()
    assert (truth == 1000).all()
    for name in ('rgb.png', 'preview.png', 'side_by_side.png', '../../overview.png'):
        assert cv2.imread(str(folder / name)) is not None, name
    assert (output / 'cloud.ply').read_bytes() == (output / 'frames/000/cloud.ply').read_bytes()
    assert not stale.exists()
    assert not list(output.glob('.recording-*'))


def test_records_every_photograph_with_its_cloud(ros_context, world, tmp_path):
    photographs, output = tmp_path / 'photographs', tmp_path / 'output'
    write_photographs(photographs, [(H, W), (15, 41), (H, W)])
    (photographs / 'notes.txt').write_text('no image')
    world(images=str(photographs), fov=90.0)
    assert run(recorder(ros_context, output, images=str(photographs), fov=90.0)) == 0

    summary = json.loads((output / 'summary.json').read_text())
    assert [p['name'] for p in summary['pictures']] == ['0.png', '1.png', '2.png']
    (group,) = summary['groups']
    assert (group['name'], group['frames'], group['frames_with_truth']) == ('photographs', 3, 0)
    assert group['abs_rel'] is None
    assert group['delta1'] is None
    picture = cv2.imread(str(output / 'frames/001/rgb.png'))
    np.testing.assert_array_equal(picture, cv2.imread(str(photographs / '1.png')))
    vertices = plyfile.PlyData.read(str(output / 'frames/001/cloud.ply'))['vertex']
    assert len(vertices) == 15 * 41
    # The corner's centre lies 20 pixels left of the middle, f = 41 / 2: x = -20 / 20.5 * 2.5 m
    assert vertices['x'][0] == pytest.approx(-20 / 20.5 * DEPTH_M)
    assert vertices['z'][0] == DEPTH_M
    assert [vertices[c][0] for c in ('blue', 'green', 'red')] == picture[0, 0].tolist()


def test_lists_photographs_that_never_come(ros_context, world, tmp_path, capsys):
    shown, asked = tmp_path / 'shown', tmp_path / 'asked'
    for i, folders in enumerate([(shown, asked), (asked,)]):
        for folder in folders:
            folder.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f'{i}.png'), np.full((H, W, 3), 60 * i, np.uint8))
    world(images=str(shown), fov=90.0, hold=False)
    node = recorder(ros_context, tmp_path / 'out', images=str(asked), fov=90.0, stall_s=0.6)
    assert run(node) == 1
    assert 'no depth came for 1.png' in capsys.readouterr().err
    assert json.loads((tmp_path / 'out/summary.json').read_text())['missing'] == ['1.png']


def test_says_which_topic_is_silent(ros_context, tmp_path):
    photographs, output = tmp_path / 'photographs', tmp_path / 'output'
    write_photographs(photographs, [(H, W)])
    node = recorder(ros_context, output, images=str(photographs), fov=90.0, wait_s=0.2)
    with pytest.raises(
        TimeoutError, match=r'got nothing on /image, .*/points within .*ros2 topic'
    ):
        run(node)
    assert list(output.iterdir()) == []


def test_says_when_the_camera_works_but_no_depth_comes(ros_context, world, tmp_path):
    photographs = tmp_path / 'photographs'
    write_photographs(photographs, [(H, W)])
    frames = {'images': str(photographs), 'fov': 90.0}
    world(**frames)
    node = Recorder(  # listens to names that the depth node does not use
        context=ros_context,
        parameter_overrides=parameters(output=str(tmp_path / 'out'), wait_s=2.0, **frames),
    )
    with pytest.raises(TimeoutError, match='got nothing on /depth/image, /depth/preview, /points'):
        run(node)


def test_refuses_a_bad_output_folder(ros_context, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='could not make the folder .*file/below'):
        recorder(ros_context, tmp_path / 'file' / 'below')
    with pytest.raises(ValueError, match='got no output folder, expected one'):
        recorder(ros_context, '')


def test_refuses_depth_that_is_not_in_metres():
    with pytest.raises(ValueError, match="got a depth image of '16UC1', expected 32FC1"):
        depth_array(Image(encoding='16UC1'))


def test_timing_counts_from_the_first_answered_image():
    images_ns = [10, 20, 30, 40]  # image 10 was dropped before any depth came
    answers = [Answer(1.0, 20, 40.0), Answer(1.5, 30, 50.0), Answer(2.0, 40, 60.0)]
    summary = summarize_timing(images_ns, answers)
    assert (summary['frames_published'], summary['frames_processed']) == (3, 3)
    assert summary['fps'] == 2.0  # two intervals in one second
    assert summary['latency_ms'] == {'p50': 50.0, 'p95': 59.0}  # 50 + 0.9 * 10
