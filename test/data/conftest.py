"""What tests of recordings share: small ones, written by rosbags itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Recorded so long after it was taken [ns].
LATENCY_NS = 5_000_000


class BagMaker:
    """Makes messages, and recordings of them below a folder."""

    def __init__(self, folder: Path) -> None:
        from rosbags.typesys import Stores, get_typestore

        self.folder = folder
        self._store = get_typestore(Stores.LATEST)

    def make(self, kind: str, **fields: Any) -> Any:
        """Make a message of a type such as ``sensor_msgs/msg/Image``."""
        return self._store.types[kind](**fields)

    def header(self, stamp_ns: int, frame: str) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        stamp = self.make('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
        return self.make('std_msgs/msg/Header', stamp=stamp, frame_id=frame)

    def image(self, pixels: Any, encoding: str, stamp_ns: int = 0, frame: str = 'camera') -> Any:
        return self.make(
            'sensor_msgs/msg/Image',
            header=self.header(stamp_ns, frame),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=pixels.nbytes // len(pixels),
            data=np.ascontiguousarray(pixels).reshape(-1).view(np.uint8),
        )

    def compressed(self, data: Any, form: str, stamp_ns: int = 0, frame: str = 'camera') -> Any:
        return self.make(
            'sensor_msgs/msg/CompressedImage',
            header=self.header(stamp_ns, frame),
            format=form,
            data=np.frombuffer(bytes(data), np.uint8),
        )

    def info(self, width: int, height: int, stamp_ns: int = 0, **fields: Any) -> Any:
        """Make a CameraInfo: K is 50, 52, 26.5, 17.5 and P is 40, 41, 25, 18."""
        k = [50.0, 0.0, 26.5, 0.0, 52.0, 17.5, 0.0, 0.0, 1.0]
        p = [40.0, 0.0, 25.0, 0.0, 0.0, 41.0, 18.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        fields = {'distortion_model': 'plumb_bob', 'd': [0.0] * 5, 'k': k, 'p': p, **fields}
        arrays = {name: np.array(fields.pop(name), np.float64) for name in 'dkp'}
        region = self.make(
            'sensor_msgs/msg/RegionOfInterest',
            **dict.fromkeys(('x_offset', 'y_offset', 'height', 'width'), 0),
            do_rectify=False,
        )
        return self.make(
            'sensor_msgs/msg/CameraInfo',
            header=self.header(stamp_ns, 'camera'),
            width=width,
            height=height,
            binning_x=0,
            binning_y=0,
            **{'roi': region, 'r': np.eye(3).ravel(), **arrays, **fields},
        )

    def write(
        self,
        messages: list[tuple[str, Any]],
        *,
        name: str = 'bag',
        storage: str = 'mcap',
        compression: Any = None,
        log_ns: int | None = None,
    ) -> Path:
        """Write a recording; all is recorded at ``log_ns``, or soon after its stamp."""
        from rosbags.rosbag2 import CompressionFormat, StoragePlugin, Writer

        folder = self.folder / name
        plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}[storage]
        writer = Writer(folder, version=9, storage_plugin=plugin)
        if compression is not None:
            writer.set_compression(compression, CompressionFormat.ZSTD)
        with writer:
            connections: dict[str, Any] = {}
            for topic, message in messages:
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=self._store)
                stamp = message.header.stamp
                soon_ns = stamp.sec * 10**9 + stamp.nanosec + LATENCY_NS
                data = self._store.serialize_cdr(message, kind)
                writer.write(connections[topic], soon_ns if log_ns is None else log_ns, data)
        return folder


@pytest.fixture
def bag_maker(tmp_path: Path) -> BagMaker:
    return BagMaker(tmp_path)
