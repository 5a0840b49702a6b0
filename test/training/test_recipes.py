"""The recipes as they stand, from their data sets' true formats and sizes to a model that is used.

The CLIP of the NYU and KITTI recipes is OpenAI's in its true size, but random: what is learnt in
two steps would mean nothing anyway.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from mirror_depth_ros.cli.main import app
from mirror_depth_ros.cli.ros_environment import free_domain
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.training.callbacks import MODEL_FILE
from research.costs.loading import make_nyu_folder

# Two steps of one image, then what a whole training does at its end.
BRIEF = """
    --data.batch_size=1 --data.workers=1 --trainer.max_steps=2 --trainer.max_epochs=-1
    --trainer.check_val_every_n_epoch=null --trainer.val_check_interval=2
    --trainer.num_sanity_val_steps=0
"""
PATIENCE_S = 60.0


def train(recipe: str, data: str, output: Path, *options: str) -> Path:
    """Run ``mirror_depth train``; return the model, after a look at what is noted in it."""
    arguments = ['--config', recipe, '--data', data, '--output', str(output), *BRIEF.split()]
    result = CliRunner().invoke(app, ['train', *arguments, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    model = output / MODEL_FILE
    facts = checkpoint_facts(model)
    assert facts['steps'] == 2
    assert np.isfinite(list(facts['validation'].values())).all()
    return model


def check_predictions(
    estimator: DepthEstimator, *, height: int, width: int, focal_px: float
) -> None:
    """Look at an image with a model as a user loads it."""
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    depth = estimator.estimate(rgb, focal_px)
    assert depth.shape == (height, width)
    assert np.isfinite(depth).all()
    assert depth.min() > 0


@pytest.fixture(scope='module')
def nyu_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Train by the NYU recipe, on a folder as BTS has it, from a random CLIP."""
    folder = tmp_path_factory.mktemp('nyu')
    make_nyu_folder(folder / 'nyu', pictures=2)
    random = '--model.network.clip_weights=null'
    with pytest.warns(UserWarning, match='got no weights for the CLIP ViT-B-16-quickgelu: it is'):
        model = train('nyu', f'nyu:{folder / "nyu"}', folder / 'run', random)
    yield model
    shutil.rmtree(folder)


@pytest.fixture(scope='module')
def nyu_estimator(nyu_model: Path) -> DepthEstimator:
    return DepthEstimator.load(nyu_model, device='cpu', precision='fp32')


@pytest.fixture(scope='module')
def random_clip(nyu_model: Path) -> str:
    """The weights of that CLIP, 300 MB for its 150 million parameters in half precision."""
    (weights,) = (path for path in nyu_model.parent.glob('*.safetensors') if path != nyu_model)
    assert 299e6 < weights.stat().st_size < 300e6
    return str(weights)


def test_nyu_in_the_folders_of_bts(nyu_estimator: DepthEstimator) -> None:
    check_predictions(nyu_estimator, height=241, width=319, focal_px=260.0)


def test_the_node_predicts_with_what_was_trained(
    nyu_model: Path, nyu_estimator: DepthEstimator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rclpy = pytest.importorskip(
        'rclpy', reason='needs ROS 2: source an installation, or pip install .[ros]'
    )
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.parameter import Parameter
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import Header

    from mirror_depth_ros.ros.camera_info import info_from_camera
    from mirror_depth_ros.ros.depth_node import DepthNode
    from mirror_depth_ros.ros.messages import image_message

    camera = CameraModel(159, 121, fx=130.0, fy=131.0, cx=80.0, cy=60.0)
    rgb = np.random.default_rng(0).integers(0, 256, (121, 159, 3), np.uint8)
    header = Header(frame_id='camera_optical_frame')
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=free_domain())
    parameters: dict[str, object] = {'model': str(nyu_model), 'device': 'cpu'}
    parameters |= {'precision': 'fp32', 'edge_filter': 0.0}  # every pixel, as estimated
    node = DepthNode(
        context=context,
        parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
    )
    user = Node('user', context=context)
    executor = SingleThreadedExecutor(context=context)
    try:
        infos = user.create_publisher(CameraInfo, 'camera_info', 10)
        images = user.create_publisher(Image, 'image', 10)
        depths: list[Image] = []
        user.create_subscription(Image, '/mirror_depth/depth/image', depths.append, 10)
        for member in (node, user):
            executor.add_node(member)
        deadline = time.monotonic() + PATIENCE_S
        while not depths:
            assert time.monotonic() < deadline, f'no depth came: the node is {node.state}'
            if node.state == 'active':
                infos.publish(info_from_camera(camera, header))
                images.publish(image_message(header, 'rgb8', rgb))
            executor.spin_once(timeout_sec=0.2)
    finally:
        executor.shutdown()
        node.destroy_node()
        user.destroy_node()
        rclpy.shutdown(context=context)

    assert (depths[0].encoding, depths[0].header) == ('32FC1', header)
    received = np.frombuffer(depths[0].data, np.float32).reshape(121, 159)
    expected = nyu_estimator.estimate(rgb, camera.focal_px)
    np.testing.assert_allclose(received, expected, rtol=1e-4)


def test_nyu_in_the_labelled_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip('h5py', reason='needs h5py: pip install .[train]')
    scipy_io = pytest.importorskip('scipy.io', reason='needs SciPy: pip install .[train]')
    random = np.random.default_rng(0)
    mat = tmp_path / 'nyu_depth_v2_labeled.mat'
    with h5py.File(mat, 'w') as file:
        images = random.integers(0, 256, (3, 3, 640, 480), np.uint8)  # [N, C, W, H]
        file.create_dataset('images', data=images)
        file.create_dataset('rawDepths', data=random.uniform(1, 9, (3, 640, 480)).astype('f4'))
    numbers = {'trainNdxs': [[1], [3]], 'testNdxs': [[2]]}
    scipy_io.savemat(tmp_path / 'splits.mat', numbers)
    # The data, not the network, is what differs from the folders: a small one will do.
    model = train('nyu', f'nyu:{mat}', tmp_path / 'run', '--init=builtin')
    estimator = DepthEstimator.load(model, device='cpu')
    check_predictions(estimator, height=121, width=159, focal_px=130.0)


DATE, DRIVE = '2011_09_26', '2011_09_26_drive_0002_sync'
CALIBRATION = """
S_rect_02: 1.242000e+03 3.750000e+02
P_rect_02: 721.5377 0.0 609.5593 44.85728 0.0 721.5377 172.854 0.2163791 0.0 0.0 1.0 2.7e-03
"""


def make_kitti_folder(folder: Path) -> None:
    """Write raw drives, annotated depth and lists: two images to train on, one to test."""
    random = np.random.default_rng(0)
    lines = []
    for number in range(3):
        rgb = f'{DATE}/{DRIVE}/image_02/data/{number:010d}.png'
        depth = f'{DRIVE}/proj_depth/groundtruth/image_02/{number:010d}.png'
        metres = random.uniform(2, 79, (375, 1242))
        metres[random.random((375, 1242)) > 0.2] = 0  # sparse, as a lidar's
        for path, image in (
            (folder / rgb, random.integers(0, 256, (375, 1242, 3), np.uint8)),
            (folder / 'data_depth_annotated/train' / depth, (256 * metres).astype(np.uint16)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), image)
        lines.append(f'{rgb} {depth} 721.5377\n')
    (folder / DATE / 'calib_cam_to_cam.txt').write_text(CALIBRATION)
    (folder / 'eigen_train_files_with_gt.txt').write_text(''.join(lines[:2]))
    (folder / 'eigen_test_files_with_gt.txt').write_text(lines[2] + f'{rgb} None 721.5377\n')


def test_kitti(random_clip: str, tmp_path: Path) -> None:
    make_kitti_folder(tmp_path / 'kitti')
    weights = f'--model.network.clip_weights={random_clip}'
    # Without pictures for TensorBoard, which take longer here than all the rest.
    options = (weights, '--trainer.logger=false')
    model = train('kitti', f'kitti:{tmp_path / "kitti"}', tmp_path / 'run', *options)
    estimator = DepthEstimator.load(model, device='cpu')
    check_predictions(estimator, height=93, width=311, focal_px=180.0)


def test_a_recording(bag_maker: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    height, width = 121, 159
    messages = [('/camera/camera_info', bag_maker.info(width, height))]
    for number in range(5):  # the last one of them is validated on
        stamp_ns = 10**9 + number * 10**8
        rgb = random.integers(0, 256, (height, width, 3), np.uint8)
        depth = random.integers(500, 5000, (height, width), np.uint16)
        for topic, pixels, encoding in (
            ('/camera/image_raw', rgb, 'rgb8'),
            ('/camera/depth_registered/image', depth, '16UC1'),
        ):
            messages.append((topic, bag_maker.image(pixels, encoding, stamp_ns)))
    bag = bag_maker.write(messages)
    model = train('bag', f'bag:{bag}', tmp_path / 'run', '--init', 'builtin', '--data.variants=2')
    assert checkpoint_facts(model)['data'] == f'bag:{bag}[:80%]'
    estimator = DepthEstimator.load(model, device='cpu')
    check_predictions(estimator, height=height, width=width, focal_px=46.0)
