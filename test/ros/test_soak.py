"""Many images through the node in a process of its own: memory, latency, and whose depth it is."""

import time
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.messages import image_message

H, W = 49, 65
CAMERA = CameraModel.from_fov(W, H, 70.0)
PATIENCE_S = 60.0
# One image is worked on while the next one waits: as fast as it goes without dropping any.
IN_FLIGHT = 2
SCENES = 7
PAGE_BYTES = 4096

# The built-in model on an eighth of its patches, which takes about that part of the time.
NODE = """
    import sys
    from mirror_depth_ros.ros.depth_node import DepthNode
    from mirror_depth_ros.ros.depth_node import load_estimator
    from mirror_depth_ros.ros.process import run_node

    def load(model, **options):
        estimator = load_estimator(model, **options)
        for _ in range(3):
            estimator.shrink_input()
        return estimator

    sys.exit(run_node(lambda: DepthNode(load_estimator=load), sys.argv, name='depth_node'))
"""


class Soak:
    """A camera that sends the next image as soon as one is answered, and checks the answers.

    An image's first pixel is its number, which the cloud carries as the colour of its first
    point; the others are of one of some scenes, whose depth is known after its first answer.
    """

    def __init__(self, context, pid):
        self.node = Node('camera', context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.images = self.node.create_publisher(Image, 'image', 5)
        self.infos = self.node.create_publisher(CameraInfo, 'camera_info', 5)
        qos = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
        self.node.create_subscription(Image, 'mirror_depth/depth/image', self.on_depth, qos)
        self.node.create_subscription(PointCloud2, 'mirror_depth/points', self.on_cloud, qos)
        random = np.random.default_rng(0)
        coarse = random.integers(0, 256, (SCENES, 3, 4, 3), np.uint8)
        self.scenes = coarse.repeat(17, axis=1)[:, :H].repeat(17, axis=2)[:, :, :W].copy()
        self.expected = {}
        self.statm = Path(f'/proc/{pid}/statm')
        self.sent_ns, self.depths = [], {}
        self.latencies_ms, self.resident_mb = [], []
        self.answered, self.wrong = -1, 0

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()

    def wait_for_node(self):
        deadline = time.monotonic() + PATIENCE_S
        while not (self.images.get_subscription_count() and self.infos.get_subscription_count()):
            assert time.monotonic() < deadline, 'the node does not listen'
            self.executor.spin_once(timeout_sec=0.1)

    def run(self, n_frames):
        """Send images until so many are answered by depth and cloud."""
        news_s = time.monotonic()
        while len(self.latencies_ms) < n_frames:
            n_before = len(self.latencies_ms)
            if len(self.sent_ns) - 1 - self.answered < IN_FLIGHT:
                self.send()
            self.executor.spin_once(timeout_sec=0.5)
            if len(self.latencies_ms) > n_before:
                news_s = time.monotonic()
            elif time.monotonic() - news_s > 2.0:  # a best-effort message may be lost
                self.send()
            assert time.monotonic() - news_s < PATIENCE_S, 'the node is silent'

    def send(self):
        number = len(self.sent_ns)
        rgb = self.scenes[number % SCENES]
        rgb[0, 0] = number >> 16, number >> 8 & 255, number & 255
        stamp_ns = time.time_ns()
        header = Header(stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9))
        self.sent_ns.append(stamp_ns)
        self.infos.publish(info_from_camera(CAMERA, header))
        self.images.publish(image_message(header, 'rgb8', rgb))

    def on_depth(self, message):
        depth = np.frombuffer(message.data, np.float32).reshape(H, W)
        self.depths[stamp_ns(message)] = depth, time.time_ns()

    def on_cloud(self, message):
        """Check cloud and depth, which is published before it, against the image."""
        cloud = np.frombuffer(message.data, np.float32).reshape(H, W, 4)
        number, stamp = int(cloud.view(np.uint32)[0, 0, 3]), stamp_ns(message)
        if stamp not in self.depths:
            return  # the depth's subscription was matched later than the cloud's
        depth, received_ns = self.depths.pop(stamp)
        self.depths = {ns: known for ns, known in self.depths.items() if ns > stamp}
        self.answered = number
        scene = number % SCENES
        self.expected.setdefault(scene, depth)
        distance = {s: np.nanmean(np.abs(depth - other)) for s, other in self.expected.items()}
        is_right = (
            stamp == self.sent_ns[number]
            and np.array_equal(cloud[..., 2], depth, equal_nan=True)
            and min(distance, key=distance.get) == scene
        )
        self.wrong += not is_right
        self.latencies_ms.append((received_ns - stamp) / 1e6)
        if len(self.latencies_ms) % 100 == 0:
            self.resident_mb.append(int(self.statm.read_text().split()[1]) * PAGE_BYTES / 1e6)


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


@pytest.mark.parametrize(
    ('n_frames', 'warm_up', 'growth'),
    [
        (300, 200, 0.05),
        pytest.param(20_000, 2_000, 0.02, marks=[pytest.mark.soak, pytest.mark.timeout(4 * 3600)]),
    ],
)
@pytest.mark.usefixtures('model_packages')
@pytest.mark.serial
def test_memory_latency_and_stamps_stay_as_they_are(
    ros_context, run_program, report_row, n_frames, warm_up, growth
):
    process = run_program(NODE)
    soak = Soak(ros_context, process.pid)
    try:
        soak.wait_for_node()
        started_s = time.monotonic()
        soak.run(n_frames)
        elapsed_s = time.monotonic() - started_s
    finally:
        soak.close()
    assert soak.wrong == 0
    warm_mb, most_mb = (
        soak.resident_mb[warm_up // 100 - 1],
        max(soak.resident_mb[warm_up // 100 :]),
    )
    assert most_mb < (1 + growth) * warm_mb
    if n_frames < 2_000:
        return
    first, last = (
        np.percentile(part, 99) for part in (soak.latencies_ms[:1000], soak.latencies_ms[-1000:])
    )
    growth_mb = f'{warm_mb:.1f} MB, then at most {most_mb:.1f} ({most_mb / warm_mb - 1:+.2%})'
    latency_ms = f'p99 {first:.1f} ms, then {last:.1f}; p50 {np.median(soak.latencies_ms):.1f}'
    assert last < 1.5 * first, (growth_mb, latency_ms)
    report_row(
        'soak',
        'stamp, picture and depth of each output',
        'all are of one image',
        tried=n_frames,
        figures=f'{elapsed_s:.0f} s, {n_frames / elapsed_s:.1f} images a second',
    )
    outcome = 'grows by less than 2 % after the first 2,000 images'
    report_row('soak', 'resident memory', outcome, tried=n_frames, figures=growth_mb)
    outcome = 'p99 of the last 1,000 within 1.5 times that of the first 1,000'
    report_row('soak', 'latency', outcome, tried=n_frames, figures=latency_ms)
