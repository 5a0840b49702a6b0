"""Real ROS 2 for the tests: each test on a DDS domain of its own, on this machine only.

With the wheels of ``ros-rclpy`` the interpreter finds their libraries by itself (a ``.pth`` file
restarts it with the right environment before pytest begins, and child processes inherit that);
with a sourced ROS installation there is nothing to find. So nothing is set up for that here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mirror_depth_ros.cli import ros_environment
from mirror_depth_ros.cli.ros_environment import free_domain, profile_variable

# Domains of the last tests, half of those that there are: what a test leaves behind for a moment
# would be a second node or camera to another one.
_used: deque[int] = deque(maxlen=len(ros_environment._DOMAINS) // 2)


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of a DDS domain that nothing here uses, set for child processes as well."""
    domain_id = next(domain for domain in iter(free_domain, None) if domain not in _used)
    _used.append(domain_id)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain_id))
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    return domain_id


@pytest.fixture
def run_program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return what runs Python code as a process of its own, which ends with the test.

    What it says lies in ``process.log``.
    """
    processes: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        log = tmp_path / f'program_{len(processes)}.log'
        with log.open('w') as stream:
            process = subprocess.Popen(
                [sys.executable, '-c', textwrap.dedent(code), *arguments],
                cwd=Path(__file__).parents[2],
                env={**os.environ, **environment},
                text=True,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        process.log = log  # type: ignore[attr-defined]
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def large_messages() -> dict[str, str]:
    """The environment in which Fast DDS moves clouds through shared memory."""
    profile = Path(__file__).parents[2] / 'config' / 'fastdds.xml'
    return {profile_variable(os.environ): str(profile)}


@pytest.fixture
def ros_context(ros_domain_id: int):
    """An initialised rclpy context on that domain, shut down after the test."""
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def make_node(ros_context):
    """Return what makes a node with overrides of its parameters."""
    from rclpy.node import Node
    from rclpy.parameter import Parameter

    nodes = []

    def make(**overrides):
        parameters = [Parameter(name, value=value) for name, value in overrides.items()]
        nodes.append(Node('settings', context=ros_context, parameter_overrides=parameters))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


class CameraBench:
    """A depth node whose model is a stand-in, and a camera and a user beside it.

    All of them have one executor of one thread, as a process of the node has.
    """

    #: How long to wait for what has to come [s].
    PATIENCE_S = 60.0

    def __init__(
        self,
        context,
        camera,
        estimate,
        arguments=(),
        confidence=None,
        strangeness=None,
        **parameters,
    ):
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from rclpy.parameter import Parameter
        from sensor_msgs.msg import CameraInfo, Image

        from mirror_depth_ros.ros.depth_node import DepthNode

        self.camera = camera
        #: Of each batch, whether the model was asked for the confidence that is given.
        self.asked = []

        def estimate_batch(images, focals_px, *, with_confidence=False):
            self.asked.append(with_confidence)
            sure = confidence if with_confidence else None
            return [(depth, sure, strangeness) for depth in map(estimate, images, focals_px)]

        estimator = SimpleNamespace(
            device='cpu',
            precision='fp32',
            backend='torch',
            notice='',
            has_confidence=confidence is not None,
            estimate_batch=estimate_batch,
        )
        self.node = DepthNode(
            load_estimator=lambda model, **_: estimator,
            context=context,
            cli_args=['--ros-args', *arguments],
            parameter_overrides=[Parameter(n, value=v) for n, v in parameters.items()],
        )
        self.user = Node('user', context=context)
        self.images = self.user.create_publisher(Image, 'image', 1)
        self.infos = self.user.create_publisher(CameraInfo, 'camera_info', 10)
        self._executor = SingleThreadedExecutor(context=context)
        for node in (self.node, self.user):
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def close(self):
        self._executor.shutdown()
        self._thread.join(self.PATIENCE_S)
        self.node.destroy_node()
        self.user.destroy_node()

    @property
    def counts(self):
        """What became of the images."""
        return self.node.cameras[0].measurements.summarise().counts

    @property
    def is_calibrating(self):
        """Whether an image is wanted for the scale."""
        return self.node.cameras[0].scale.wants_image

    def wait(self, condition):
        deadline = time.monotonic() + self.PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, 'waited in vain'
            time.sleep(0.005)

    def wait_active(self):
        """Wait until the node listens to the camera."""
        self.wait(lambda: self.node.state == 'active')
        for publisher in (self.images, self.infos):
            self.wait(lambda publisher=publisher: publisher.get_subscription_count() == 1)

    def stream(self, rate_hz=20.0, info=None):
        """Let the camera send black images, each with its CameraInfo or the given one."""
        self.user.create_timer(1 / rate_hz, lambda: self.send(info))

    def send(self, info=None):
        """Send one image, its CameraInfo first."""
        import numpy as np
        from builtin_interfaces.msg import Time
        from std_msgs.msg import Header

        from mirror_depth_ros.ros.camera_info import info_from_camera
        from mirror_depth_ros.ros.messages import image_message

        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        stamp = Time(sec=seconds, nanosec=nanoseconds)
        header = Header(stamp=stamp, frame_id='camera_optical_frame')
        self.infos.publish(info or info_from_camera(self.camera, header))
        black = np.zeros((self.camera.height, self.camera.width, 3), np.uint8)
        self.images.publish(image_message(header, 'rgb8', black))

    def collect(self, topic, message_type):
        """Subscribe to one of the node's topics; return the list of what comes."""
        received = []
        self.user.create_subscription(message_type, f'/mirror_depth/{topic}', received.append, 10)
        publishers = {p.topic_name: p for p in self.node.publishers}
        publisher = publishers[f'/mirror_depth/{topic}']
        self.wait(lambda: publisher.get_subscription_count() == 1)
        return received

    def begin(self, service_type, name, request):
        """Call one of the node's services; return the future of its answer."""
        client = self.user.create_client(service_type, f'/mirror_depth/{name}')
        assert client.wait_for_service(self.PATIENCE_S)
        return client.call_async(request)

    def call(self, service_type, name, request):
        """Call one of the node's services and return its answer."""
        future = self.begin(service_type, name, request)
        self.wait(future.done)
        return future.result()

    def set_parameters(self, **values):
        from rclpy.parameter import Parameter

        results = self.node.set_parameters([Parameter(n, value=v) for n, v in values.items()])
        assert all(result.successful for result in results), results


@pytest.fixture
def make_camera_bench(ros_context):
    """Make a :class:`CameraBench`: ``make_camera_bench(camera, estimate, **parameters)``."""
    benches = []

    def make(camera, estimate, **options):
        benches.append(CameraBench(ros_context, camera, estimate, **options))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()
