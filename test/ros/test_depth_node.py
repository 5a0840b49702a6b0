"""The node against real DDS, with an estimator whose depth is known."""

import gc
import itertools
import re
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros import depth_node, messages, outputs
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.depth_node import DepthNode, load_estimator
from mirror_depth_ros.ros.frame_worker import WORKER_NAME

H, W = 7, 9
CAMERA = CameraModel(W, H, fx=6.0, fy=5.0, cx=4.0, cy=2.0)
FRAME_ID = 'camera_optical_frame'
# A busy computer may take long to import PyTorch, which the nodes with a real model do first.
PATIENCE_S = 60.0
TYPES = {
    'depth/image': Image,
    'depth/image_raw': Image,
    'depth/camera_info': CameraInfo,
    'depth/preview': Image,
    'points': PointCloud2,
}


class RedIsDepth:
    """An estimator that takes a pixel's red for its depth in tenths of a metre."""

    device, precision, backend, notice = 'cpu', 'fp32', 'torch', ''
    has_confidence = False

    def __init__(self):
        self.focals_px = []
        self.may_finish = threading.Event()
        self.may_finish.set()

    def estimate_batch(self, *batch, **_):
        return [(depth, None, None) for depth in map(self.estimate, *batch)]

    def estimate(self, rgb, focal_px):
        self.focals_px.append(focal_px)
        assert self.may_finish.wait(PATIENCE_S)
        return rgb[..., 0].astype(np.float32) / 10


class Rig:
    """A depth node, and a node beside it that plays camera, user and lifecycle manager."""

    def __init__(self, context, load_estimator=None, arguments=(), **parameters):
        self.estimator = RedIsDepth()
        self.received = {}
        self.node = DepthNode(
            load_estimator=load_estimator or (lambda model, **_: self.estimator),
            context=context,
            cli_args=['--ros-args', *arguments],
            parameter_overrides=[Parameter(n, value=v) for n, v in parameters.items()],
        )
        self.user = Node('user', context=context)
        self.images = self.user.create_publisher(Image, 'image', 10)
        self.infos = self.user.create_publisher(CameraInfo, 'camera_info', 10)
        self._executor = SingleThreadedExecutor(context=context)
        for node in (self.node, self.user):
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self):
        self.estimator.may_finish.set()
        self._executor.shutdown()
        self._thread.join(PATIENCE_S)
        self.node.destroy_node()
        self.user.destroy_node()

    def counts(self):
        return self.node.cameras[0].measurements.summarise().counts

    def collect(self, topic, message_type, qos=10):
        """Subscribe; return the list that the messages will be appended to."""
        received = []
        self.user.create_subscription(message_type, topic, received.append, qos)
        return received

    def collect_outputs(self, *names):
        """Subscribe to outputs of an active node and wait until it knows."""
        for name in names:
            topic = f'/mirror_depth/{name}'
            self.received[name] = self.collect(topic, TYPES[name])
            wait(lambda topic=topic: self.user.count_publishers(topic) == 1)
        publishers = {p.topic_name: p for p in self.node.publishers}
        for name in names:
            publisher = publishers[f'/mirror_depth/{name}']
            wait(lambda publisher=publisher: publisher.get_subscription_count() == 1)

    def wait_active(self):
        wait(lambda: self.node.state == 'active')
        for publisher in (self.images, self.infos):
            wait(lambda publisher=publisher: publisher.get_subscription_count() == 1)

    @contextmanager
    def busy_executor(self):
        """Keep the executor from its other callbacks for the time of the block."""
        is_busy, may_go_on = threading.Event(), threading.Event()

        def work():
            is_busy.set()
            assert may_go_on.wait(PATIENCE_S)

        self._executor.create_task(work)
        assert is_busy.wait(PATIENCE_S)
        yield
        may_go_on.set()

    def publish(self, sec, red=20, info=True, **fields):
        """Publish an image, its calibration first."""
        header = Header(stamp=Time(sec=sec, nanosec=5), frame_id=FRAME_ID)
        if info:
            self.publish_info(info_from_camera(CAMERA, header))
        rgb = np.full((H, W, 3), red, np.uint8)
        image = messages.image_message(header, 'rgb8', rgb)
        for name, value in fields.items():
            setattr(image, name, value)
        self.images.publish(image)

    def publish_info(self, info):
        """Publish a calibration and wait until the node has it."""
        self.infos.publish(info)
        wait(lambda: not self.node.cameras[0].calibrations.is_empty)
        wait(lambda: self.node.cameras[0].calibrations._recent[-1] == info)

    def depths(self):
        """Seconds of the stamps of the depth images that have come."""
        return [message.header.stamp.sec for message in self.received['depth/image']]

    def wait_depths(self, *seconds):
        wait(lambda: len(self.depths()) >= len(seconds))
        assert self.depths() == list(seconds)

    def call(self, service_type, name, request):
        client = self.user.create_client(service_type, f'/mirror_depth/{name}')
        assert client.wait_for_service(PATIENCE_S)
        future = client.call_async(request)
        wait(future.done)
        self.user.destroy_client(client)
        return future.result()

    def change(self, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, 'change_state', request).success


def wait(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.005)


class LogText:
    """All that the process has logged so far (/rosout forgets nodes of the same name)."""

    def __init__(self, capfd):
        self.text = ''
        self._capfd = capfd

    def __contains__(self, words):
        self.text += ''.join(self._capfd.readouterr())
        return words in self.text


@pytest.fixture
def log(capfd):
    return LogText(capfd)


@pytest.fixture
def make_rig(ros_context):
    rigs = []

    def make(**options):
        rigs.append(Rig(ros_context, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig):
    """A rig whose node has configured and activated itself."""
    rig = make_rig()
    rig.wait_active()
    return rig


def of_red(red):
    """Return what the node publishes for an image of that red."""
    return np.full(H * W, red / 10, np.float32)


# What is published


def test_every_output_fits_the_image(rig):
    rig.collect_outputs(*TYPES)
    red = np.arange(H * W, dtype=np.uint8).reshape(H, W) + 10  # 1.0 m, 1.1 m, ...
    rgb = np.stack([red, red + 1, red + 2], axis=-1)
    header = Header(stamp=Time(sec=7, nanosec=8), frame_id=FRAME_ID)
    info = info_from_camera(CAMERA, header)
    rig.publish_info(info)
    rig.images.publish(messages.image_message(header, 'rgb8', rgb))
    wait(lambda: all(rig.received[name] for name in TYPES))
    got = {name: rig.received[name][0] for name in TYPES}

    for message in got.values():
        assert message.header == header
        assert (message.height, message.width) == (H, W)
    encodings = {n: m.encoding for n, m in got.items() if isinstance(m, Image)}
    assert encodings == {
        'depth/image': '32FC1',
        'depth/image_raw': '16UC1',
        'depth/preview': 'rgb8',
    }
    depth = np.frombuffer(got['depth/image'].data, np.float32).reshape(H, W)
    np.testing.assert_array_equal(depth, red.astype(np.float32) / 10)
    millimetres = np.frombuffer(got['depth/image_raw'].data, np.uint16).reshape(H, W)
    np.testing.assert_array_equal(millimetres, red.astype(np.uint16) * 100)
    assert got['depth/camera_info'] == info
    cloud = np.frombuffer(got['points'].data, np.float32).reshape(H, W, 4)
    # Last pixel: red 72, so z = 7.2; x = (8 - 4) / 6 z, right; y = (6 - 2) / 5 z, down.
    np.testing.assert_allclose(cloud[-1, -1, :3], (4.8, 5.76, 7.2), rtol=1e-6)
    assert cloud.view(np.uint32)[-1, -1, 3] == 0x48494A
    assert rig.estimator.focals_px == [pytest.approx(CAMERA.focal_px)]


def test_out_of_range_follows_rep_117(rig):
    rig.collect_outputs('depth/image', 'depth/image_raw', 'points')
    set_parameters(rig, min_range=1.0, max_range=2.0)
    for sec, red in ((1, 9), (2, 20), (3, 21)):
        rig.publish(sec, red=red)
        wait(lambda sec=sec: all(len(m) == sec for m in rig.received.values()))
    depth, raw, points = (
        [np.frombuffer(m.data, dtype)[:3] for m in rig.received[name]]
        for name, dtype in (
            ('depth/image', np.float32),
            ('depth/image_raw', np.uint16),
            ('points', np.float32),
        )
    )
    assert [d[0] for d in depth] == [-np.inf, 2.0, np.inf]
    assert [r[0] for r in raw] == [0, 2000, 0]
    assert [bool(np.isnan(p).all()) for p in points] == [True, False, True]
    assert [m.is_dense for m in rig.received['points']] == [False, True, False]


def set_parameters(rig, **values):
    results = rig.node.set_parameters([Parameter(n, value=v) for n, v in values.items()])
    assert all(r.successful for r in results)


def test_the_calibration_is_that_of_a_smaller_image(rig):
    """Camera drivers that resize images often publish the full-size CameraInfo."""
    rig.collect_outputs('depth/image', 'depth/camera_info')
    double = CAMERA.resized(2 * W, 2 * H)
    rig.publish_info(info_from_camera(double, Header(stamp=Time(sec=1, nanosec=5))))
    rig.publish(1, info=False)
    rig.wait_depths(1)
    info = rig.received['depth/camera_info'][0]
    assert (info.width, info.height) == (W, H)
    assert info.k == pytest.approx(CAMERA.matrix.ravel())
    assert rig.estimator.focals_px == [pytest.approx(CAMERA.focal_px)]


def test_a_calibration_that_was_published_once_is_received(make_rig, ros_context):
    """As camera drivers latch what never changes: before the node is there, and never again."""
    driver = Node('driver', context=ros_context)
    latch = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    latched = driver.create_publisher(CameraInfo, 'camera_info', latch)
    latched.publish(info_from_camera(CAMERA, Header(stamp=Time(sec=1), frame_id=FRAME_ID)))
    rig = make_rig()
    rig.wait_active()
    rig.collect_outputs('depth/image')
    seconds = itertools.count(1)

    def depth_comes():
        rig.publish(next(seconds), info=False)
        return rig.received['depth/image']

    wait(depth_comes)
    assert rig.estimator.focals_px[0] == pytest.approx(CAMERA.focal_px)
    driver.destroy_node()
    # Nobody latches any more: volatile publishers are not asked for what they cannot give.
    wait(lambda: len(rig.user.get_subscriptions_info_by_topic('/camera_info')) == 1)


def test_qos_serves_every_kind_of_subscriber(rig):
    for name, message_type in TYPES.items():
        (info,) = rig.user.get_publishers_info_by_topic(f'/mirror_depth/{name}')
        assert info.topic_type == f'sensor_msgs/msg/{message_type.__name__}'
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        assert info.qos_profile.durability == DurabilityPolicy.VOLATILE
    for name in ('/image', '/camera_info'):  # as their publishers
        (info,) = rig.user.get_subscriptions_info_by_topic(name)
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE


def test_the_reliability_of_images_changes_while_the_node_runs(rig):
    def asked():
        infos = rig.user.get_subscriptions_info_by_topic('/image')
        return [info.qos_profile.reliability for info in infos]

    set_parameters(rig, image_reliability='best_effort')
    wait(lambda: asked() == [ReliabilityPolicy.BEST_EFFORT])
    set_parameters(rig, image_reliability='auto')
    wait(lambda: asked() == [ReliabilityPolicy.RELIABLE])
    (result,) = rig.node.set_parameters([Parameter('image_reliability', value='perhaps')])
    assert result.reason == (
        "got image_reliability 'perhaps', expected one of auto, reliable, best_effort; correct "
        'the parameter'
    )


def test_qos_can_be_overridden_by_parameters(make_rig):
    prefix = 'qos_overrides./mirror_depth/depth/image.publisher'
    rig = make_rig(**{f'{prefix}.reliability': 'best_effort'})
    rig.wait_active()
    (info,) = rig.user.get_publishers_info_by_topic('/mirror_depth/depth/image')
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    (other,) = rig.user.get_publishers_info_by_topic('/mirror_depth/points')
    assert other.qos_profile.reliability == ReliabilityPolicy.RELIABLE


@pytest.mark.parametrize(
    ('remapped', 'published'),
    [
        (['image:=/cam/image_raw'], '/cam/image_raw/compressed'),
        (['image:=/cam/image_raw/compressed'], '/cam/image_raw/compressed'),
        (['image:=/phone/jpeg'], '/phone/jpeg'),
        (['image:=/cam/image_raw', 'image/compressed:=/phone/jpeg'], '/phone/jpeg'),
    ],
)
def test_compressed_images_come_from_where_they_are(make_rig, remapped, published):
    arguments = [word for rule in remapped for word in ('-r', rule)]
    rig = make_rig(image_transport='compressed', arguments=arguments)
    wait(lambda: rig.node.state == 'active')
    rig.collect_outputs('depth/image')
    publisher = rig.user.create_publisher(CompressedImage, published, 10)
    wait(lambda: publisher.get_subscription_count() == 1)
    header = Header(stamp=Time(sec=3), frame_id=FRAME_ID)
    rig.publish_info(info_from_camera(CAMERA, header))
    bgr = np.full((H, W, 3), (0, 0, 35), np.uint8)
    data = cv2.imencode('.png', bgr)[1].tobytes()
    publisher.publish(CompressedImage(header=header, format='png', data=data))
    rig.wait_depths(3)
    depth = np.frombuffer(rig.received['depth/image'][0].data, np.float32)
    np.testing.assert_array_equal(depth, np.full(H * W, 3.5, np.float32))


# What is not done


def test_without_subscribers_nothing_is_estimated(rig):
    rig.publish(1)
    wait(lambda: rig.counts()['ignored'] == 1)
    rig.collect_outputs('depth/image')
    rig.publish(2)
    rig.wait_depths(2)
    assert len(rig.estimator.focals_px) == 1


def test_outputs_without_subscribers_are_not_made(rig, monkeypatch):
    made = []
    monkeypatch.setattr(messages, 'cloud_message', lambda *_: made.append('cloud'))
    monkeypatch.setattr(outputs, 'depth_to_millimetres', lambda *_: made.append('raw'))
    rig.collect_outputs('depth/image')
    rig.publish(1)
    rig.wait_depths(1)
    assert made == []


def test_under_overload_the_newest_image_wins(rig):
    rig.collect_outputs('depth/image')
    rig.estimator.may_finish.clear()
    rig.publish(1)
    wait(lambda: rig.estimator.focals_px)
    for sec in (2, 3, 4):
        rig.publish(sec)
    wait(lambda: rig.counts()['dropped'] == 2)
    rig.estimator.may_finish.set()
    rig.wait_depths(1, 4)
    assert rig.depths() == [1, 4]
    assert len(rig.estimator.focals_px) == 2  # 2 and 3 were dropped before any work on them


@pytest.mark.parametrize('n_waiting', [1, 3])
def test_an_image_gets_its_own_calibration_however_late_the_node_is(rig, n_waiting, monkeypatch):
    """Behind a busy executor both wait together; each calibration was published first."""
    rig.collect_outputs('depth/image')
    (stream,), expected = rig.node.cameras, []
    (subscription,) = stream._images._subscriptions.values()
    take = subscription.callback

    def take_and_pause(message):
        take(message)
        time.sleep(0.02)  # so that the worker turns to it before the executor goes on

    monkeypatch.setattr(subscription, 'callback', take_and_pause)
    rig.publish_info(info_from_camera(CAMERA, Header()))
    for last in range(n_waiting, 8 * n_waiting, n_waiting):
        with rig.busy_executor():
            for sec in range(last - n_waiting + 1, last + 1):
                camera = replace(CAMERA, fx=6.0 + sec % 2, fy=6.0 + sec % 2)
                header = Header(stamp=Time(sec=sec, nanosec=5), frame_id=FRAME_ID)
                rig.infos.publish(info_from_camera(camera, header))
                rig.publish(sec, info=False)
            time.sleep(0.05)  # for all of them to arrive
        expected.append(6.0 + last % 2)  # of the others' images, the newest took the place
        wait(lambda: len(rig.depths()) == len(expected))
    assert rig.estimator.focals_px == pytest.approx(expected)


def test_enable_pauses_and_resumes(rig):
    rig.collect_outputs('depth/image')
    response = rig.call(SetBool, 'enable', SetBool.Request(data=False))
    assert (response.success, response.message) == (True, 'paused; the node is active')
    rig.publish(1)
    wait(lambda: rig.counts()['received'] == 1)
    response = rig.call(SetBool, 'enable', SetBool.Request(data=True))
    assert response.message == 'resumed; the node is active'
    rig.publish(2)
    rig.wait_depths(2)
    assert len(rig.estimator.focals_px) == 1


# Bad input


MALFORMED = {
    'unknown encoding': {'encoding': 'rgb9'},
    'data cut short': {'data': b'123'},
    'zero size': {'width': 0, 'height': 0},
    'step too short': {'step': 3 * W - 1},
    'width too large': {'width': 2 * W},
    'other aspect than CameraInfo': {'height': 2},
}


def test_malformed_images_are_skipped_and_the_next_is_processed(rig, log):
    rig.collect_outputs('depth/image')
    for count, fields in enumerate(MALFORMED.values(), 1):
        rig.publish(1, **fields)
        wait(lambda count=count: rig.counts()['skipped'] == count)
    rig.publish(2)
    rig.wait_depths(2)
    wait(lambda: "image skipped: got encoding 'rgb9'" in log)
    # Throttled: one line for all that came within five seconds.
    assert log.text.count('image skipped') == 1


def test_an_uncalibrated_camera_is_reported_until_it_is_calibrated(rig, log):
    rig.collect_outputs('depth/image')
    header = Header(stamp=Time(sec=1, nanosec=5))
    rig.publish_info(CameraInfo(header=header, width=W, height=H))
    rig.publish(1, info=False)
    wait(lambda: 'image skipped: got a CameraInfo whose K is all zero' in log)
    rig.publish(2)
    rig.wait_depths(2)
    assert rig.depths() == [2]
    assert rig.counts()['skipped'] == 1
    assert 'calibrate it (package camera_calibration)' in log


def test_an_estimator_that_fails_once_is_asked_again(rig, monkeypatch, log):
    rig.collect_outputs('depth/image')
    with monkeypatch.context() as patch:
        patch.setattr(rig.estimator, 'estimate', lambda *_: 1 / 0)
        rig.publish(1)
        wait(lambda: 'image skipped: ZeroDivisionError: division by' in log)
    rig.publish(2)
    rig.wait_depths(2)
    depth = np.frombuffer(rig.received['depth/image'][0].data, np.float32)
    np.testing.assert_array_equal(depth, np.full(H * W, 2.0, np.float32))  # red 20 / 10
    assert rig.counts()['skipped'] == 1


def test_a_node_that_waits_says_for_which_topic_and_why(make_rig, log):
    make_rig(arguments=['-r', 'image:=/cam/image_raw'])
    reasons = {
        'image on /cam/image_raw': ', where nobody publishes; start the camera, or remap image',
        'CameraInfo on /camera_info': ', though somebody publishes there; see: ros2 topic hz',
    }
    for what, reason in reasons.items():
        wait(lambda hint=f'got no {what}{reason}': hint in log)
    time.sleep(1.5)  # until the next health check, which says the same
    assert set(re.findall(r'got no (\w+ on [\w/]+)', log.text)) == set(reasons)
    assert log.text.count('got no ') == 2


def test_a_node_of_the_same_name_is_said(make_rig, ros_context, log):
    make_rig()
    twin = Node('mirror_depth', context=ros_context)
    try:
        wait(
            lambda: 'got 2 nodes of the name /mirror_depth, expected one: each output comes' in log
        )
    finally:
        twin.destroy_node()


def test_names_of_no_parameter_are_said_at_the_start(make_rig, log):
    qos = 'qos_overrides./mirror_depth/points.publisher.reliabilty'
    rig = make_rig(max_rnage=3.0, **{qos: 'best_effort'})
    rig.wait_active()
    wait(lambda: 'got a value for max_rnage, which is no parameter of /mirror_depth and' in log)
    wait(lambda: f'got a value for {qos}, which is no' in log)
    assert 'did you mean max_range?' in log
    assert log.text.count('got a value') == 2


# A camera without calibration


@pytest.mark.parametrize('info', [None, CameraInfo(width=W, height=H)])
def test_a_camera_without_calibration_is_told_its_field_of_view(make_rig, log, info):
    rig = make_rig(hfov_deg=90)
    rig.wait_active()
    rig.collect_outputs('depth/image', 'depth/camera_info')
    if info is not None:
        rig.publish_info(info)
    seconds = itertools.count(1)

    def depth_comes():
        rig.publish(next(seconds), info=False)
        time.sleep(0.05)
        return rig.received['depth/camera_info']

    wait(depth_comes)
    message = rig.received['depth/camera_info'][0]
    # 9 / 2 / tan(45 deg); the middle of pixels 0 to 8 and 0 to 6
    assert list(message.k) == pytest.approx([4.5, 0.0, 4.0, 0.0, 4.5, 3.0, 0.0, 0.0, 1.0])
    assert list(message.d) == [0.0] * 5
    assert message.header.frame_id == FRAME_ID
    assert rig.estimator.focals_px[0] == pytest.approx(4.5)
    wait(lambda: 'its images are assumed to be 90 degrees wide (parameter hfov_deg)' in log)
    assert 'got no CameraInfo' not in log

    n_before = next(seconds)
    rig.publish(n_before)  # with a calibration, which goes before what was assumed
    wait(lambda: n_before in rig.depths())
    assert rig.estimator.focals_px[-1] == pytest.approx(CAMERA.focal_px)


# Parameters


def test_an_image_at_work_keeps_the_parameters_it_began_with(rig, monkeypatch):
    """Or its depth would be scaled by one value and its points by another."""
    rig.collect_outputs('depth/image', 'depth/image_raw')
    rig.estimator.may_finish.clear()
    rig.publish(1, red=20)
    wait(lambda: rig.estimator.focals_px)
    changes = [Parameter('depth_scale', value=2.0), Parameter('out_of_range', value='clamp')]
    changes.append(Parameter('max_range', value=3.0))
    assert all(result.successful for result in rig.node.set_parameters(changes))
    rig.estimator.may_finish.set()
    rig.wait_depths(1)
    rig.publish(2, red=20)
    rig.wait_depths(1, 2)
    first, second = (np.frombuffer(m.data, np.float32) for m in rig.received['depth/image'])
    np.testing.assert_array_equal(first, of_red(20))
    np.testing.assert_array_equal(second, of_red(30))  # 4 m, clamped to 3


def test_outputs_of_one_image_share_their_parameters(rig, monkeypatch):
    seen = []

    def note(frame, memory):
        seen.append(frame.parameters)
        rig.node.set_parameters([Parameter('depth_scale', value=1.0 + len(seen))])
        return Image(header=frame.header)

    for output in (publisher.output for publisher in rig.node.cameras[0]._outputs):
        if output.message_type is Image:
            monkeypatch.setitem(vars(output), 'encode', note)
    rig.collect_outputs('depth/image', 'depth/image_raw', 'depth/preview')
    rig.publish(1)
    wait(lambda: len(seen) == 3)
    assert [parameters.depth_scale for parameters in seen] == [1.0, 1.0, 1.0]


# Lifecycle


def test_while_the_model_is_loaded_the_node_answers(make_rig, log):
    may_end = threading.Event()

    def load(model, **_):
        assert may_end.wait(PATIENCE_S)
        return RedIsDepth()

    rig = make_rig(load_estimator=load)
    statuses = rig.collect('/diagnostics', DiagnosticArray)
    try:
        wait(lambda: rig.node.state == 'configuring')
        answer = rig.call(GetState, 'get_state', GetState.Request())
        assert answer.current_state.label == 'configuring'
        assert rig.call(SetBool, 'enable', SetBool.Request(data=True)).success
        wait(lambda: any(s.message == 'configuring' for m in statuses for s in m.status))
        # What it is loaded for is fixed; what has nothing to do with it is not.
        request = SetParameters.Request(
            parameters=[
                Parameter('model', value='other').to_parameter_msg(),
                Parameter('max_range', value=20).to_parameter_msg(),
            ]
        )
        refused, taken = rig.call(SetParameters, 'set_parameters', request).results
        assert 'the model is loaded for it' in refused.reason
        assert taken.successful
        assert not rig.change(Transition.TRANSITION_ACTIVATE)  # an order that its state has not
    finally:
        may_end.set()
    rig.wait_active()


def test_a_manager_that_configures_while_it_loads_gets_the_same_answer(make_rig):
    loaded, may_end = [], threading.Event()

    def load(model, **_):
        loaded.append(model)
        assert may_end.wait(PATIENCE_S)
        return RedIsDepth()

    rig = make_rig(load_estimator=load)
    wait(lambda: loaded)
    client = rig.user.create_client(ChangeState, '/mirror_depth/change_state')
    assert client.wait_for_service(PATIENCE_S)
    transition = Transition(id=Transition.TRANSITION_CONFIGURE)
    future = client.call_async(ChangeState.Request(transition=transition))
    answer = rig.call(GetState, 'get_state', GetState.Request())  # after the call above
    assert (answer.current_state.label, future.done()) == ('configuring', False)
    may_end.set()
    wait(future.done)
    assert future.result().success
    # What follows is up to the manager, which would take «active already» for a failure.
    assert rig.node.state == 'inactive'
    assert rig.change(Transition.TRANSITION_ACTIVATE)
    rig.wait_active()
    assert loaded == ['builtin']


def test_a_stuck_model_does_not_keep_the_node_from_being_stopped(make_rig, monkeypatch, log):
    monkeypatch.setattr(depth_node, '_STOP_TIMEOUT_S', 0.2)
    estimators = []

    def load(model, **_):
        estimators.append(RedIsDepth())
        return estimators[-1]

    rig = make_rig(load_estimator=load)
    rig.wait_active()
    rig.collect_outputs('depth/image')
    stuck = estimators[0]
    stuck.may_finish.clear()
    rig.publish(1)
    wait(lambda: stuck.focals_px)
    try:
        assert rig.change(Transition.TRANSITION_DEACTIVATE)
        wait(
            lambda: 'the model is still at work on an image after 0.2 s and was left to it' in log
        )
        # No second thread may use it ...
        assert not rig.change(Transition.TRANSITION_ACTIVATE)
        wait(lambda: 'not activated: got a model that is still at work on an image from' in log)
        # ... but another model may be loaded.
        assert rig.change(Transition.TRANSITION_CLEANUP)
        assert rig.change(Transition.TRANSITION_CONFIGURE)
        assert rig.change(Transition.TRANSITION_ACTIVATE)
        rig.wait_active()
        (publisher,) = (
            p for p in rig.node.publishers if p.topic_name == '/mirror_depth/depth/image'
        )
        wait(lambda: publisher.get_subscription_count() == 1)
        rig.publish(2)
        rig.wait_depths(2)
    finally:
        stuck.may_finish.set()
    wait(lambda: [t.name for t in threading.enumerate()].count(WORKER_NAME) == 1)
    rig.publish(3)
    rig.wait_depths(2, 3)  # nothing came of the first
    assert len(estimators) == 2


def test_a_model_that_was_only_slow_is_taken_up_again(make_rig, monkeypatch, log):
    monkeypatch.setattr(depth_node, '_STOP_TIMEOUT_S', 0.2)
    rig = make_rig()
    rig.wait_active()
    rig.collect_outputs('depth/image')
    rig.estimator.may_finish.clear()
    rig.publish(1)
    wait(lambda: rig.estimator.focals_px)
    try:
        assert rig.change(Transition.TRANSITION_DEACTIVATE)
    finally:
        rig.estimator.may_finish.set()
    wait(lambda: WORKER_NAME not in [thread.name for thread in threading.enumerate()])
    assert rig.change(Transition.TRANSITION_ACTIVATE)
    rig.wait_active()
    rig.publish(2)
    rig.wait_depths(2)


def test_transitions_load_work_stop_and_free(make_rig, log):
    loaded = []

    def load(model, *, device, precision, clip_weights, backend):
        estimator = RedIsDepth()
        loaded.append((model, device, precision, clip_weights, backend, weakref.ref(estimator)))
        return estimator

    rig = make_rig(load_estimator=load, autostart=False, device='cpu', precision='bf16')
    assert (rig.node.state, loaded) == ('unconfigured', [])
    assert rig.change(Transition.TRANSITION_CONFIGURE)
    assert rig.node.state == 'inactive'
    assert loaded[0][:-1] == ('builtin', 'cpu', 'bf16', None, 'auto')
    assert rig.user.get_subscriptions_info_by_topic('/image') == []

    for sec in (1, 2):  # a second time just as the first
        assert rig.change(Transition.TRANSITION_ACTIVATE)
        rig.wait_active()
        rig.collect_outputs('depth/image')
        rig.publish(sec)
        rig.wait_depths(sec)
        assert rig.change(Transition.TRANSITION_DEACTIVATE)
        assert rig.node.state == 'inactive'
        wait(lambda: rig.images.get_subscription_count() == 0)
        for subscription in list(rig.user.subscriptions):
            if 'depth' in subscription.topic_name:
                rig.user.destroy_subscription(subscription)
    wait(lambda: 'stopped: 1 images, 1 processed in' in log)

    assert rig.change(Transition.TRANSITION_CLEANUP)
    assert rig.node.state == 'unconfigured'
    gc.collect()
    assert loaded[0][-1]() is None  # the model's memory is free
    wait(lambda: rig.user.get_publishers_info_by_topic('/mirror_depth/points') == [])
    assert rig.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert rig.node.state == 'finalized'


def test_shutting_down_an_active_node_ends_its_work(rig):
    assert rig.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert rig.node.state == 'finalized'
    assert 'depth_worker' not in [thread.name for thread in threading.enumerate()]


def test_a_model_that_does_not_load_can_be_tried_again(make_rig, log):
    attempts = []

    def load(model, **_):
        attempts.append(model)
        if len(attempts) == 1:
            raise FileNotFoundError(f'got model {model}, which does not exist')
        return RedIsDepth()

    rig = make_rig(load_estimator=load, model='/models/a.safetensors')  # autostart
    reason = 'not configured: got model /models/a.safetensors, which does not exist. When'
    wait(lambda: reason in log)
    wait(lambda: rig.node.state == 'unconfigured')
    assert rig.change(Transition.TRANSITION_CONFIGURE)
    assert rig.change(Transition.TRANSITION_ACTIVATE)
    rig.wait_active()
    rig.collect_outputs('depth/image')
    rig.publish(1)
    rig.wait_depths(1)


def test_a_missing_python_package_names_the_interpreter(make_rig, log):
    def load(model, **_):
        raise ModuleNotFoundError("No module named 'torch'")

    rig = make_rig(load_estimator=load)
    wait(lambda: "No module named 'torch' (with /" in log)
    assert not rig.change(Transition.TRANSITION_ACTIVATE)
    assert rig.node.state == 'unconfigured'


def test_clip_weights_that_are_not_where_the_model_says(make_rig, log, moved_clip):
    rig = make_rig(load_estimator=load_estimator, model=str(moved_clip[0]), device='cpu')
    wait(lambda: 'say as clip_weights where this machine has them' in log)
    wait(lambda: rig.node.state == 'unconfigured')


def test_clip_weights_that_lie_elsewhere(make_rig, moved_clip):
    model, weights = map(str, moved_clip)
    rig = make_rig(load_estimator=load_estimator, model=model, clip_weights=weights, device='cpu')
    rig.wait_active()
    rig.collect_outputs('depth/image')
    rig.publish(1)
    rig.wait_depths(1)
