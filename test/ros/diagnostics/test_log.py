import pytest

from mirror_depth_ros.ros.diagnostics.health import Cause, Issue, Level
from mirror_depth_ros.ros.diagnostics.updater import IssueLog

NO_IMAGE = Issue(Level.ERROR, Cause.IMAGE, 'got no image')
REFUSED = [Issue(Level.WARN, Cause.OUTPUT, 'not reached', topic=t) for t in ('/a', '/b')]
CLOCK = Issue(Level.OK, Cause.CLOCK, 'another clock')


def times(log, issue, until_s):
    """Return the seconds at which an issue that stays is logged."""
    return [now_s for now_s in range(until_s) if log.choose([issue], now_s)]


def test_what_stays_is_said_less_and_less_often():
    assert times(IssueLog(), NO_IMAGE, 100) == [0, 10, 30, 70]  # 10, 20 and 40 s later


def test_what_comes_again_is_new():
    log = IssueLog()
    assert log.choose([NO_IMAGE], 0.0) == [NO_IMAGE]
    assert log.choose([], 1.0) == []
    assert log.choose([NO_IMAGE], 2.0) == [NO_IMAGE]


def test_each_topic_is_one_of_its_own():
    log = IssueLog()
    assert log.choose(REFUSED[:1], 0.0) == REFUSED[:1]
    assert log.choose(REFUSED, 1.0) == REFUSED[1:]


def test_what_is_no_fault_is_said_once_however_often_it_comes():
    log = IssueLog()
    assert times(log, CLOCK, 100) == [0]
    assert log.choose([], 100.0) == []
    assert log.choose([CLOCK], 101.0) == []


@pytest.mark.parametrize('cause', [Cause.STATE, Cause.SKIPPED, Cause.PAUSED, Cause.SLOW])
def test_what_others_log_is_left_to_them(cause):
    assert times(IssueLog(), Issue(Level.ERROR, cause, 'logged at its place'), 20) == []
