"""Who is there on a topic; what to say where nothing comes of it or not all. Without ROS."""

from __future__ import annotations

from dataclasses import dataclass

from mirror_depth_ros.ros.diagnostics.statistics import WINDOW_S, Statistics

#: No message for longer than this means that none comes [s].
SILENCE_S = 2.5
# Single images are lost where nobody can help it, as while a subscription is made.
_LOST_RATIO = 0.05

#: What is published in either transport, as the graph names it.
IMAGE_TYPES = {'raw': 'sensor_msgs/msg/Image', 'compressed': 'sensor_msgs/msg/CompressedImage'}


def input_name(camera: str, topic: str) -> str:
    """Return the name by which a camera's input is remapped: ``front/image``, or ``image``.

    :param camera: its name; empty for the only one of a node.
    """
    return f'{camera}/{topic}' if camera else topic


def private_name(name: str, camera: str) -> str:
    """Return an output or a service of a camera: ``~/front/points``, or ``~/points``.

    :param name: as it is for a camera without a name.
    :param camera: its name; empty for the only one of a node.
    """
    return name.replace('~/', f'~/{camera}/', 1) if camera else name


@dataclass(frozen=True)
class SubscriptionStatus:
    """A topic that the node subscribes to."""

    #: Its full name, and its type such as ``sensor_msgs/msg/Image``.
    topic: str
    type_name: str
    #: Publishers of that type.
    n_publishers: int = 0
    #: The types of the others.
    other_types: tuple[str, ...] = ()
    #: The QoS policy, such as ``reliability``, for which none of the publishers is heard.
    refused_policy: str = ''
    #: Whether what is lost on the way is sent again, and the parameter that says so; empty if the
    #: publishers do.
    is_reliable: bool = True
    reliability_forced_by: str = ''
    #: A topic where somebody publishes images in the other transport, maybe this one.
    alternative: str = ''


@dataclass(frozen=True)
class PublisherStatus:
    """A topic that the node publishes."""

    topic: str
    #: Subscribers that it reaches.
    n_subscribers: int = 0
    #: Those that it does not reach, and the QoS policy for which the last of them does not.
    n_refused: int = 0
    refused_policy: str = ''


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
