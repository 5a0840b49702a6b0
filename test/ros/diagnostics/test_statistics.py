import threading
from collections import Counter

import pytest

from mirror_depth_ros.ros.diagnostics.statistics import (
    ARRIVAL_AGE,
    PUBLISHING_AGE,
    WINDOW_S,
    LatencyStats,
    LatestImage,
    Measurements,
)

SECOND = 1_000_000_000
UNKNOWN = LatestImage(stamp_ns=0, clock_ns=0)


def image(stamp_s, clock_s, **fields):
    return LatestImage(round(stamp_s * SECOND), round(clock_s * SECOND), **fields)


@pytest.fixture
def at():
    """Return a function that sets the clock and returns measurements that began at 0 s."""
    clock = [0.0]
    measurements = Measurements(clock=lambda: clock[0])

    def set_clock(now_s):
        clock[0] = now_s
        return measurements

    return set_clock


def test_before_any_image_nothing_is_known(at):
    statistics = at(2.5).summarise()
    assert statistics.elapsed_s == 2.5
    assert (statistics.since_image_s, statistics.busy_s, statistics.latest) == (None, None, None)
    assert (statistics.input_hz, statistics.output_hz, statistics.n_missing) == (0.0, 0.0, 0)
    assert (statistics.skip_stage, statistics.skip_reason) == ('', '')
    assert statistics.counts == statistics.recent == Counter()
    assert statistics.times == {}


def test_strangeness_is_the_median_of_the_images_that_have_one(at):
    assert at(1.0).summarise().strangeness is None
    for strangeness in (0.5, 1.5, None, 1.25):
        at(1.0).process({}, stamp_ns=0, clock_ns=0, strangeness=strangeness)
    assert at(1.0).summarise().strangeness == 1.25


def test_every_fate_of_an_image_is_counted(at):
    for _ in range(6):
        at(1.0).receive(UNKNOWN)
    at(1.0).count('dropped')
    at(1.0).count('ignored')
    at(1.0).skip(stage='decode', reason='too short')
    for seconds in (0.25, 0.5):
        at(1.0).process({'decode': 0.25, 'estimate': seconds}, stamp_ns=0, clock_ns=0)
    counts = at(1.0).summarise().counts
    assert (counts['received'], counts['dropped'], counts['ignored']) == (6, 1, 1)
    assert (counts['skipped'], counts['processed']) == (1, 2)
    assert at(1.0).summarise().working_s == 1.25  # 0.25 + 0.25 + 0.25 + 0.5
    at(1.0).count('ignored')
    assert counts['ignored'] == 1  # a copy: it stays what it was
    at(1.0).count('left_out')
    counts = at(1.0).summarise().counts
    assert (counts['ignored'], counts['left_out']) == (2, 1)


def test_rates_are_those_between_the_images_of_the_window(at):
    for i in range(21):
        at(0.5 * i).receive(UNKNOWN)  # 0.0, 0.5, ..., 10.0 s: 2 Hz
    for now_s in (6.0, 8.0, 10.0):
        at(now_s).process({}, stamp_ns=0, clock_ns=0)
    statistics = at(10.2).summarise()
    assert (statistics.input_hz, statistics.output_hz) == (2.0, 0.5)
    assert statistics.since_image_s == pytest.approx(0.2)
    assert at(14.0).summarise().input_hz == 2.0  # at 9.0, 9.5 and 10.0
    later = at(16.0).summarise()
    assert (later.input_hz, later.output_hz, later.since_image_s) == (0.0, 0.0, 6.0)


def test_percentiles_are_of_the_window_for_each_stage_and_for_all(at):
    at(1.0).process({'decode': 9.0}, stamp_ns=0, clock_ns=0)
    for i in range(1, 6):  # decoding takes 1 to 5 s, estimating twice as long
        stages = {'decode': float(i), 'estimate': 2.0 * i}
        at(1.5 + WINDOW_S).process(stages, stamp_ns=0, clock_ns=0)
    times = at(1.5 + WINDOW_S).summarise().times
    assert times == {
        'decode': LatencyStats(3.0, 4.8),  # p95 of 1 to 5: 1 + 0.95 * 4
        'estimate': LatencyStats(6.0, pytest.approx(9.6)),
        'total': LatencyStats(9.0, pytest.approx(14.4)),
    }


def test_ages_are_those_of_images_with_stamps(at):
    at(1.0).receive(image(100.0, 100.25))
    at(1.1).receive(image(100.0, 100.75, frame_id='cam', size=(9, 7)))
    at(1.2).process({}, stamp_ns=100 * SECOND, clock_ns=101 * SECOND)
    at(1.3).process({}, stamp_ns=0, clock_ns=101 * SECOND)
    statistics = at(1.5).summarise()
    assert statistics.times == {
        'total': LatencyStats(0.0, 0.0),
        ARRIVAL_AGE: LatencyStats(0.5, pytest.approx(0.725)),  # 0.25 + 0.95 * 0.5
        PUBLISHING_AGE: LatencyStats(1.0, 1.0),
    }
    assert (statistics.latest.frame_id, statistics.latest.size) == ('cam', (9, 7))


@pytest.mark.parametrize(('stamp_s', 'clock_s'), [(0, 5), (5, 0), (0, 0)])
def test_an_age_without_stamp_or_clock_is_unknown(at, stamp_s, clock_s):
    at(1.0).receive(image(stamp_s, clock_s))
    assert at(1.0).summarise().times == {}


def skips(at, now_s):
    statistics = at(now_s).summarise()
    return statistics.recent['skipped'], statistics.skip_stage, statistics.skip_reason


def test_skips_are_those_of_the_window_with_the_latest_reason(at):
    at(1.0).skip(stage='decode', reason='first')
    at(3.0).skip(stage='decode', reason='second')
    at(4.0).skip(stage='estimate', reason='third')
    assert skips(at, 5.0) == (3, 'estimate', 'third')
    assert skips(at, 7.0) == (2, 'estimate', 'third')
    assert skips(at, 9.5) == (0, '', '')


def test_recent_counts_are_those_of_the_window(at):
    for now_s in (1.0, 2.0, 3.0):
        at(now_s).count('dropped')
        at(now_s).count('ignored')
        at(now_s).count('lost', 4)
    at(3.0).process({}, stamp_ns=0, clock_ns=0)
    every = Counter(dropped=3, ignored=3, lost=12, processed=1)
    assert at(6.0).summarise().recent == every
    statistics = at(6.5).summarise()  # without what was at 1.0 s
    assert statistics.counts == every
    assert statistics.recent == Counter(dropped=2, ignored=2, lost=8, processed=1)
    assert at(9.0).summarise().recent == Counter()


@pytest.mark.parametrize(
    'end',
    [
        lambda m: m.count('ignored'),
        lambda m: m.skip(stage='decode', reason=''),
        lambda m: m.process({}, stamp_ns=0, clock_ns=0),
    ],
)
def test_an_image_is_at_work_until_something_became_of_it(at, end):
    at(1.0).begin()
    assert at(3.5).summarise().busy_s == 2.5
    end(at(3.0))
    assert at(3.5).summarise().busy_s is None


def test_an_image_at_work_stays_so_while_others_give_way(at):
    at(1.0).begin()
    at(2.0).count('dropped')
    at(2.0).count('left_out')
    assert at(3.5).summarise().busy_s == 2.5


def test_memory_is_bounded_and_counts_go_on(at):
    for i in range(1500):
        at(i / 1000).receive(UNKNOWN)
    assert at(1.5).summarise().counts['received'] == 1500
    assert at(1.5).summarise().input_hz == pytest.approx(1000)


def test_threads_may_record_at_once(at):

    def record():
        for i in range(500):
            at(1.0).receive(UNKNOWN)
            at(1.0).process({'decode': 1.0}, stamp_ns=0, clock_ns=0)
            if i % 20 == 0:  # sorting takes long
                at(1.0).summarise()

    threads = [threading.Thread(target=record) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statistics = at(1.0).summarise()
    counts = statistics.counts
    assert (counts['received'], counts['processed'], statistics.working_s) == (1500, 1500, 1500.0)


def losses(at, now_s):
    statistics = at(now_s).summarise()
    return statistics.recent['received'], statistics.recent['lost'], statistics.n_missing


def test_images_that_do_not_come_are_counted(at):
    at(1.0).count('lost', 2)
    for second in range(10, 20):
        at(second).announce(second * SECOND)
        if second not in (12, 13, 19):  # the image of 19 may be on its way
            at(second).receive(image(second, second))
    at(19.0).count('lost', 3)
    # Of the last 5 s: 15, 16, 17, 18 have come.
    assert losses(at, 19.5) == (4, 3, 0)
    assert at(19.5).summarise().counts['lost'] == 5


def test_images_whose_camera_info_came_are_missing(at):
    for second in range(5):
        at(second).announce((100 + second) * SECOND)
        at(second).announce((100 + second) * SECOND)  # heard twice
        if second not in (1, 3):
            at(second).receive(image(100 + second, 100))
    assert losses(at, 4.0) == (3, 0, 2)
    assert losses(at, 10.0) == (0, 0, 0)


def test_nothing_is_missing_where_the_two_are_not_stamped_alike(at):
    for second in range(5):
        at(second).announce((100 + second) * SECOND)
        at(second).receive(image(100.5 + second, 100))
        at(second).announce(0)
        at(second).receive(UNKNOWN)
    assert losses(at, 4.0) == (10, 0, 0)
