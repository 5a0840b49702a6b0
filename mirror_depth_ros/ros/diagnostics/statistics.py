"""What becomes of the images: counts, rates and times of the last seconds. Without ROS.

Any thread may record and any may read. Recording costs some microseconds an image; what takes
longer, such as sorting for percentiles, is left to the reader.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

# What happened, with its time first.
S = TypeVar('S', bound=tuple[Any, ...])

#: How far back rates, percentiles and reasons reach [s].
WINDOW_S = 5.0

#: What is done to an image, in this order; of those estimated as a batch, each has its time.
STAGES = ('decode', 'calibrate', 'estimate', 'publish')

# Enough for the window at 200 images a second; beyond that, memory stays bounded.
_CAPACITY = 1000


@dataclass
class Counts:
    """What became of the images since the beginning."""

    received: int = 0
    processed: int = 0
    #: Replaced by a newer one before their turn came.
    dropped: int = 0
    #: Malformed, or failed otherwise.
    skipped: int = 0
    #: Not worked on: nobody subscribes, no CameraInfo has come yet, or they are too many a second.
    ignored: int = 0
    #: Lost on the way, as far as the middleware counts them; not among those received.
    lost: int = 0
    #: Time spent on those processed [s].
    working_s: float = 0.0


@dataclass(frozen=True)
class LatencyStats:
    """The median of some durations or ages, and what few exceed [s]."""

    p50: float
    p95: float

    @classmethod
    def of(cls, values: Iterable[float]) -> LatencyStats | None:
        """Return those of the values that are no NaN; None if none is left."""
        known = [value for value in values if not math.isnan(value)]
        return cls(*np.percentile(known, [50, 95]).tolist()) if known else None


@dataclass(frozen=True)
class Skips:
    """Images of the last seconds that came to nothing."""

    n_images: int
    #: Where the latest one failed: one of :data:`STAGES`.
    stage: str
    #: Why, for people.
    reason: str
    #: Whether others were processed meanwhile.
    others_pass: bool


@dataclass(frozen=True)
class LatestImage:
    """What the header of an image says, whatever became of the image."""

    #: The image's stamp, and the node's clock when it came; 0: not set, not running [ns].
    stamp_ns: int
    clock_ns: int
    frame_id: str = ''
    #: Width and height [pixels]; None where the message does not say.
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Statistics:
    """Everything measured, as it is at one moment; without ``counts``, of the last seconds."""

    #: Since the beginning.
    counts: Counts = field(default_factory=Counts)
    #: Time since the beginning, and since the latest image (None before the first one) [s].
    elapsed_s: float = 0.0
    since_image_s: float | None = None
    #: How long the image at work has been that (None between images) [s].
    busy_s: float | None = None
    #: Images that came and that were processed [Hz]; 0 for less than two in the window.
    input_hz: float = 0.0
    output_hz: float = 0.0
    #: Of all that the worker might have processed, the fraction that gave way to newer ones.
    dropped_ratio: float = 0.0
    #: Of the stages by name, and of all of them as ``total``; without what is not known.
    durations: Mapping[str, LatencyStats] = field(default_factory=dict)
    #: Age of the images when they came, and of those processed when their depth was out.
    arrival_age: LatencyStats | None = None
    publishing_age: LatencyStats | None = None
    latest: LatestImage | None = None
    skips: Skips | None = None
    #: Images that came, and those that the middleware says it lost.
    n_received: int = 0
    n_lost: int = 0
    #: Images whose CameraInfo came, between two images; 0 where the two are not stamped alike.
    n_missing: int = 0


class Stopwatch:
    """Times the stages of one image."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        #: Durations of the stages that have ended [s].
        self.durations: dict[str, float] = {}
        #: The stage that began last.
        self.stage = ''
        self._clock = clock
        self._started: float | None = None

    def start(self, stage: str) -> None:
        """Begin a stage; the one before ends, unless :meth:`stop` has ended it."""
        now = self._clock()
        self._end(now)
        self.stage, self._started = stage, now

    def stop(self) -> None:
        """End the stage; the time until the next one belongs to none."""
        self._end(self._clock())

    def _end(self, now: float) -> None:
        if self._started is not None:
            self.durations[self.stage] = now - self._started
            self._started = None


class Measurements:
    """Collects what happens to images. All ``now_s`` are of one monotonic clock [s]."""

    def __init__(self, started_s: float) -> None:
        self._lock = threading.Lock()
        self._started_s = started_s
        self._counts = Counts()
        self._busy_since_s: float | None = None
        self._latest: LatestImage | None = None
        #: Times, ages and stamps of images; times and numbers of losses; stamps of CameraInfo.
        self._received: deque[tuple[float, float, int]] = deque(maxlen=_CAPACITY)
        self._lost: deque[tuple[float, int]] = deque(maxlen=_CAPACITY)
        self._announced: deque[tuple[float, int]] = deque(maxlen=_CAPACITY)
        self._dropped: deque[tuple[float]] = deque(maxlen=_CAPACITY)
        self._processed: deque[tuple[float, float, dict[str, float]]] = deque(maxlen=_CAPACITY)
        self._skipped: deque[tuple[float, str, str]] = deque(maxlen=_CAPACITY)

    @property
    def counts(self) -> Counts:
        """The counts so far."""
        with self._lock:
            return replace(self._counts)

    def receive(self, now_s: float, image: LatestImage) -> None:
        """Record that an image has come; its age is unknown without stamp or clock."""
        with self._lock:
            self._counts.received += 1
            age_s = _age_s(image.stamp_ns, image.clock_ns)
            self._received.append((now_s, age_s, image.stamp_ns))
            self._latest = image

    def announce(self, now_s: float, stamp_ns: int) -> None:
        """Record that a CameraInfo has come; 0 where its stamp is not set."""
        with self._lock:
            self._announced.append((now_s, stamp_ns))

    def lose(self, now_s: float, n_images: int) -> None:
        """Record that the middleware says it has lost images."""
        with self._lock:
            self._counts.lost += n_images
            self._lost.append((now_s, n_images))

    def drop(self, now_s: float) -> None:
        """Record that an image gave way to a newer one."""
        with self._lock:
            self._counts.dropped += 1
            self._dropped.append((now_s,))

    def begin(self, now_s: float) -> None:
        """Record that work on an image begins; one of the following three ends it."""
        self._busy_since_s = now_s

    def ignore(self) -> None:
        """Record that the image was not wanted."""
        with self._lock:
            self._busy_since_s = None
            self._counts.ignored += 1

    def leave_out(self) -> None:
        """Record that an image gave way to a newer one, when neither was wanted as yet."""
        with self._lock:
            self._counts.ignored += 1

    def skip(self, now_s: float, *, stage: str, reason: str) -> None:
        """Record that the image came to nothing."""
        with self._lock:
            self._busy_since_s = None
            self._counts.skipped += 1
            self._skipped.append((now_s, stage, reason))

    def process(
        self, now_s: float, durations: dict[str, float], *, stamp_ns: int, clock_ns: int
    ) -> None:
        """Record that all that is made of the image is published.

        :param durations: of its stages [s].
        :param stamp_ns: of its header; 0 where that is not set [ns].
        :param clock_ns: the node's clock; 0 where that does not run [ns].
        """
        with self._lock:
            self._busy_since_s = None
            self._counts.processed += 1
            self._counts.working_s += sum(durations.values())
            self._processed.append((now_s, _age_s(stamp_ns, clock_ns), durations))

    def summarise(self, now_s: float) -> Statistics:
        """Return what is known now."""
        with self._lock:
            counts, latest, busy_since_s = replace(self._counts), self._latest, self._busy_since_s
            last_s = self._received[-1][0] if self._received else None
            received, dropped = _recent(self._received, now_s), _recent(self._dropped, now_s)
            processed, skipped = _recent(self._processed, now_s), _recent(self._skipped, now_s)
            lost, announced = _recent(self._lost, now_s), _recent(self._announced, now_s)
        n_takeable = len(dropped) + len(processed)
        return Statistics(
            counts=counts,
            elapsed_s=now_s - self._started_s,
            since_image_s=None if last_s is None else now_s - last_s,
            busy_s=None if busy_since_s is None else now_s - busy_since_s,
            input_hz=_rate_hz(received),
            output_hz=_rate_hz(processed),
            dropped_ratio=len(dropped) / n_takeable if n_takeable else 0.0,
            durations=_stats_by_stage([durations for *_, durations in processed]),
            arrival_age=LatencyStats.of(age_s for _, age_s, _ in received),
            publishing_age=LatencyStats.of(age_s for _, age_s, _ in processed),
            latest=latest,
            # The stage and the reason of the latest one.
            skips=Skips(len(skipped), *skipped[-1][1:], bool(processed)) if skipped else None,
            n_received=len(received),
            n_lost=sum(n_images for _, n_images in lost),
            n_missing=_count_missing(
                {stamp_ns for *_, stamp_ns in received} - {0}, {stamp for _, stamp in announced}
            ),
        )


def _recent(samples: Iterable[S], now_s: float) -> list[S]:
    return [sample for sample in samples if now_s - sample[0] <= WINDOW_S]


def _count_missing(images: set[int], infos: set[int]) -> int:
    """Count the stamps of CameraInfo without an image, between two images [ns]."""
    if len(images & infos) <= len(images) / 2:
        return 0  # the camera does not stamp the two alike
    # Between two that came: the CameraInfo of an image comes before it.
    return sum(min(images) < stamp < max(images) for stamp in infos - images)


def _age_s(stamp_ns: int, clock_ns: int) -> float:
    return (clock_ns - stamp_ns) / 1e9 if stamp_ns and clock_ns else math.nan


def _rate_hz(samples: Sequence[tuple[Any, ...]]) -> float:
    """From the first to the last: the ends of the window would cut a period in two."""
    if len(samples) < 2:
        return 0.0
    between_s = samples[-1][0] - samples[0][0]
    return float((len(samples) - 1) / between_s) if between_s else 0.0


def _stats_by_stage(durations: list[dict[str, float]]) -> dict[str, LatencyStats]:
    series = {stage: [d[stage] for d in durations if stage in d] for stage in STAGES}
    series['total'] = [sum(d.values()) for d in durations]
    found = {name: LatencyStats.of(values) for name, values in series.items()}
    return {name: stats for name, stats in found.items() if stats is not None}
