from __future__ import annotations

import itertools
import sqlite3

import cv2
import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from mirror_depth_ros.data.bag_reader import BagReader
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.evaluation.bag import BagDepth, BagSettings, Failure
from mirror_depth_ros.inference.estimator import DepthEstimator

H, W = 37, 53
START_NS = 1_700_000_000 * 10**9
STEP_NS = 100_000_000
LATENCY_NS = 5_000_000  # of the maker's recordings

IMAGE, INFO = '/camera/image_raw', '/camera/camera_info'
DEPTH, DEPTH_INFO = '/mirror_depth/depth/image', '/mirror_depth/depth/camera_info'
PREVIEW, POINTS = '/mirror_depth/depth/preview', '/mirror_depth/points'
STORE = get_typestore(Stores.LATEST)


class Brightness:
    """Stands in for a model: a pixel is as far away as it is bright, and as the lens is long."""

    device, precision, backend = 'cpu', 'fp32', 'torch'

    def estimate(self, rgb, focal_px):
        return (rgb.sum(-1) * np.float32(focal_px / 5000)).astype(np.float32)


class SureOfTheBright(Brightness):
    """Is the surer the brighter a pixel is."""

    def require_confidence(self):
        pass

    def estimate(self, rgb, focal_px, *, with_confidence):
        assert with_confidence
        return super().estimate(rgb, focal_px), rgb[..., 0] / np.float32(255)


def rgb_of(number):
    rgb = np.full((H, W, 3), (40, 50, 60 + number), np.uint8)
    rgb[3, 4], rgb[5, 6] = (0, 0, 0), (255, 255, 255)
    return rgb


@pytest.fixture
def record(bag_maker):
    """Write a recording of images, of their cameras, and of something else."""

    def record(count=3, *, encoding='rgb8', pixels=rgb_of, topic=IMAGE, infos=True, **options):
        messages = []
        for i in range(count):
            stamp_ns = START_NS + i * STEP_NS
            if infos:
                info = bag_maker.info(W, H, stamp_ns)
                messages.append((topic.rpartition('/')[0] + '/camera_info', info))
            messages.append((topic, bag_maker.image(pixels(i), encoding, stamp_ns, 'lens')))
            messages.append(('/depth/image', bag_maker.image(pixels(i), '8UC3', stamp_ns, 'tof')))
        return bag_maker.write(messages, **options)

    return record


def run(recording, output, *, stop_after=None, overwrite=False, model='builtin', **settings):
    """Add depth; return what came of each image."""
    task = BagDepth(recording, BagSettings(**settings))
    estimator = SureOfTheBright() if settings.get('confidence') else Brightness()
    outcomes = task.run(estimator, output, model=model, overwrite=overwrite)
    found = list(itertools.islice(outcomes, stop_after))
    outcomes.close()
    return found


def raw(path):
    """Return topic, time and bytes of all messages."""
    with Reader(path) as reader:
        return [(c.topic, log_ns, bytes(data)) for c, log_ns, data in reader.messages()]


def read(path, topic):
    """Return times and messages of a topic."""
    with Reader(path) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        assert wanted, [c.topic for c in reader.connections]
        return [
            (log_ns, STORE.deserialize_cdr(data, connection.msgtype))
            for connection, log_ns, data in reader.messages(wanted)
        ]


def metres(message):
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_recording_with_depth_beside_its_images(record, tmp_path, storage):
    source = record(storage=storage)
    assert run(source, tmp_path / 'out', cloud=True) == [None] * 3
    messages = raw(tmp_path / 'out')
    new = {DEPTH, DEPTH_INFO, PREVIEW, POINTS}
    assert [m for m in messages if m[0] not in new] == raw(source)
    images, depths = read(source, IMAGE), read(tmp_path / 'out', DEPTH)
    for (log_ns, image), (depth_log_ns, depth) in zip(images, depths, strict=True):
        assert depth_log_ns == log_ns
        assert depth.header == image.header
        assert (depth.encoding, depth.step, depth.is_bigendian) == ('32FC1', 4 * W, 0)
    # sqrt(50 * 52) = 50.99 pixels: (40 + 50 + 60) * 50.99 / 5000
    assert metres(depths[0][1])[0, 0] == pytest.approx(1.5297, abs=1e-4)
    assert np.isneginf(metres(depths[0][1])[3, 4])  # 0 m is nearer than 0.1 m
    for topic in (DEPTH_INFO, PREVIEW, POINTS):
        for (log_ns, image), (other_log_ns, other) in zip(images, read(tmp_path / 'out', topic)):
            assert (other_log_ns, other.header) == (log_ns, image.header)
    (_, info), *_ = read(tmp_path / 'out', DEPTH_INFO)
    assert (info.width, info.height, info.k[0], info.p[0]) == (W, H, 50.0, 40.0)
    with Reader(tmp_path / 'out') as reader:
        counts = {topic: about.msgcount for topic, about in reader.topics.items()}
    assert counts == dict.fromkeys({IMAGE, INFO, '/depth/image', *new}, 3)


def test_confidence_is_added_where_it_is_wanted(record, tmp_path):
    source = record(2)
    assert run(source, tmp_path / 'out', confidence=True) == [None] * 2
    images = read(source, IMAGE)
    confidences = read(tmp_path / 'out', '/mirror_depth/confidence/image')
    for (log_ns, image), (other_log_ns, confidence) in zip(images, confidences, strict=True):
        assert (other_log_ns, confidence.header) == (log_ns, image.header)
        assert (confidence.encoding, confidence.step) == ('32FC1', 4 * W)
        expected = np.full((H, W), 40 / 255, np.float32)
        expected[3, 4], expected[5, 6] = 0, 1
        np.testing.assert_allclose(metres(confidence), expected, rtol=1e-6)


def test_confidence_of_a_model_without_is_refused_and_nothing_written(
    record, tmp_path, tiny_model
):
    estimator = DepthEstimator.load(tiny_model, device='cpu', backend='torch')
    task = BagDepth(record(1), BagSettings(confidence=True))
    with pytest.raises(ValueError, match='got the model .* without confidence, expected one that'):
        list(task.run(estimator, tmp_path / 'out', model='tiny'))
    assert not (tmp_path / 'out').exists()


def test_new_messages_follow_their_image_and_are_offered_as_by_the_node(record, tmp_path):
    run(record(2), tmp_path / 'out')
    order = [topic for topic, _, _ in raw(tmp_path / 'out')]
    at = order.index(IMAGE)
    assert order[at : at + 4] == [IMAGE, DEPTH_INFO, DEPTH, PREVIEW]
    with Reader(tmp_path / 'out') as reader:
        (qos,) = reader.topics[DEPTH].connections[0].ext.offered_qos_profiles
    assert (qos.reliability.name, qos.durability.name, qos.depth) == ('RELIABLE', 'VOLATILE', 5)


def test_messages_are_those_of_the_depth_node(record, tmp_path):
    pytest.importorskip('rclpy', reason='needs ROS 2: source an installation, or .[ros]')
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    from mirror_depth_ros.depth.preview import colorize_depth
    from mirror_depth_ros.ros import camera_info, messages

    run(record(1), tmp_path / 'out', cloud=True, max_range=7.0)
    data = {topic: content for topic, _, content in raw(tmp_path / 'out')}
    image = deserialize_message(data[IMAGE], Image)
    depth = deserialize_message(data[DEPTH], Image)
    assert np.isinf(metres(depth)).sum() == 2
    header, rgb = image.header, rgb_of(0)
    assert depth == messages.image_message(header, '32FC1', metres(depth))
    picture = messages.image_message(header, 'rgb8', colorize_depth(metres(depth)))
    assert deserialize_message(data[PREVIEW], Image) == picture
    rays = CameraModel(W, H, 50.0, 52.0, 26.5, 17.5).rays
    cloud = messages.cloud_message(header, metres(depth), rays, rgb)
    assert deserialize_message(data[POINTS], PointCloud2) == cloud
    given = deserialize_message(data[INFO], CameraInfo)
    expected = camera_info.info_for_image(given, header, W, H)
    assert deserialize_message(data[DEPTH_INFO], CameraInfo) == expected


@pytest.mark.parametrize('stop_after', [1, 2, 3])
def test_what_was_stopped_goes_on_to_the_same_messages(record, tmp_path, stop_after):
    # 16-bit images, the later of which say how bright the others are: 10, then 12 bits.
    def pixels(number):
        return np.full((H, W), 600 * (number + 1), np.uint16)

    source = record(4, encoding='mono16', pixels=pixels)
    options = {'images': (IMAGE,)}
    assert run(source, tmp_path / 'whole', **options) == [None] * 4
    assert run(source, tmp_path / 'out', stop_after=stop_after, **options) == [None] * stop_after
    whole, part = raw(tmp_path / 'whole'), raw(tmp_path / 'out')
    assert part == whole[: len(part)]
    assert [topic for topic, _, _ in part].count(DEPTH) == stop_after
    assert run(source, tmp_path / 'out', **options) == [None] * 4
    assert raw(tmp_path / 'out') == whole
    assert sorted(f.name for f in tmp_path.iterdir()) == ['bag', 'out', 'whole']


def test_two_runs_give_the_same_file(record, tmp_path):
    source = record()
    for folder in ('a', 'b'):
        run(source, tmp_path / folder / 'out', cloud=True)
    first, second = (tmp_path / folder / 'out' / 'out.mcap' for folder in ('a', 'b'))
    assert first.read_bytes() == second.read_bytes()


def test_what_is_there_stays(record, tmp_path):
    source = record()
    run(source, tmp_path / 'out')
    with pytest.raises(ValueError, match=r'out with mirror_depth_state finished, expected'):
        run(source, tmp_path / 'out')
    run(source, tmp_path / 'out', overwrite=True, preview=False)
    assert PREVIEW not in {topic for topic, _, _ in raw(tmp_path / 'out')}
    run(source, tmp_path / 'part', stop_after=1)
    for change in ({'max_range': 5.0}, {'model': 'mine.safetensors'}, {'cloud': True}):
        (name,) = change
        message = rf'part with mirror_depth_{name} .*, expected .* to go on with it'
        with pytest.raises(ValueError, match=message):
            run(source, tmp_path / 'part', **change)
    for output in (source, source.parent):
        with pytest.raises(ValueError, match=r'where the recording itself is, expected a new fol'):
            run(source, output, overwrite=True)
    assert len(raw(source)) == 9


def test_an_image_that_fails_is_named_and_copied(record, bag_maker, tmp_path):
    messages = [
        (INFO, bag_maker.info(W, H, START_NS)),
        (IMAGE, bag_maker.image(rgb_of(0), 'rgb8', START_NS)),
        (IMAGE, bag_maker.image(rgb_of(1)[:20], 'rgb8', START_NS + 1)),  # of another aspect
        (IMAGE, bag_maker.image(rgb_of(2), 'rgb8', START_NS + 2)),
    ]
    source = bag_maker.write(messages)
    first, failure, third = run(source, tmp_path / 'out')
    assert (first, third) == (None, None)
    assert isinstance(failure, Failure)
    assert (failure.topic, failure.stamp_ns) == (IMAGE, START_NS + 1)
    assert failure.error.startswith(f'got an image of {W} x 20 pixels and a CameraInfo for')
    assert len(read(tmp_path / 'out', IMAGE)) == 3
    assert len(read(tmp_path / 'out', DEPTH)) == 2


def test_each_image_goes_with_the_nearest_camera_info(bag_maker, tmp_path):
    # A zoom: 50 pixels before, 100 behind; recorded after the image it belongs to.
    k = [100.0, 0.0, 26.5, 0.0, 104.0, 17.5, 0.0, 0.0, 1.0]
    messages = [
        (IMAGE, bag_maker.image(rgb_of(0), 'rgb8', START_NS)),
        (INFO, bag_maker.info(W, H, START_NS + 1)),
        (IMAGE, bag_maker.image(rgb_of(0), 'rgb8', START_NS + STEP_NS)),
        (INFO, bag_maker.info(W, H, START_NS + STEP_NS, k=k)),
    ]
    run(bag_maker.write(messages), tmp_path / 'out')
    near, far = (metres(depth)[0, 0] for _, depth in read(tmp_path / 'out', DEPTH))
    assert far == pytest.approx(2 * near)
    assert [info.k[0] for _, info in read(tmp_path / 'out', DEPTH_INFO)] == [50.0, 100.0]


def test_rectified_images_go_by_their_projection(record, tmp_path):
    run(record(1, topic='/camera/image_rect'), tmp_path / 'out')
    ((_, depth),) = read(tmp_path / 'out', DEPTH)
    # sqrt(40 * 41) = 40.497 pixels: 150 * 40.497 / 5000
    assert metres(depth)[0, 0] == pytest.approx(1.2149, abs=1e-4)


def test_several_cameras(bag_maker, tmp_path):
    messages = []
    for side, value in (('left', 1), ('right', 2)):
        messages.append((f'/{side}/camera_info', bag_maker.info(W, H, START_NS)))
        png = cv2.imencode('.png', rgb_of(value)[..., ::-1])[1]
        message = bag_maker.compressed(png, 'rgb8; png compressed bgr8', START_NS, side)
        messages.append((f'/{side}/image_raw/compressed', message))
    source = bag_maker.write(messages)
    images = ('/left/image_raw/compressed', '/right/image_raw/compressed')
    with pytest.raises(ValueError, match=rf'got 2 topics of images .*: {images[0]}, {images[1]}$'):
        BagDepth(source, BagSettings())
    assert run(source, tmp_path / 'out', images=images) == [None, None]
    for side, value in (('left', 1), ('right', 2)):
        ((_, depth),) = read(tmp_path / 'out', f'/mirror_depth/{side}/depth/image')
        assert depth.header.frame_id == side
        assert metres(depth)[0, 0] == pytest.approx((150 + value) * 50.990 / 5000, abs=1e-4)
    # Without names of their own, by the whole of their topics.
    same = [(f'/pair/{name}', m) for name, (_, m) in zip(('a', 'b'), messages[1::2])]
    source = bag_maker.write([('/pair/camera_info', messages[0][1]), *same], name='pair')
    task = BagDepth(source, BagSettings(images=('/pair/a', '/pair/b'), preview=False))
    assert task.topics == [
        f'/mirror_depth/pair_{name}/depth/{kind}'
        for name in 'ab'
        for kind in ('camera_info', 'image')
    ]


def test_a_camera_without_calibration(record, bag_maker, tmp_path):
    source = record(1, infos=False)
    message = r'got images on /camera/image_raw in .* and no CameraInfo beside it, .* with --fov'
    with pytest.raises(ValueError, match=message):
        BagDepth(source, BagSettings())
    # 53 / 2 / tan(30 degrees) = 45.90 pixels
    run(source, tmp_path / 'out', fov_deg=60.0)
    ((_, info),) = read(tmp_path / 'out', DEPTH_INFO)
    assert (info.k[0], info.distortion_model) == (pytest.approx(45.8993, abs=1e-4), 'plumb_bob')
    zeros = {'k': [0.0] * 9, 'p': [0.0] * 12}
    image = bag_maker.image(rgb_of(0), 'rgb8', START_NS)
    messages = [(INFO, bag_maker.info(W, H, START_NS, **zeros)), (IMAGE, image)]
    source = bag_maker.write(messages, name='zeros')
    with pytest.raises(
        ValueError, match=rf'no intrinsics \(K is zero\) on {INFO}, expected a cal'
    ):
        BagDepth(source, BagSettings())
    run(source, tmp_path / 'assumed', fov_deg=60.0)
    ((_, info),) = read(tmp_path / 'assumed', DEPTH_INFO)
    assert info.k[0] == pytest.approx(45.8993, abs=1e-4)
    # Or it is on another topic.
    messages = [('/calibration', bag_maker.info(W, H, START_NS)), (IMAGE, image)]
    source = bag_maker.write(messages, name='elsewhere')
    run(source, tmp_path / 'named', images=(IMAGE,), camera_infos=('/calibration',))
    ((_, info),) = read(tmp_path / 'named', DEPTH_INFO)
    assert info.k[0] == 50.0


def write_ros1(bag_maker, path):
    """Write a .bag of ROS 1, with a type that ROS 2 does not have and a latched topic."""
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import get_types_from_msg

    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg('std_msgs/Header header\nint32 gear', 'mine/msg/Gear'))
    stamp = store.types['builtin_interfaces/msg/Time'](sec=START_NS // 10**9, nanosec=7)
    header = store.types['std_msgs/msg/Header'](seq=5, stamp=stamp, frame_id='lens')
    image = bag_maker.image(rgb_of(0), 'rgb8')
    info = bag_maker.info(W, H)
    region = store.types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
    fields = {'D': info.d, 'K': info.k, 'R': info.r, 'P': info.p}
    size = {'height': H, 'width': W}
    messages = {
        INFO: store.types['sensor_msgs/msg/CameraInfo'](
            header=header,
            distortion_model='plumb_bob',
            binning_x=0,
            binning_y=0,
            roi=region,
            **size,
            **fields,
        ),
        IMAGE: store.types['sensor_msgs/msg/Image'](
            header=header, encoding='rgb8', is_bigendian=0, step=3 * W, data=image.data, **size
        ),
        '/gear': store.types['mine/msg/Gear'](header=header, gear=4),
    }
    with Writer(path) as writer:
        for topic, message in messages.items():
            connection = writer.add_connection(
                topic, message.__msgtype__, typestore=store, latching=int(topic == '/gear')
            )
            data = store.serialize_ros1(message, message.__msgtype__)
            writer.write(connection, START_NS, data)
    return path


def test_a_recording_of_ros_1(bag_maker, tmp_path, capsys):
    source = write_ros1(bag_maker, tmp_path / 'old.bag')
    assert run(source, tmp_path / 'out') == [None]
    ((log_ns, depth),) = read(tmp_path / 'out', DEPTH)
    assert (log_ns, depth.header.stamp.nanosec, depth.header.frame_id) == (START_NS, 7, 'lens')
    assert metres(depth)[0, 0] == pytest.approx(1.5297, abs=1e-4)
    ((_, image),) = read(tmp_path / 'out', IMAGE)
    np.testing.assert_array_equal(image.data.reshape(H, W, 3), rgb_of(0))
    ((_, info),) = read(tmp_path / 'out', INFO)
    assert info.k[0] == 50.0
    with Reader(tmp_path / 'out') as reader:
        gear = reader.topics['/gear']
        (qos,) = gear.connections[0].ext.offered_qos_profiles
        assert (gear.msgtype, gear.msgcount) == ('mine/msg/Gear', 1)
        assert 'int32 gear' in gear.msgdef.data
        assert qos.durability.name == 'TRANSIENT_LOCAL'
    assert capsys.readouterr().out == ''


def test_a_type_that_is_not_defined_is_copied(record, tmp_path):
    # As recordings to SQLite were before Iron; nobody but its maker knows the type.
    source = record(1, storage='sqlite3')
    database = sqlite3.connect(source / 'bag.db3')
    database.executescript(
        'UPDATE schema SET schema_version = 3; DROP TABLE message_definitions;'
        "UPDATE topics SET type = 'mine/msg/Gear' WHERE name = '/depth/image'; VACUUM;"
    )
    database.close()
    metadata = source / 'metadata.yaml'
    about = yaml.safe_load(metadata.read_text())
    for topic in about['rosbag2_bagfile_information']['topics_with_message_count']:
        topic['topic_metadata']['type_description_hash'] = ''
        if topic['topic_metadata']['name'] == '/depth/image':
            topic['topic_metadata']['type'] = 'mine/msg/Gear'
    metadata.write_text(yaml.safe_dump(about))
    assert run(source, tmp_path / 'out') == [None]
    assert [m for m in raw(tmp_path / 'out') if m[0] == '/depth/image'] == raw(source)[-1:]
    reader = BagReader(tmp_path / 'out')
    assert reader.topics['/depth/image'] == 'mine/msg/Gear'
    assert reader.first(DEPTH).encoding == '32FC1'


def test_topics_that_will_not_do(record, tmp_path):
    source = record()
    for images, message in (
        (
            ('/none',),
            r'got --image /none, which has no messages in .*, expected sensor_msgs/msg/Im',
        ),
        ((INFO,), rf'got --image {INFO}, which is sensor_msgs/msg/CameraInfo'),
        ((IMAGE, IMAGE), rf'got --image {IMAGE} twice, expected it once'),
    ):
        with pytest.raises(ValueError, match=message):
            BagDepth(source, BagSettings(images=images))
    with pytest.raises(ValueError, match=rf'got --camera-info {IMAGE}, which is sensor_msgs'):
        BagDepth(source, BagSettings(images=(IMAGE,), camera_infos=(IMAGE,)))
    run(source, tmp_path / 'out')
    message = rf'which has messages on {DEPTH_INFO} already, expected none; .* with --prefix$'
    with pytest.raises(ValueError, match=message):
        BagDepth(tmp_path / 'out', BagSettings(images=(IMAGE,)))
    run(tmp_path / 'out', tmp_path / 'again', images=(IMAGE,), prefix='/second')
    assert len(read(tmp_path / 'again', '/second/depth/image')) == 3


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'prefix': 'depth'}, r"got the prefix 'depth', expected one such as /mirror_depth"),
        ({'depth_scale': 0.0}, r'got a scale of 0.0, expected a positive factor'),
        ({'min_range': 2.0, 'max_range': 1.0}, r'got a range of 2.0 to 1.0 m, expected'),
        ({'camera_infos': ('/a',)}, r'got 1 --camera-info and 0 --image, expected one for each'),
    ],
)
def test_settings_that_will_not_do(settings, message):
    with pytest.raises(ValueError, match=message):
        BagSettings(**settings)
