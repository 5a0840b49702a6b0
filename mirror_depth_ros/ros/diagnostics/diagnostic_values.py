"""The figures of ``/diagnostics`` as text. Without ROS."""

from __future__ import annotations

from mirror_depth_ros.ros.diagnostics.health import OTHER_CLOCK_S
from mirror_depth_ros.ros.diagnostics.statistics import STAGES, Percentiles
from mirror_depth_ros.ros.diagnostics.status import NodeFacts, Snapshot

# Of what has no value, as yet or at all. Not 0, which would be one.
_UNKNOWN = 'unknown'


def diagnostic_values(snapshot: Snapshot) -> dict[str, str]:
    """Return every figure by name, in the order of reading; the names are always the same."""
    return _model_values(snapshot) | camera_values(snapshot) | _memory_values(snapshot)


def node_values(facts: NodeFacts) -> dict[str, str]:
    """Return those that are the same for all cameras of a node."""
    return _model_values(facts) | _memory_values(facts)


def camera_values(snapshot: Snapshot) -> dict[str, str]:
    """Return those of one camera.

    Durations and ages are those of the last seconds, counts those since the activation.
    """
    measured, counts = snapshot.measured, snapshot.measured.counts
    values = {
        'images received': str(counts.received),
        'images lost on the way': str(counts.lost),
        'images processed': str(counts.processed),
        'images dropped for newer ones': str(counts.dropped),
        'images skipped': str(counts.skipped),
        'images nobody wanted': str(counts.ignored),
        'CameraInfo without an image, last seconds': str(measured.losses.n_missing),
        'input rate [Hz]': f'{measured.input_hz:.2f}',
        'output rate [Hz]': f'{measured.output_hz:.2f}',
    }
    for stage in (*STAGES, 'total'):
        values |= _milliseconds(stage, measured.durations.get(stage))
    values |= _milliseconds('image age when it comes', _credible(measured.arrival_age))
    values |= _milliseconds('image age when depth goes out', _credible(measured.publishing_age))
    values['values of 16-bit images fill'] = snapshot.grey_levels or 'none came'
    values['last skipped because'] = (
        'none was' if measured.skips is None else measured.skips.reason
    )
    return values


def _model_values(facts: NodeFacts) -> dict[str, str]:
    return {
        'state': facts.state,
        'model': facts.model or _UNKNOWN,
        'device': _device(facts),
        'precision': facts.precision or _UNKNOWN,
        'backend': facts.backend or _UNKNOWN,
    }


def _memory_values(facts: NodeFacts) -> dict[str, str]:
    return {
        'resident memory [MB]': _megabytes(facts.resident_bytes),
        'GPU memory [MB]': _megabytes(facts.gpu_bytes),
    }


def _device(facts: NodeFacts) -> str:
    if not facts.device:
        return _UNKNOWN
    return f'{facts.device} (no GPU found)' if facts.lacks_gpu else facts.device


def _credible(age: Percentiles | None) -> Percentiles | None:
    """Leave out what is no age, but the difference of two clocks."""
    return None if age is None or abs(age.p50) > OTHER_CLOCK_S else age


def _milliseconds(name: str, seconds: Percentiles | None) -> dict[str, str]:
    return {
        f'{name}, p50 [ms]': _UNKNOWN if seconds is None else f'{1e3 * seconds.p50:.2f}',
        f'{name}, p95 [ms]': _UNKNOWN if seconds is None else f'{1e3 * seconds.p95:.2f}',
    }


def _megabytes(n_bytes: int | None) -> str:
    return _UNKNOWN if n_bytes is None else f'{n_bytes / 1e6:.1f}'
