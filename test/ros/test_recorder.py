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

from mirror_depth_ros.ros.depth_node import DepthNode
from mirror_depth_ros.ros.recorder import Recorder, depth_array, record
from mirror_depth_ros.ros.scene_camera import SceneCamera

H, W = 21, 33
DEPTH_M = 2.5
OUTPUTS = ('depth/image', 'depth/preview', 'points')


def load_flat_world(model, **_):
    """A model that sees a wall everywhere."""

    def estimate(rgb, focal_px):
        return np.full(rgb.shape[:2], DEPTH_M, np.float32)

    return SimpleNamespace(estimate=estimate, device='cpu', precision='fp32', backend='torch')


def parameters(**values):
    return [Parameter(name, value=value) for name, value in values.items()]


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
        small = {'width': W, 'height': H, 'n_frames': 2, 'rate_hz': 20.0}
        answers = 'depth/camera_info:=mirror_depth/depth/camera_info'
        nodes.append(
            SceneCamera(
                context=ros_context,
                cli_args=['--ros-args', '-r', answers],
                parameter_overrides=parameters(**{**small, **values}),
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
        with node.spool:
            return record(node)
    finally:
        node.destroy_node()


def test_records_a_scene(ros_context, world, tmp_path):
    stale = tmp_path / 'frames' / '007'
    stale.mkdir(parents=True)
    (stale / 'rgb.png').write_text('of an earlier run')
    world()
    assert run(recorder(ros_context, tmp_path, pictures=3)) == 0

    summary = json.loads((tmp_path / 'summary.json').read_text())
    assert summary['frames_processed'] >= 5
    assert summary['frames_published'] >= summary['frames_processed']
    assert 0 < summary['latency_ms']['p50'] <= summary['latency_ms']['p95']
    assert summary['missing'] == []
    assert [p['folder'] for p in summary['pictures']] == [f'frames/00{i}' for i in range(3)]

    folder = tmp_path / 'frames' / '001'
    depth = cv2.imread(str(folder / 'depth.png'), cv2.IMREAD_UNCHANGED)
    truth = cv2.imread(str(folder / 'truth.png'), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    assert depth.shape == truth.shape == (H, W)
    assert (depth == 2500).all()
    errors = np.abs(2.5 - truth / 1000)[truth > 0] / (truth / 1000)[truth > 0]
    assert summary['pictures'][1]['abs_rel'] == pytest.approx(errors.mean(), rel=1e-3)
    for name in ('rgb.png', 'preview.png', 'side_by_side.png', '../../overview.png'):
        assert cv2.imread(str(folder / name)) is not None, name
    assert not stale.exists()
    assert not list(tmp_path.glob('.recording-*'))


def test_records_every_photograph_with_its_cloud(ros_context, world, tmp_path):
    photographs, output = tmp_path / 'photographs', tmp_path / 'output'
    photographs.mkdir()
    (photographs / 'notes.txt').write_text('no image')
    rng = np.random.default_rng(0)
    for i, size in enumerate([(H, W), (15, 41), (H, W)]):
        cv2.imwrite(str(photographs / f'{i}.png'), rng.integers(0, 255, (*size, 3), np.uint8))
    world(images=str(photographs), fov=90.0, hold=True)
    assert run(recorder(ros_context, output, images=str(photographs), fov=90.0)) == 0

    summary = json.loads((output / 'summary.json').read_text())
    assert [p['name'] for p in summary['pictures']] == ['0.png', '1.png', '2.png']
    assert summary['abs_rel'] is None
    assert summary['delta1'] is None
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
    world(images=str(shown), fov=90.0)
    node = recorder(ros_context, tmp_path / 'out', images=str(asked), fov=90.0, stall_s=0.6)
    assert run(node) == 1
    assert 'no depth came for 1.png' in capsys.readouterr().err
    assert json.loads((tmp_path / 'out/summary.json').read_text())['missing'] == ['1.png']


def test_says_which_topic_is_silent(ros_context, tmp_path):
    with pytest.raises(
        TimeoutError, match=r'got nothing on /image, .*/points within .*ros2 topic'
    ):
        run(recorder(ros_context, tmp_path, wait_s=0.2))
    assert list(tmp_path.iterdir()) == []


def test_says_when_the_camera_works_but_no_depth_comes(ros_context, world, tmp_path):
    world()
    node = Recorder(  # listens to names that the depth node does not use
        context=ros_context, parameter_overrides=parameters(output=str(tmp_path), wait_s=2.0)
    )
    with pytest.raises(TimeoutError, match='got nothing on /depth/image, /depth/preview, /points'):
        run(node)


def test_refuses_a_bad_output_folder(ros_context, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='could not make the output folder .*file/below'):
        recorder(ros_context, tmp_path / 'file' / 'below')
    with pytest.raises(ValueError, match='got no output folder, expected one'):
        recorder(ros_context, '')


def test_refuses_depth_that_is_not_in_metres():
    with pytest.raises(ValueError, match="got a depth image of '16UC1', expected 32FC1"):
        depth_array(Image(encoding='16UC1'))
