"""Which topics of a recording are the image, its depth or lidar, and its camera."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mirror_depth_ros.data.bag_messages import Content, content_of
from mirror_depth_ros.data.bag_reader import BagReader

_RAW = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
#: The types of a topic of images, and of one of cameras.
IMAGE_TYPES, INFO_TYPES = (_RAW, _COMPRESSED), (_CAMERA_INFO,)
#: That of a lidar with one turning beam, and of any lidar.
SCAN_TYPE = 'sensor_msgs/msg/LaserScan'
LIDAR_TYPES = (SCAN_TYPE, 'sensor_msgs/msg/PointCloud2')
#: That of a range sensor.
RANGE_TYPES = ('sensor_msgs/msg/Range',)

#: In place of a topic: what is not to be used.
NONE = 'no'

# As in image_rect, image_rect_color and rgb/rect/image, but not in direct_camera.
_RECTIFIED = re.compile(r'(^|[/_])rect(ified)?([/_]|$)', re.IGNORECASE)
# As in aligned_depth_to_color and depth_registered, but not in unregistered.
_REGISTERED = re.compile(r'(?<!un)(aligned|registered)', re.IGNORECASE)


@dataclass(frozen=True)
class BagTopics:
    """The topics of images, of their camera, and of what says how far away things are."""

    image: str
    camera_info: str
    #: Of depth images; empty where there are none.
    depth: str = ''
    lidars: tuple[str, ...] = ()
    #: Of range sensors: sonar, infrared, time of flight.
    ranges: tuple[str, ...] = ()

    @property
    def is_rectified(self) -> bool:
        """Whether the images are rectified, by their topic's name."""
        return names_rectified(self.image)

    @property
    def is_registered(self) -> bool:
        """Whether the depth images are registered to the others, by their topic's name."""
        return _names_registration(self.depth)


def find_topics(
    reader: BagReader,
    *,
    image: str | None = None,
    camera_info: str | None = None,
    depth: str | None = None,
    lidar: str | None = None,
    range_sensor: str | None = None,
) -> BagTopics:
    """Find the topics that are not given, by type, encoding, frame and name.

    An image in colour goes before one in grey, an uncompressed before a compressed of the same
    name; depth in the image's own frame before other depth, then what is registered by its name.
    ``mono16`` is depth where the topic's name says so. The camera's topic is the one beside the
    image's. What a node named ``mirror_depth`` has published is none of them.

    Where none of depth, lidar and range sensor is given, the depth images are taken or, without
    any, the lidar and all range sensors. Where one is given, no other is taken; ``no`` in place of
    a topic keeps it from being found.

    :param lidar: several are joined by ``+``, as are range sensors.
    :raises ValueError: if a topic is missing or of another type, or several are left that may be
        the image, its camera, its depth or the lidar.
    """
    is_open = {depth, lidar, range_sensor} <= {None, NONE}
    first = {
        topic: reader.first(topic)
        for topic, kind in reader.topics.items()
        if kind in IMAGE_TYPES and (is_open or image is None)
    }
    contents = {topic: _content(topic, message) for topic, message in first.items()}
    if image is None:
        image = _only(reader, 'image', _pictures(reader, contents))
    check_type(reader, 'image', image, IMAGE_TYPES)
    if is_open and depth is None:
        depth = _depth_beside(reader, image, first, contents)
    elif depth not in (None, NONE):
        check_type(reader, 'depth', depth, IMAGE_TYPES)
    if is_open and depth in (None, NONE):
        lidars = _of_types(reader, LIDAR_TYPES)
        lidar = lidar or (_only(reader, 'lidar', lidars) if lidars else None)
        range_sensor = range_sensor or '+'.join(_of_types(reader, RANGE_TYPES))
    if camera_info is None:
        camera_info = _beside(reader, image)
    check_type(reader, 'camera_info', camera_info, INFO_TYPES)
    several = []
    for name, topics, kinds in (
        ('lidar', lidar, LIDAR_TYPES),
        ('range', range_sensor, RANGE_TYPES),
    ):
        several.append(tuple(topics.split('+')) if topics not in (None, '', NONE) else ())
        if len({*several[-1]}) < len(several[-1]):
            raise ValueError(f'got {name} {topics}, expected each topic once; leave one out')
        for topic in several[-1]:
            check_type(reader, name, topic, kinds)
    return BagTopics(image, camera_info, '' if depth in (None, NONE) else depth, *several)


def picture_topics(reader: BagReader) -> list[str]:
    """Return the topics of images in colour, or where there is none in grey, without copies."""
    kinds = reader.topics.items()
    topics = [topic for topic, kind in kinds if kind in IMAGE_TYPES]
    return _pictures(reader, {topic: _content(topic, reader.first(topic)) for topic in topics})


def info_beside(reader: BagReader, image: str) -> str | None:
    """Return the CameraInfo topic that image_transport puts beside an image's, if it is there."""
    beside = _infos_beside(reader, image)
    return next((topic for topic in beside if reader.topics.get(topic) == _CAMERA_INFO), None)


def names_rectified(topic: str) -> bool:
    """Say whether images are rectified, by their topic's name."""
    return bool(_RECTIFIED.search(topic))


def check_registration(reader: BagReader, topics: BagTopics) -> None:
    """Refuse depth whose first message is in another frame than the first image.

    A topic that is named so may have registered depth in a frame of its own, but not in that of
    other images: it is registered to those.

    :raises ValueError: for such depth.
    """
    image, depth = (reader.first(topic) for topic in (topics.image, topics.depth))
    frame, depth_frame = image.header.frame_id, depth.header.frame_id
    if frame == depth_frame:
        return
    others = [
        topic
        for topic, kind in reader.topics.items()
        if kind in IMAGE_TYPES
        and content_of(message := reader.first(topic)) is Content.COLOUR
        and message.header.frame_id == depth_frame
    ]
    if others or not topics.is_registered:
        raise ValueError(
            f'got depth in frame {depth_frame!r} on {topics.depth} and images in frame {frame!r} '
            f'on {topics.image} in {reader.path}, expected one frame; '
            f'{registration_remedy(reader, others)}'
        )


def registration_remedy(reader: BagReader, images: Sequence[str] = ()) -> str:
    """Say how to come by registered depth.

    :param images: topics of what the depth is registered to.
    """
    if images:
        return f'where that depth is registered to others, {to_add(reader, "image", images)}'
    lidars = _of_types(reader, LIDAR_TYPES)
    return (
        'record depth that is registered to the images (depth_registered/image of '
        'depth_image_proc, aligned_depth_to_color of a RealSense), or where another topic has it, '
        f'{to_add(reader, "depth", ["TOPIC"])}'
        + (f', or to take the lidar, {to_add(reader, "lidar", lidars)}' if lidars else '')
    )


def _content(topic: str, message: Any) -> Content | None:
    """Say what a topic shows; its name decides where its encoding does not."""
    if _is_own(topic):
        return None
    content = content_of(message)
    if content is Content.GREY_OR_DEPTH:
        return Content.DEPTH if _names_depth(topic) else Content.GREY
    return content


def _is_own(topic: str) -> bool:
    """Say whether a node of this package published a topic: no truth to learn from."""
    return 'mirror_depth' in topic.split('/')


def _names_depth(topic: str) -> bool:
    return 'depth' in topic.lower()


def _names_registration(topic: str) -> bool:
    return bool(_REGISTERED.search(topic))


def _pictures(reader: BagReader, contents: Mapping[str, Content | None]) -> list[str]:
    for wanted in (Content.COLOUR, Content.GREY):
        topics = [topic for topic, content in contents.items() if content is wanted]
        if topics:
            return _without_copies(reader, topics)
    return []


def _prefer(topics: list[str], is_better: Callable[[str], bool]) -> list[str]:
    """Return the better topics, or all if none is."""
    return [topic for topic in topics if is_better(topic)] or topics


def _without_copies(reader: BagReader, topics: list[str]) -> list[str]:
    """Leave out what image_transport compressed: ``X/compressed`` where there is ``X``."""
    return [
        topic for topic in topics if reader.topics[topic] == _RAW or _parent(topic) not in topics
    ]


def _depth_beside(
    reader: BagReader,
    image: str,
    first: Mapping[str, Any],
    contents: Mapping[str, Content | None],
) -> str | None:
    """Return the topic of an image's depth; None if there is none of depth images at all."""
    frame = first[image].header.frame_id
    candidates = [topic for topic, content in contents.items() if content is Content.DEPTH]
    candidates = _without_copies(reader, [topic for topic in candidates if topic != image])
    candidates = _prefer(candidates, lambda topic: first[topic].header.frame_id == frame)
    candidates = _prefer(candidates, _names_registration)
    candidates = _prefer(candidates, _names_depth)
    return _only(reader, 'depth', candidates) if candidates else None


def _of_types(reader: BagReader, kinds: tuple[str, ...]) -> list[str]:
    topics = reader.topics.items()
    return [topic for topic, kind in topics if kind in kinds and not _is_own(topic)]


def _only(reader: BagReader, argument: str, candidates: list[str]) -> str:
    """Return the only candidate."""
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise ValueError(
            f'got {len(candidates)} topics in {reader.path} that may be the {argument}, expected '
            f'one; {to_add(reader, argument, candidates)}'
        )
    raise ValueError(
        f'got no topic in {reader.path} that may be the {argument}, expected one; it holds '
        f'{list_topics(reader)}; record it too, or {to_add(reader, argument, ["TOPIC"])}'
    )


def _infos_beside(reader: BagReader, image: str) -> list[str]:
    beside = [f'{_parent(image)}/camera_info']
    if reader.topics.get(image) == _COMPRESSED:  # X/compressed belongs beside X
        beside.insert(0, f'{_parent(_parent(image))}/camera_info')
    return beside


def _beside(reader: BagReader, image: str) -> str:
    """Return the CameraInfo topic beside an image's."""
    topic = info_beside(reader, image)
    if topic is not None:
        return topic
    beside = _infos_beside(reader, image)
    others = [topic for topic, kind in reader.topics.items() if kind == _CAMERA_INFO]
    remedy = f', or {to_add(reader, "camera_info", others)}' if others else ''
    raise ValueError(
        f'got {reader.path} with images on {image} and no {" or ".join(beside)}, expected their '
        f'CameraInfo; record it too{remedy}'
    )


def to_add(reader: BagReader, option: str, values: Sequence[str]) -> str:
    """Return the remedy of an error: what to add to a data set's name, as an imperative."""
    return f'add {" or ".join(f",{option}={value}" for value in values)} to bag:{reader.path}'


def check_type(reader: BagReader, argument: str, topic: str, kinds: tuple[str, ...]) -> None:
    """Refuse a topic that is not there, or not of one of these types.

    :raises ValueError: for it, naming the argument.
    """
    kind = reader.topics.get(topic)
    if kind not in kinds:
        got = f'{topic}, which has no messages in {reader.path}'
        if kind is not None:
            got = f'{topic}, which is {kind} in {reader.path}'
        raise ValueError(
            f'got {argument} {got}, expected {" or ".join(kinds)}; it holds {list_topics(reader)}'
        )


def list_topics(reader: BagReader) -> str:
    """Return the topics for an error."""
    return ', '.join(f'{topic} ({kind})' for topic, kind in reader.topics.items()) or 'no message'


def _parent(topic: str) -> str:
    return topic.rpartition('/')[0]
