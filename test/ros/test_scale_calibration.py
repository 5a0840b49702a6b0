"""The service over real DDS, with a model whose ground is off by a known factor."""

import math
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool, Trigger

from mirror_depth_ros.depth.camera import CameraModel

ROOT = Path(__file__).parents[2]
CAMERA = CameraModel(81, 61, fx=60.0, fy=58.0, cx=41.0, cy=29.0)
HEIGHT = 0.43
# The model takes everything for 0.62 of its distance: it needs 1 / 0.62 = 1.6129.
SHORT = 0.62
WALL = np.full((61, 81), 3.0, np.float32)


def ground(height, pitch_deg=12.0, roll_deg=5.0):
    """True depth of the ground below a camera that looks down and is rolled, [H, W]."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    # The direction down as the camera sees it: y turned about x by the pitch, then about z.
    x, y, z = math.sin(roll), math.cos(roll), math.tan(pitch)
    down = np.array([x, y, z]) / math.sqrt(x * x + y * y + z * z)
    rays = np.concatenate([CAMERA.rays, np.ones((61, 81, 1))], axis=2)
    towards = rays @ down
    with np.errstate(divide='ignore'):
        return np.where(towards > 0.01, height / towards, np.inf).astype(np.float32)


GROUND = ground(HEIGHT)


class Model:
    """Returns the depths it is given, one after the other and over again, when it may."""

    def __init__(self, *depths):
        self.depths = depths
        self.n_made = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, rgb, focal_px):
        assert self.may_go_on.wait(20.0)
        self.n_made += 1
        return self.depths[self.n_made % len(self.depths)]


@pytest.fixture
def make_bench(make_camera_bench, monkeypatch):
    monkeypatch.setattr('mirror_depth_ros.ros.scale_calibration._INTERVAL_S', 0.0)
    models = []

    def make(*depths, **options):
        models.append(Model(*(depths or (SHORT * GROUND,))))
        bench = make_camera_bench(CAMERA, models[-1], **{'camera_height': HEIGHT, **options})
        bench.model = models[-1]
        return bench

    yield make
    for model in models:
        model.may_go_on.set()


def calibrate(bench):
    return bench.call(Trigger, 'calibrate_scale', Trigger.Request())


def scale_now(bench):
    request = GetParameters.Request(names=['depth_scale'])
    (value,) = bench.call(GetParameters, 'get_parameters', request).values
    return value.double_value


def refusal(bench):
    """Call the service and return why it refuses; it changes nothing."""
    response = calibrate(bench)
    assert (response.success, scale_now(bench)) == (False, 1.0)
    return response.message


def test_the_factor_is_found_and_set_with_nobody_subscribing(make_bench):
    bench, changes = make_bench(), []
    bench.wait_active()
    bench.user.create_subscription(ParameterEvent, '/parameter_events', changes.append, 10)
    bench.wait(lambda: bench.user.count_publishers('/parameter_events') >= 1)
    bench.stream()
    bench.wait(lambda: bench.counts['ignored'] > 0)
    response = calibrate(bench)

    assert response.success, response.message
    form = r'depth_scale is now ([\d.]+), from the ground in 10 of 10 images, spread 0\.\d %; to k'
    factor = float(re.match(form, response.message)[1])
    assert factor == pytest.approx(1 / SHORT, rel=0.01)
    assert scale_now(bench) == factor
    bench.wait(lambda: any(c.node == '/mirror_depth' and c.changed_parameters for c in changes))
    (changed,) = [c.changed_parameters for c in changes if c.changed_parameters]
    assert [(p.name, p.value.double_value) for p in changed] == [('depth_scale', factor)]
    assert bench.model.n_made == 10  # no more than it takes

    # From now on depth is what it should be.
    depths = bench.collect('depth/image', Image)
    bench.wait(lambda: depths)
    depth = np.frombuffer(depths[0].data, np.float32).reshape(61, 81)
    near = GROUND < 80.0
    np.testing.assert_allclose(depth[near], GROUND[near], rtol=0.01)
    # Measured again, it is the same: of the model's own depth, not of that already scaled.
    assert calibrate(bench).message.startswith(f'depth_scale is now {factor},')


def test_while_it_waits_the_node_goes_on(make_bench):
    bench = make_bench()
    bench.wait_active()
    bench.model.may_go_on.clear()
    bench.stream()
    first = bench.begin(Trigger, 'calibrate_scale', Trigger.Request())
    bench.wait(lambda: bench.is_calibrating)
    received = bench.counts['received']
    bench.wait(lambda: bench.counts['received'] > received + 5)
    assert scale_now(bench) == 1.0  # a service that is answered meanwhile
    assert calibrate(bench).message == (
        'got a second call while the scale is being measured, expected one at a time; wait for '
        'its answer'
    )
    assert not first.done()
    bench.model.may_go_on.set()
    bench.wait(first.done)
    assert first.result().success


def test_some_images_may_lack_the_ground(make_bench):
    bench = make_bench(SHORT * GROUND, WALL, SHORT * GROUND)
    bench.wait_active()
    bench.stream()
    message = calibrate(bench).message
    # Of ten in turns of three, three or four are walls.
    form = r'depth_scale is now 1\.6\d+, from the ground in [67] of 10 images'
    assert re.match(form, message), message


def test_images_are_taken_at_intervals(make_bench, monkeypatch):
    monkeypatch.setattr('mirror_depth_ros.ros.scale_calibration._INTERVAL_S', 0.2)
    bench = make_bench()
    bench.wait_active()
    bench.stream(rate_hz=50.0)
    started = time.monotonic()
    assert calibrate(bench).success
    assert time.monotonic() - started >= 9 * 0.2
    assert bench.model.n_made == 10  # the others were nobody's


# Refusals


def test_a_node_that_is_not_active_refuses(make_bench):
    bench = make_bench(autostart=False)
    assert refusal(bench) == ('unconfigured; to go on: ros2 lifecycle set /mirror_depth configure')
    request = ChangeState.Request(
        transition=Transition(id=Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    )
    assert bench.call(ChangeState, 'change_state', request).success
    assert refusal(bench) == 'the node is finalized, expected active; start it again'


def test_a_paused_node_refuses(make_bench):
    bench = make_bench()
    bench.wait_active()
    bench.call(SetBool, 'enable', SetBool.Request(data=False))
    assert refusal(bench).startswith('paused by ~/enable; to resume: ros2 service call /mirror')


def test_an_unknown_height_is_refused_with_how_to_set_it(make_bench):
    bench = make_bench(camera_height=0.0)
    assert refusal(bench) == (
        'got camera_height 0, which means unknown, expected the height of the lens above the '
        'ground; set it: ros2 param set /mirror_depth camera_height METRES'
    )


def test_no_images_are_a_refusal_within_seconds(make_bench):
    bench = make_bench()
    bench.wait_active()
    started = time.monotonic()
    message = refusal(bench)
    assert re.search('got no image on /image, though somebody publishes there', message), message
    assert time.monotonic() - started < 10.0


def test_no_calibration_is_a_refusal(make_bench):
    bench = make_bench()
    bench.wait_active()
    bench.stream(info=CameraInfo(width=81, height=61))
    message = refusal(bench)
    assert re.search('got a CameraInfo whose K is all zero.*calibrate it', message), message


def test_a_pause_ends_the_waiting(make_bench):
    bench = make_bench()
    bench.wait_active()
    bench.model.may_go_on.clear()
    bench.stream()
    future = bench.begin(Trigger, 'calibrate_scale', Trigger.Request())
    bench.wait(lambda: bench.is_calibrating)
    bench.call(SetBool, 'enable', SetBool.Request(data=False))
    bench.wait(future.done)
    assert future.result().message.startswith('got depth of 0 of 10 images; paused by ~/enable;')
    # And then it can be called again.
    bench.model.may_go_on.set()
    bench.call(SetBool, 'enable', SetBool.Request(data=True))
    assert calibrate(bench).success


def test_images_that_cease_are_a_refusal_with_what_came(make_bench):
    bench = make_bench()
    bench.wait_active()
    bench.send()
    future = bench.begin(Trigger, 'calibrate_scale', Trigger.Request())
    bench.wait(lambda: bench.is_calibrating)
    for n_images in (1, 2):
        bench.send()
        bench.wait(lambda n=n_images: bench.model.n_made == n)
    bench.wait(future.done)
    message = future.result().message
    assert re.match('got depth of 2 of 10 images; got no image on /image for [23] s', message)


def test_a_slow_model_is_waited_for_but_not_for_ever(make_bench, monkeypatch):
    monkeypatch.setattr('mirror_depth_ros.ros.scale_calibration._PATIENCE_S', 4.0)
    bench = make_bench()
    bench.wait_active()
    bench.model.may_go_on.clear()
    bench.stream()
    message = refusal(bench)
    form = r'got depth of 0 of 10 images; no more came for [45] s: got no depth for \d s: the mod'
    assert re.match(form, message), message


def test_what_is_no_ground_is_refused_with_the_reason(make_bench):
    bench = make_bench(WALL)
    bench.wait_active()
    bench.stream()
    assert refusal(bench) == (
        'got the ground in 0 of 10 images, expected it in half of them or more; the latest '
        'without it: got a plane tilted by 90 degrees, expected the ground within 30 degrees of '
        'level; see that the ground is in view, or raise max_tilt_deg'
    )


def test_a_factor_that_is_none_is_refused(make_bench):
    bench = make_bench(camera_height=43.0)  # centimetres
    bench.wait_active()
    bench.stream()
    assert refusal(bench).startswith('got a factor of 161, expected 0.1 to 10.0; check camera_h')


def test_images_that_disagree_are_refused(make_bench):
    bench = make_bench(0.5 * GROUND, 1.0 * GROUND)
    bench.wait_active()
    bench.stream()
    # Five factors of 1 and five of 2: quartiles 1 and 2, median 1.5.
    assert refusal(bench).startswith(
        'got factors from 1 to 2, of which the middle half spreads '
        'over 67 %, expected at most 10 %; measure where the'
    )


# In a process of its own


PROCESS = """
    import sys
    from types import SimpleNamespace
    import numpy as np
    from mirror_depth_ros.ros.depth_node import DepthNode
    from mirror_depth_ros.ros.process import run_node

    depth = np.load(sys.argv[1])
    model = SimpleNamespace(
        device='cpu',
        precision='fp32',
        backend='torch',
        notice='', has_confidence=False,
        estimate_batch=lambda *_, **__: [(depth, None, None)],
    )
    sys.exit(run_node(lambda: DepthNode(load_estimator=lambda *_, **__: model), sys.argv, name=''))
"""


def test_a_process_of_the_node_answers_and_ends_while_it_is_asked(make_bench, tmp_path):
    np.save(tmp_path / 'depth.npy', SHORT * GROUND)
    bench = make_bench(arguments=['-r', '__node:=other'], autostart=False)  # but for its user
    process = subprocess.Popen(
        [
            *(sys.executable, '-c', textwrap.dedent(PROCESS), str(tmp_path / 'depth.npy')),
            *('--ros-args', '-p', f'camera_height:={HEIGHT}'),
        ],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        bench.wait(lambda: bench.images.get_subscription_count() == 1)
        bench.wait(lambda: bench.infos.get_subscription_count() == 1)
        depth: list[Image] = []  # which says that its images have begun to come
        bench.user.create_subscription(Image, '/mirror_depth/depth/image', depth.append, 10)
        bench.stream(rate_hz=50.0)
        bench.wait(lambda: depth)
        assert calibrate(bench).success
        # Twice more: one is refused because the other is under way, which takes at least 4.5 s.
        both = [bench.begin(Trigger, 'calibrate_scale', Trigger.Request()) for _ in range(2)]
        bench.wait(lambda: any(future.done() for future in both))
        (refused,) = (future for future in both if future.done())
        assert 'got a second call' in refused.result().message
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=bench.PATIENCE_S)
    finally:
        process.kill()
    assert not all(future.done() for future in both)
    logged = re.compile(r'\[(INFO|WARN)\]')  # for the rest there should be no reason
    lines = [line for line in output.splitlines() if not logged.match(line)]
    assert (process.returncode, lines) == (0, [])
