"""Serialised messages of ROS 1 as those of ROS 2, by rosbags."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

# What ROS 1 had under another name from the beginning on.
_RENAMED = {'tf/msg/tfMessage': 'tf2_msgs/msg/TFMessage'}


class Ros1Messages:
    """Converts messages of one recording.

    :param source: the recording's types, as rosbags has them.
    """

    def __init__(self, source: Any) -> None:
        from rosbags.typesys import Stores, get_typestore

        self._source = source
        #: The types of ROS 2, and those of the recording that it does not have.
        self.store = get_typestore(Stores.LATEST)
        self._converters: dict[str, Callable[[bytes], memoryview]] = {}

    def type_of(self, kind: str) -> str:
        """Return what a type is called in ROS 2."""
        return _RENAMED.get(kind, kind)

    def convert(self, data: bytes, kind: str) -> memoryview:
        """Return a message in the form of ROS 2 (CDR).

        :param kind: its type in ROS 1.
        """
        if kind not in self._converters:
            self._converters[kind] = self._converter(kind)
        return self._converters[kind](data)

    def learn(self, kind: str) -> None:
        """Take a type over from the recording where ROS 2 does not have it."""
        from rosbags.typesys import get_types_from_msg

        name = self.type_of(kind)
        if name not in self.store.fielddefs:
            definition, _ = self._source.generate_msgdef(kind, ros_version=2)
            types = get_types_from_msg(definition, name)
            self.store.register({k: v for k, v in types.items() if k not in self.store.fielddefs})

    def _converter(self, kind: str) -> Callable[[bytes], memoryview]:
        from rosbags.convert.converter import generate_message_converter

        self.learn(kind)
        with redirect_stdout(None):  # rosbags prints what it has to change
            return generate_message_converter(
                self._source,
                self.store,
                kind,
                self.type_of(kind),
                {},
                src_is2=False,
                dst_is2=True,
            )
