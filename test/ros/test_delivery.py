"""Clouds of 640 x 480 points reach every subscriber, reliable or not, in other processes."""

import json

import pytest

CLOUD_BYTES = 640 * 480 * 16
PATIENCE_S = 60.0

# The node itself, with a stand-in for the model, and a camera beside it whose pace the node's own
# counts set: the next image is sent when the last one is through, and not before its time. In the
# short test it also waits for the subscribers, for a while, as other tests may share the cores.
NODE = """
    import sys, threading, time
    from types import SimpleNamespace
    import numpy as np
    import rclpy
    from builtin_interfaces.msg import Time
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import Header, Int32
    from mirror_depth_ros.depth.camera import CameraModel
    from mirror_depth_ros.ros.camera_info import info_from_camera
    from mirror_depth_ros.ros.depth_node import DepthNode
    from mirror_depth_ros.ros.messages import image_message

    n_clouds, rate_hz, grace_s = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    depth = np.full((480, 640), 2.0, np.float32)
    stand_in = SimpleNamespace(
        estimate_batch=lambda *_, **__: [(depth, None, None)],
        device='cpu', precision='fp32', backend='torch', notice='', has_confidence=False,
    )
    rclpy.init()
    node = DepthNode(load_estimator=lambda *_, **__: stand_in)
    camera = rclpy.create_node('camera')
    images = camera.create_publisher(Image, 'image', 5)
    infos = camera.create_publisher(CameraInfo, 'camera_info', 5)
    taken = []
    camera.create_subscription(Int32, 'taken', lambda m: taken.append(m.data), 10)
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(camera)
    threading.Thread(target=executor.spin, daemon=True).start()

    def wait(condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, 'waited in vain'
            time.sleep(0.001)

    wait(lambda: node.state == 'active' and images.get_subscription_count() == 1)
    (points,) = (p for p in node.publishers if p.topic_name.endswith('/points'))
    wait(lambda: points.get_subscription_count() == 2)
    time.sleep(1.0)  # the subscribers know of the node a little later than the node of them
    image = image_message(Header(), 'rgb8', np.zeros((480, 640, 3), np.uint8))
    due_s = time.monotonic()
    for number in range(n_clouds):
        ns = time.time_ns()
        image.header.stamp = Time(sec=ns // 10**9, nanosec=ns % 10**9)
        image.header.frame_id = str(number)
        infos.publish(info_from_camera(CameraModel.from_fov(640, 480, 60.0), image.header))
        images.publish(image)
        wait(lambda: node.cameras[0].measurements.summarise().counts['processed'] == number + 1)
        deadline = time.monotonic() + grace_s
        while taken.count(number) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        due_s += 1 / rate_hz
        time.sleep(max(0.0, due_s - time.monotonic()))
    print('sent', flush=True)
    sys.stdin.read()  # what is on its way needs its sender
"""
SUBSCRIBER = """
    import json, sys, time
    from pathlib import Path
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Int32
    n_clouds, result = int(sys.argv[1]), Path(sys.argv[3])
    rclpy.init()
    node = rclpy.create_node('subscriber_' + sys.argv[2])
    took = node.create_publisher(Int32, 'taken', 10)
    numbers, sizes, latencies_ms = [], set(), []
    news_s = [time.monotonic()]

    def take(cloud):
        stamp = cloud.header.stamp
        latencies_ms.append(1e3 * (time.time() - stamp.sec - stamp.nanosec / 1e9))
        numbers.append(int(cloud.header.frame_id))
        sizes.add(len(cloud.data))
        took.publish(Int32(data=numbers[-1]))
        news_s[0] = time.monotonic()

    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy[sys.argv[2]])
    node.create_subscription(PointCloud2, 'mirror_depth/points', take, qos)
    while len(numbers) < n_clouds and time.monotonic() - news_s[0] < 30:
        rclpy.spin_once(node, timeout_sec=0.1)
    result.write_text(json.dumps([numbers, sorted(sizes), latencies_ms]))
"""


@pytest.mark.parametrize(
    ('n_clouds', 'rate_hz', 'grace_s'),
    [
        (20, 4.0, 5.0),
        pytest.param(1000, 10.0, 0.0, marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
def test_every_cloud_arrives(
    ros_domain_id, run_program, large_messages, tmp_path, report_row, n_clouds, rate_hz, grace_s
):
    kinds = {'RELIABLE': 'reliable', 'BEST_EFFORT': 'best-effort'}
    results = {kind: tmp_path / f'{kind}.json' for kind in kinds}
    subscribers = {
        kind: run_program(SUBSCRIBER, str(n_clouds), kind, str(result), **large_messages)
        for kind, result in results.items()
    }
    node = run_program(NODE, str(n_clouds), str(rate_hz), str(grace_s), **large_messages)
    for process in subscribers.values():
        assert process.wait(n_clouds / rate_hz + 2 * PATIENCE_S) == 0, process.log.read_text()
    for kind, name in kinds.items():
        numbers, sizes, latencies_ms = json.loads(results[kind].read_text())
        assert numbers == list(range(n_clouds)), (kind, node.log.read_text())
        assert sizes == [CLOUD_BYTES]
        latencies_ms.sort()
        p50, p99 = (latencies_ms[int(share * n_clouds)] for share in (0.5, 0.99))
        if n_clouds == 1000:
            report_row(
                'delivery',
                f'clouds of 4.9 MB at {rate_hz:.0f} Hz to a {name} subscriber',
                'all arrive, in order',
                tried=n_clouds,
                figures=f'from image to cloud p50 {p50:.0f} ms, p99 {p99:.0f} ms',
            )
