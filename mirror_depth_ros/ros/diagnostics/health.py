"""What is wrong with the depth node, and what to do: the one place that knows. Without ROS.

A status in, the list of issues out; the log and ``/diagnostics`` therefore say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

from mirror_depth_ros.ros.diagnostics.statistics import WINDOW_S, Statistics
from mirror_depth_ros.ros.diagnostics.status import (
    IMAGE_TYPES,
    CameraStatus,
    NodeStatus,
    PublisherStatus,
    SubscriptionStatus,
    input_name,
)

#: No message for longer than this means that none comes [s].
SILENCE_S = 2.5
# Single images are lost where nobody can help it, as while a subscription is made.
_LOST_RATIO = 0.05
#: Images of a live camera are younger than this when they come [s].
LATE_S = 1.0
#: What differs by more than this is not late: another clock has set the stamp [s].
OTHER_CLOCK_S = 60.0
# An image that takes the model longer than this is not being estimated, but stuck [s].
_STUCK_S = 3.0
# Of a camera that is a little faster than the model, single images are dropped.
_SLOW_RATIO = 0.2
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

    #: As it should be, or as somebody wanted it.
    OK = 0
    #: Depth comes, but not all of it or not as it should; or somebody has stopped it.
    WARN = 1
    #: No depth comes until somebody does something.
    ERROR = 2


#: What an issue is about.
Cause = Enum(
    'Cause',
    'STATE NAME IMAGE CAMERA_INFO LOST CALIBRATION SKIPPED STUCK MEMORY OUTPUT PAUSED LATE CLOCK '
    'SLOW',
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
    issues = [*_state_issues(node), *_memory_issues(node), *_pause_issues(node)]
    return _sum_up(issues, f'{node.state}, for {n_cameras} camera{"s" * (n_cameras != 1)}')


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
    return 'depth comes' if statistics.durations else 'waiting for depth'


# What there is to find, in the order of an image's path


def _camera_issues(camera: CameraStatus) -> Iterator[Issue]:
    node, statistics = camera.node, camera.statistics
    if node.state != 'active' or camera.image is None or camera.camera_info is None:
        yield from _state_issues(node)
        return
    yield from _image_issues(camera, camera.image)
    yield from _calibration_issues(camera, camera.camera_info)
    yield from _work_issues(camera, camera.camera_info.topic)
    yield from _state_issues(node)
    yield from _memory_issues(node)
    for publisher in camera.publishers:
        if publisher.n_refused:
            yield Issue(Level.WARN, Cause.OUTPUT, describe_refusal(publisher), publisher.topic)
    yield from _pause_issues(node)
    yield from _age_issues(statistics)
    # Not while the first image is at work, which takes longer than the others.
    if node.lacks_gpu and statistics.output_hz and statistics.dropped_ratio > _SLOW_RATIO:
        message = (
            f'depth comes at {statistics.output_hz:.1f} Hz and images at '
            f'{statistics.input_hz:.1f} Hz: no GPU was found, so the model runs on the CPU; '
            'install PyTorch for the GPU, or let the camera send fewer images'
        )
        yield Issue(Level.WARN, Cause.SLOW, message)


def _image_issues(camera: CameraStatus, topic: SubscriptionStatus) -> Iterator[Issue]:
    """Say that images do not come, or not all of them."""
    statistics = camera.statistics
    if not is_silent(topic, statistics.since_image_s, statistics.elapsed_s):
        if lost := describe_losses(topic, statistics):
            yield Issue(Level.WARN, Cause.LOST, lost)
    elif statistics.skips is None:
        # Of images that were skipped a moment ago, the reason is what matters.
        message = describe_silence(
            topic, camera.name, since_s=statistics.since_image_s, n_lost=statistics.n_lost
        )
        yield Issue(Level.ERROR, Cause.IMAGE, message)


def _calibration_issues(camera: CameraStatus, topic: SubscriptionStatus) -> Iterator[Issue]:
    """Say that no calibration comes, and what is assumed in its place."""
    if camera.assumed_hfov_deg:
        message = (
            'the camera is not calibrated: its images are assumed to be '
            f'{camera.assumed_hfov_deg:g} degrees wide (parameter hfov_deg), without distortion; '
            'calibrate it for depth of true scale'
        )
        yield Issue(Level.OK, Cause.CALIBRATION, message)
    elif not camera.has_calibration and is_silent(topic, None, camera.statistics.elapsed_s):
        yield Issue(Level.ERROR, Cause.CAMERA_INFO, describe_silence(topic, camera.name))


def _work_issues(camera: CameraStatus, info_topic: str) -> Iterator[Issue]:
    """Say that images cannot be used, or that one never ends."""
    skips, busy_s, device = camera.statistics.skips, camera.statistics.busy_s, camera.node.device
    # A malformed image's size, which the calibration is compared with, says nothing.
    is_malformed = skips is not None and skips.stage == 'decode'
    if camera.calibration_error and not is_malformed:
        message = f'{info_topic}: {camera.calibration_error}'
        yield Issue(Level.ERROR, Cause.CALIBRATION, message)
    elif skips is not None:
        message = (
            f'{skips.n_images} {_SKIPPED[skips.stage].format(device=device)} in the last '
            f'{WINDOW_S:.0f} s, the latest: {skips.reason}'
        )
        yield Issue(Level.WARN if skips.others_pass else Level.ERROR, Cause.SKIPPED, message)
    if busy_s is not None and busy_s > _STUCK_S:
        message = (
            f'got no depth for {busy_s:.0f} s: the model is still at work on one image, on '
            f'{device}; wait if it is the first one, else start the node again'
        )
        yield Issue(Level.WARN, Cause.STUCK, message)


def _state_issues(node: NodeStatus) -> Iterator[Issue]:
    """Say why a node that is not active is not, and that there are others of its name."""
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


def _memory_issues(node: NodeStatus) -> Iterator[Issue]:
    if node.shrunk:
        yield Issue(Level.WARN, Cause.MEMORY, node.shrunk)


def _pause_issues(node: NodeStatus) -> Iterator[Issue]:
    if not node.enabled:
        message = (
            f'paused by ~/enable; to resume: ros2 service call {node.name}/enable '
            'std_srvs/srv/SetBool "{data: true}"'
        )
        yield Issue(Level.WARN, Cause.PAUSED, message)


def _age_issues(statistics: Statistics) -> Iterator[Issue]:
    """Say what is wrong with the images' age."""
    latest, age = statistics.latest, statistics.arrival_age
    if latest is None:
        return
    age_s = 0.0 if age is None else age.p50
    if not latest.stamp_ns:
        message = (
            'the age of images is unknown: their stamps are zero; let the camera driver set them'
        )
        yield Issue(Level.OK, Cause.CLOCK, message)
    elif not latest.clock_ns:
        message = (
            'the age of images is unknown: use_sim_time is set, and nobody publishes /clock; '
            'start the simulator, or play the recording with --clock'
        )
        yield Issue(Level.OK, Cause.CLOCK, message)
    elif abs(age_s) > OTHER_CLOCK_S:
        # No fault of a recording that is played, which would be blamed for as long as it plays.
        unit, seconds = next((u, s) for u, s in _UNITS.items() if abs(age_s) >= s)
        off = f'{abs(age_s) / seconds:.1f} {unit} {"behind" if age_s > 0 else "ahead of"}'
        message = (
            f'stamps of images are {off} the clock here, so their age is unknown; play a '
            'recording with --clock and use_sim_time, or set the clock of the camera'
        )
        yield Issue(Level.OK, Cause.CLOCK, message)
    elif abs(age_s) > LATE_S:
        what = f'with stamps {-age_s:.1f} s ahead of the clock here'
        remedy = 'synchronise the clocks'
        if age_s > 0:
            what = f'that are {age_s:.1f} s old when they come'
            remedy = "relieve network and camera driver, or synchronise the camera's clock"
        message = f'got images {what}, expected less than {LATE_S:.0f} s; {remedy}'
        yield Issue(Level.WARN, Cause.LATE, message)


# What is said of topics


def is_silent(status: SubscriptionStatus, since_s: float | None, elapsed_s: float) -> bool:
    """Whether nothing comes. Where the reason is known, there is nothing to wait for.

    :param since_s: time since the last message; None if none has come [s].
    :param elapsed_s: time since the node has subscribed [s].
    """
    if since_s is not None:
        return since_s > SILENCE_S
    is_of_other_type = bool(status.other_types) and not status.n_publishers
    return bool(status.refused_policy) or is_of_other_type or elapsed_s > SILENCE_S


def describe_silence(
    status: SubscriptionStatus, camera: str, *, since_s: float | None = None, n_lost: int = 0
) -> str:
    """Say that nothing comes, why, and what to do.

    :param camera: its name; empty for the only one of a node.
    :param since_s: time since the last message; None if none has come [s].
    :param n_lost: messages that the middleware says it lost in the last seconds.
    """
    topic, is_info = status.topic, status.type_name.endswith('CameraInfo')
    what, name = ('CameraInfo', 'camera_info') if is_info else ('image', 'image')
    lack = f'got no {what} on {topic}'
    if since_s is not None:
        lack += f' for {since_s:.0f} s'
    if status.refused_policy:  # by what was forced: as it is, the node asks for no more
        return (
            f'{lack}: its publisher and this node differ in QoS ({status.refused_policy}); '
            f'{_give_way(status)}, or change the publisher'
        )
    if n_lost:
        return f'{lack}: {n_lost} were lost on their way; {_loss_remedy(status)}'
    if status.n_publishers:
        return f'{lack}, though somebody publishes there; see: ros2 topic hz {topic}'
    if status.alternative:
        transport = 'compressed' if status.type_name == IMAGE_TYPES['raw'] else 'raw'
        place = 'there' if status.alternative == topic else f'on {status.alternative}'
        return (
            f'{lack}, but {transport} images are published {place}; set the parameter '
            f'image_transport to {transport}'
        )
    remap = f'remap {input_name(camera, name)} to'
    if status.other_types:
        return (
            f'{lack}: {" and ".join(status.other_types)} is published there, expected '
            f'{status.type_name}; {remap} a topic of that type'
        )
    return f'{lack}, where nobody publishes; start the camera, or {remap} its topic'


def describe_losses(status: SubscriptionStatus, statistics: Statistics) -> str:
    """Say how many images do not come, and how they would; nothing if hardly any are lost.

    Only what the middleware says it lost proves that: where this process is busy, an image gives
    way to the next before it is taken, and its CameraInfo does not.
    """
    n_received, n_lost = statistics.n_received, statistics.n_lost
    if n_lost <= max(1.0, _LOST_RATIO * (n_received + n_lost)):
        return ''
    n_lost = max(n_lost, statistics.n_missing)  # of what never began it knows nothing
    return (
        f'{n_lost} of {n_received + n_lost} images on {status.topic} were lost on their way '
        f'in the last {WINDOW_S:.0f} s: {_loss_remedy(status)}'
    )


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


def describe_refusal(status: PublisherStatus) -> str:
    """Say whom an output does not reach, why, and what to do."""
    remedy, policy = 'change theirs', status.refused_policy
    if policy == 'reliability':  # which alone can be overridden here
        override = f'qos_overrides.{status.topic}.publisher.{policy}'
        remedy = f'remove the parameter {override}, or {remedy}'
    return (
        f'{status.topic} does not reach {status.n_refused} of its subscribers, whose QoS differs '
        f'({policy}); {remedy}'
    )
