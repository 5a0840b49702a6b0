import json
import time

import cv2
import numpy as np
import pytest
from rclpy.exceptions import InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.model.resources import demo_directory
from mirror_depth_ros.ros.demo.frame_camera import FrameCamera

H, W = 21, 33


def camera(context, **values):
    values = {'rate_hz': 50.0, **values}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return FrameCamera(context=context, parameter_overrides=overrides)


class Listener(Node):
    """Keeps what arrives, as a sensor's usual subscriber."""

    def __init__(self, context):
        super().__init__('listener', context=context)
        self.heard = {'image': {}, 'camera_info': {}, 'true_depth': {}}
        for topic, messages in self.heard.items():
            self.create_subscription(
                CameraInfo if topic == 'camera_info' else Image,
                topic,
                lambda m, messages=messages: messages.__setitem__(stamp_of(m), m),
                qos_profile_sensor_data,
            )

    def complete(self, *topics):
        """Return the messages of every stamp that came on all of the topics."""
        chosen = [self.heard[topic] for topic in topics]
        stamps = sorted(set.intersection(*map(set, chosen)))
        return [tuple(messages[stamp] for messages in chosen) for stamp in stamps]


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


@pytest.fixture
def spin(ros_context):
    """Spin nodes until a condition holds."""

    def spin_until(condition, *nodes, timeout_s=10.0):
        executor = SingleThreadedExecutor(context=ros_context)
        for node in nodes:
            executor.add_node(node)
        deadline = time.monotonic() + timeout_s
        while not (done := condition()) and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.05)
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        assert done, f'not within {timeout_s} s'

    return spin_until


def write_photographs(folder, sizes):
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate(sizes):
        picture = rng.integers(0, 255, (height, width, 3), np.uint8)
        cv2.imwrite(str(folder / f'{i}.png'), picture)


def test_publishes_image_calibration_and_true_depth_of_one_moment(ros_context, spin, tmp_path):
    frame = tmp_path / 'desk' / '000'
    frame.mkdir(parents=True)
    rgb = np.random.default_rng(0).integers(0, 255, (H, W, 3), np.uint8)
    cv2.imwrite(str(frame / 'rgb.png'), rgb[..., ::-1])
    units = np.full((H, W), 5000, np.uint16)
    units[3, 4] = 0  # no truth
    cv2.imwrite(str(frame / 'depth.png'), units)
    camera_of = {'fx': 16.5, 'fy': 17.0, 'cx': 16.0, 'cy': 10.0, 'width': W, 'height': H}
    meta = {'camera': camera_of, 'depth_scale': 0.0002}
    (frame / 'meta.json').write_text(json.dumps(meta))
    listener = Listener(ros_context)
    topics = ('image', 'camera_info', 'true_depth')
    node = camera(ros_context, images=str(tmp_path), frame_id='eye')
    spin(lambda: len(listener.complete(*topics)) >= 3, node, listener)
    image, info, truth = listener.complete(*topics)[0]

    assert (image.encoding, image.height, image.width, image.step) == ('rgb8', H, W, 3 * W)
    np.testing.assert_array_equal(np.reshape(image.data, (H, W, 3)), rgb)
    assert (truth.encoding, truth.height, truth.width, truth.step) == ('32FC1', H, W, 4 * W)
    assert {m.header.frame_id for m in (image, info, truth)} == {'eye'}
    assert (info.height, info.width) == (H, W)
    np.testing.assert_allclose(info.k, [16.5, 0, 16, 0, 17, 10, 0, 0, 1])
    depth = np.frombuffer(truth.data, np.float32).reshape(H, W)
    assert depth[0, 0] == 1.0  # 5000 units of 0.2 mm
    assert np.argwhere(np.isnan(depth)).tolist() == [[3, 4]]


def test_plays_the_recording_that_the_package_brings_along(ros_context, spin):
    first = FrameFolder(demo_directory())[0]
    listener = Listener(ros_context)
    node = camera(ros_context, hold=True)
    spin(lambda: listener.complete('image', 'camera_info', 'true_depth'), node, listener)
    image, info, _ = listener.complete('image', 'camera_info', 'true_depth')[0]
    np.testing.assert_array_equal(np.reshape(image.data, first.rgb.shape), first.rgb)
    assert info.k[0] == first.camera.fx


def test_stamps_are_the_time_of_publication(ros_context, spin, tmp_path):
    write_photographs(tmp_path, [(H, W)])
    listener = Listener(ros_context)
    node = camera(ros_context, images=str(tmp_path), fov=90.0)
    before = time.time()
    spin(lambda: len(listener.heard['image']) >= 4, node, listener)
    stamps = [sec + nanosec * 1e-9 for sec, nanosec in sorted(listener.heard['image'])]
    assert before - 1 < stamps[0] < stamps[-1] < time.time() + 1


def test_photographs_go_with_their_own_calibration(ros_context, spin, tmp_path):
    write_photographs(tmp_path, [(H, W), (15, 41)])
    (tmp_path / 'notes.txt').write_text('no image')
    listener = Listener(ros_context)
    node = camera(ros_context, images=str(tmp_path), fov=90.0)
    spin(lambda: len(listener.complete('image', 'camera_info')) >= 4, node, listener)
    pairs = listener.complete('image', 'camera_info')
    assert {(i.height, i.width) for i, _ in pairs} == {(H, W), (15, 41)}
    assert all((i.height, i.width) == (c.height, c.width) for i, c in pairs)
    assert all(c.k[0] == pytest.approx(c.width / 2) for _, c in pairs)  # f = W / 2 at 90 degrees
    assert not listener.heard['true_depth']


def test_holds_a_photograph_until_its_depth_is_there(ros_context, spin, tmp_path):
    write_photographs(tmp_path, [(H, W), (15, 41)])
    listener = Listener(ros_context)
    answers = listener.create_publisher(CameraInfo, 'depth/camera_info', 1)
    node = camera(ros_context, images=str(tmp_path), fov=90.0, hold=True)
    heights = []

    def heard_enough():
        images = [listener.heard['image'][stamp] for stamp in sorted(listener.heard['image'])]
        heights[:] = [image.height for image in images]
        if len(images) >= 5:  # only now an answer, as from a slow model
            answers.publish(CameraInfo(header=images[-1].header))
        return 15 in heights

    spin(heard_enough, node, listener)
    assert heights[:5] == [H] * 5


@pytest.mark.parametrize('damaged', ['0.png', '1.png'])
def test_photographs_that_cannot_be_read_are_named_and_passed_over(
    ros_context, spin, tmp_path, capfd, damaged
):
    write_photographs(tmp_path, [(H, W), (H, W), (15, 41)])
    (tmp_path / damaged).write_text('no picture')
    listener = Listener(ros_context)
    node = camera(ros_context, images=str(tmp_path), fov=90.0)
    spin(lambda: len(listener.complete('image', 'camera_info')) >= 6, node, listener)
    heights = [image.height for image, _ in listener.complete('image', 'camera_info')]
    assert heights[:6] in ([H, 15] * 3, [15, H] * 3)
    output = ''.join(capfd.readouterr())
    assert f'photograph {damaged} skipped: got {tmp_path / damaged}, which is no BMP' in output
    assert output.count('skipped') == 1  # not again in every loop


def test_refuses_a_folder_in_which_no_photograph_can_be_read(ros_context, tmp_path):
    for name in ('0.png', '1.jpg'):
        (tmp_path / name).write_text('no picture')
    with pytest.raises(
        ValueError, match=rf'got no photograph in {tmp_path} that can be read, exp'
    ):
        camera(ros_context, images=str(tmp_path), fov=90.0)


def test_photographs_that_vanish_later_are_waited_for(ros_context, spin, tmp_path, capfd):
    write_photographs(tmp_path, [(H, W)])
    node = camera(ros_context, images=str(tmp_path), fov=90.0)
    (tmp_path / '0.png').rename(tmp_path / 'away')
    output = []

    def has_complained():
        output.append(''.join(capfd.readouterr()))
        return 'that can be read' in ''.join(output)

    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)
    deadline = time.monotonic() + 10.0
    while not has_complained():
        assert time.monotonic() < deadline
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    (tmp_path / 'away').rename(tmp_path / '0.png')
    listener = Listener(ros_context)
    spin(lambda: listener.heard['image'], node, listener)


def test_refuses_what_it_cannot_show(ros_context, tmp_path):
    with pytest.raises(ValueError, match='expected a folder of images'):
        camera(ros_context, images=str(tmp_path / 'missing'))
    (tmp_path / 'notes.txt').write_text('no image')
    with pytest.raises(ValueError, match='got no image in'):
        camera(ros_context, images=str(tmp_path))
    write_photographs(tmp_path, [(H, W)])
    with pytest.raises(ValueError, match='give --fov'):
        camera(ros_context, images=str(tmp_path))
    with pytest.raises(InvalidParameterValueException, match='rate_hz'):
        camera(ros_context, rate_hz=0.0)
