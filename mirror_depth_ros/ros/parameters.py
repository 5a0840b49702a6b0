"""Every parameter of the depth node, once: type, default, range, description, mutability."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from mirror_depth_ros.depth.depth_range import OUT_OF_RANGE
from mirror_depth_ros.depth.nav_points import CLEAR_RANGE, DECIMATION, EDGE_FILTER
from mirror_depth_ros.ros.overrides import as_double, take_integers_for_doubles


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


def _parameter(default: Any, description: str, **spec: Any) -> Any:
    return field(default=default, metadata={'spec': ParameterSpec(description, **spec)})


_LOADED_FOR_IT = 'the model is loaded for it; deactivate the node, clean it up, set, configure'


@dataclass(frozen=True)
class DepthParameters:
    """The depth node's parameters.

    :raises ValueError: for a value outside its range or choices.
    """

    model: str = _parameter(
        'builtin',
        'Depth model: "builtin" or the path of a checkpoint (.safetensors).',
        in_use=_LOADED_FOR_IT,
    )
    clip_weights: str = _parameter(
        '',
        'Where this machine has the CLIP weights of the model: an open_clip tag or a .safetensors '
        'file; empty: where the checkpoint says.',
        in_use=_LOADED_FOR_IT,
    )
    device: str = _parameter(
        'auto',
        'Where the model runs: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".',
        in_use=_LOADED_FOR_IT,
    )
    precision: str = _parameter(
        'auto',
        'Number format of the model; "auto" takes the fastest of floats that the device computes '
        'natively; "int8" needs the backend onnxruntime.',
        choices=('auto', 'fp32', 'bf16', 'fp16', 'int8'),
        in_use=_LOADED_FOR_IT,
    )
    backend: str = _parameter(
        'auto',
        'What computes the model; "auto" is the fastest that is at hand on a CPU, PyTorch on a '
        'GPU.',
        choices=('auto', 'torch', 'onnxruntime', 'openvino'),
        in_use=_LOADED_FOR_IT,
    )
    image_transport: str = _parameter(
        'raw',
        'Subscribe to image (raw) or to image/compressed (compressed).',
        choices=('raw', 'compressed'),
        read_only='subscriptions are made for it; restart the node',
    )
    image_reliability: str = _parameter(
        'auto',
        'Subscribe to images as "reliable" or "best_effort"; "auto": reliable where all of their '
        'publishers are, else best effort.',
        choices=('auto', 'reliable', 'best_effort'),
    )
    cameras: tuple[str, ...] = _parameter(
        (),
        'Names of the cameras, each with topics of its own: NAME/image, NAME/camera_info, '
        '~/NAME/depth/image, ~/NAME/points and so on; empty: one camera, without a name.',
        read_only='subscriptions and publishers are made for them; restart the node',
    )
    autostart: bool = _parameter(
        True,
        'Configure and activate without being told to by a lifecycle manager.',
        read_only='it acts at start only; use ros2 lifecycle set',
    )
    rectified: bool = _parameter(
        False,
        'The images are rectified: P of camera_info describes them, in place of K and D.',
    )
    hfov_deg: float = _parameter(
        0.0,
        'Horizontal field of view of a camera without calibration, from edge to edge of its '
        'images; used only while camera_info has no intrinsics or does not come; 0: none [deg].',
        limits=(0.0, 179.0),
    )
    depth_scale: float = _parameter(
        1.0,
        'What the depth of the model is multiplied by; ~/calibrate_scale finds and sets it.',
        limits=(0.1, 10.0),
    )
    camera_height: float = _parameter(
        0.0,
        'Height of the lens above the ground, from which ~/calibrate_scale finds depth_scale; 0: '
        'unknown [m].',
        limits=(0.0, 100.0),
    )
    min_range: float = _parameter(
        0.1, 'Nearer depths are too close, see out_of_range [m].', limits=(0.0, 100.0)
    )
    max_range: float = _parameter(
        80.0, 'Farther depths are beyond range, see out_of_range [m].', limits=(0.1, 1000.0)
    )
    out_of_range: str = _parameter(
        OUT_OF_RANGE[0],
        'How depths out of range are published: -Inf and +Inf (inf), NaN (nan), or as min_range '
        'and max_range (clamp). ~/nav_points always has the rays beyond range.',
        choices=OUT_OF_RANGE,
    )
    edge_filter: float = _parameter(
        EDGE_FILTER,
        'Depths that lie between the surfaces on either side, by more than this share of the '
        'depth from both, become NaN; 0: off.',
        limits=(0.0, 1.0),
    )
    nav_decimation: int = _parameter(
        DECIMATION,
        'Width of the blocks of pixels of which ~/nav_points has the nearest [pixels].',
        limits=(1, 64),
    )
    nav_clear_range: float = _parameter(
        CLEAR_RANGE,
        'Rays of ~/nav_points end here if not before; just beyond the obstacle_max_range of the '
        'costmap [m].',
        limits=(0.1, 1000.0),
    )
    preview_min_depth: float = _parameter(
        0.3, 'Depth of the nearest colour in the preview [m].', limits=(0.01, 100.0)
    )
    preview_max_depth: float = _parameter(
        10.0, 'Depth of the farthest colour in the preview [m].', limits=(0.1, 1000.0)
    )

    def __post_init__(self) -> None:
        for name, spec in parameter_specs().items():
            _check(name, getattr(self, name), spec)
        check_camera_names(self.cameras)
        for low, high in (('min_range', 'max_range'), ('preview_min_depth', 'preview_max_depth')):
            if not getattr(self, low) < getattr(self, high):
                raise ValueError(
                    f'got {low} {getattr(self, low)} m and {high} {getattr(self, high)} m, '
                    f'expected {low} < {high}; change the other one first'
                )


def parameter_specs() -> dict[str, ParameterSpec]:
    """Return the description of every parameter by name."""
    return {f.name: f.metadata['spec'] for f in fields(DepthParameters)}


class ParameterServer:
    """Declares the parameters at a node and follows their changes."""

    def __init__(self, node: Node, *, is_configured: Callable[[], bool] = lambda: False) -> None:
        """Declare the parameters.

        :param is_configured: whether something is made for the values that are fixed then.
        :raises ValueError: for an initial value that is not allowed.
        :raises rclpy.exceptions.ParameterException: for one of a wrong type or outside its range.
        """
        defaults = DepthParameters()
        self._doubles = {f.name for f in fields(defaults) if isinstance(f.default, float)}
        take_integers_for_doubles(node, self._doubles)
        values = {
            name: _declare(node, name, getattr(defaults, name), spec)
            for name, spec in parameter_specs().items()
        }
        #: The values now in force; replaced as a whole, so any thread may read it.
        self.values = DepthParameters(**values)
        self._is_configured = is_configured
        node.add_on_set_parameters_callback(self._set)
        if hasattr(node, 'add_pre_set_parameters_callback'):  # from Iron on
            node.add_pre_set_parameters_callback(self._as_declared)

    def _as_declared(self, parameters: list[Parameter]) -> list[Parameter]:
        """Make doubles of integers where rclpy would refuse their type."""
        return [as_double(p) if p.name in self._doubles else p for p in parameters]

    def _set(self, parameters: list[Parameter]) -> SetParametersResult:
        """Take over all of the changes, or none and say why."""
        own = {p.name: _value(p) for p in parameters if p.name in parameter_specs()}
        try:
            changed = replace(self.values, **own)
            if self._is_configured():
                _check_in_use(self.values, changed)
            self.values = changed
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


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


def _declare(node: Node, name: str, default: Any, spec: ParameterSpec) -> Any:
    """Declare a parameter and return its value."""
    descriptor = _descriptor(spec, type(default))
    if not isinstance(default, tuple):
        return _value(node.declare_parameter(name, default, descriptor))
    # By type: of an empty list rclpy takes the items for bytes, and a file's for no value.
    given = node.declare_parameter(name, Parameter.Type.STRING_ARRAY, ParameterDescriptor()).value
    node.undeclare_parameter(name)
    # A parameter without a value makes rclpy answer nothing for all the others that are asked for
    # with it: `ros2 param dump` and rqt would see none.
    stated = node.declare_parameter(name, list(given or ['']), descriptor, ignore_override=True)
    return tuple(item for item in stated.value if item)


def _value(parameter: Parameter) -> Any:
    """Return a parameter's value; where a number was read for a name, the name."""
    is_name = bool(parameter_specs()[parameter.name].choices)
    return str(parameter.value) if is_name else parameter.value


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


def _check_in_use(current: DepthParameters, changed: DepthParameters) -> None:
    for name, spec in parameter_specs().items():
        before, after = getattr(current, name), getattr(changed, name)
        if spec.in_use and before != after:
            raise ValueError(
                f'got {name} {after!r}, expected {before!r} while the node is configured: '
                f'{spec.in_use}'
            )


def _descriptor(spec: ParameterSpec, value_type: type) -> ParameterDescriptor:
    constraints = []
    if spec.choices:
        constraints.append(f'One of: {", ".join(spec.choices)}.')
    if spec.read_only:
        constraints.append(f'Read-only: {spec.read_only}.')
    if spec.in_use:
        constraints.append(f'Fixed while configured: {spec.in_use}.')
    descriptor = ParameterDescriptor(
        description=spec.description,
        read_only=bool(spec.read_only),
        # ROS takes the inf and nan of a command line or a launch file for numbers.
        dynamic_typing=not {'inf', 'nan'}.isdisjoint(spec.choices),
        additional_constraints=' '.join(constraints),
    )
    if spec.limits is not None:
        low, high = spec.limits
        if value_type is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
