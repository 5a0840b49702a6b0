"""What the recorder puts aside: matching messages by stamp, and frames spooled to disk.

While a recording runs nothing is computed or encoded, so it does not disturb what it measures:
arrays go to disk as they are. Memory and disk stay bounded however long the recording takes.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.data.sample import DepthSample

#: The arrays of one frame by name.
Parts: TypeAlias = Mapping[str, NDArray[Any]]

M = TypeVar('M')


class StampMatcher(Generic[M]):
    """Collects what arrives on several topics into sets of equal stamp.

    A stamp whose answer never comes was dropped by the node: it is forgotten as soon as a later
    one is answered.
    """

    def __init__(self, required: Iterable[str], *, answer: str, capacity_bytes: int) -> None:
        """Prepare an empty matcher.

        :param required: the topics that make a set complete; others may join it before.
        :param answer: the topic whose message says that the node has processed that stamp.
        :param capacity_bytes: oldest sets are forgotten beyond this.
        """
        self._required = frozenset(required)
        self._answer = answer
        self._capacity_bytes = capacity_bytes
        self._bytes = 0
        self._pending: dict[int, dict[str, tuple[M, int]]] = {}

    def add(self, topic: str, stamp_ns: int, message: M, n_bytes: int) -> dict[str, M] | None:
        """Take in a message; return the set of its stamp when this completes it."""
        parts = self._pending.setdefault(stamp_ns, {})
        parts[topic] = (message, n_bytes)
        self._bytes += n_bytes
        complete = self._required <= parts.keys()
        if complete:
            self._forget(stamp_ns)
        if topic == self._answer:
            for stamp in [s for s in self._pending if s < stamp_ns]:
                if self._answer not in self._pending[stamp]:
                    self._forget(stamp)
        while self._bytes > self._capacity_bytes and self._pending:
            self._forget(min(self._pending))
        return {name: part for name, (part, _) in parts.items()} if complete else None

    def _forget(self, stamp_ns: int) -> None:
        self._bytes -= sum(n_bytes for _, n_bytes in self._pending.pop(stamp_ns).values())


@dataclass(frozen=True)
class Shot:
    """What is known of a frame besides its arrays."""

    #: The image's stamp [ns].
    stamp_ns: int
    #: From the image's stamp to the arrival of its depth [ms].
    latency_ms: float
    #: The photograph's name, ``''`` in a scene.
    name: str = ''


@dataclass(frozen=True)
class RecordedFrame:
    """One frame whose arrays lie on disk."""

    #: Folder of the spool that holds one file per part.
    folder: Path
    #: When it was taken, how long its depth took.
    shot: Shot
    #: ``rgb``, ``depth``, ``preview``, perhaps ``truth`` and ``cloud``.
    parts: frozenset[str]

    def load(self, part: str) -> NDArray[Any]:
        """Read one part back."""
        return np.load(self.folder / f'{part}.npy')


class FrameSpool:
    """Frames on disk until the recording ends; removed when the context is left."""

    def __init__(self, output: Path) -> None:
        """Prepare a spool below the output folder, where there should be room; nothing is made."""
        self._output = output
        self._folder: Path | None = None
        self._count = 0

    def __enter__(self) -> FrameSpool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, parts: Parts, shot: Shot) -> RecordedFrame:
        """Put a frame aside.

        :raises OSError: if that fails, with the place and the remedy.
        """
        try:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix='.recording-', dir=self._output))
            folder = self._folder / f'{self._count:06d}'
            self._count += 1
            folder.mkdir()
            for part, array in parts.items():
                np.save(folder / f'{part}.npy', array)
        except OSError as error:
            raise OSError(
                f'could not put a frame aside in {self._output}: {error}; free space there or '
                'choose another output folder'
            ) from error
        return RecordedFrame(folder, shot, frozenset(parts))

    def discard(self, frame: RecordedFrame) -> None:
        """Remove a frame from the disk."""
        shutil.rmtree(frame.folder, ignore_errors=True)


class SceneAlbum:
    """Keeps at most so many frames of an endless scene, evenly spread.

    Every frame at first; each time the limit is reached every other one goes, and from then on
    only every second, fourth, ... is taken. The first frame stays, with its cloud.
    """

    #: A scene is never waiting for one particular frame.
    missing: tuple[str, ...] = ()

    def __init__(self, spool: FrameSpool, limit: int = 64) -> None:
        if limit < 2:
            raise ValueError(f'got a limit of {limit} frames, expected at least 2')
        self.frames: list[RecordedFrame] = []
        self._spool = spool
        self._limit = limit
        self._stride = 1
        self._seen = 0

    def offer(self, parts: Parts, shot: Shot) -> bool:
        """Put a frame aside if its turn has come; say whether that happened."""
        wanted = self._seen % self._stride == 0
        self._seen += 1
        if not wanted:
            return False
        if self.frames:
            parts = {part: array for part, array in parts.items() if part != 'cloud'}
        self.frames.append(self._spool.write(parts, shot))
        if len(self.frames) == self._limit:
            for frame in self.frames[1::2]:
                self._spool.discard(frame)
            self.frames = self.frames[::2]
            self._stride *= 2
        return True


class PhotographAlbum:
    """Keeps every photograph of a folder once, with its cloud."""

    def __init__(self, spool: FrameSpool, photographs: Iterable[DepthSample]) -> None:
        """Learn the photographs by their content, which is how they are known again."""
        self._spool = spool
        self._names: dict[bytes, str] = {}
        for photograph in photographs:
            content = _content(photograph.rgb)
            twins = [self._names[content]] if content in self._names else []
            self._names[content] = ', '.join([*twins, photograph.name])
        self._kept: dict[bytes, RecordedFrame] = {}

    @property
    def frames(self) -> list[RecordedFrame]:
        """What has been kept, in the order of the folder."""
        return [self._kept[content] for content in self._names if content in self._kept]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the photographs that have not been kept yet."""
        return tuple(name for key, name in self._names.items() if key not in self._kept)

    def offer(self, parts: Parts, shot: Shot) -> bool:
        """Put a photograph aside if it is new; say whether that happened."""
        content = _content(parts['rgb'])
        if content in self._kept or content not in self._names:
            return False
        named = replace(shot, name=self._names[content])
        self._kept[content] = self._spool.write(parts, named)
        return True


def _content(rgb: NDArray[np.uint8]) -> bytes:
    pixels = np.ascontiguousarray(rgb)
    return hashlib.blake2b(pixels.data, digest_size=16, key=repr(rgb.shape).encode()).digest()
