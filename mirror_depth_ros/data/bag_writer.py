"""A rosbag2 recording that can be read whole at any moment while it is written, by rosbags."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mirror_depth_ros.data.bag_reader import BagReader

# QoS as text of numbers in metadata.yaml, which Humble reads, and all distributions since.
_VERSION: Any = 8

# So much is written before it counts, unless commit() is called [bytes].
_MOST_WAITING = 2**20

# Of MCAP (https://mcap.dev/spec): the end of the data, and a footer without a summary.
_DATA_END = b'\x0f' + (4).to_bytes(8, 'little') + bytes(4)
_FOOTER = b'\x02' + (20).to_bytes(8, 'little') + bytes(20) + b'\x89MCAP0\r\n'
# Opcodes from 0x80 on are for applications; who does not know one passes over its record.
_PRIVATE = b'\x80'
_RECORD_HEADER = 9


class BagWriter:
    """Writes a recording of one MCAP file into a new folder.

    Killed at any moment, it leaves a recording of all messages up to the last :meth:`commit`. Its
    index comes when it is closed: until then, readers go through the whole of the file.

    :param folder: what the recording is to be; it must not exist.
    :param notes: ``custom_data`` of the recording.
    :raises OSError: where it cannot be written.
    """

    def __init__(self, folder: Path, *, notes: Mapping[str, str]) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer

        #: Of each topic, what metadata.yaml says, by the number of its connection.
        self._topics: dict[int, dict[str, Any]] = {}
        writer = Writer(folder, version=_VERSION, storage_plugin=StoragePlugin.MCAP)
        # As Any: more of it is used than what all storages have.
        self._writer = cast(Any, writer)
        for key, value in notes.items():
            self._writer.set_custom_data(key, value)
        self._writer.open()
        self._storage = self._writer.storage
        self._storage.bio.close()
        self._storage.bio = _WholeFile(self._storage.path)
        self._waiting = 0

    def connect(
        self, topic: str, kind: str, *, definition: str, digest: str, qos: Sequence[Any] = ()
    ) -> Any:
        """Return what :meth:`write` takes for a topic; the same for what is there already.

        :param definition: of the message's type, as text.
        :param digest: its RIHS01 hash.
        :param qos: what was offered when it was recorded, as rosbags has it.
        """
        from rosbags.rosbag2.metadata import dump_qos_v8

        for connection in self._writer.connections:
            has = (connection.topic, connection.msgtype, connection.ext.offered_qos_profiles)
            if has == (topic, kind, list(qos)):
                return connection
        connection = self._writer.add_connection(
            topic, kind, msgdef=definition, rihs01=digest, offered_qos_profiles=qos
        )
        self._topics[connection.id] = {
            'name': topic,
            'type': kind,
            'serialization_format': connection.ext.serialization_format,
            'offered_qos_profiles': dump_qos_v8(connection.ext.offered_qos_profiles),
            'type_description_hash': digest,
        }
        return connection

    def write(self, connection: Any, log_ns: int, data: bytes | memoryview) -> None:
        """Add a serialised message; none may be older than the last one.

        :param log_ns: the time of its recording [ns].
        """
        self._writer.write(connection, log_ns, data)
        self._waiting += len(data)

    @property
    def is_due(self) -> bool:
        """Whether so much is waiting that :meth:`commit` should be called."""
        return self._waiting >= _MOST_WAITING

    def commit(self) -> None:
        """Make all messages so far part of the recording.

        :raises OSError: where it cannot be written; the recording stays as it was.
        """
        if self._storage.chunk.bio.tell():
            self._storage.close_chunk()
        self._storage.bio.commit()
        self._waiting = 0
        # JSON is YAML, and written in a hundredth of the time.
        temporary = self._writer.metapath.with_suffix('.tmp')
        temporary.write_text(json.dumps({'rosbag2_bagfile_information': self._metadata()}))
        temporary.replace(self._writer.metapath)

    def close(self, notes: Mapping[str, str]) -> None:
        """Commit, write the index and end the recording.

        :param notes: changes of its ``custom_data``.
        """
        for key, value in notes.items():
            self._writer.set_custom_data(key, value)
        self._writer.close()

    def abort(self) -> None:
        """Let go of the file; the recording stays as of the last :meth:`commit`."""
        self._writer.abort()

    def _metadata(self) -> dict[str, Any]:
        """Return what metadata.yaml says, as rosbags has it when it closes a recording."""
        writer = self._writer
        count = sum(writer.counts.values())
        start = writer.min_timestamp if count else 0
        about = {
            'starting_time': {'nanoseconds_since_epoch': start},
            'duration': {'nanoseconds': max(0, writer.max_timestamp - start)},
            'message_count': count,
        }
        topics = [
            {'topic_metadata': topic, 'message_count': writer.counts[number]}
            for number, topic in self._topics.items()
        ]
        return {
            'version': _VERSION,
            'storage_identifier': writer.storage_plugin.name.lower(),
            'relative_file_paths': [self._storage.path.name],
            **about,
            'topics_with_message_count': topics,
            'compression_format': '',
            'compression_mode': '',
            'files': [{'path': self._storage.path.name, **about}],
            'custom_data': writer.custom_data,
            'ros_distro': 'rosbags',
        }


class UnfinishedBag:
    """What a run that was stopped has left, put aside to be copied into a recording begun anew.

    Whatever kills that run as well, the one of the two that has more is gone on with.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def find(
        cls, output: Path, notes: Mapping[str, str], *, overwrite: bool
    ) -> UnfinishedBag | None:
        """Make room at ``output``; return what is there or beside it, None if nothing is.

        :param notes: what its ``custom_data`` must be.
        :param overwrite: whether to remove any recording instead.
        :raises ValueError: for anything but an unfinished recording with these notes.
        """
        aside = output.with_name(f'{output.name}.unfinished')
        there = [path for path in (aside, output) if path.exists()]
        if overwrite:
            for path in there:
                remove_recording(path)
        found = {} if overwrite else {path: _count(path, notes) for path in there}
        if not found:
            return None
        kept = max(found, key=lambda path: found[path])  # put aside, where it has as many
        for path in found.keys() - {kept}:
            remove_recording(path)
        if kept != aside:
            kept.rename(aside)
        return cls(aside)

    def move_into(self, writer: BagWriter, topics: Collection[str]) -> int:
        """Copy all messages and remove what they were copied from.

        :returns: how many of them were on these topics.
        """
        reader, connections, count = BagReader(self._folder), {}, 0
        for connection, log_ns, data in reader.serialized():
            if connection.id not in connections:
                connections[connection.id] = writer.connect(**reader.describe(connection))
            writer.write(connections[connection.id], log_ns, data)
            count += connection.topic in topics
            if writer.is_due:
                writer.commit()
        writer.commit()
        remove_recording(self._folder)
        return count


def remove_recording(folder: Path) -> None:
    """Remove the files of a recording, and their folder.

    :raises ValueError: for a folder with anything else in it, of which nothing is removed.
    """
    files = list(folder.iterdir()) if folder.is_dir() else []
    suffixes = ('.mcap', '.db3', '.db3-journal', '.zstd')
    strange = [f for f in files if not (f.suffix in suffixes or f.stem == 'metadata')]
    if strange or not folder.is_dir():
        raise ValueError(
            f'got {[*strange, folder][0]} where the recording is to be, expected a recording or '
            'nothing; choose another name'
        )
    for file in files:
        file.unlink()
    folder.rmdir()


def _count(folder: Path, notes: Mapping[str, str]) -> int:
    """Return how many messages a recording has.

    :raises ValueError: if its notes are others, saying which.
    """
    try:
        reader = BagReader(folder)
        found = reader.notes
    except (ValueError, OSError):
        found = {}
    if not found.keys() >= notes.keys():
        raise ValueError(
            f'got {folder}, which is there already, expected a new name; choose one, or replace '
            'it with --overwrite'
        )
    differing = [key for key, value in notes.items() if found[key] != value]
    if differing:
        got = ', '.join(f'{key} {found[key]}' for key in differing)
        expected = ', '.join(f'{key} {notes[key]}' for key in differing)
        raise ValueError(
            f'got {folder} with {got}, expected {expected} to go on with it; choose another name, '
            'or replace it with --overwrite'
        )
    return sum(connection.msgcount for connection in reader.connections())


class _WholeFile:
    """Takes the place of the file that rosbags' MCAP writer writes to.

    What has been written since the last commit is in memory. A commit covers its place in the file
    by a private record, which readers pass over, puts the file's new end behind that, fills the
    place in, and last, by a write of eight bytes, makes the private record an empty one. So the
    file has a beginning, whole records and an end before and after each of these steps.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR)
        # Not joined: images are large, and copied often enough by rosbags.
        self._waiting: list[Any] = []
        self._size = 0
        # Where the next commit's private record goes.
        self._end = os.fstat(self._file).st_size
        self._write(_DATA_END + _FOOTER, self._end)

    def write(self, data: Any) -> int:
        self._waiting.append(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._end + _RECORD_HEADER + self._size

    def commit(self) -> None:
        if self._waiting:
            self._append([*self._waiting, _DATA_END], _FOOTER)
            self._end, self._waiting, self._size = self.tell(), [], 0

    def close(self) -> None:
        """Close the file; what is waiting is lost unless it has the file's end."""
        if self._file >= 0:
            content = b''.join(self._waiting)
            if content.endswith(_FOOTER[-8:]):
                self._append([content[: -len(_FOOTER)]], content[-len(_FOOTER) :])
            os.close(self._file)
            self._file = -1

    def _append(self, body: Sequence[Any], footer: bytes) -> None:
        """Put records and the file's end in the place of the last end."""
        start, size = self._end + _RECORD_HEADER, sum(map(len, body))
        self._write(_PRIVATE + size.to_bytes(8, 'little'), self._end)
        self._write(_FOOTER, start + size)
        offset = start
        for piece in body:
            self._write(piece, offset)
            offset += len(piece)
        self._write(bytes(8), self._end + 1)
        if footer != _FOOTER:
            self._write(footer, start + size)

    def _write(self, data: bytes | memoryview, offset: int) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._file, view, offset)
                view, offset = view[written:], offset + written
        except OSError as error:
            raise OSError(
                f'could not write {self._path}: {error.strerror or error}; check the folder and '
                'its space, and give the same command to go on'
            ) from error
