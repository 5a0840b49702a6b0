"""The messages of a rosbag2 recording, read by the rosbags library: no ROS is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

# What Zstandard's frames begin with (RFC 8878); no serialised message does.
_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'


class _CompressedMessageError(ValueError):
    """A message is compressed, and the recording does not say so."""


class BagReader:
    """A recording: a folder with ``metadata.yaml``, or one ``.db3`` or ``.mcap`` file.

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
        self._process = 0
        reader = self._reader()
        #: The types of the topics that have messages, by topic.
        self.topics: dict[str, str] = {
            connection.topic: connection.msgtype
            for connection in sorted(reader.connections, key=lambda c: c.topic)
            if connection.msgcount
        }
        if _lacks_index(reader):
            _log.warning(
                '%s is MCAP without chunks, so that each image is searched for in the whole file; '
                'to read it faster, write it anew with chunks (ros2 bag convert)',
                self.path,
            )

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
        reader = self._reader()
        wanted = [connection for connection in reader.connections if connection.topic in topics]
        if not wanted:  # which rosbags would take for all of them
            return
        try:
            for connection, log_ns, data in reader.messages(wanted, start_ns, stop_ns):
                if bytes(data[:4]) == _ZSTD_MAGIC:
                    raise _compressed_message(self.path)
                yield connection.topic, log_ns, reader.deserialize(data, connection.msgtype)
        except _CompressedMessageError:
            raise
        except Exception as error:  # of rosbags, APSW, lz4, zstd, struct: they share no base class
            raise _unreadable(self.path, error) from error

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
        for _, _, message in self.messages([topic], start_ns=log_ns, stop_ns=log_ns + 1):
            if stamp_of(message) == stamp_ns:
                return message
        raise _unreadable(self.path, LookupError(f'no message on {topic} recorded at {log_ns} ns'))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_opened': None}

    def _reader(self) -> Any:
        """Return the opened ``AnyReader`` of this process."""
        if self._opened is None or self._process != os.getpid():
            # One that a parent process has opened shares its place in the file with the parent.
            self._opened, self._process = _open(self.path), os.getpid()
        return self._opened


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
    elif path.suffix == '.bag':
        raise ValueError(
            f'got {path}, a recording of ROS 1, expected one of ROS 2; convert it with '
            'rosbags-convert --src FILE.bag --dst FOLDER'
        )
    elif path.suffix == '.zstd':  # as rosbag2 names them
        raise ValueError(
            f'got {path}, a compressed file of a recording, expected the folder with its '
            f'metadata.yaml; give {path.parent}, or unpack the file (zstd -d)'
        )
    elif path.suffix not in ('.db3', '.mcap'):
        raise ValueError(
            f'got {path}, expected a rosbag2 recording: its folder, or a .db3 or .mcap file'
        )


def _open(path: Path) -> Any:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'got no rosbags, expected it for recordings; pip install mirror_depth_ros[train]'
        ) from error
    try:
        # Recordings to SQLite before Iron hold no message definitions. Those of the messages read
        # here have not changed since.
        reader = AnyReader([path], default_typestore=get_typestore(Stores.LATEST))
        reader.open()
    except Exception as error:  # whatever a foreign or damaged file leads to
        raise _unreadable(path, error) from error
    return reader


def _lacks_index(reader: Any) -> bool:
    """Say whether a message is found only by going through a file: MCAP without chunks."""
    storage = reader.readers[0].storage
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
        'rosbag2 recording; copy it anew, or if recording broke off, repair it (ros2 bag reindex, '
        'mcap recover)'
    )
