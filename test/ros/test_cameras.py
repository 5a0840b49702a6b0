"""Several cameras in one node over real DDS: batches, isolation, fairness, diagnostics."""

import re
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.ros import messages
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.depth_node import DepthNode, load_estimator
from mirror_depth_ros.ros.outputs import OUTPUTS

PATIENCE_S = 60.0
CAMERAS = {
    'front': CameraModel(9, 7, fx=6.0, fy=5.0, cx=4.0, cy=2.0),
    'left': CameraModel(13, 5, fx=8.0, fy=8.0, cx=6.0, cy=2.0),
    'rear': CameraModel(11, 17, fx=7.0, fy=7.0, cx=5.0, cy=8.0),
}
SIZES = {name: (camera.height, camera.width) for name, camera in CAMERAS.items()}
TYPES = {
    'depth/image': Image,
    'depth/image_raw': Image,
    'depth/camera_info': CameraInfo,
    'depth/preview': Image,
    'points': PointCloud2,
    'nav_points': PointCloud2,
}
BROKEN = 99


class RedIsDepth:
    """Takes a pixel's red for its depth in tenths of a metre, and is sure of it.

    It fails on images as red as BROKEN.
    """

    device, precision, backend, notice = 'cpu', 'fp32', 'torch', ''
    has_confidence = True

    def __init__(self):
        #: What came together: sizes, focal lengths.
        self.batches = []
        self.may_finish = threading.Event()
        self.may_finish.set()

    def estimate_batch(self, images, focal_px, *, with_confidence=False):
        self.batches.append([(rgb.shape[:2], f) for rgb, f in zip(images, focal_px)])
        assert self.may_finish.wait(PATIENCE_S)
        if any((rgb[..., 0] == BROKEN).any() for rgb in images):
            raise FloatingPointError('too red')
        depths = [rgb[..., 0].astype(np.float32) / 10 for rgb in images]
        sure = map(np.ones_like, depths) if with_confidence else [None] * len(depths)
        return [(*parts, None) for parts in zip(depths, sure)]

    @property
    def sizes(self):
        return [[size for size, _ in batch] for batch in self.batches]


class Rig:
    """A depth node for several cameras, and a node that plays them, their user and operator."""

    def __init__(self, context, names=tuple(CAMERAS), load=None, arguments=(), **parameters):
        self.estimator = RedIsDepth()
        self.node = DepthNode(
            load_estimator=load or (lambda model, **_: self.estimator),
            context=context,
            cli_args=['--ros-args', *arguments],
            parameter_overrides=[
                Parameter(n, value=v) for n, v in {'cameras': list(names), **parameters}.items()
            ],
        )
        self.streams = dict(zip(names, self.node.cameras))
        self.user = Node('user', context=context)
        self.images, self.infos, self.depths, self.statuses = {}, {}, {}, []
        for name in names:
            self.images[name] = self.user.create_publisher(Image, f'{name}/image', 10)
            self.infos[name] = self.user.create_publisher(CameraInfo, f'{name}/camera_info', 10)
        self.user.create_subscription(DiagnosticArray, '/diagnostics', self.statuses.append, 10)
        # A participant's nodes share a thread, as those of a process mostly do.
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

    def wait_active(self):
        wait(lambda: self.node.state == 'active')
        for publisher in (*self.images.values(), *self.infos.values()):
            wait(lambda publisher=publisher: publisher.get_subscription_count() == 1)

    def watch(self, *names):
        """Subscribe to the depth of cameras."""
        for name in names:
            self.depths[name] = self.collect(f'{name}/depth/image', Image)

    def collect(self, topic, message_type):
        received = []
        topic = f'/mirror_depth/{topic}'
        self.user.create_subscription(message_type, topic, received.append, 10)
        publishers = {p.topic_name: p for p in self.node.publishers}
        wait(lambda: publishers[topic].get_subscription_count() == 1)
        return received

    def publish(self, name, sec, red=20, **fields):
        """Publish an image, its calibration first."""
        stamp = Time(sec=sec, nanosec=5)
        header = Header(stamp=stamp, frame_id=f'{name}_optical')
        self.infos[name].publish(info_from_camera(CAMERAS[name], header))
        image = messages.image_message(header, 'rgb8', np.full((*SIZES[name], 3), red, np.uint8))
        for field, value in fields.items():
            setattr(image, field, value)
        self.images[name].publish(image)

    def hand_over(self, name, sec, **options):
        """Publish an image and wait until the node has it."""
        before = self.counts(name)['received']
        self.publish(name, sec, **options)
        wait(lambda: self.counts(name)['received'] == before + 1)

    def counts(self, name):
        return self.streams[name].measurements.summarise().counts

    def seconds(self, name):
        return [depth.header.stamp.sec for depth in self.depths[name]]

    def wait_seconds(self, **expected):
        """Wait until the depth of images with these stamps has come, and no others."""
        for name, seconds in expected.items():
            wait(lambda name=name, seconds=seconds: len(self.depths[name]) >= len(seconds))
            assert self.seconds(name) == seconds, name

    def status(self, name, pattern):
        """Wait for a status from now on of that name with such a message."""
        begun = len(self.statuses)

        def find():
            for message in self.statuses[begun:]:
                for status in message.status:
                    if status.name == name and re.search(pattern, status.message):
                        return message, status
            return None

        wait(find)
        return find()

    def stream(self, name, rate_hz=20.0):
        """Let a camera send images; return the timer."""
        return self.user.create_timer(1 / rate_hz, lambda: self.publish(name, int(time.time())))

    def call(self, service_type, name, **fields):
        client = self.user.create_client(service_type, f'/mirror_depth/{name}')
        assert client.wait_for_service(PATIENCE_S)
        future = client.call_async(service_type.Request(**fields))
        wait(future.done)
        return future.result()


def wait(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.005)


@pytest.fixture
def make_rig(ros_context):
    rigs = []

    def make(*args, **options):
        rigs.append(Rig(ros_context, *args, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig):
    rig = make_rig()
    rig.wait_active()
    return rig


# What comes of each


def test_every_camera_has_its_own_outputs(rig):
    got = {(c, o): rig.collect(f'{c}/{o}', type_) for c in CAMERAS for o, type_ in TYPES.items()}
    reds = {'front': 20, 'left': 30, 'rear': 40}
    for sec, name in enumerate(CAMERAS, 1):
        rig.publish(name, sec, red=reds[name])
    wait(lambda: all(got.values()))
    for (name, output), (message, *_) in got.items():
        header = Header(
            stamp=Time(sec=list(CAMERAS).index(name) + 1, nanosec=5), frame_id=f'{name}_optical'
        )
        assert message.header == header
        if output != 'nav_points':
            assert (message.height, message.width) == SIZES[name], output
        if output == 'depth/camera_info':
            assert message == info_from_camera(CAMERAS[name], header)
        if output == 'depth/image':
            depth = np.frombuffer(message.data, np.float32)
            np.testing.assert_array_equal(depth, np.float32(reds[name] / 10))
        if output == 'points':
            # Of the last pixel, in metres: 4 behind it is (10 - 5) / 7 * 4 right for rear.
            last = np.frombuffer(message.data, np.float32).reshape(-1, 4)[-1, 0]
            expected = {'front': 4 / 6 * 2.0, 'left': 6 / 8 * 3.0, 'rear': 5 / 7 * 4.0}
            assert last == pytest.approx(expected[name])
    assert rig.user.get_publishers_info_by_topic('/mirror_depth/depth/image') == []
    assert rig.user.get_subscriptions_info_by_topic('/image') == []


@pytest.mark.parametrize(
    ('names', 'frame_id', 'expected'),
    [
        (('front', 'left'), 'robot/{camera}_lens', 'robot/left_lens'),
        (('left',), 'lens', 'lens'),
        (('left',), '', 'left_optical'),
    ],
)
def test_all_outputs_are_in_the_frame_that_is_named(make_rig, names, frame_id, expected):
    rig = make_rig(names)
    rig.wait_active()
    received = {o.topic: rig.collect(f'left/{o.topic[2:]}', o.message_type) for o in OUTPUTS}
    (result,) = rig.node.set_parameters([Parameter('frame_id', value=frame_id)])
    assert result.successful
    rig.publish('left', 1)
    wait(lambda: all(received.values()))
    header = Header(stamp=Time(sec=1, nanosec=5), frame_id=expected)
    assert {topic: messages[0].header for topic, messages in received.items()} == dict.fromkeys(
        received, header
    )


def test_each_image_gets_its_own_cameras_depth_of_a_real_model(make_rig, tiny_model):
    rig = make_rig(load=load_estimator, model=str(tiny_model), precision='fp32', device='cpu')
    rig.wait_active()
    rig.watch(*CAMERAS)
    rng = np.random.default_rng(7)
    pictures = {n: rng.integers(0, 256, (*size, 3), np.uint8) for n, size in SIZES.items()}
    for name, rgb in pictures.items():
        rig.publish(name, 1, data=rgb.tobytes())
    estimator = DepthEstimator.load(tiny_model, device='cpu', precision='fp32')
    for name, rgb in pictures.items():
        wait(lambda name=name: rig.depths[name])
        depth = np.frombuffer(rig.depths[name][0].data, np.float32).reshape(SIZES[name])
        expected = estimator.estimate(rgb, CAMERAS[name].focal_px)
        np.testing.assert_allclose(depth, expected, rtol=1e-4)


def test_compressed_images_come_from_beside_each_remapped_topic(make_rig):
    arguments = ['-r', 'front/image:=/cam0/image_raw', '-r', 'left/image:=/cam1/image_raw']
    rig = make_rig(('front', 'left'), arguments=arguments, image_transport='compressed')
    wait(lambda: rig.node.state == 'active')
    rig.watch('front', 'left')
    for name, topic in (('front', '/cam0/image_raw'), ('left', '/cam1/image_raw')):
        publisher = rig.user.create_publisher(CompressedImage, f'{topic}/compressed', 10)
        wait(lambda publisher=publisher: publisher.get_subscription_count() == 1)
        wait(lambda name=name: rig.infos[name].get_subscription_count() == 1)
        header = Header(stamp=Time(sec=3), frame_id=name)
        rig.infos[name].publish(info_from_camera(CAMERAS[name], header))
        bgr = np.full((*SIZES[name], 3), (0, 0, 35), np.uint8)
        data = cv2.imencode('.png', bgr)[1].tobytes()
        publisher.publish(CompressedImage(header=header, format='png', data=data))
    rig.wait_seconds(front=[3], left=[3])
    assert {d[0].header.frame_id for d in rig.depths.values()} == {'front', 'left'}


# Batches


def test_the_newest_images_that_wait_are_one_batch(rig):
    rig.watch(*CAMERAS)
    rig.estimator.may_finish.clear()
    rig.hand_over('front', 1)
    wait(lambda: rig.estimator.batches)
    rig.hand_over('rear', 1)
    for sec in (2, 3, 4):
        rig.hand_over('front', sec)
    rig.hand_over('left', 1)
    rig.estimator.may_finish.set()
    rig.wait_seconds(front=[1, 4], left=[1], rear=[1])
    # Who has waited longest comes first; each image has its own camera's focal length.
    second = [SIZES['rear'], SIZES['front'], SIZES['left']]
    assert rig.estimator.sizes == [[SIZES['front']], second]
    focals = [focal for _, focal in rig.estimator.batches[1]]
    assert focals == pytest.approx([CAMERAS[n].focal_px for n in ('rear', 'front', 'left')])
    assert [rig.counts(name)['dropped'] for name in CAMERAS] == [2, 0, 0]


def test_a_camera_that_nobody_watches_is_left_out(rig):
    rig.watch('front', 'rear')
    rig.estimator.may_finish.clear()
    rig.hand_over('front', 1)
    wait(lambda: rig.estimator.batches)
    for name in CAMERAS:
        rig.hand_over(name, 2)
    rig.estimator.may_finish.set()
    rig.wait_seconds(front=[1, 2], rear=[2])
    assert rig.estimator.sizes[1:] == [[SIZES['front'], SIZES['rear']]]
    assert rig.counts('left')['ignored'] == 1


def test_a_fast_camera_does_not_starve_a_slow_one(rig):
    rig.watch('front', 'left')
    timer = rig.stream('front', rate_hz=100.0)
    estimate = rig.estimator.estimate_batch
    rig.estimator.estimate_batch = lambda *b, **o: (estimate(*b, **o), time.sleep(0.05))[0]
    wait(lambda: rig.counts('front')['dropped'] > 10)
    begun = []
    for sec in range(1, 9):
        rig.hand_over('left', sec)
        begun.append(len(rig.estimator.batches))
        wait(lambda sec=sec: rig.counts('left')['processed'] == sec)
    rig.user.destroy_timer(timer)
    rig.wait_seconds(left=list(range(1, 9)))
    turns = [i for i, sizes in enumerate(rig.estimator.sizes) if SIZES['left'] in sizes]
    # That at work when it came, perhaps one that has begun before we looked, and its own.
    assert all(turn <= n_begun + 1 for turn, n_begun in zip(turns, begun, strict=True))
    assert rig.counts('left')['dropped'] == 0
    assert rig.counts('front')['dropped'] > 20


def test_a_camera_measures_the_scale_by_its_own_images(make_rig, monkeypatch):
    monkeypatch.setattr('mirror_depth_ros.ros.scale_calibration._INTERVAL_S', 0.0)
    rig = make_rig(camera_height=0.4)
    rig.wait_active()
    for name in ('front', 'left'):
        rig.stream(name)
    response = rig.call(Trigger, 'left/calibrate_scale')
    assert not response.success  # a wall has no ground
    assert re.match('got .*ground', response.message), response.message
    assert [rig.counts(name)['processed'] for name in CAMERAS] == [0, 10, 0]


# What is wrong with one


def test_a_malformed_image_costs_the_others_nothing(rig, capfd):
    rig.watch(*CAMERAS)
    rig.estimator.may_finish.clear()
    rig.hand_over('front', 1)
    wait(lambda: rig.estimator.batches)
    rig.hand_over('front', 2, encoding='rgb9')
    rig.hand_over('left', 2)
    rig.hand_over('rear', 2, data=b'123')
    rig.estimator.may_finish.set()
    rig.wait_seconds(front=[1], left=[2])
    wait(lambda: rig.counts('rear')['skipped'] == 1)
    assert rig.estimator.sizes[1:] == [[SIZES['left']]]
    assert [rig.counts(name)['skipped'] for name in CAMERAS] == [1, 0, 1]
    rig.publish('front', 3)
    rig.publish('rear', 3)
    rig.wait_seconds(front=[1, 3], rear=[3])
    # Each camera says it for itself, under its own name, although both came within a second.
    text = ''.join(capfd.readouterr())
    assert re.search(r"\[mirror_depth\.front\]: image skipped: got encoding 'rgb9'", text)
    assert re.search(r'\[mirror_depth\.rear\]: image skipped: got \d+', text)


def test_an_image_that_the_model_fails_on_costs_the_others_nothing(rig):
    rig.watch(*CAMERAS)
    rig.estimator.may_finish.clear()
    rig.hand_over('front', 1)
    wait(lambda: rig.estimator.batches)
    rig.hand_over('front', 2)
    rig.hand_over('left', 2, red=BROKEN)
    rig.hand_over('rear', 2)
    rig.estimator.may_finish.set()
    rig.wait_seconds(front=[1, 2], rear=[2])
    assert rig.depths['left'] == []
    wait(lambda: rig.counts('left')['skipped'] == 1)
    left = rig.streams['left'].measurements.summarise()
    assert (left.skip_stage, left.skip_reason) == ('estimate', 'FloatingPointError: too red')


def test_a_camera_without_calibration_holds_up_none(rig):
    rig.watch('front', 'left')
    image = messages.image_message(Header(), 'rgb8', np.zeros((*SIZES['left'], 3), np.uint8))
    rig.images['left'].publish(image)
    wait(lambda: rig.counts('left')['ignored'] == 1)
    rig.publish('front', 1)
    rig.wait_seconds(front=[1])
    rig.publish('left', 2)
    rig.wait_seconds(left=[2])


def test_a_dead_camera_is_seen_while_the_others_work(rig):
    rig.watch(*CAMERAS)
    timers = {name: rig.stream(name) for name in ('front', 'left')}
    for name in timers:
        _, status = rig.status(f'mirror_depth: {name}', r'^depth comes at [\d.]+ Hz$')
        assert status.hardware_id == f'{name}_optical'
    timers['left'].cancel()
    message, dead = rig.status('mirror_depth: left', r'^got no image on /left/image for \d s, tho')
    assert dead.level == DiagnosticStatus.ERROR
    assert [status.name for status in message.status] == [
        'mirror_depth: depth',
        'mirror_depth: front',
        'mirror_depth: left',
        'mirror_depth: rear',
    ]
    of_node, alive, _, absent = message.status
    assert re.fullmatch(r'depth comes at [\d.]+ Hz', alive.message)
    assert absent.message.startswith('got no image on /rear/image, though somebody publishes')
    assert (of_node.level, of_node.message) == (DiagnosticStatus.OK, 'active, for 3 cameras')
    values = {pair.key: pair.value for pair in of_node.values}
    assert values['device'] == 'cpu (no GPU found)'
    assert float(values['resident memory [MB]']) > 10.0
    keys = {pair.key for pair in alive.values}
    assert 'images dropped for newer ones' in keys
    assert keys.isdisjoint(values)
    timers['left'].reset()
    rig.status('mirror_depth: left', r'^depth comes at [\d.]+ Hz$')


def test_a_camera_that_is_not_there_is_named_as_it_is_remapped(make_rig):
    rig = make_rig(('front', 'left'), arguments=['-r', 'left/image:=/side/image_raw'])
    rig.status(
        'mirror_depth: left',
        '^got no image on /side/image_raw, where nobody publishes; start the camera, or remap '
        'left/image to its topic$',
    )


# All together


def test_pausing_and_resuming_is_for_all(rig):
    rig.watch(*CAMERAS)
    rig.call(SetBool, 'enable', data=False)
    for name in CAMERAS:
        rig.hand_over(name, 1)
    rig.status('mirror_depth: depth', '^paused by ~/enable; to resume: ros2 service call')
    rig.call(SetBool, 'enable', data=True)
    for name in CAMERAS:
        rig.publish(name, 2)
    rig.wait_seconds(front=[2], left=[2], rear=[2])


def test_each_camera_begins_anew_after_a_restart(rig):
    rig.watch(*CAMERAS)
    for name in CAMERAS:
        rig.publish(name, 1)
    rig.wait_seconds(front=[1], left=[1], rear=[1])
    rig.node.trigger_deactivate()
    for publisher in (*rig.images.values(), *rig.infos.values()):
        wait(lambda publisher=publisher: publisher.get_subscription_count() == 0)
    rig.node.trigger_cleanup()
    wait(lambda: rig.user.count_publishers('/mirror_depth/left/depth/image') == 0)
    rig.status('mirror_depth: depth', '^unconfigured; to go on: ros2 lifecycle set /mirror_depth')
    for transition in (rig.node.trigger_configure, rig.node.trigger_activate):
        transition()
    rig.wait_active()
    assert [rig.counts(name)['received'] for name in CAMERAS] == [0, 0, 0]
    for name in CAMERAS:
        wait(lambda name=name: rig.streams[name].wanted_outputs())
        rig.publish(name, 2)
    rig.wait_seconds(front=[1, 2], left=[1, 2], rear=[1, 2])


def test_one_camera_may_have_a_name(make_rig):
    rig = make_rig(('front',))
    rig.wait_active()
    rig.watch('front')
    rig.publish('front', 1)
    rig.wait_seconds(front=[1])
    message, _ = rig.status('mirror_depth: depth', '^active, for 1 camera$')
    assert [s.name for s in message.status] == ['mirror_depth: depth', 'mirror_depth: front']


def test_names_that_are_none_are_refused(ros_context):
    overrides = [Parameter('cameras', value=['front', '2nd'])]
    with pytest.raises(ValueError, match="got the camera name '2nd', expected a letter and then"):
        DepthNode(
            load_estimator=lambda model, **_: SimpleNamespace(),
            context=ros_context,
            parameter_overrides=overrides,
        )
