"""What is wrong with the depth node, and what to do: the one place that knows. Without ROS.

Everything is judged from a :class:`~mirror_depth_ros.ros.diagnostics.status.Snapshot`, so that
the log and ``/diagnostics`` say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

from mirror_depth_ros.ros.diagnostics.input_trouble import describe_losses, describe_silence
from mirror_depth_ros.ros.diagnostics.statistics import WINDOW_S, Skips
from mirror_depth_ros.ros.diagnostics.status import InputFacts, NodeFacts, OutputFacts, Snapshot

#: No image for longer than this means that none comes [s]. The diagnostics add at most a second.
SILENCE_S = 2.5
#: Images of a live camera are younger than this when they come [s].
LATE_S = 1.0
#: What differs by more than this is not late: another clock has set the stamp [s].
OTHER_CLOCK_S = 60.0
# An image that takes the model longer than this is not being estimated, but stuck [s].
_STUCK_S = 3.0
# Of a camera that is a little faster than the model, single images are dropped.
_SLOW_SHARE = 0.2
# Of what differs by more than OTHER_CLOCK_S; a year is a Julian one [s].
_UNITS = {'years': 365.25 * 86400, 'days': 86400, 'hours': 3600, 'minutes': 60}


class Level(IntEnum):
    """How bad it is; the numbers are those of ``diagnostic_msgs/DiagnosticStatus``."""

    #: As it should be, or as somebody wanted it.
    OK = 0
    #: Depth comes, but not all of it or not as it should; or somebody has stopped it.
    WARN = 1
    #: No depth comes until somebody does something.
    ERROR = 2


class Cause(Enum):
    """What a finding is about."""

    STATE = 'state'
    NAME = 'name'
    IMAGE = 'image'
    CAMERA_INFO = 'camera_info'
    LOST = 'lost'
    CALIBRATION = 'calibration'
    SKIPPED = 'skipped'
    STUCK = 'stuck'
    MEMORY = 'memory'
    OUTPUT = 'output'
    PAUSED = 'paused'
    LATE = 'late'
    CLOCK = 'clock'
    SLOW = 'slow'


@dataclass(frozen=True)
class Finding:
    """One thing to know; its message names the cause and what to do."""

    level: Level
    cause: Cause
    message: str
    #: The topic, where there may be findings of that cause on several.
    topic: str = ''


@dataclass(frozen=True)
class Judgement:
    """What is to be said of a snapshot."""

    level: Level
    #: One sentence: the gravest finding, or what the node is doing.
    message: str
    #: All of them, the gravest first; those at level OK are worth knowing all the same.
    findings: tuple[Finding, ...]


def judge(snapshot: Snapshot) -> Judgement:
    """Say what is wrong with a camera and its node, the gravest first."""
    return _weigh(_find(snapshot), _activity(snapshot))


def judge_node(facts: NodeFacts, n_cameras: int) -> Judgement:
    """Say what is wrong with a node of which every camera is judged on its own."""
    findings = [
        *_find_in_state(facts),
        *_find_namesakes(facts),
        *_find_shortage(facts),
        *_find_pause(facts),
    ]
    return _weigh(findings, f'{facts.state}, for {n_cameras} camera{"s" * (n_cameras != 1)}')


def _weigh(found: Iterable[Finding], activity: str) -> Judgement:
    # Sorting keeps the order of equals, which is that of an image's path.
    findings = tuple(sorted(found, key=lambda f: -f.level))
    if findings and findings[0].level > Level.OK:
        return Judgement(findings[0].level, findings[0].message, findings)
    message = '; '.join([activity, *(f.message for f in findings)])
    return Judgement(Level.OK, message, findings)


def _find(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.state != 'active' or snapshot.image is None or snapshot.camera_info is None:
        yield from _find_in_state(snapshot)
        yield from _find_namesakes(snapshot)
        return
    measured, skips = snapshot.measured, snapshot.measured.skips
    # Of images that were skipped a moment ago, the reason is what matters.
    is_silent = _is_silent(snapshot.image, measured.since_image_s, measured.elapsed_s)
    if is_silent and skips is None:
        message = describe_silence(snapshot, 'image', snapshot.image, measured.since_image_s)
        yield Finding(Level.ERROR, Cause.IMAGE, message)
    elif not is_silent and (lost := describe_losses(snapshot.image, measured.losses)):
        yield Finding(Level.WARN, Cause.LOST, lost)
    if snapshot.assumed_hfov_deg:
        yield Finding(Level.OK, Cause.CALIBRATION, _assumption(snapshot.assumed_hfov_deg))
    elif not snapshot.has_calibration and _is_silent(
        snapshot.camera_info, None, measured.elapsed_s
    ):
        message = describe_silence(snapshot, 'CameraInfo', snapshot.camera_info, None)
        yield Finding(Level.ERROR, Cause.CAMERA_INFO, message)
    # A malformed image's size, which the calibration is compared with, says nothing.
    is_malformed = skips is not None and skips.stage == 'decode'
    if snapshot.calibration_error and not is_malformed:
        message = f'{snapshot.camera_info.topic}: {snapshot.calibration_error}'
        yield Finding(Level.ERROR, Cause.CALIBRATION, message)
    elif skips is not None:
        level = Level.WARN if skips.others_pass else Level.ERROR
        yield Finding(level, Cause.SKIPPED, _skipped(skips, snapshot.device))
    if measured.busy_s is not None and measured.busy_s > _STUCK_S:
        message = (
            f'got no depth for {measured.busy_s:.0f} s: the model is still at work on one image, '
            f'on {snapshot.device}; wait if it is the first one, else start the node again'
        )
        yield Finding(Level.WARN, Cause.STUCK, message)
    yield from _find_namesakes(snapshot)
    yield from _find_shortage(snapshot)
    for output in snapshot.outputs:
        if output.n_refused:
            yield Finding(Level.WARN, Cause.OUTPUT, _refused(output), output.topic)
    yield from _find_pause(snapshot)
    yield from _find_in_time(snapshot)
    # Not while the first image is at work, which takes longer than the others.
    if snapshot.lacks_gpu and measured.output_hz and measured.dropped_share > _SLOW_SHARE:
        message = (
            f'depth comes at {measured.output_hz:.1f} Hz and images at {measured.input_hz:.1f} '
            'Hz: no GPU was found, so the model runs on the CPU; install PyTorch for the GPU, or '
            'let the camera send fewer images'
        )
        yield Finding(Level.WARN, Cause.SLOW, message)


def _find_in_state(facts: NodeFacts) -> Iterator[Finding]:
    """Say why a node that is not active is not."""
    if facts.failure:
        yield Finding(Level.ERROR, Cause.STATE, facts.failure)
    elif facts.state in ('unconfigured', 'inactive'):
        command = 'configure' if facts.state == 'unconfigured' else 'activate'
        message = f'{facts.state}; to go on: ros2 lifecycle set {facts.node} {command}'
        yield Finding(Level.WARN, Cause.STATE, message)


def _find_namesakes(facts: NodeFacts) -> Iterator[Finding]:
    if facts.n_namesakes:
        message = (
            f'got {facts.n_namesakes + 1} nodes of the name {facts.node}, expected one: each '
            'output comes from all of them; end the others, or name this one -r __node:=NAME. One '
            'that was killed is listed for some seconds more'
        )
        yield Finding(Level.WARN, Cause.NAME, message)


def _find_shortage(facts: NodeFacts) -> Iterator[Finding]:
    if facts.shrunk:
        yield Finding(Level.WARN, Cause.MEMORY, facts.shrunk)


def _find_pause(facts: NodeFacts) -> Iterator[Finding]:
    if not facts.enabled:
        message = (
            f'paused by ~/enable; to resume: ros2 service call {facts.node}/enable '
            'std_srvs/srv/SetBool "{data: true}"'
        )
        yield Finding(Level.WARN, Cause.PAUSED, message)


def _find_in_time(snapshot: Snapshot) -> Iterator[Finding]:
    """Say what is wrong with the images' age."""
    latest, age = snapshot.measured.latest, snapshot.measured.arrival_age
    if latest is None:
        return
    if not latest.stamp_ns:
        message = (
            'the age of images is unknown: their stamps are zero; let the camera driver set them'
        )
        yield Finding(Level.OK, Cause.CLOCK, message)
    elif not latest.clock_ns:
        message = (
            'the age of images is unknown: use_sim_time is set, and nobody publishes /clock; '
            'start the simulator, or play the recording with --clock'
        )
        yield Finding(Level.OK, Cause.CLOCK, message)
    elif age is not None and abs(age.p50) > OTHER_CLOCK_S:
        # No fault of a recording that is played, which would be blamed for as long as it plays.
        message = (
            f'stamps of images are {_difference(age.p50)} the clock here, so their age is '
            'unknown; play a recording with --clock and use_sim_time, or set the clock of the '
            'camera'
        )
        yield Finding(Level.OK, Cause.CLOCK, message)
    elif age is not None and abs(age.p50) > LATE_S:
        expected = f'expected less than {LATE_S:.0f} s'
        message = (
            f'got images that are {age.p50:.1f} s old when they come, {expected}; relieve network '
            "and camera driver, or synchronise the camera's clock"
            if age.p50 > 0
            else f'got images with stamps {-age.p50:.1f} s ahead of the clock here, {expected}; '
            'synchronise the clocks'
        )
        yield Finding(Level.WARN, Cause.LATE, message)


def _is_silent(topic: InputFacts, since_s: float | None, elapsed_s: float) -> bool:
    """Whether nothing comes. Where the reason is known, there is nothing to wait for."""
    if since_s is None and (
        topic.refused_policy or (topic.other_types and not topic.n_publishers)
    ):
        return True
    return (elapsed_s if since_s is None else since_s) > SILENCE_S


def _assumption(hfov_deg: float) -> str:
    return (
        f'the camera is not calibrated: its images are assumed to be {hfov_deg:g} degrees wide '
        '(parameter hfov_deg), without distortion; calibrate it for depth of true scale'
    )


def _skipped(skips: Skips, device: str) -> str:
    what = {
        'decode': 'malformed images skipped',
        'calibrate': 'images without a calibration that fits skipped',
        'estimate': f'images on which the model failed (on {device})',
        'publish': 'images whose depth could not be published',
    }[skips.stage]
    return f'{skips.n_images} {what} in the last {WINDOW_S:.0f} s, the latest: {skips.reason}'


def _refused(output: OutputFacts) -> str:
    topic, policy = output.topic, output.refused_policy
    refused = f'{topic} does not reach {output.n_refused} of its subscribers, whose QoS differs'
    if policy != 'reliability':  # which alone can be overridden here
        return f'{refused} ({policy}); change theirs'
    return (
        f'{refused} ({policy}); remove the parameter qos_overrides.{topic}.publisher.{policy}, or '
        'change theirs'
    )


def _difference(age_s: float) -> str:
    """Say how far a clock is off: ``3.2 hours behind``."""
    amount = abs(age_s)
    unit, seconds = next((u, s) for u, s in _UNITS.items() if amount >= s)
    return f'{amount / seconds:.1f} {unit} {"behind" if age_s > 0 else "ahead of"}'


def _activity(snapshot: Snapshot) -> str:
    """Say what a node does that has no trouble."""
    measured = snapshot.measured
    if snapshot.state != 'active':
        return snapshot.state
    if measured.since_image_s is None:
        return 'waiting for the first image'
    if not any(output.n_subscribers for output in snapshot.outputs):
        return 'idle: nobody subscribes'
    if measured.output_hz:
        return f'depth comes at {measured.output_hz:.1f} Hz'
    return 'depth comes' if measured.durations else 'waiting for depth'
