"""Depth for recordings: a recording in, the same recording with depth beside its images out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirror_depth_ros.data.bag_messages import decode_colour
from mirror_depth_ros.data.bag_reader import BagReader, stamp_of
from mirror_depth_ros.data.bag_writer import BagWriter, UnfinishedBag
from mirror_depth_ros.depth.filters import filter_depth
from mirror_depth_ros.depth.nav_points import EDGE_FILTER
from mirror_depth_ros.depth.preview import colorize_depth
from mirror_depth_ros.evaluation.bag_cameras import RecordedCamera, find_cameras
from mirror_depth_ros.evaluation.bag_outputs import CAMERA_INFO, CLOUD, IMAGE, OutputMessages
from mirror_depth_ros.evaluation.result import estimate

if TYPE_CHECKING:  # at run time whoever has an estimator has imported PyTorch
    from mirror_depth_ros.inference.estimator import DepthEstimator

# Of the new recording's custom_data: unfinished or finished.
_STATE = 'mirror_depth_state'


@dataclass(frozen=True)
class BagSettings:
    """What is made of a recording; of depth, as the parameters of the depth node."""

    #: Topics of the images; none: found if there is only one in colour.
    images: tuple[str, ...] = ()
    #: Topics of their cameras in the same order; none: those beside the images.
    camera_infos: tuple[str, ...] = ()
    #: Field of view along the longer side of images without a CameraInfo topic [degrees].
    fov_deg: float | None = None
    #: What the new topics begin with.
    prefix: str = '/mirror_depth'
    #: Whether to add point clouds, and pictures of the depth.
    cloud: bool = False
    preview: bool = True
    #: Whether to add confidence, of models that have it.
    confidence: bool = False
    #: What the model's depth is multiplied by.
    depth_scale: float = 1.0
    #: Depth is -Inf where it is nearer, +Inf where it is farther [m].
    min_range: float = 0.1
    max_range: float = 80.0
    #: See :func:`~mirror_depth_ros.depth.filters.flying_pixels`; 0: off.
    edge_filter: float = EDGE_FILTER
    #: Where the colours of the preview end [m].
    preview_max_depth: float = 10.0

    def __post_init__(self) -> None:
        if not self.prefix.startswith('/') or self.prefix.endswith('/'):
            raise ValueError(
                f'got the prefix {self.prefix!r}, expected one such as /mirror_depth; correct it'
            )
        if not 0 < self.depth_scale < np.inf:
            raise ValueError(
                f'got a scale of {self.depth_scale}, expected a positive factor; correct --scale'
            )
        if not 0 <= self.min_range < self.max_range:
            raise ValueError(
                f'got a range of {self.min_range} to {self.max_range} m, expected 0 or more, and '
                'more behind than before; correct --min-range or --max-range'
            )
        if self.camera_infos and len(self.camera_infos) != len(self.images):
            raise ValueError(
                f'got {len(self.camera_infos)} --camera-info and {len(self.images)} --image, '
                'expected one for each; give both in the same order'
            )


@dataclass(frozen=True)
class Failure:
    """An image that no depth could be made of."""

    topic: str
    stamp_ns: int
    error: str


class BagDepth:
    """Adds depth to a recording.

    Every image goes with the CameraInfo nearest in time. The new messages have its header and the
    time of its recording, and follow it; all that was recorded is copied as it is.

    :param recording: as of :class:`.BagReader`.
    :raises FileNotFoundError: if there is none.
    :raises ValueError: for a damaged one, or topics that are missing, ambiguous or there already.
    """

    def __init__(self, recording: Path, settings: BagSettings) -> None:
        self._settings = settings
        self._reader = BagReader(recording)
        self._messages = OutputMessages()
        self._cameras = find_cameras(
            self._reader,
            images=settings.images,
            camera_infos=settings.camera_infos,
            fov_deg=settings.fov_deg,
            prefix=settings.prefix,
        )
        taken = [topic for topic in self.topics if topic in self._reader.topics]
        if taken:
            raise ValueError(
                f'got {self._reader.path}, which has messages on {taken[0]} already, expected '
                'none; give the new topics another beginning with --prefix'
            )
        #: So many images go through the model.
        self.n_images = sum(
            connection.msgcount
            for connection in self._reader.connections()
            if connection.topic in self._cameras
        )

    @property
    def recorded_s(self) -> float:
        """How long the recording is [s]."""
        return self._reader.duration_s

    @property
    def topics(self) -> list[str]:
        """The new topics."""
        return [
            f'{camera.prefix}/{name}'
            for camera in self._cameras.values()
            for name in self._outputs
        ]

    @property
    def _outputs(self) -> dict[str, str]:
        """The types of the new topics by the rest of their names, in the depth node's order."""
        outputs = {'depth/camera_info': CAMERA_INFO, 'depth/image': IMAGE}
        if self._settings.preview:
            outputs['depth/preview'] = IMAGE
        if self._settings.confidence:
            outputs['confidence/image'] = IMAGE
        if self._settings.cloud:
            outputs['points'] = CLOUD
        return outputs

    def run(
        self, estimator: DepthEstimator, output: Path, *, model: str, overwrite: bool = False
    ) -> Iterator[Failure | None]:
        """Write the new recording, and yield after each image what was wrong with it, or None.

        At any moment, the output is a recording of what has been done; one that was stopped or
        killed is gone on with.

        :param output: its folder.
        :param model: what the estimator was loaded from.
        :param overwrite: whether to replace a recording that is at ``output``.
        :raises ValueError: if there is something else, or for confidence that the model lacks.
        :raises OSError: if it cannot be written.
        """
        if self._settings.confidence:
            estimator.require_confidence()
        notes = {**self._describe(estimator, model), _STATE: 'unfinished'}
        if output.resolve() in (self._reader.path.resolve(), *self._reader.path.resolve().parents):
            raise ValueError(
                f'got output {output}, where the recording itself is, expected a new folder; '
                'choose another name'
            )
        left = UnfinishedBag.find(output, notes, overwrite=overwrite)
        writer = BagWriter(output, notes=notes)
        try:
            connections = {
                connection.id: writer.connect(**self._reader.describe(connection))
                for connection in self._reader.connections()
            }
            for camera in self._cameras.values():
                for name, kind in self._outputs.items():
                    topic = self._messages.describe(f'{camera.prefix}/{name}', kind)
                    camera.outputs[name] = writer.connect(**topic)
            writer.commit()
            n_done = left.move_into(writer, self._reader.topics) if left else 0
            for number, (connection, log_ns, data) in enumerate(self._reader.serialized()):
                if number >= n_done:
                    writer.write(connections[connection.id], log_ns, data)
                if connection.topic in self._cameras:
                    camera = self._cameras[connection.topic]
                    message = self._reader.deserialize(data, connection)
                    if number < n_done:
                        self._read_again(camera, message)
                        yield None
                        continue
                    made = self._make(camera, message, estimator)
                    if not isinstance(made, Failure):
                        for name, new in made.items():
                            writer.write(camera.outputs[name], log_ns, new)
                    writer.commit()
                    yield made if isinstance(made, Failure) else None
                elif writer.is_due:
                    writer.commit()
            writer.close({_STATE: 'finished'})
        except BaseException:
            writer.abort()
            raise

    def _read_again(self, camera: RecordedCamera, message: Any) -> None:
        """Learn from an image that has its depth what the camera's later ones depend on."""
        if getattr(message, 'encoding', 'mono16') == 'mono16':  # a compressed image may be as well
            with suppress(ValueError):
                decode_colour(message, levels=camera.levels)

    def _make(
        self, camera: RecordedCamera, message: Any, estimator: DepthEstimator
    ) -> dict[str, memoryview] | Failure:
        """Return the new messages of an image by the rest of their topics' names."""
        settings, header, stamp_ns = self._settings, message.header, stamp_of(message)
        try:
            rgb = decode_colour(message, levels=camera.levels)
            height, width = rgb.shape[:2]
            model, fields = camera.at(stamp_ns, width, height)
            estimated, confidence = estimate(
                estimator, rgb, model.focal_px, with_confidence=settings.confidence
            )
            depth = filter_depth(
                estimated,
                scale=settings.depth_scale,
                min_range=settings.min_range,
                max_range=settings.max_range,
                edge_filter=settings.edge_filter,
            )
        except ValueError as error:
            return Failure(camera.image, stamp_ns, str(error))
        messages = self._messages
        made = {
            'depth/camera_info': messages.camera_info(header, fields),
            'depth/image': messages.image(header, '32FC1', depth),
        }
        if settings.preview:
            picture = colorize_depth(depth, max_depth=settings.preview_max_depth)
            made['depth/preview'] = messages.image(header, 'rgb8', picture)
        if confidence is not None:
            made['confidence/image'] = messages.image(header, '32FC1', confidence)
        if settings.cloud:
            made['points'] = messages.cloud(header, depth, model.rays, rgb)
        return made

    def _describe(self, estimator: DepthEstimator, model: str) -> dict[str, str]:
        """Return what the new recording depends on, as its ``custom_data``."""
        facts = {
            'model': model,
            'device': str(estimator.device),
            'precision': estimator.precision,
            'backend': estimator.backend,
            'images': ' '.join(self._cameras),
            'messages': sum(connection.msgcount for connection in self._reader.connections()),
        }
        settings = asdict(self._settings)
        del settings['images']
        return {f'mirror_depth_{key}': str(value) for key, value in (settings | facts).items()}
