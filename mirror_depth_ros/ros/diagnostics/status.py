"""What the health check looks at: a node, its cameras and topics at one moment. Without ROS."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirror_depth_ros.ros.diagnostics.statistics import Statistics


def input_name(camera: str, topic: str) -> str:
    """Return the name that remaps an input: ``front/image``, or ``image`` of an only camera."""
    return f'{camera}/{topic}' if camera else topic


@dataclass(frozen=True)
class SubscriptionStatus:
    """A topic that the node subscribes to."""

    topic: str
    #: Such as ``sensor_msgs/msg/Image``.
    type_name: str
    #: Publishers of that type, and the types of the others.
    n_publishers: int = 0
    other_types: tuple[str, ...] = ()
    #: Whether none of the publishers is heard, as they are less reliable than what was asked for.
    is_refused: bool = False
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
