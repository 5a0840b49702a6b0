"""Every parameter of the depth node, once: type, default, range, description, mutability.

Other nodes state theirs in the same way, as a dataclass of :func:`parameter` fields.

How a node declares them and follows their changes: :mod:`.parameter_server`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mirror_depth_ros.depth.filters import OUT_OF_RANGE
from mirror_depth_ros.depth.nav_points import CLEAR_RANGE, DECIMATION, EDGE_FILTER


@dataclass(frozen=True)
class ParameterSpec:
    """What a ROS parameter descriptor says beside name and type."""

    #: Shown by ``ros2 param describe`` and rqt.
    description: str
    #: Smallest and largest value, inclusive.
    limits: tuple[float, float] | None = None
    #: The only values allowed.
    choices: tuple[str, ...] = ()
    #: Why the value is fixed once the node runs; empty where it may change.
    read_only: str = ''
    #: Why the value is fixed while the node is configured; empty where it may change then, too.
    in_use: str = ''


def parameter(default: Any, description: str, **spec: Any) -> Any:
    """Return a dataclass field that is a parameter; it says the rest of :class:`ParameterSpec`."""
    return field(default=default, metadata={'spec': ParameterSpec(description, **spec)})


def fixed_parameter(
    default: Any, description: str, limits: tuple[float, float] | None = None
) -> Any:
    """Return one that a node reads once, at its start."""
    read_only = 'it acts at start only; restart the node'
    return parameter(default, description, limits=limits, read_only=read_only)


_LOADED_FOR_IT = 'the model is loaded for it; deactivate the node, clean it up, set, configure'
_LISTENED_FOR_IT = 'poses are listened to for it; deactivate the node, clean it up, set, configure'


@dataclass(frozen=True)
class DepthParameters:
    """The depth node's parameters.

    :raises ValueError: for a value outside its range or choices.
    """

    model: str = parameter(
        'builtin',
        'Depth model: "builtin" or the path of a checkpoint (.safetensors).',
        in_use=_LOADED_FOR_IT,
    )
    clip_weights: str = parameter(
        '',
        'Where this machine has the CLIP weights of the model: an open_clip tag or a .safetensors '
        'file; empty: where the checkpoint says.',
        in_use=_LOADED_FOR_IT,
    )
    device: str = parameter(
        'auto',
        'Where the model runs: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".',
        in_use=_LOADED_FOR_IT,
    )
    precision: str = parameter(
        'auto',
        'Number format of the model; "auto" takes the fastest of floats that the device computes '
        'natively; "int8" needs the backend onnxruntime.',
        choices=('auto', 'fp32', 'bf16', 'fp16', 'int8'),
        in_use=_LOADED_FOR_IT,
    )
    backend: str = parameter(
        'auto',
        'What computes the model; "auto" is the fastest that is at hand on a CPU, PyTorch on a '
        'GPU.',
        choices=('auto', 'torch', 'onnxruntime', 'openvino'),
        in_use=_LOADED_FOR_IT,
    )
    image_transport: str = parameter(
        'raw',
        'Subscribe to image (raw) or to image/compressed (compressed).',
        choices=('raw', 'compressed'),
        read_only='subscriptions are made for it; restart the node',
    )
    image_reliability: str = parameter(
        'auto',
        'Subscribe to images as "reliable" or "best_effort"; "auto": reliable where all of their '
        'publishers are, else best effort.',
        choices=('auto', 'reliable', 'best_effort'),
    )
    max_rate_hz: float = parameter(
        0.0,
        'Images a second of which depth is made, of each camera, always the newest; 0: as many as '
        'the model can [Hz].',
        limits=(0.0, 1000.0),
    )
    cameras: tuple[str, ...] = parameter(
        (),
        'Names of the cameras, each with topics of its own: NAME/image, NAME/camera_info, '
        '~/NAME/depth/image, ~/NAME/points and so on; empty: one camera, without a name.',
        read_only='subscriptions and publishers are made for them; restart the node',
    )
    frame_id: str = parameter(
        '',
        'Frame of all outputs, for cameras whose images name another than the optical one; '
        '{camera} stands for the name of each camera; empty: that of the image.',
    )
    autostart: bool = parameter(
        True,
        'Configure and activate without being told to by a lifecycle manager.',
        read_only='it acts at start only; use ros2 lifecycle set',
    )
    rectified: bool = parameter(
        False,
        'The images are rectified: P of camera_info describes them, in place of K and D.',
    )
    hfov_deg: float = parameter(
        0.0,
        'Horizontal field of view of a camera without calibration, from edge to edge of its '
        'images; used only while camera_info has no intrinsics or does not come; 0: none [deg].',
        limits=(0.0, 179.0),
    )
    depth_scale: float = parameter(
        1.0,
        'What the depth of the model is multiplied by; ~/calibrate_scale finds and sets it.',
        limits=(0.1, 10.0),
    )
    scale_source: str = parameter(
        'ground',
        'What ~/calibrate_scale finds depth_scale by: the ground and camera_height, or what a '
        'sensor measures in view of the camera, on the topic scan (LaserScan), cloud '
        '(PointCloud2) or range (Range).',
        choices=('ground', 'scan', 'cloud', 'range'),
    )
    camera_height: float = parameter(
        0.0,
        'Height of the lens above the ground, for scale_source ground; 0: unknown [m].',
        limits=(0.0, 100.0),
    )
    min_range: float = parameter(
        0.1, 'Nearer depths are too close, see out_of_range [m].', limits=(0.0, 100.0)
    )
    max_range: float = parameter(
        80.0, 'Farther depths are beyond range, see out_of_range [m].', limits=(0.1, 1000.0)
    )
    out_of_range: str = parameter(
        OUT_OF_RANGE[0],
        'How depths out of range are published: -Inf and +Inf (inf), NaN (nan), or as min_range '
        'and max_range (clamp). ~/nav_points always has the rays beyond range.',
        choices=OUT_OF_RANGE,
    )
    edge_filter: float = parameter(
        EDGE_FILTER,
        'Depths that lie between the surfaces on either side, by more than this share of the '
        'depth from both, become NaN; 0: off.',
        limits=(0.0, 1.0),
    )
    temporal_filter: str = parameter(
        'off',
        'Less flicker: the last depth is moved by the motion of the camera and fused (motion), by '
        'poses from TF or the topic odom; or only the scale of all of an image is smoothed, while '
        'the picture stands still (scale).',
        choices=('off', 'scale', 'motion'),
        in_use=_LISTENED_FOR_IT,
    )
    odom_frame: str = parameter(
        'odom',
        'The frame of TF in which the motion of the camera is known, for temporal_filter.',
        in_use=_LISTENED_FOR_IT,
    )
    min_confidence: float = parameter(
        0.0,
        'Depths less sure than this become NaN in all outputs, near and far ones: the least '
        'probability, by the model, that a depth is within a factor of 1.25 of the truth; 0: off.',
        limits=(0.0, 1.0),
    )
    cloud_confidence: bool = parameter(
        False, 'Whether ~/points have a field confidence, 0 to 1 (1 = sure).'
    )
    cloud_decimation: int = parameter(
        1,
        '~/points has every n-th row and column of pixels, and stays organised; 1: all.',
        limits=(1, 64),
    )
    nav_decimation: int = parameter(
        DECIMATION,
        'Width of the blocks of pixels of which ~/nav_points has the nearest [pixels].',
        limits=(1, 64),
    )
    nav_clear_range: float = parameter(
        CLEAR_RANGE,
        'Rays of ~/nav_points end here if not before; just beyond the obstacle_max_range of the '
        'costmap [m].',
        limits=(0.1, 1000.0),
    )
    preview_min_depth: float = parameter(
        0.3, 'Depth of the nearest colour in the preview [m].', limits=(0.01, 100.0)
    )
    preview_max_depth: float = parameter(
        10.0, 'Depth of the farthest colour in the preview [m].', limits=(0.1, 1000.0)
    )

    def __post_init__(self) -> None:
        for name, spec in parameter_specs().items():
            _check(name, getattr(self, name), spec)
        check_camera_names(self.cameras)
        _check_frame_id(self.frame_id, len(self.cameras))
        for low, high in (('min_range', 'max_range'), ('preview_min_depth', 'preview_max_depth')):
            if not getattr(self, low) < getattr(self, high):
                raise ValueError(
                    f'got {low} {getattr(self, low)} m and {high} {getattr(self, high)} m, '
                    f'expected {low} < {high}; change the other one first'
                )


def parameter_specs(kind: type[Any] = DepthParameters) -> dict[str, ParameterSpec]:
    """Return the description of every parameter by name.

    :param kind: a dataclass of parameters.
    """
    return {f.name: f.metadata['spec'] for f in fields(kind)}


def check_camera_names(names: Sequence[str]) -> None:
    """Refuse names that cannot stand in the name of a topic, or that stand for two cameras.

    :raises ValueError: for either.
    """
    for name in names:
        # As https://design.ros2.org/articles/topic_and_service_names.html has it, but without
        # leading underscores, which hide a topic from the tools.
        if not re.fullmatch('[A-Za-z][A-Za-z0-9_]*', name) or '__' in name:
            raise ValueError(
                f'got the camera name {name!r}, expected a letter and then letters, digits and '
                'single underscores; rename it in the parameter cameras'
            )
        if names.count(name) > 1:
            raise ValueError(
                f'got the camera name {name!r} {names.count(name)} times, expected each once; '
                'rename one in the parameter cameras'
            )


def _check_frame_id(frame_id: str, n_cameras: int) -> None:
    if frame_id.startswith('/'):
        raise ValueError(
            f'got frame_id {frame_id!r}, expected no slash before it, which tf2 refuses; leave it '
            'out'
        )
    if frame_id and n_cameras > 1 and '{camera}' not in frame_id:
        raise ValueError(
            f'got frame_id {frame_id!r} for {n_cameras} cameras, expected {{camera}} in it, which '
            'stands for the name of each'
        )


def _check(name: str, value: Any, spec: ParameterSpec) -> None:
    if spec.choices and value not in spec.choices:
        raise ValueError(
            f'got {name} {value!r}, expected one of {", ".join(spec.choices)}; correct the '
            'parameter'
        )
    if spec.limits is not None:
        low, high = spec.limits
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(
                f'got {name} {value}, expected {low} to {high}; correct the parameter'
            )
