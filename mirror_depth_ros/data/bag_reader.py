"""The messages of a recording, read by the rosbags library: no ROS is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mirror_depth_ros.data.ros1_messages import Ros1Messages

_log = logging.getLogger(__name__)

# What Zstandard's frames begin with (RFC 8878); no serialised message does.
_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'


class _CompressedMessageError(ValueError):
    """A message is compressed, and the recording does not say so."""


class BagReader:
    """A recording: a folder with ``metadata.yaml``, or one ``.db3``, ``.mcap`` or ``.bag`` file.

    Messages of ROS 1 (``.bag``) become those of ROS 2, under the names that types have there.

    It may be pickled, and used after a fork: every process opens the recording for itself, when it
    first reads. Within a process, one thread may use it at a time.

    :raises FileNotFoundError: if there is nothing at the path, or a folder without its metadata.
    :raises ValueError: for a file that is no recording, is damaged or was cut short.
    :raises ModuleNotFoundError: without rosbags.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        _check_path(self.path)
        self._opened: Any = None
        self._ros1: Ros1Messages | None = None
        self._process = 0
        self._has_warned = False
        reader = self._reader()
        #: The types of the topics that have messages, by topic.
        self.topics: dict[str, str] = {
            connection.topic: self._type_of(connection)
            for connection in sorted(reader.connections, key=lambda c: c.topic)
            if connection.msgcount
        }

    def messages(
        self, topics: Collection[str], *, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[str, int, Any]]:
        """Yield topic, time of recording [ns] and message, in the order of recording.

        :param topics: some of :attr:`topics`.
        :param start_ns: the earliest time of recording [ns].
        :param stop_ns: the time of recording [ns] before which to stop.
        :raises ValueError: where the recording is damaged, or its messages are compressed and only
            its folder says so.
        """
        for connection, log_ns, data in self.serialized(
            topics, start_ns=start_ns, stop_ns=stop_ns
        ):
            yield connection.topic, log_ns, self.deserialize(data, connection)

    def serialized(
        self,
        topics: Collection[str] | None = None,
        *,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[tuple[Any, int, bytes | memoryview]]:
        """Yield connection, time of recording [ns] and message as it lies there (CDR).

        :param topics: as of :meth:`messages`; None: all.
        :raises ValueError: as :meth:`messages`.
        """
        reader = self._reader()
        wanted = [c for c in reader.connections if topics is None or c.topic in topics]
        if not wanted:  # which rosbags would take for all of them
            return
        try:
            for connection, log_ns, data in reader.messages(wanted, start_ns, stop_ns):
                if bytes(data[:4]) == _ZSTD_MAGIC:
                    raise _compressed_message(self.path)
                if self._ros1 is not None:
                    data = self._ros1.convert(data, connection.msgtype)
                yield connection, log_ns, data
        except _CompressedMessageError:
            raise
        except Exception as error:  # of rosbags, APSW, lz4, zstd, struct: they share no base class
            raise _unreadable(self.path, error) from error

    def deserialize(self, data: bytes | memoryview, connection: Any) -> Any:
        """Return a message that :meth:`serialized` has yielded.

        :raises ValueError: if it is damaged.
        """
        try:
            return self._store().deserialize_cdr(data, self._type_of(connection))
        except Exception as error:
            raise _unreadable(self.path, error) from error

    @property
    def notes(self) -> dict[str, str]:
        """What ``custom_data`` says, of rosbag2's folders."""
        storage = getattr(self._reader().readers[0], 'storage', None)
        return dict(storage.metadata.custom or {}) if storage else {}

    @property
    def duration_s(self) -> float:
        """The time from the first message to the last [s]."""
        return float(self._reader().duration) / 1e9

    def connections(self) -> list[Any]:
        """Return what recorded topics have come from, as rosbags has it."""
        return list(self._reader().connections)

    def describe(self, connection: Any) -> dict[str, Any]:
        """Return what a :class:`~mirror_depth_ros.data.bag_writer.BagWriter` connects."""
        reader, kind, store = self._reader(), self._type_of(connection), self._store()
        if self._ros1 is not None:
            from rosbags.convert.converter import LATCH

            self._ros1.learn(connection.msgtype)
            text, qos = '', LATCH if connection.ext.latching else []
        else:
            text, qos = connection.msgdef.data, connection.ext.offered_qos_profiles
        if not text and kind in store.fielddefs:
            text, _ = store.generate_msgdef(kind, ros_version=2)
        digest = connection.digest if reader.is2 else ''
        if not digest:
            digest = (store if kind in store.fielddefs else _empty_type(kind)).hash_rihs01(kind)
        return {
            'topic': connection.topic,
            'kind': kind,
            'definition': text,
            'digest': digest,
            'qos': qos,
        }

    def first(self, topic: str) -> Any:
        """Return the first message of one of :attr:`topics`.

        :raises ValueError: where the recording is damaged.
        """
        for _, _, message in self.messages([topic]):
            return message
        raise _unreadable(self.path, LookupError(f'no message on {topic}'))

    def message(self, topic: str, log_ns: int, stamp_ns: int) -> Any:
        """Return the message of one of :attr:`topics` with those times of recording and stamp.

        Both storages have an index by time of recording: what lies before is not read. Several
        messages may have been recorded at once, so the stamp decides.

        :raises ValueError: if there is none, or where the recording is damaged.
        """
        if not self._has_warned and _lacks_index(self._reader()):
            self._has_warned = True
            _log.warning(
                '%s is MCAP without chunks, so that each image is searched for in the whole file; '
                'to read it faster, write it anew with chunks (ros2 bag convert)',
                self.path,
            )
        for _, _, message in self.messages([topic], start_ns=log_ns, stop_ns=log_ns + 1):
            if stamp_of(message) == stamp_ns:
                return message
        raise _unreadable(self.path, LookupError(f'no message on {topic} recorded at {log_ns} ns'))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_opened': None, '_ros1': None}

    def _reader(self) -> Any:
        """Return the opened ``AnyReader`` of this process."""
        if self._opened is None or self._process != os.getpid():
            # One that a parent process has opened shares its place in the file with the parent.
            self._opened, self._process = _open(self.path), os.getpid()
            if not self._opened.is2:
                self._ros1 = Ros1Messages(self._opened.typestore)
        return self._opened

    def _store(self) -> Any:
        """Return the types of the messages, which are those of ROS 2."""
        reader = self._reader()
        return reader.typestore if self._ros1 is None else self._ros1.store

    def _type_of(self, connection: Any) -> str:
        kind = str(connection.msgtype)
        return kind if self._ros1 is None else self._ros1.type_of(kind)


def stamp_of(message: Any) -> int:
    """Return the time of a message's header [ns]."""
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _check_path(path: Path) -> None:
    """Raise where a path cannot be that of a recording, and say what would be."""
    if not path.exists():
        raise FileNotFoundError(
            f'got {path}, expected a rosbag2 recording (a folder, a .db3 or an .mcap file); check '
            'the path'
        )
    if path.is_dir():
        if not (path / 'metadata.yaml').is_file():
            raise FileNotFoundError(
                f'got folder {path} without metadata.yaml, expected a rosbag2 recording; make it '
                'with ros2 bag reindex, or give the .db3 or .mcap file itself'
            )
    elif path.suffix == '.zstd':  # as rosbag2 names them
        raise ValueError(
            f'got {path}, a compressed file of a recording, expected the folder with its '
            f'metadata.yaml; give {path.parent}, or unpack the file (zstd -d)'
        )
    elif path.suffix not in ('.db3', '.mcap', '.bag'):
        raise ValueError(
            f'got {path}, expected a recording: the folder of rosbag2, or a .db3, .mcap or (of '
            'ROS 1) .bag file'
        )


def _open(path: Path) -> Any:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'got no rosbags, expected it for recordings; pip install mirror_depth_ros[bag]'
        ) from error
    try:
        # Recordings to SQLite before Iron hold no message definitions. Those of the messages read
        # here have not changed since.
        reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
        reader.open()
    except Exception as error:  # whatever a foreign or damaged file leads to
        raise _unreadable(path, error) from error
    return reader


def _empty_type(kind: str) -> Any:
    """Return the types for one that the recording does not define, which it may not before Iron.

    rosbags reads a recording with it only if its hash is that of no fields.
    """
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg('', kind))
    return store


def _lacks_index(reader: Any) -> bool:
    """Say whether a message is found only by going through a file: MCAP without chunks."""
    storage = getattr(reader.readers[0], 'storage', None)  # not of ROS 1
    files = getattr(storage, 'storages', [storage])
    return any(
        getattr(file, 'chunks', None) == [] and file.metadata.message_count for file in files
    )


def _compressed_message(path: Path) -> _CompressedMessageError:
    if path.is_dir():
        remedy = 'set compression_format: zstd and compression_mode: MESSAGE in it'
    else:
        remedy = f'give its folder {path.parent}'
    return _CompressedMessageError(
        f'got {path}, whose messages are compressed one by one, expected the recording with the '
        f'metadata.yaml that says so; {remedy}'
    )


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f'got {path}, which cannot be read ({type(error).__name__}: {error}), expected a whole '
        'recording; copy it anew, or if recording broke off, repair it (ros2 bag reindex, '
        'mcap recover, rosbag reindex)'
    )
