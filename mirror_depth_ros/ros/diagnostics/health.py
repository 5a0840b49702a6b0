"""What is wrong with the depth node, and what to do: the one place that knows. Without ROS.

A status in, the list of issues out; the log and ``/diagnostics`` therefore say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

from mirror_depth_ros.ros.diagnostics.statistics import (
    ARRIVAL_AGE,
    WINDOW_S,
    CameraStatus,
    NodeStatus,
    PublisherStatus,
    Statistics,
    SubscriptionStatus,
)

#: No message for longer than this means that none comes [s].
SILENCE_S = 2.5
#: Images of a live camera are younger than this when they come [s].
LATE_S = 1.0
#: What differs by more than this is not late: another clock has set the stamp [s].
OTHER_CLOCK_S = 60.0
# An image that takes the model longer than this is not being estimated, but stuck [s].
_STUCK_S = 3.0
# Of a camera that is a little faster than the model, single images are dropped.
_SLOW_RATIO = 0.2
# Single images are lost where nobody can help it, as while a subscription is made.
_LOST_RATIO = 0.05
# Of what differs by more than OTHER_CLOCK_S; a year is a Julian one [s].
_UNITS = {'years': 365.25 * 86400, 'days': 86400, 'hours': 3600, 'minutes': 60}
# The transition that leads a node on, by its state.
_NEXT = {'unconfigured': 'configure', 'inactive': 'activate'}
# What is said of images that were skipped in a stage.
_SKIPPED = {
    'decode': 'malformed images skipped',
    'calibrate': 'images without a calibration that fits skipped',
    'estimate': 'images on which the model failed (on {device})',
    'publish': 'images whose depth could not be published',
}


class Level(IntEnum):
    """How bad it is; the numbers are those of ``diagnostic_msgs/DiagnosticStatus``."""

    OK = 0  # as it should be, or as somebody wanted it
    WARN = 1  # depth comes, but not all of it or not as it should; or somebody has stopped it
    ERROR = 2  # no depth comes until somebody does something


#: What an issue is about.
Cause = Enum(
    'Cause',
    'STATE NAME IMAGE CAMERA_INFO LOST CALIBRATION SKIPPED STUCK MEMORY OUTPUT PAUSED LATE CLOCK '
    'SLOW STRANGE MOTION',
)


@dataclass(frozen=True)
class Issue:
    """One thing to know; its message names the cause and what to do."""

    level: Level
    cause: Cause
    message: str
    #: The topic, where there may be issues of that cause on several.
    topic: str = ''


@dataclass(frozen=True)
class Health:
    """How a node or a camera is."""

    #: One sentence: the gravest issue, or what the node is doing.
    message: str
    #: All of them, the gravest first; those at level OK are worth knowing all the same.
    issues: tuple[Issue, ...] = ()

    @property
    def level(self) -> Level:
        """That of the gravest issue."""
        return self.issues[0].level if self.issues else Level.OK


def check_health(camera: CameraStatus) -> Health:
    """Say what is wrong with a camera and its node, the gravest first."""
    return _sum_up(_camera_issues(camera), _activity(camera))


def check_node_health(node: NodeStatus, n_cameras: int) -> Health:
    """Say what is wrong with a node of which every camera is checked on its own."""
    activity = f'{node.state}, for {n_cameras} camera{"s" * (n_cameras != 1)}'
    return _sum_up(_node_issues(node), activity)


def _sum_up(found: Iterable[Issue], activity: str) -> Health:
    # Sorting keeps the order of equals, which is that of an image's path.
    issues = tuple(sorted(found, key=lambda issue: -issue.level))
    if issues and issues[0].level > Level.OK:
        return Health(issues[0].message, issues)
    return Health('; '.join([activity, *(issue.message for issue in issues)]), issues)


def _activity(camera: CameraStatus) -> str:
    """Say what a node does that has no trouble."""
    statistics = camera.statistics
    if camera.node.state != 'active':
        return camera.node.state
    if statistics.since_image_s is None:
        return 'waiting for the first image'
    if not any(publisher.n_subscribers for publisher in camera.publishers):
        return 'idle: nobody subscribes'
    if statistics.output_hz:
        return f'depth comes at {statistics.output_hz:.1f} Hz'
    if 'total' in statistics.times:
        return 'depth comes'
    if statistics.counts['processed'] and statistics.recent['left_out']:
        return 'depth comes as seldom as max_rate_hz has it'
    return 'waiting for depth'


# What there is to find, in the order of an image's path


def _camera_issues(camera: CameraStatus) -> Iterator[Issue]:
    node = camera.node
    if node.state != 'active' or camera.image is None or camera.camera_info is None:
        yield from _node_issues(node)
        return
    yield from _image_issues(camera, camera.image)
    yield from _calibration_issues(camera, camera.camera_info)
    yield from _work_issues(camera, camera.camera_info.topic)
    yield from _output_issues(camera.publishers)
    yield from _node_issues(node)
    yield from _age_issues(camera.statistics)
    yield from _model_issues(node, camera.statistics)


def _image_issues(camera: CameraStatus, topic: SubscriptionStatus) -> Iterator[Issue]:
    statistics, recent = camera.statistics, camera.statistics.recent
    if _is_silent(topic, statistics.since_image_s, statistics.elapsed_s):
        if not recent['skipped']:  # else the reason for that is what matters
            yield Issue(Level.ERROR, Cause.IMAGE, _silence(topic, camera, 'image'))
    # Only what the middleware says it lost proves that: where this process is busy, an image gives
    # way to the next before it is taken, and its CameraInfo does not.
    elif recent['lost'] > max(1.0, _LOST_RATIO * (recent['received'] + recent['lost'])):
        n_lost = max(recent['lost'], statistics.n_missing)  # of what never began it knows nothing
        message = (
            f'{n_lost} of {recent["received"] + n_lost} images on {topic.topic} were lost on '
            f'their way in the last {WINDOW_S:.0f} s: {_loss_remedy(topic)}'
        )
        yield Issue(Level.WARN, Cause.LOST, message)


def _calibration_issues(camera: CameraStatus, topic: SubscriptionStatus) -> Iterator[Issue]:
    if camera.assumed_hfov_deg:
        message = (
            'the camera is not calibrated: its images are assumed to be '
            f'{camera.assumed_hfov_deg:g} degrees wide (parameter hfov_deg), without distortion; '
            'calibrate it for depth of true scale'
        )
        yield Issue(Level.OK, Cause.CALIBRATION, message)
    elif not camera.has_calibration and _is_silent(topic, None, camera.statistics.elapsed_s):
        yield Issue(Level.ERROR, Cause.CAMERA_INFO, _silence(topic, camera, 'camera_info'))


def _work_issues(camera: CameraStatus, info_topic: str) -> Iterator[Issue]:
    """Say that images cannot be used, or that one never ends."""
    statistics, recent, device = camera.statistics, camera.statistics.recent, camera.node.device
    # A malformed image's size, which the calibration is compared with, says nothing.
    if camera.calibration_error and statistics.skip_stage != 'decode':
        message = f'{info_topic}: {camera.calibration_error}'
        yield Issue(Level.ERROR, Cause.CALIBRATION, message)
    elif n_skipped := recent['skipped']:
        message = (
            f'{n_skipped} {_SKIPPED[statistics.skip_stage].format(device=device)} in the '
            f'last {WINDOW_S:.0f} s, the latest: {statistics.skip_reason}'
        )
        yield Issue(Level.WARN if recent['processed'] else Level.ERROR, Cause.SKIPPED, message)
    if statistics.busy_s is not None and statistics.busy_s > _STUCK_S:
        message = (
            f'got no depth for {statistics.busy_s:.0f} s: the model is still at work on one '
            f'image, on {device}; wait if it is the first one, else start the node again'
        )
        yield Issue(Level.WARN, Cause.STUCK, message)


def _output_issues(publishers: Iterable[PublisherStatus]) -> Iterator[Issue]:
    for publisher in publishers:
        topic, policy, remedy = publisher.topic, publisher.refused_policy, 'change theirs'
        if policy == 'reliability':  # which alone can be overridden here
            remedy = f'remove the parameter qos_overrides.{topic}.publisher.{policy}, or {remedy}'
        message = (
            f'{topic} does not reach {publisher.n_refused} of its subscribers, whose QoS differs '
            f'({policy}); {remedy}'
        )
        if publisher.n_refused:
            yield Issue(Level.WARN, Cause.OUTPUT, message, topic)


def _node_issues(node: NodeStatus) -> Iterator[Issue]:
    if node.failure:
        yield Issue(Level.ERROR, Cause.STATE, node.failure)
    elif node.state in _NEXT:
        message = f'{node.state}; to go on: ros2 lifecycle set {node.name} {_NEXT[node.state]}'
        yield Issue(Level.WARN, Cause.STATE, message)
    if node.n_namesakes:
        message = (
            f'got {node.n_namesakes + 1} nodes of the name {node.name}, expected one: each '
            'output comes from all of them; end the others, or name this one -r __node:=NAME. One '
            'that was killed is listed for some seconds more'
        )
        yield Issue(Level.WARN, Cause.NAME, message)
    if node.shrunk:
        yield Issue(Level.WARN, Cause.MEMORY, node.shrunk)
    if node.motion_lack:
        yield Issue(Level.WARN, Cause.MOTION, node.motion_lack)
    if not node.enabled:
        message = (
            f'paused by ~/enable; to resume: ros2 service call {node.name}/enable '
            'std_srvs/srv/SetBool "{data: true}"'
        )
        yield Issue(Level.WARN, Cause.PAUSED, message)


def _age_issues(statistics: Statistics) -> Iterator[Issue]:
    latest = statistics.latest
    if latest is None:
        return
    age_s = statistics.times[ARRIVAL_AGE].p50 if ARRIVAL_AGE in statistics.times else 0.0
    level, cause = Level.OK, Cause.CLOCK
    if not latest.stamp_ns:
        message = (
            'the age of images is unknown: their stamps are zero; let the camera driver set them'
        )
    elif not latest.clock_ns:
        message = (
            'the age of images is unknown: use_sim_time is set, and nobody publishes /clock; '
            'start the simulator, or play the recording with --clock'
        )
    elif abs(age_s) > OTHER_CLOCK_S:
        # No fault of a recording that is played, which would be blamed for as long as it plays.
        unit, seconds = next((u, s) for u, s in _UNITS.items() if abs(age_s) >= s)
        off = f'{abs(age_s) / seconds:.1f} {unit} {"behind" if age_s > 0 else "ahead of"}'
        message = (
            f'stamps of images are {off} the clock here, so their age is unknown; play a '
            'recording with --clock and use_sim_time, or set the clock of the camera'
        )
    elif age_s > LATE_S:
        level, cause = Level.WARN, Cause.LATE
        message = (
            f'got images that are {age_s:.1f} s old when they come, expected less than '
            f"{LATE_S:.0f} s; relieve network and camera driver, or synchronise the camera's clock"
        )
    elif age_s < -LATE_S:
        level, cause = Level.WARN, Cause.LATE
        message = (
            f'got images with stamps {-age_s:.1f} s ahead of the clock here, expected less than '
            f'{LATE_S:.0f} s; synchronise the clocks'
        )
    else:
        return
    yield Issue(level, cause, message)


def _model_issues(node: NodeStatus, statistics: Statistics) -> Iterator[Issue]:
    """Say that the model is slower than it could be, or sees what it does not know."""
    n_dropped, n_processed = statistics.recent['dropped'], statistics.recent['processed']
    is_slow = n_dropped > _SLOW_RATIO * (n_dropped + n_processed)
    # Not while the first image is at work, which takes longer than the others.
    if node.lacks_gpu and statistics.output_hz and is_slow:
        message = (
            f'depth comes at {statistics.output_hz:.1f} Hz and images at '
            f'{statistics.input_hz:.1f} Hz: no GPU was found, so the model runs on the CPU; '
            'install PyTorch for the GPU, or let the camera send fewer images'
        )
        yield Issue(Level.WARN, Cause.SLOW, message)
    if (statistics.strangeness or 0.0) > 1.0:
        message = (
            'the images are unlike those that the model was trained on '
            f'({statistics.strangeness:.1f} times as far from their mean as nearly all of those), '
            'so depth, its scale above all, may be far off; adapt the model to this camera: '
            'mirror_depth train --config bag'
        )
        yield Issue(Level.WARN, Cause.STRANGE, message)


# Topics of which nothing comes, or not all


def input_name(camera: str, topic: str) -> str:
    """Return the name that remaps an input: ``front/image``, or ``image`` of an only camera."""
    return f'{camera}/{topic}' if camera else topic


def _is_silent(topic: SubscriptionStatus, since_s: float | None, elapsed_s: float) -> bool:
    """Whether nothing comes, for what is known of :class:`Statistics`' times [s]."""
    if since_s is not None:
        return since_s > SILENCE_S
    is_of_other_type = bool(topic.other_types) and not topic.n_publishers
    return topic.is_refused or is_of_other_type or elapsed_s > SILENCE_S


def _silence(status: SubscriptionStatus, camera: CameraStatus, name: str) -> str:
    """Say that nothing comes, why, and what to do; the name is that which remaps the input."""
    topic, remap = status.topic, f'remap {input_name(camera.name, name)} to'
    lack, n_lost = f'got no CameraInfo on {topic}', 0
    if name == 'image':
        since_s, n_lost = camera.statistics.since_image_s, camera.statistics.recent['lost']
        lack = f'got no image on {topic}' + ('' if since_s is None else f' for {since_s:.0f} s')
    if status.is_refused:  # by what was forced: as it is, the node asks for no more
        return (
            f'{lack}: its publisher and this node differ in QoS (reliability); '
            f'{_give_way(status)}, or change the publisher'
        )
    if n_lost:
        return f'{lack}: {n_lost} were lost on their way; {_loss_remedy(status)}'
    if status.n_publishers:
        return f'{lack}, though somebody publishes there; see: ros2 topic hz {topic}'
    if status.alternative:
        transport = 'raw' if status.type_name.endswith('CompressedImage') else 'compressed'
        place = 'there' if status.alternative == topic else f'on {status.alternative}'
        return (
            f'{lack}, but {transport} images are published {place}; set the parameter '
            f'image_transport to {transport}'
        )
    if status.other_types:
        return (
            f'{lack}: {" and ".join(status.other_types)} is published there, expected '
            f'{status.type_name}; {remap} a topic of that type'
        )
    return f'{lack}, where nobody publishes; start the camera, or {remap} its topic'


def _loss_remedy(status: SubscriptionStatus) -> str:
    """Say why images are lost, and what to do."""
    profile = 'give the camera driver config/fastdds.xml as well'
    if status.is_reliable:
        return f'they are more than can be carried; {profile}, or let it send fewer'
    if status.reliability_forced_by:
        remedy = f'{_give_way(status)}, and {profile}'
        return f'{status.reliability_forced_by} has them sent only once; {remedy}'
    return f'their publisher sends them only once; {profile}, or let it publish reliably'


def _give_way(status: SubscriptionStatus) -> str:
    """Say how the reliability becomes that of the publishers."""
    name = status.reliability_forced_by
    if name == 'image_reliability':
        return f'set the parameter {name} to auto'
    return f'remove the parameter {name}'
