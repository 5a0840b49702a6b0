"""What is seen of a node: what becomes of its images, and its state and topics. Without ROS.

:class:`Measurements` counts and times images. Any thread may record and any may read. Recording
costs some microseconds an image; what takes longer, such as sorting for percentiles, is left to
the reader.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

#: How far back rates, percentiles and reasons reach [s].
WINDOW_S = 5.0

#: What is done to an image, in this order; of those estimated as a batch, each has its time.
STAGES = ('decode', 'calibrate', 'estimate', 'publish')
#: The age of images when they came, and of those processed when their depth was out.
ARRIVAL_AGE, PUBLISHING_AGE = 'image age when it comes', 'image age when depth goes out'
#: All that is timed, by the names on ``/diagnostics``.
TIMES = (*STAGES, 'total', ARRIVAL_AGE, PUBLISHING_AGE)

#: What may become of an image.
Fate = Literal['received', 'lost', 'processed', 'dropped', 'skipped', 'ignored', 'left_out']

#: The same for people, as the figures of ``/diagnostics`` are called.
FATES: dict[Fate, str] = {
    'received': 'images received',
    # As far as the middleware counts them; not among those received.
    'lost': 'images lost on the way',
    'processed': 'images processed',
    'dropped': 'images dropped for newer ones',
    # Malformed, or failed otherwise.
    'skipped': 'images skipped',
    # Nobody subscribes, or no CameraInfo has come yet.
    'ignored': 'images nobody wanted',
    # Replaced by a newer one before they could have had a turn.
    'left_out': 'images left out by max_rate_hz',
}

# What is kept beside the times of an image that was processed.
_STRANGENESS = 'strangeness'
# What ends the work on an image.
_ENDS = ('processed', 'skipped', 'ignored')

# Enough for the window at 200 images a second; beyond that, memory stays bounded.
_CAPACITY = 1000


class LatencyStats(NamedTuple):
    """The median of some durations or ages, and what few exceed [s]."""

    p50: float
    p95: float


@dataclass(frozen=True)
class LatestImage:
    """What the header of an image says, whatever became of the image."""

    #: The image's stamp, and the node's clock when it came; 0: not set, not running [ns].
    stamp_ns: int
    clock_ns: int
    frame_id: str = ''
    #: Width and height [pixels]; None where the message does not say.
    size: tuple[int, int] | None = None

    @property
    def age_s(self) -> float | None:
        """How old it was then; None where that is unknown [s]."""
        is_known = self.stamp_ns and self.clock_ns
        return (self.clock_ns - self.stamp_ns) / 1e9 if is_known else None


@dataclass(frozen=True)
class Statistics:
    """All that is measured, at one moment; of the last seconds, where nothing else is said."""

    #: Images by their fate, since the beginning.
    counts: Counter[Fate] = field(default_factory=Counter)
    recent: Counter[Fate] = field(default_factory=Counter)
    #: Time since the beginning, since the latest image came, and since work on one began; None
    #: where there is none [s].
    elapsed_s: float = 0.0
    since_image_s: float | None = None
    busy_s: float | None = None
    #: Time spent on the images processed, since the beginning [s].
    working_s: float = 0.0
    #: Images that came and that were processed [Hz]; 0 for less than two.
    input_hz: float = 0.0
    output_hz: float = 0.0
    #: By the names of :data:`TIMES`; without what is not known.
    times: Mapping[str, LatencyStats] = field(default_factory=dict)
    #: Of the images processed, the median: above 1, most are unlike those of the model's training.
    strangeness: float | None = None
    #: Since the beginning.
    latest: LatestImage | None = None
    #: In which of :data:`STAGES` the latest that was skipped failed, and why, for people.
    skip_stage: str = ''
    skip_reason: str = ''
    #: Images whose CameraInfo came, between two images; 0 where the two are not stamped alike.
    n_missing: int = 0


class _Sample(NamedTuple):
    time_s: float
    n_images: int
    #: What else is known of them.
    fact: Any


class Measurements:
    """Collects what happens to images from now on.

    :param clock: a monotonic one [s].
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._started_s = clock()
        self._busy_since_s: float | None = None
        self._working_s = 0.0
        self._totals: Counter[Fate] = Counter()
        self._samples = {fate: deque[_Sample](maxlen=_CAPACITY) for fate in FATES}
        #: When each CameraInfo came, and its stamp.
        self._infos = deque[tuple[float, int]](maxlen=_CAPACITY)

    @property
    def elapsed_s(self) -> float:
        """Time since the beginning [s]."""
        return self._clock() - self._started_s

    def announce(self, stamp_ns: int) -> None:
        """Record that a CameraInfo has come; 0 where its stamp is not set."""
        with self._lock:
            self._infos.append((self._clock(), stamp_ns))

    def receive(self, image: LatestImage) -> None:
        """Record that an image has come."""
        self.count('received', fact=image)

    def begin(self) -> None:
        """Record that work on an image begins, until it is processed, skipped or ignored."""
        self._busy_since_s = self._clock()

    def skip(self, *, stage: str, reason: str) -> None:
        """Record that the image came to nothing."""
        self.count('skipped', fact=(stage, reason))

    def process(
        self,
        durations: Mapping[str, float],
        *,
        stamp_ns: int,
        clock_ns: int,
        strangeness: float | None = None,
    ) -> None:
        """Record that all that is made of the image is published.

        :param durations: of its stages [s].
        :param stamp_ns: see :class:`LatestImage`, as ``clock_ns``.
        :param strangeness: above 1 for an image unlike those of the model's training.
        """
        total_s = sum(durations.values())
        with self._lock:
            self._working_s += total_s
        known = {
            'total': total_s,
            PUBLISHING_AGE: LatestImage(stamp_ns, clock_ns).age_s,
            _STRANGENESS: strangeness,
        }
        self.count('processed', fact={**durations, **known})

    def count(self, fate: Fate, n_images: int = 1, *, fact: Any = None) -> None:
        """Record what became of images.

        :param fact: what else :meth:`summarise` is to know of them.
        """
        with self._lock:
            if fate in _ENDS:
                self._busy_since_s = None
            self._totals[fate] += n_images
            self._samples[fate].append(_Sample(self._clock(), n_images, fact))

    def summarise(self) -> Statistics:
        """Return what is known now."""
        now_s = self._clock()
        with self._lock:
            counts, busy_since_s, working_s = +self._totals, self._busy_since_s, self._working_s
            last = self._samples['received'][-1] if self._samples['received'] else None
            recent = {
                fate: [sample for sample in samples if now_s - sample.time_s <= WINDOW_S]
                for fate, samples in self._samples.items()
            }
            infos = {stamp_ns for time_s, stamp_ns in self._infos if now_s - time_s <= WINDOW_S}
        facts = {fate: [sample.fact for sample in samples] for fate, samples in recent.items()}
        stage, reason = facts['skipped'][-1] if facts['skipped'] else ('', '')
        arrivals = [{ARRIVAL_AGE: image.age_s} for image in facts['received']]
        spreads = _spreads([*arrivals, *facts['processed']])
        strangeness = spreads.pop(_STRANGENESS, None)
        return Statistics(
            counts=counts,
            recent=Counter({fate: sum(s.n_images for s in recent[fate]) for fate in FATES}),
            elapsed_s=self.elapsed_s,
            since_image_s=None if last is None else now_s - last.time_s,
            busy_s=None if busy_since_s is None else now_s - busy_since_s,
            working_s=working_s,
            input_hz=_rate_hz(recent['received']),
            output_hz=_rate_hz(recent['processed']),
            times=spreads,
            strangeness=None if strangeness is None else strangeness.p50,
            latest=None if last is None else last.fact,
            skip_stage=stage,
            skip_reason=reason,
            n_missing=_count_missing({i.stamp_ns for i in facts['received']} - {0}, infos),
        )


def _count_missing(images: set[int], infos: set[int]) -> int:
    """Count the stamps of CameraInfo without an image, between two images [ns]."""
    if len(images & infos) <= len(images) / 2:
        return 0  # the camera does not stamp the two alike
    # Between two that came: the CameraInfo of an image comes before it.
    return sum(min(images) < stamp < max(images) for stamp in infos - images)


def _rate_hz(samples: Sequence[_Sample]) -> float:
    """From the first to the last: the ends of the window would cut a period in two."""
    if len(samples) < 2:
        return 0.0
    between_s = samples[-1].time_s - samples[0].time_s
    return float((len(samples) - 1) / between_s) if between_s else 0.0


def _spreads(figures: Sequence[Mapping[str, float | None]]) -> dict[str, LatencyStats]:
    """Return those of each name, without what is not known."""
    known: dict[str, list[float]] = defaultdict(list)
    for name, value in (item for figure in figures for item in figure.items()):
        if value is not None:
            known[name].append(value)
    return {n: LatencyStats(*np.percentile(v, [50, 95]).tolist()) for n, v in known.items()}


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
    #: Why the temporal filter does not know where the cameras are; empty where it need not.
    motion_lack: str = ''
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
