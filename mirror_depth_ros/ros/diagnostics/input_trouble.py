"""What to say of an input of which nothing comes, or not all. Without ROS."""

from __future__ import annotations

from mirror_depth_ros.ros.diagnostics.losses import Losses
from mirror_depth_ros.ros.diagnostics.statistics import WINDOW_S
from mirror_depth_ros.ros.diagnostics.status import IMAGE_TYPES, InputFacts, Snapshot, input_name

# Single images are lost where nobody can help it, as while a subscription is made.
_LOST_SHARE = 0.05


def describe_silence(
    snapshot: Snapshot, what: str, facts: InputFacts, since_s: float | None
) -> str:
    """Say that nothing comes, why, and what to do.

    :param what: ``image`` or ``CameraInfo``.
    :param facts: of its topic.
    :param since_s: time since the last one; None if none has come [s].
    """
    topic = facts.topic
    lack = f'got no {what} on {topic}'
    if since_s is not None:
        lack += f' for {since_s:.0f} s'
    if facts.refused_policy:  # by what was forced: as it is, the node asks for no more
        return (
            f'{lack}: its publisher and this node differ in QoS ({facts.refused_policy}); '
            f'{_give_way(facts)}, or change the publisher'
        )
    n_lost = snapshot.measured.losses.n_lost
    if what == 'image' and n_lost:
        return f'{lack}: {n_lost} were lost on their way; {_loss_remedy(facts)}'
    if facts.n_publishers:
        return f'{lack}, though somebody publishes there; see: ros2 topic hz {topic}'
    if facts.alternative:
        transport = 'compressed' if facts.type_name == IMAGE_TYPES['raw'] else 'raw'
        place = 'there' if facts.alternative == topic else f'on {facts.alternative}'
        return (
            f'{lack}, but {transport} images are published {place}; set the parameter '
            f'image_transport to {transport}'
        )
    name = input_name(snapshot.camera, 'image' if what == 'image' else 'camera_info')
    if facts.other_types:
        return (
            f'{lack}: {" and ".join(facts.other_types)} is published there, expected '
            f'{facts.type_name}; remap {name} to a topic of that type'
        )
    return f'{lack}, where nobody publishes; start the camera, or remap {name} to its topic'


def describe_losses(facts: InputFacts, losses: Losses) -> str:
    """Say how many images do not come, and how they would; nothing if hardly any are lost.

    Only what the middleware says it lost proves that: where this process is busy, an image gives
    way to the next before it is taken, and its CameraInfo does not.
    """
    if losses.n_lost <= max(1.0, _LOST_SHARE * (losses.n_images + losses.n_lost)):
        return ''
    n_lost = max(losses.n_lost, losses.n_missing)  # of what never began it knows nothing
    return (
        f'{n_lost} of {losses.n_images + n_lost} images on {facts.topic} were lost on their way '
        f'in the last {WINDOW_S:.0f} s: {_loss_remedy(facts)}'
    )


def _loss_remedy(facts: InputFacts) -> str:
    """Say why images are lost, and what to do."""
    profile = 'give the camera driver config/fastdds.xml as well'
    if facts.is_reliable:
        return f'they are more than can be carried; {profile}, or let it send fewer'
    if facts.reliability_forced_by:
        remedy = f'{_give_way(facts)}, and {profile}'
        return f'{facts.reliability_forced_by} has them sent only once; {remedy}'
    return f'their publisher sends them only once; {profile}, or let it publish reliably'


def _give_way(facts: InputFacts) -> str:
    """Say how the reliability becomes that of the publishers."""
    name = facts.reliability_forced_by
    if name == 'image_reliability':
        return f'set the parameter {name} to auto'
    return f'remove the parameter {name}'
