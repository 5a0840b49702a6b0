"""A camera three times as fast as the model: what is published is fresh, and the counts agree."""

import threading
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.depth_node import DepthNode
from mirror_depth_ros.ros.messages import image_message

H, W = 47, 69
CAMERA = CameraModel.from_fov(W, H, 60.0)
# Long, so that a busy computer's delays are short beside it.
INFERENCE_S = 0.3
PERIOD_S = INFERENCE_S / 3
N_IMAGES = 60
TRANSPORT_S = 0.25
PATIENCE_S = 60.0


class SlowModel:
    """A model that takes its time and knows how long it took."""

    device, precision, backend, notice = 'cpu', 'fp32', 'torch', ''
    has_confidence = False

    def __init__(self):
        self.durations_s = []

    def estimate_batch(self, *batch, **_):
        return [(depth, None, None) for depth in map(self.estimate, *batch)]

    def estimate(self, rgb, focal_px):
        started_s = time.monotonic()
        time.sleep(INFERENCE_S)
        self.durations_s.append(time.monotonic() - started_s)
        return np.ones(rgb.shape[:2], np.float32)


def wait(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.005)


@pytest.mark.serial
def test_depth_is_fresh_and_drops_are_counted(ros_context, report_row):
    model, ages_s, statuses, stamps = SlowModel(), [], [], []
    node = DepthNode(context=ros_context, load_estimator=lambda *_, **__: model)
    user = Node('user', context=ros_context)
    images = user.create_publisher(Image, 'image', 5)
    infos = user.create_publisher(CameraInfo, 'camera_info', 5)

    def on_depth(message):
        stamp = message.header.stamp
        stamps.append(stamp)
        ages_s.append(time.time() - stamp.sec - stamp.nanosec / 1e9)

    user.create_subscription(Image, 'mirror_depth/depth/image', on_depth, 10)
    user.create_subscription(DiagnosticArray, '/diagnostics', statuses.append, 10)
    executor = SingleThreadedExecutor(context=ros_context)
    for each in (node, user):
        executor.add_node(each)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()

    def send():
        ns = time.time_ns()
        header = Header(stamp=Time(sec=ns // 10**9, nanosec=ns % 10**9))
        infos.publish(info_from_camera(CAMERA, header))
        images.publish(image_message(header, 'rgb8', np.zeros((H, W, 3), np.uint8)))
        return header.stamp

    def counts():
        values = {v.key: v.value for v in statuses[-1].status[0].values}
        names = ('received', 'processed', 'dropped for newer ones', 'skipped', 'nobody wanted')
        return [int(values[f'images {name}']) for name in names]

    try:
        wait(lambda: node.state == 'active' and images.get_subscription_count() == 1)
        (output,) = (p for p in node.publishers if p.topic_name.endswith('depth/image'))
        wait(lambda: output.get_subscription_count() == 1)
        started_s = time.monotonic()
        for _ in range(N_IMAGES):
            last = send()
            time.sleep(PERIOD_S)
        wait(lambda: stamps and stamps[-1] == last)  # the newest is worked on, however late
        elapsed_s = time.monotonic() - started_s
        wait(lambda: statuses and counts()[1] == len(stamps) and counts()[0] == sum(counts()[1:]))
        received, processed, dropped, *others = counts()
    finally:
        executor.shutdown()
        thread.join(PATIENCE_S)
        node.destroy_node()
        user.destroy_node()
    assert others == [0, 0]
    assert dropped == received - processed
    assert len(ages_s) == processed
    # Of those that came while this process was busy, only the newest is received.
    assert received <= N_IMAGES
    assert 1 < processed <= elapsed_s / INFERENCE_S + 1
    assert dropped > 0
    limit_s = 2 * max(model.durations_s) + TRANSPORT_S
    assert max(ages_s) < limit_s
    report_row(
        'overload',
        'a camera three times as fast as the model',
        'no depth is older than two inference times',
        tried=N_IMAGES,
        figures=f'{1e3 * max(ages_s):.0f} ms at most, inference {1e3 * INFERENCE_S:.0f} ms',
    )
    report_row(
        'overload',
        'images dropped, as /diagnostics counts them',
        'those received less those processed',
        tried=N_IMAGES,
        figures=f'{received} - {processed} = {dropped}',
    )
