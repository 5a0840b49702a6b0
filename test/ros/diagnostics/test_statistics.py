import threading

import pytest

from mirror_depth_ros.ros.diagnostics.statistics import (
    WINDOW_S,
    Counts,
    LatencyStats,
    LatestImage,
    Measurements,
)

SECOND = 1_000_000_000
UNKNOWN = LatestImage(stamp_ns=0, clock_ns=0)


def image(stamp_s, clock_s, **fields):
    return LatestImage(round(stamp_s * SECOND), round(clock_s * SECOND), **fields)


def test_before_any_image_nothing_is_known():
    statistics = Measurements(started_s=10.0).summarise(12.5)
    assert statistics.elapsed_s == 2.5
    assert (statistics.since_image_s, statistics.busy_s, statistics.latest) == (None, None, None)
    assert (statistics.input_hz, statistics.output_hz, statistics.n_missing) == (0.0, 0.0, 0)
    assert (statistics.arrival_age, statistics.publishing_age) == (None, None)
    assert (statistics.skip_stage, statistics.skip_reason) == ('', '')
    assert statistics.counts == statistics.recent == Counts()
    assert statistics.durations == {}


def test_every_fate_of_an_image_is_counted():
    measurements = Measurements(started_s=0.0)
    for _ in range(6):
        measurements.receive(1.0, UNKNOWN)
    measurements.drop(1.0)
    measurements.ignore(1.0)
    measurements.skip(1.0, stage='decode', reason='too short')
    for seconds in (0.25, 0.5):
        measurements.process(1.0, {'decode': 0.25, 'estimate': seconds}, stamp_ns=0, clock_ns=0)
    counts = measurements.counts
    assert (counts.received, counts.dropped, counts.ignored) == (6, 1, 1)
    assert (counts.skipped, counts.processed) == (1, 2)
    assert measurements.working_s == 1.25  # 0.25 + 0.25 + 0.25 + 0.5
    measurements.ignore(1.0)
    assert counts.ignored == 1  # a copy: it stays what it was


def test_rates_are_those_between_the_images_of_the_window():
    measurements = Measurements(started_s=0.0)
    for i in range(21):
        measurements.receive(0.5 * i, UNKNOWN)  # 0.0, 0.5, ..., 10.0 s: 2 Hz
    for now_s in (6.0, 8.0, 10.0):
        measurements.process(now_s, {}, stamp_ns=0, clock_ns=0)
    statistics = measurements.summarise(10.2)
    assert (statistics.input_hz, statistics.output_hz) == (2.0, 0.5)
    assert statistics.since_image_s == pytest.approx(0.2)
    assert measurements.summarise(14.0).input_hz == 2.0  # at 9.0, 9.5 and 10.0
    later = measurements.summarise(16.0)
    assert (later.input_hz, later.output_hz, later.since_image_s) == (0.0, 0.0, 6.0)


def test_percentiles_are_of_the_window_for_each_stage_and_for_all():
    measurements = Measurements(started_s=0.0)
    measurements.process(1.0, {'decode': 9.0}, stamp_ns=0, clock_ns=0)
    for i in range(1, 6):  # decoding takes 1 to 5 s, estimating twice as long
        stages = {'decode': float(i), 'estimate': 2.0 * i}
        measurements.process(1.5 + WINDOW_S, stages, stamp_ns=0, clock_ns=0)
    durations = measurements.summarise(1.5 + WINDOW_S).durations
    assert durations == {
        'decode': LatencyStats(3.0, 4.8),  # p95 of 1 to 5: 1 + 0.95 * 4
        'estimate': LatencyStats(6.0, pytest.approx(9.6)),
        'total': LatencyStats(9.0, pytest.approx(14.4)),
    }


def test_ages_are_those_of_images_with_stamps():
    measurements = Measurements(started_s=0.0)
    measurements.receive(1.0, image(100.0, 100.25))
    measurements.receive(1.1, image(100.0, 100.75, frame_id='cam', size=(9, 7)))
    measurements.process(1.2, {}, stamp_ns=100 * SECOND, clock_ns=101 * SECOND)
    measurements.process(1.3, {}, stamp_ns=0, clock_ns=101 * SECOND)
    statistics = measurements.summarise(1.5)
    assert statistics.arrival_age == LatencyStats(0.5, pytest.approx(0.725))  # 0.25 + 0.95 * 0.5
    assert statistics.publishing_age == LatencyStats(1.0, 1.0)
    assert (statistics.latest.frame_id, statistics.latest.size) == ('cam', (9, 7))


@pytest.mark.parametrize(('stamp_s', 'clock_s'), [(0, 5), (5, 0), (0, 0)])
def test_an_age_without_stamp_or_clock_is_unknown(stamp_s, clock_s):
    measurements = Measurements(started_s=0.0)
    measurements.receive(1.0, image(stamp_s, clock_s))
    assert measurements.summarise(1.0).arrival_age is None


def skips(measurements, now_s):
    statistics = measurements.summarise(now_s)
    return statistics.recent.skipped, statistics.skip_stage, statistics.skip_reason


def test_skips_are_those_of_the_window_with_the_latest_reason():
    measurements = Measurements(started_s=0.0)
    measurements.skip(1.0, stage='decode', reason='first')
    measurements.skip(3.0, stage='decode', reason='second')
    measurements.skip(4.0, stage='estimate', reason='third')
    assert skips(measurements, 5.0) == (3, 'estimate', 'third')
    assert skips(measurements, 7.0) == (2, 'estimate', 'third')
    assert skips(measurements, 9.5) == (0, '', '')


def test_recent_counts_are_those_of_the_window():
    measurements = Measurements(started_s=0.0)
    for now_s in (1.0, 2.0, 3.0):
        measurements.drop(now_s)
        measurements.ignore(now_s)
        measurements.lose(now_s, 4)
    measurements.process(3.0, {}, stamp_ns=0, clock_ns=0)
    every = Counts(dropped=3, ignored=3, lost=12, processed=1)
    assert measurements.summarise(6.0).recent == every
    statistics = measurements.summarise(6.5)  # without what was at 1.0 s
    assert statistics.counts == every
    assert statistics.recent == Counts(dropped=2, ignored=2, lost=8, processed=1)
    assert measurements.summarise(9.0).recent == Counts()


@pytest.mark.parametrize(
    'end',
    [
        lambda m: m.ignore(3.0),
        lambda m: m.skip(3.0, stage='decode', reason=''),
        lambda m: m.process(3.0, {}, stamp_ns=0, clock_ns=0),
    ],
)
def test_an_image_is_at_work_until_something_became_of_it(end):
    measurements = Measurements(started_s=0.0)
    measurements.begin(1.0)
    assert measurements.summarise(3.5).busy_s == 2.5
    end(measurements)
    assert measurements.summarise(3.5).busy_s is None


def test_memory_is_bounded_and_counts_go_on():
    measurements = Measurements(started_s=0.0)
    for i in range(1500):
        measurements.receive(i / 1000, UNKNOWN)
    assert measurements.counts.received == 1500
    assert measurements.summarise(1.5).input_hz == pytest.approx(1000)


def test_threads_may_record_at_once():
    measurements = Measurements(started_s=0.0)

    def record():
        for i in range(500):
            measurements.receive(1.0, UNKNOWN)
            measurements.process(1.0, {'decode': 1.0}, stamp_ns=0, clock_ns=0)
            if i % 20 == 0:  # sorting takes long
                measurements.summarise(1.0)

    threads = [threading.Thread(target=record) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = measurements.counts
    assert (counts.received, counts.processed, measurements.working_s) == (1500, 1500, 1500.0)


def losses(measurements, now_s):
    statistics = measurements.summarise(now_s)
    return statistics.recent.received, statistics.recent.lost, statistics.n_missing


def test_images_that_do_not_come_are_counted():
    measurements = Measurements(started_s=0.0)
    measurements.lose(1.0, 2)
    for second in range(10, 20):
        measurements.announce(second, second * SECOND)
        if second not in (12, 13, 19):  # the image of 19 may be on its way
            measurements.receive(second, image(second, second))
    measurements.lose(19.0, 3)
    # Of the last 5 s: 15, 16, 17, 18 have come.
    assert losses(measurements, 19.5) == (4, 3, 0)
    assert measurements.counts.lost == 5
    measurements = Measurements(started_s=0.0)
    for second in range(5):
        measurements.announce(second, (100 + second) * SECOND)
        measurements.announce(second, (100 + second) * SECOND)  # heard twice
        if second not in (1, 3):
            measurements.receive(second, image(100 + second, 100))
    assert losses(measurements, 4.0) == (3, 0, 2)
    assert losses(measurements, 10.0) == (0, 0, 0)


def test_nothing_is_missing_where_the_two_are_not_stamped_alike():
    measurements = Measurements(started_s=0.0)
    for second in range(5):
        measurements.announce(second, (100 + second) * SECOND)
        measurements.receive(second, image(100.5 + second, 100))
        measurements.announce(second, 0)
        measurements.receive(second, UNKNOWN)
    assert losses(measurements, 4.0) == (10, 0, 0)
