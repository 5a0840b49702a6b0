"""The lifecycle for real: tries again after a failure, frees what it took, ends at a signal."""

import signal
import threading
import time

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mirror_depth_ros.ros.depth_node import DepthNode

PATIENCE_S = 60.0


class Manager:
    """What configures and activates a node, sets its parameters and reads its log."""

    def __init__(self, context, capfd, **parameters):
        overrides = {'autostart': False, 'device': 'cpu', **parameters}
        self.node = DepthNode(
            context=context,
            parameter_overrides=[Parameter(n, value=v) for n, v in overrides.items()],
        )
        self.user = Node('manager', context=context)
        self.executor = SingleThreadedExecutor(context=context)
        for node in (self.node, self.user):
            self.executor.add_node(node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()
        self._capfd = capfd

    def close(self):
        self.executor.shutdown()
        self.thread.join(PATIENCE_S)
        self.node.destroy_node()
        self.user.destroy_node()

    def call(self, service_type, name, request):
        client = self.user.create_client(service_type, f'/mirror_depth/{name}')
        assert client.wait_for_service(PATIENCE_S)
        future = client.call_async(request)
        deadline = time.monotonic() + PATIENCE_S
        while not future.done():
            assert time.monotonic() < deadline, f'{name} does not answer'
            time.sleep(0.002)
        self.user.destroy_client(client)
        return future.result()

    def change(self, transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, 'change_state', request).success

    def set(self, **values):
        """Set parameters as ``ros2 param set`` does; return the reason of a refusal."""
        parameters = [Parameter(n, value=v).to_parameter_msg() for n, v in values.items()]
        assert isinstance(parameters[0], ParameterMessage)
        request = SetParameters.Request(parameters=parameters)
        (result,) = self.call(SetParameters, 'set_parameters', request).results
        return '' if result.successful else result.reason

    def log(self):
        return ''.join(self._capfd.readouterr())


@pytest.fixture
def make_manager(ros_context, capfd):
    managers = []

    def make(**parameters):
        managers.append(Manager(ros_context, capfd, **parameters))
        return managers[-1]

    yield make
    for manager in managers:
        manager.close()


@pytest.mark.parametrize(
    ('what', 'bad', 'good', 'reason'),
    [
        ('configure with a model that is not there', 'model', None, "got model '/no/such.safe"),
        ('configure with a damaged model', 'model', None, 'damaged or no safetensors file'),
        (
            'configure on a device that is not there',
            'device',
            'cpu',
            "got device 'cuda:77', which this machine does not have",
        ),
        ('configure in a precision that the device lacks', 'precision', 'fp32', 'fp16 on a CPU'),
    ],
)
def test_what_does_not_load_is_corrected_and_tried_again(
    make_manager, tiny_model, tmp_path, report_row, what, bad, good, reason
):
    damaged = tmp_path / 'damaged.safetensors'
    damaged.write_bytes(tiny_model.read_bytes()[:-100])
    value = {'device': 'cuda:77', 'precision': 'fp16'}.get(bad)
    if value is None:
        value = str(damaged) if 'damaged' in what else '/no/such.safetensors'
        good = str(tiny_model)
    tried = 3
    manager = make_manager(**{'model': str(tiny_model), bad: value})
    for _ in range(tried):
        assert not manager.change(Transition.TRANSITION_CONFIGURE)
        assert manager.node.state == 'unconfigured'
        log = manager.log()
        assert reason in log
        assert 'not configured: got' in log
        assert 'Traceback' not in log
        assert manager.set(**{bad: good}) == ''
        assert manager.change(Transition.TRANSITION_CONFIGURE)
        assert manager.change(Transition.TRANSITION_ACTIVATE)
        refusal = manager.set(**{bad: value})
        assert 'while the node is configured: the model is loaded for it' in refusal
        assert manager.change(Transition.TRANSITION_DEACTIVATE)
        assert manager.change(Transition.TRANSITION_CLEANUP)
        assert manager.set(**{bad: value}) == ''
    outcome = 'the log says why; corrected by ros2 param set, it configures and activates'
    report_row('lifecycle', what, outcome, tried=tried)


# Goes through the lifecycle as often as told, working on an image each time it is active.
RESTARTS = """
    import gc, json, sys, time, weakref
    from pathlib import Path
    import numpy as np
    import rclpy
    from rclpy.parameter import Parameter
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import Header
    from mirror_depth_ros.depth.camera import CameraModel
    from mirror_depth_ros.ros.camera_info import info_from_camera
    from mirror_depth_ros.ros.depth_node import DepthNode
    from mirror_depth_ros.ros.messages import image_message
    from mirror_depth_ros.ros.depth_node import load_estimator

    model, n_times = sys.argv[1], int(sys.argv[2])
    models = []

    def load(model, **options):
        estimator = load_estimator(model, **options)
        models.append(weakref.ref(estimator._model))
        return estimator

    def resident_mb():
        return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 / 1e6

    rclpy.init()
    parameters = {'autostart': False, 'device': 'cpu', 'model': model}
    node = DepthNode(
        load_estimator=load,
        parameter_overrides=[Parameter(n, value=v) for n, v in parameters.items()],
    )
    user = rclpy.create_node('user')
    images = user.create_publisher(Image, 'image', 5)
    infos = user.create_publisher(CameraInfo, 'camera_info', 5)
    depths = []
    user.create_subscription(Image, 'mirror_depth/depth/image', depths.append, 5)
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(user)
    picture = np.random.default_rng(0).integers(0, 256, (47, 69, 3), np.uint8)

    def work():
        depths.clear()
        deadline, sent = time.monotonic() + 60, 0.0
        while not depths:
            assert time.monotonic() < deadline, 'no depth'
            if time.monotonic() > sent + 0.1:  # until everybody knows everybody
                sent = time.monotonic()
                header = Header(stamp=node.get_clock().now().to_msg())
                infos.publish(info_from_camera(CameraModel.from_fov(69, 47, 60.0), header))
                images.publish(image_message(header, 'rgb8', picture))
            executor.spin_once(timeout_sec=0.02)

    before, at_work, after, alive = [], [], [], []
    for _ in range(n_times):
        before.append(resident_mb())
        node.trigger_configure()
        node.trigger_activate()
        work()
        at_work.append(resident_mb())
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert node.state == 'unconfigured'
        after.append(resident_mb())
        alive.append(sum(model() is not None for model in models))
    result = {'before': before, 'at_work': at_work, 'after': after, 'alive': alive}
    Path(sys.argv[3]).write_text(json.dumps(result))
    node.destroy_node()
    user.destroy_node()
"""


@pytest.mark.parametrize(
    ('model', 'n_times'),
    [
        ('tiny', 7),
        pytest.param('builtin', 50, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
@pytest.mark.serial
def test_restarts_free_what_they_took(
    ros_domain_id, run_program, tiny_model, tmp_path, report_row, model, n_times
):
    import json

    path, result = str(tiny_model) if model == 'tiny' else model, tmp_path / 'result.json'
    process = run_program(RESTARTS, path, str(n_times), str(result))
    assert process.wait(1000) == 0, process.log.read_text()
    memory = json.loads(result.read_text())
    assert memory['alive'] == [0] * n_times  # every model is really freed
    # The first time imports PyTorch, which stays; the second one may still set up its threads.
    before_mb, after_mb = memory['before'][2], memory['after'][2:]
    growth = max(after_mb) / before_mb - 1
    assert growth < 0.01
    if model == 'tiny':
        return
    what = 'configure, activate, work, deactivate, clean up, 50 times'
    outcome = 'every model is freed; resident memory afterwards within 1 % of that before'
    figures = (
        f'{before_mb:.1f} MB before the third configure, {max(memory["at_work"]):.1f} at most at '
        f'work, {after_mb[0]:.1f} after the third cleanup, {after_mb[-1]:.1f} after the last'
    )
    report_row('lifecycle', what, outcome, tried=n_times, figures=figures)


# A node that is brought into a state and spins.
NODE_IN_STATE = """
    import sys, time
    from types import SimpleNamespace
    import numpy as np
    from mirror_depth_ros.ros.depth_node import DepthNode
    from mirror_depth_ros.ros.process import run_node

    def load(model, **_):
        if model == 'slow':
            print('configuring', flush=True)
            time.sleep(60)
        estimate = lambda rgb, focal_px: np.ones(rgb.shape[:2], np.float32)
        return SimpleNamespace(
            estimate_batch=lambda *batch, **_: [(d, None, None) for d in map(estimate, *batch)],
            device='cpu', precision='fp32', backend='torch', notice='', has_confidence=False,
        )

    def make():
        node = DepthNode(load_estimator=load)
        def bring():
            timer.cancel()
            for transition in sys.argv[1].split():
                getattr(node, f'trigger_{transition}')()
            print(node.state, flush=True)
        timer = node.create_timer(0.0, bring)
        return node

    sys.exit(run_node(make, [*sys.argv[:1], *sys.argv[2:]], name='depth_node'))
"""
STATES = {
    'unconfigured': '',
    'configuring': 'configure',
    'inactive': 'configure',
    'active': 'configure activate',
    'inactive again': 'configure activate deactivate',
    'cleaned up': 'configure activate deactivate cleanup',
    'finalized': 'configure activate shutdown',
}


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_in_every_state(ros_domain_id, run_program, report_row, number):
    stay = ['--ros-args', '-p', 'autostart:=false']
    processes = {}
    for name, way in STATES.items():
        slow = ['-p', 'model:=slow'] if name == 'configuring' else []
        renamed = ['-r', f'__node:={name.replace(" ", "_")}']  # of equal names they would warn
        processes[name] = run_program(NODE_IN_STATE, way, *stay, *slow, *renamed)
    took_s = []
    for name, process in processes.items():
        expected = {'inactive again': 'inactive', 'cleaned up': 'unconfigured'}.get(name, name)
        deadline = time.monotonic() + PATIENCE_S
        while expected not in process.log.read_text().splitlines():
            assert time.monotonic() < deadline, process.log.read_text()
            time.sleep(0.01)
        time.sleep(0.3)  # a signal just while a line is on its way to /rosout makes rcl complain
        started_s = time.monotonic()
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0, process.log.read_text()
        took_s.append(time.monotonic() - started_s)
        # A busy machine comes as far as the findings that nothing is there.
        said = ('[INFO]', ': got no image on ', ': got no CameraInfo on ')
        lines = process.log.read_text().splitlines()
        lines = [line for line in lines if not any(words in line for words in said)]
        assert lines == [expected], lines
    assert max(took_s) < 10.0  # on a busy machine; the figures say how long it takes
    what = f'{number.name} in each state: {", ".join(STATES)}'
    report_row(
        'lifecycle',
        what,
        'ends with code 0 and no word',
        tried=len(STATES),
        figures=f'within {max(took_s):.2f} s',
    )
