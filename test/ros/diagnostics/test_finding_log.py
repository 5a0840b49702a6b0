import pytest

from mirror_depth_ros.ros.diagnostics.finding_log import FindingLog
from mirror_depth_ros.ros.diagnostics.health import Cause, Finding, Level

NO_IMAGE = Finding(Level.ERROR, Cause.IMAGE, 'got no image')
REFUSED = [Finding(Level.WARN, Cause.OUTPUT, 'not reached', topic=t) for t in ('/a', '/b')]
CLOCK = Finding(Level.OK, Cause.CLOCK, 'another clock')


def times(log, finding, until_s):
    """Return the seconds at which a finding that stays is logged."""
    return [now_s for now_s in range(until_s) if log.choose([finding], now_s)]


def test_what_stays_is_said_less_and_less_often():
    assert times(FindingLog(), NO_IMAGE, 100) == [0, 10, 30, 70]  # 10, 20 and 40 s later


def test_what_comes_again_is_new():
    log = FindingLog()
    assert log.choose([NO_IMAGE], 0.0) == [NO_IMAGE]
    assert log.choose([], 1.0) == []
    assert log.choose([NO_IMAGE], 2.0) == [NO_IMAGE]


def test_each_topic_is_one_of_its_own():
    log = FindingLog()
    assert log.choose(REFUSED[:1], 0.0) == REFUSED[:1]
    assert log.choose(REFUSED, 1.0) == REFUSED[1:]


def test_what_is_no_fault_is_said_once_however_often_it_comes():
    log = FindingLog()
    assert times(log, CLOCK, 100) == [0]
    assert log.choose([], 100.0) == []
    assert log.choose([CLOCK], 101.0) == []


@pytest.mark.parametrize('cause', [Cause.STATE, Cause.SKIPPED, Cause.PAUSED, Cause.SLOW])
def test_what_others_log_is_left_to_them(cause):
    assert times(FindingLog(), Finding(Level.ERROR, cause, 'logged at its place'), 20) == []
