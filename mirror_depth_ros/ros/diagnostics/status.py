"""What the health check looks at: a node, its cameras and topics at one moment. Without ROS."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror_depth_ros.ros.diagnostics.statistics import Statistics

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


@dataclass(frozen=True)
class NodeStatus:
    """What is the same for all cameras of a node."""

    #: Full name of the node, and the label of its lifecycle state.
    name: str
    state: str
    #: How many other nodes have the same full name.
    n_namesakes: int = 0
    #: Why the node could not be configured or activated, with what to do; empty where it was.
    failure: str = ''
    #: False while paused by ``~/enable``.
    enabled: bool = True
    #: What the parameter says, and what became of it; empty before a model is loaded.
    model: str = ''
    device_wanted: str = 'auto'
    device: str = ''
    precision: str = ''
    backend: str = ''
    #: That the model ran out of memory and makes do with a smaller input; empty if it does not.
    shrunk: str = ''
    #: Memory that the process has, and its part of the GPU's; None where unknown [bytes].
    resident_bytes: int | None = None
    gpu_bytes: int | None = None

    @property
    def lacks_gpu(self) -> bool:
        """Whether the model is on the CPU because there is no GPU, not because it should be."""
        return self.device_wanted == 'auto' and self.device == 'cpu'


@dataclass(frozen=True)
class CameraStatus:
    """A camera of the node, with the node's status."""

    node: NodeStatus
    #: Its name; empty for the only camera of a node.
    name: str = ''
    #: None while the node is not active.
    image: SubscriptionStatus | None = None
    camera_info: SubscriptionStatus | None = None
    #: Whether a CameraInfo has come, and why the latest does not describe the images' camera.
    has_calibration: bool = False
    calibration_error: str = ''
    #: The field of view that is assumed in its place; 0 where none is [degrees].
    assumed_hfov_deg: float = 0.0
    publishers: tuple[PublisherStatus, ...] = ()
    statistics: Statistics = field(default_factory=Statistics)
    #: What the values of 16-bit images were taken for; empty before the first of them.
    grey_levels: str = ''
