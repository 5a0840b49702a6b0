"""What is added to a recording: the depth node's messages, made and serialised without ROS."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirror_depth_ros.depth.point_cloud import POINT_FIELDS, pack_cloud

IMAGE, CAMERA_INFO, CLOUD = (
    f'sensor_msgs/msg/{name}' for name in ('Image', 'CameraInfo', 'PointCloud2')
)

_IS_BIG_ENDIAN = sys.byteorder == 'big'
_FLOAT32 = 7  # sensor_msgs/PointField
_FOREVER_NS = 2**63 - 1  # as rmw has it


class OutputMessages:
    """Makes serialised messages (CDR); each has the header that is given, of an image."""

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_typestore

        self._store = get_typestore(Stores.LATEST)

    def describe(self, topic: str, kind: str) -> dict[str, Any]:
        """Return what :meth:`.BagWriter.connect` takes, with the QoS that the node offers."""
        definition, _ = self._store.generate_msgdef(kind, ros_version=2)
        digest = self._store.hash_rihs01(kind)
        return {
            'topic': topic,
            'kind': kind,
            'definition': definition,
            'digest': digest,
            'qos': [_offered_qos()],
        }

    def image(self, header: Any, encoding: str, pixels: NDArray[Any]) -> memoryview:
        """Return an ``Image`` of ``[H, W]`` or ``[H, W, C]`` pixels."""
        height, width = pixels.shape[:2]
        return self._serialize(
            IMAGE,
            header=header,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=_IS_BIG_ENDIAN,
            step=pixels.nbytes // height,
            data=_bytes(pixels),
        )

    def camera_info(self, header: Any, fields: dict[str, Any]) -> memoryview:
        """Return a ``CameraInfo`` without binning and region of interest.

        :param fields: the others, see :func:`.camera_fields`.
        """
        region = self._make(
            'sensor_msgs/msg/RegionOfInterest',
            **dict.fromkeys(('x_offset', 'y_offset', 'height', 'width'), 0),
            do_rectify=False,
        )
        return self._serialize(
            CAMERA_INFO, header=header, binning_x=0, binning_y=0, roi=region, **fields
        )

    def cloud(
        self,
        header: Any,
        depth: NDArray[np.float32],
        rays: NDArray[np.float32],
        rgb: NDArray[np.uint8],
    ) -> memoryview:
        """Return an organised, coloured ``PointCloud2``; see :func:`.pack_cloud`."""
        height, width = depth.shape
        points = np.empty((height, width, 4), np.float32)
        is_dense = pack_cloud(depth, rays, rgb, out=points)
        fields = [
            self._make(
                'sensor_msgs/msg/PointField', name=name, offset=4 * i, datatype=_FLOAT32, count=1
            )
            for i, name in enumerate(POINT_FIELDS)
        ]
        return self._serialize(
            CLOUD,
            header=header,
            height=height,
            width=width,
            fields=fields,
            is_bigendian=_IS_BIG_ENDIAN,
            point_step=16,
            row_step=16 * width,
            data=_bytes(points),
            is_dense=is_dense,
        )

    def _make(self, kind: str, **fields: Any) -> Any:
        return self._store.types[kind](**fields)

    def _serialize(self, kind: str, **fields: Any) -> memoryview:
        return memoryview(self._store.serialize_cdr(self._make(kind, **fields), kind))


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _offered_qos() -> Any:
    """Return the node's QoS: RELIABLE, KEEP_LAST, VOLATILE."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    forever = QosTime(*divmod(_FOREVER_NS, 10**9))
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=5,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )
