"""Which images the worker turns to: a slow model always gets the newest of each camera."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.clock import Clock
from std_msgs.msg import Header

from mirror_depth_ros.ros import frame_worker
from mirror_depth_ros.ros.diagnostics.statistics import Measurements
from mirror_depth_ros.ros.frame_worker import FrameWorker
from mirror_depth_ros.ros.parameters import DepthParameters

PATIENCE_S = 5.0


class Camera:
    """What the worker needs of a camera whose images are not looked at."""

    name = ''
    wants_images = True
    levels = None
    calibrations = SimpleNamespace(find=lambda *_, **__: None)

    def __init__(self):
        self.scale = SimpleNamespace(wants_image=False)
        self.measurements = Measurements()

    def note_arrival(self, message):
        pass

    @property
    def n_dropped(self):
        return self.measurements.summarise().counts['dropped']

    @property
    def n_left_out(self):
        return self.measurements.summarise().counts['left_out']


class Message(int):
    """An image that is not looked at."""

    header = Header()


class BusyWorker(FrameWorker):
    """Notes what it takes; it is at work until it may go on."""

    def __init__(self):
        self.taken, self.taken_s = [], []
        self.busy, self.may_go_on, self.done = (threading.Event() for _ in range(3))
        self.settings = SimpleNamespace(values=DepthParameters())
        super().__init__(estimator=None, settings=self.settings, clock=Clock(), context=None)

    def put(self, camera, number):
        super().put(camera, Message(number))

    def _estimate(self, frames):
        self.taken_s.append(time.monotonic())
        self.taken.append({camera: frame.message for camera, frame in frames.items()})
        self.busy.set()
        assert self.may_go_on.wait(PATIENCE_S)
        if len(self.taken) == 2:
            self.done.set()
        return {}


@pytest.fixture
def worker(monkeypatch):
    """A worker at work on an image."""
    monkeypatch.setattr(
        frame_worker, 'decode_image', lambda *_, **__: np.zeros((3, 5, 3), np.uint8)
    )
    worker = BusyWorker()
    worker.first = Camera()
    worker.put(worker.first, 0)
    assert worker.busy.wait(PATIENCE_S)
    yield worker
    worker.may_go_on.set()
    assert worker.stop(timeout_s=PATIENCE_S)


def second_batch(worker):
    worker.may_go_on.set()
    assert worker.done.wait(PATIENCE_S)
    return worker.taken[1]


def test_the_newest_image_wins_and_the_others_count_as_dropped(worker):
    for image in (1, 2, 3):
        worker.put(worker.first, image)
    assert worker.first.n_dropped == 2
    assert second_batch(worker) == {worker.first: 3}
    worker.put(worker.first, 4)
    assert worker.first.n_dropped == 2


def test_cameras_replace_only_their_own(worker):
    slow, fast = Camera(), Camera()
    worker.put(slow, 1)
    for image in (2, 3, 4):
        worker.put(fast, image)
    assert (slow.n_dropped, fast.n_dropped) == (0, 2)
    assert second_batch(worker) == {slow: 1, fast: 4}


def test_who_has_waited_longest_comes_first(worker):
    a, b = Camera(), Camera()
    for camera, image in ((b, 1), (a, 2), (b, 3)):
        worker.put(camera, image)
    assert list(second_batch(worker).items()) == [(b, 3), (a, 2)]


def test_a_stopped_worker_forgets_what_waits(worker):
    worker.put(worker.first, 1)
    assert not worker.stop(timeout_s=0.01)  # no longer than told
    assert worker.is_at_work
    worker.put(worker.first, 2)
    worker.may_go_on.set()
    assert worker.stop(timeout_s=PATIENCE_S)
    assert not worker.is_at_work
    assert worker.taken == [{worker.first: 0}]
    assert worker.first.n_dropped == 0


def test_a_paused_worker_leaves_images_alone(worker):
    worker.is_paused = True
    worker.put(worker.first, 1)
    worker.is_paused = False
    worker.put(worker.first, 2)
    assert second_batch(worker) == {worker.first: 2}
    assert worker.first.n_dropped == 0


def test_a_limited_rate_takes_the_newest_when_its_time_has_come(worker):
    worker.settings.values = DepthParameters(max_rate_hz=4.0)
    for image in (1, 2, 3):
        worker.put(worker.first, image)
    assert (worker.first.n_left_out, worker.first.n_dropped) == (2, 0)
    assert second_batch(worker) == {worker.first: 3}
    # A little less than 1 / 4 s: the turn before began before it was seen here.
    assert worker.taken_s[1] - worker.taken_s[0] > 0.2


def test_a_model_slower_than_the_limit_drops_images(worker):
    worker.settings.values = DepthParameters(max_rate_hz=20.0)
    time.sleep(0.06)  # at work for longer than 1 / 20 s
    for image in (1, 2, 3):
        worker.put(worker.first, image)
    assert (worker.first.n_left_out, worker.first.n_dropped) == (0, 2)
    assert second_batch(worker) == {worker.first: 3}


def test_each_camera_has_its_own_rate(worker):
    worker.settings.values = DepthParameters(max_rate_hz=0.01)
    worker.put(worker.first, 1)
    other = Camera()
    worker.put(other, 2)
    assert second_batch(worker) == {other: 2}


@pytest.mark.parametrize('max_rate_hz', [0.01, 1e-300])
@pytest.mark.parametrize('end', ['limit', 'scale', 'stop'])
def test_who_waits_for_a_turn_can_be_called_earlier(worker, end, max_rate_hz):
    worker.settings.values = DepthParameters(max_rate_hz=max_rate_hz)
    worker.put(worker.first, 1)
    worker.may_go_on.set()
    time.sleep(0.05)  # it waits for the turn by now
    if end == 'stop':
        assert worker.stop(timeout_s=PATIENCE_S)
        assert not any(worker.taken[1:])
        return
    if end == 'limit':
        worker.settings.values = DepthParameters()
    else:
        worker.first.scale.wants_image = True
    worker.put(worker.first, 2)
    assert second_batch(worker) == {worker.first: 2}
