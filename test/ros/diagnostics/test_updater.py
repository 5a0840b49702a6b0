"""Over real DDS: what is observed is on /diagnostics within seconds.

test_health.py has every message and when it is said, without ROS.
"""

import re
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.depth_node import DepthNode
from mirror_depth_ros.ros.messages import image_message

H, W = 7, 9
CAMERA = CameraModel(W, H, fx=6.0, fy=5.0, cx=4.0, cy=2.0)
# Five on a computer without other work.
WITHIN_S = 20.0
RATE_HZ = 20.0
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


class Bench:
    """A depth node, and camera, user and operator as another participant of the domain."""

    def __init__(self, contexts, *, estimate, arguments, load_estimator, **parameters):
        estimator = SimpleNamespace(
            device='cpu',
            precision='fp32',
            backend='torch',
            notice='',
            has_confidence=False,
            estimate_batch=lambda *batch, **_: [(d, None, None) for d in map(estimate, *batch)],
        )
        #: Offset of the stamps from the system's clock, and changes to the messages.
        self.offset_s, self.image_fields, self.info_fields = 0.0, {}, {}
        self.statuses = []
        self.node = DepthNode(
            load_estimator=load_estimator or (lambda model, **_: estimator),
            context=contexts[0],
            cli_args=['--ros-args', *arguments],
            parameter_overrides=[Parameter(n, value=v) for n, v in parameters.items()],
        )
        self.user = Node('user', context=contexts[1])
        self.user.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._executors, self._threads = [], []
        for node, context in zip((self.node, self.user), contexts):
            executor = SingleThreadedExecutor(context=context)
            executor.add_node(node)
            self._executors.append(executor)
            self._threads.append(threading.Thread(target=executor.spin, daemon=True))
            self._threads[-1].start()

    def close(self):
        for executor, thread in zip(self._executors, self._threads):
            executor.shutdown()
            thread.join(WITHIN_S)
        for node in (self.node, self.user):
            node.destroy_node()

    def _on_diagnostics(self, message):
        (status,) = message.status
        self.statuses.append((message.header.stamp, status))

    def stream(self, image_qos=BEST_EFFORT):
        """Let the camera send images, calibration first; return their publisher."""
        images = self.user.create_publisher(Image, 'image', image_qos)
        infos = self.user.create_publisher(CameraInfo, 'camera_info', 10)

        def send():
            ns = time.time_ns() + round(self.offset_s * 1e9)
            header = Header(stamp=Time(sec=ns // 10**9, nanosec=ns % 10**9), frame_id='optical')
            infos.publish(changed(info_from_camera(CAMERA, header), self.info_fields))
            image = image_message(header, 'rgb8', np.full((H, W, 3), 20, np.uint8))
            images.publish(changed(image, self.image_fields))

        self.timer = self.user.create_timer(1 / RATE_HZ, send)
        return images

    def watch(self, qos=RELIABLE):
        """Subscribe to depth; return the list of what comes."""
        depths = []
        topic = '/mirror_depth/depth/image'
        self.user.create_subscription(Image, topic, depths.append, qos)
        return depths

    def expect(self, level, message):
        """Wait for a status that comes after now; return its values."""
        n_before, deadline = len(self.statuses), time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            for _, status in self.statuses[n_before:]:
                if (status.level, bool(re.search(message, status.message))) == (level, True):
                    return {pair.key: pair.value for pair in status.values}
            time.sleep(0.01)
        said = [(status.level, status.message) for _, status in self.statuses[n_before:]]
        raise AssertionError(f'got {said}, expected {level} {message!r} within {WITHIN_S} s')

    def enable(self, data):
        client = self.user.create_client(SetBool, '/mirror_depth/enable')
        assert client.wait_for_service(WITHIN_S)
        client.call_async(SetBool.Request(data=data))


def changed(message, fields):
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def one_metre(rgb, focal_px):
    return np.ones(rgb.shape[:2], np.float32)


@pytest.fixture
def make_bench(ros_context, ros_domain_id):
    # Fast DDS lets one participant know but one type of a topic.
    other = rclpy.Context()
    rclpy.init(context=other, domain_id=ros_domain_id)
    benches = []

    def make(*, estimate=one_metre, arguments=(), load_estimator=None, **parameters):
        benches.append(
            Bench(
                (ros_context, other),
                estimate=estimate,
                arguments=arguments,
                load_estimator=load_estimator,
                **parameters,
            )
        )
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()
    rclpy.shutdown(context=other)


# How it is said


def test_the_status_names_node_camera_and_figures(make_bench):
    bench = make_bench(arguments=['-r', '__ns:=/front', '-r', '/diagnostics:=/robot/health'])
    bench.user.create_subscription(DiagnosticArray, '/robot/health', bench._on_diagnostics, 10)
    bench.user.create_publisher(Image, '/front/image', 1)  # its topics are the namespace's
    bench.expect(ERROR, '^got no image on /front/image, though somebody publishes there; see')
    for _ in range(4):
        bench.expect(ERROR, '^got no image on /front/image')
    stamps = [stamp.sec + stamp.nanosec / 1e9 for stamp, _ in bench.statuses]
    assert np.median(np.diff(stamps)) == pytest.approx(1.0, abs=0.4)
    assert abs(stamps[-1] - time.time()) < 2.0
    status = bench.statuses[-1][1]
    assert status.name == 'front/mirror_depth: depth'
    assert status.hardware_id == '/front/image'  # until an image names its frame


def test_a_node_that_works_says_how_fast(make_bench):
    bench = make_bench(estimate=lambda *a: time.sleep(0.02) or one_metre(*a))
    bench.stream()
    depths = bench.watch()
    bench.expect(OK, r'^depth comes at [\d.]+ Hz$')
    values = bench.expect(OK, r'^depth comes at (1[6-9]|2[0-4])\.\d Hz$')
    assert bench.statuses[-1][1].hardware_id == 'optical'
    assert (values['model'], values['device']) == ('builtin', 'cpu (no GPU found)')
    assert values['state'] == 'active'
    assert int(values['images received']) >= int(values['images processed']) > 0
    assert float(values['input rate [Hz]']) == pytest.approx(RATE_HZ, rel=0.5)
    estimate_ms, total_ms = (float(values[f'{s}, p50 [ms]']) for s in ('estimate', 'total'))
    assert 20.0 < estimate_ms < total_ms
    ages = [float(values[f'image age when {w}, p50 [ms]']) for w in ('it comes', 'depth goes out')]
    assert 0.0 < ages[0] < ages[0] + 20.0 < ages[1]
    assert 10.0 < float(values['resident memory [MB]']) < 10_000.0
    assert depths


# Nothing comes in


def test_nobody_publishes(make_bench):
    values = make_bench().expect(ERROR, '^got no image on /image, where nobody publishes; start')
    assert values['also'].startswith('got no CameraInfo on /camera_info, where nobody publishes')


def test_another_type_on_the_topic(make_bench):
    bench = make_bench()
    bench.user.create_publisher(PointCloud2, 'image', 1)
    bench.expect(
        ERROR,
        '^got no image on /image: sensor_msgs/msg/PointCloud2 is published there, expected '
        'sensor_msgs/msg/Image; remap image',
    )


@pytest.mark.parametrize(
    ('transport', 'message_type', 'published', 'missing', 'remedy'),
    [
        ('raw', CompressedImage, '/image/compressed', '/image', 'compressed'),
        ('compressed', Image, '/image', '/image/compressed', 'raw'),
    ],
)
def test_another_transport(make_bench, transport, message_type, published, missing, remedy):
    bench = make_bench(image_transport=transport)
    bench.user.create_publisher(message_type, published, 1)
    bench.expect(
        ERROR,
        f'^got no image on {missing}, but {remedy} images are published on {published}; set the '
        f'parameter image_transport to {remedy}$',
    )


@pytest.mark.parametrize(
    ('transport', 'topic', 'message_type', 'remedy'),
    [
        ('raw', '/phone/jpeg', CompressedImage, 'compressed'),
        ('raw', '/cam/image_raw/compressed', CompressedImage, 'compressed'),
        ('compressed', '/cam/compressed', Image, 'raw'),
    ],
)
def test_the_type_of_a_topic_decides_not_its_name(
    make_bench, transport, topic, message_type, remedy
):
    bench = make_bench(image_transport=transport, arguments=['-r', f'image:={topic}'])
    bench.user.create_publisher(message_type, topic, 1)
    bench.expect(
        ERROR,
        f'^got no image on {topic}, but {remedy} images are published there; set the parameter '
        f'image_transport to {remedy}$',
    )


def test_an_input_asks_for_more_than_is_offered(make_bench):
    bench = make_bench(image_reliability='reliable')
    bench.stream(image_qos=BEST_EFFORT)
    bench.expect(
        ERROR,
        r'^got no image on /image: its publisher and this node differ in QoS \(reliability\); '
        'set the parameter image_reliability to auto, or change the publisher$',
    )
    bench.node.set_parameters([Parameter('image_reliability', value='auto')])
    bench.expect(OK, '^idle: nobody subscribes$')


def test_an_override_asks_for_more_than_is_offered(make_bench):
    override = 'qos_overrides./image.subscription.reliability'
    bench = make_bench(**{override: 'reliable'})
    images = bench.stream(image_qos=BEST_EFFORT)
    bench.expect(
        ERROR,
        r'^got no image on /image: its publisher and this node differ in QoS \(reliability\); '
        f'remove the parameter {override}, or change',
    )
    bench.user.destroy_timer(bench.timer)
    bench.user.destroy_publisher(images)
    bench.stream(image_qos=RELIABLE)
    bench.expect(OK, '^idle: nobody subscribes$')


# What comes in cannot be used


def test_an_uncalibrated_camera_and_one_of_another_aspect(make_bench):
    bench = make_bench()  # found before anybody subscribes
    bench.info_fields = {'k': np.zeros(9)}
    bench.stream()
    bench.expect(ERROR, r'^/camera_info: got a CameraInfo whose K is all zero.*calibrate it')
    bench.info_fields = {'height': 3 * H}
    bench.expect(ERROR, '^/camera_info: got an image of 9 x 7 pixels and a CameraInfo for 9 x 21')
    bench.info_fields = {}
    bench.expect(OK, '^idle: nobody subscribes$')


def test_malformed_images(make_bench):
    bench = make_bench()
    bench.image_fields = {'encoding': 'rgb9'}
    bench.stream()
    bench.watch()
    message = (
        r"malformed images skipped in the last 5 s, the latest: got encoding 'rgb9', expected"
    )
    values = bench.expect(ERROR, r'^\d+ ' + message)
    assert int(values['images skipped']) > 0
    assert values['last skipped because'].startswith("got encoding 'rgb9'")
    assert 'also' not in values


def test_16_bit_images_of_a_camera_that_uses_12(make_bench, capfd):
    whitest = []
    bench = make_bench(estimate=lambda rgb, f: whitest.append(rgb.max()) or one_metre(rgb, f))
    bright = np.linspace(0, 4095, H * W).astype('<u2')
    as_sent = {'encoding': 'mono16', 'is_bigendian': False, 'step': 2 * W}
    bench.image_fields = {**as_sent, 'data': bright.tobytes()}
    bench.stream()
    bench.watch()
    values = bench.expect(OK, '^depth comes at')
    assert values['values of 16-bit images fill'] == '12 of 16 bits'
    assert set(whitest) == {255}
    bench.image_fields = {**as_sent, 'data': (bright // 8).tobytes()}  # it does not jump
    deadline = time.monotonic() + WITHIN_S
    while whitest[-1] == 255 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert whitest[-1] == 32  # 511 * 255 / 4095 = 31.8
    logged = ''.join(capfd.readouterr())
    assert logged.count('values of the 16-bit images fill 12 of 16 bits') == 1


def test_a_model_that_fails(make_bench):
    bench = make_bench(estimate=lambda *_: 1 / 0)
    bench.stream()
    bench.watch()
    bench.expect(
        ERROR,
        r'^\d+ images on which the model failed \(on cpu\) in the last 5 s, the latest: '
        'ZeroDivisionError: division by zero$',
    )


def test_a_model_that_comes_to_no_end(make_bench):
    may_finish = threading.Event()
    bench = make_bench(estimate=lambda *a: may_finish.wait(10.0) and one_metre(*a), device='cpu')
    bench.stream()
    bench.watch()
    bench.expect(OK, '^waiting for depth$')
    bench.expect(WARN, r'^got no depth for \d s: the model is still at work on one image, on cpu;')
    may_finish.set()
    bench.expect(OK, r'^depth comes at [\d.]+ Hz$')


# Depth comes, but not as it should


def test_a_subscriber_that_asks_for_more_than_is_offered(make_bench):
    override = 'qos_overrides./mirror_depth/depth/image.publisher.reliability'
    bench = make_bench(**{override: 'best_effort'})
    bench.stream()
    depths = bench.watch(RELIABLE)
    bench.expect(
        WARN,
        '^/mirror_depth/depth/image does not reach 1 of its subscribers, whose QoS differs '
        rf'\(reliability\); remove the parameter {override}, or change theirs$',
    )
    assert depths == []
    (subscription,) = (s for s in bench.user.subscriptions if 'depth' in s.topic_name)
    bench.user.destroy_subscription(subscription)
    bench.watch(BEST_EFFORT)
    bench.expect(OK, r'^depth comes at [\d.]+ Hz$')


def test_pausing_and_resuming(make_bench):
    bench = make_bench()
    bench.stream()
    bench.watch()
    bench.enable(False)
    bench.expect(WARN, '^paused by ~/enable; to resume: ros2 service call /mirror_depth/enable')
    bench.enable(True)
    bench.expect(OK, r'^depth comes at [\d.]+ Hz$')


def test_images_of_another_time(make_bench):
    bench = make_bench()
    bench.offset_s = -2.0
    bench.stream()
    bench.expect(WARN, r'^got images that are 2\.\d s old when they come, expected less than 1 s;')
    bench.offset_s = -86400.0  # a recording: blaming it for as long as it plays would not help
    values = bench.expect(OK, r'^idle: nobody subscribes; stamps of images are 1\.0 days behind')
    assert values['image age when it comes, p50 [ms]'] == 'unknown'


def test_ages_are_those_of_simulated_time(make_bench):
    bench = make_bench(use_sim_time=True)
    bench.offset_s = 1000.0 - time.time()  # the simulator is at 1000 s, more or less
    bench.stream()
    bench.expect(OK, '^idle: .*use_sim_time is set, and nobody publishes /clock; start')
    clocks = bench.user.create_publisher(Clock, '/clock', 10)

    def tick():
        now_s = time.time() + bench.offset_s
        clocks.publish(Clock(clock=Time(sec=int(now_s), nanosec=int(now_s % 1 * 1e9))))

    bench.user.create_timer(0.02, tick)
    bench.expect(OK, '^idle: nobody subscribes$')
    assert bench.statuses[-1][0].sec == pytest.approx(1000, abs=60)


# The node does not work


def test_a_node_that_is_not_active(make_bench):
    bench = make_bench(autostart=False)
    bench.expect(WARN, '^unconfigured; to go on: ros2 lifecycle set /mirror_depth configure$')
    bench.node.trigger_configure()
    values = bench.expect(WARN, '^inactive; to go on: ros2 lifecycle set /mirror_depth activate$')
    assert values['device'] == 'cpu (no GPU found)'
    bench.node.trigger_activate()
    bench.expect(OK, '^waiting for the first image$')


def test_a_model_that_does_not_load(make_bench):
    def load(model, **_):
        raise FileNotFoundError(f'got model {model}, which does not exist')

    bench = make_bench(load_estimator=load, model='/no/such')
    bench.expect(
        ERROR,
        '^not configured: got model /no/such, which does not exist. When that is mended: ros2 '
        'lifecycle set /mirror_depth configure$',
    )
