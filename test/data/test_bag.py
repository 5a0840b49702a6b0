from __future__ import annotations

import pickle
import struct

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from mirror_depth_ros.data.bag import BagFrames
from mirror_depth_ros.depth.camera import CameraModel

H, W = 37, 53
START_NS = 1_700_000_000 * 10**9
MS = 10**6

IMAGE, INFO, DEPTH = '/rgb/image_raw', '/rgb/camera_info', '/depth/image'
STORAGES = pytest.mark.parametrize('storage', ['sqlite3', 'mcap'])


def rgb_of(number):
    """A picture that shows its number and which side is which."""
    rgb = np.zeros((H, W, 3), np.uint8)
    rgb[3, 4], rgb[..., 2] = (10, 20, 30), number
    return rgb


def depth_of(number):
    """Millimetres: 1 m and the number in centimetres; none in one place."""
    depth = np.full((H, W), 1000 + 10 * number, np.uint16)
    depth[5, 6] = 0
    return depth


@pytest.fixture
def record(bag_maker):
    """Write a recording of images and of depths taken so many milliseconds after the start."""

    def record(images_ms=(0, 100, 200), depths_ms=(1, 101, 201), **options):
        messages = options.pop('extra', [])
        topic, depth_topic = options.pop('image', IMAGE), options.pop('depth', DEPTH)
        frame = options.pop('depth_frame', 'camera')
        info = options.pop('info', {})
        for i, offset_ms in enumerate(images_ms):
            stamp_ns = START_NS + offset_ms * MS
            messages.append((topic, bag_maker.image(rgb_of(i), 'rgb8', stamp_ns)))
        for i, offset_ms in enumerate(depths_ms):
            stamp_ns = START_NS + offset_ms * MS
            messages.append((depth_topic, bag_maker.image(depth_of(i), '16UC1', stamp_ns, frame)))
        if info is not None:
            size = {'width': W, 'height': H}
            camera_info = bag_maker.info(stamp_ns=START_NS, **{**size, **info})
            messages.append((topic.rpartition('/')[0] + '/camera_info', camera_info))
        return bag_maker.write(messages, **options)

    return record


@STORAGES
def test_every_image_with_its_depth_and_camera(record, storage):
    frames = BagFrames(record(storage=storage))
    assert len(frames) == 3
    assert frames.unmatched == 0
    for i, sample in enumerate(frames):
        np.testing.assert_array_equal(sample.rgb, rgb_of(i))
        assert sample.depth[0, 0] == np.float32(1 + 0.01 * i)
        assert np.isnan(sample.depth[5, 6])
        assert np.isnan(sample.depth).sum() == 1
        assert sample.camera == CameraModel(W, H, 50.0, 52.0, 26.5, 17.5)
    assert [sample.name for sample in frames[1:]] == [
        '000001-1700000000.100000000',
        '000002-1700000000.200000000',
    ]
    assert frames.name_of(2) == frames[-1].name
    # The same object, so that its rays are worked out once.
    assert frames[0].camera is frames[1].camera


@STORAGES
def test_one_file_of_a_recording_will_do(record, storage):
    folder = record(storage=storage)
    suffix = {'sqlite3': 'db3', 'mcap': 'mcap'}[storage]
    frames = BagFrames(folder / f'{folder.name}.{suffix}')
    np.testing.assert_array_equal(frames[2].rgb, rgb_of(2))


def test_a_recording_of_ros_1_will_do(record, tmp_path):
    from rosbags.convert.converter import convert

    folder, file = record(), tmp_path / 'old.bag'
    convert([folder], file, 'mcap', 8, None, 'none', None, None, [], [], [], [])
    for old, new in zip(BagFrames(file), BagFrames(folder), strict=True):
        np.testing.assert_array_equal(old.rgb, new.rgb)
        np.testing.assert_array_equal(old.depth, new.depth)
        assert (old.camera, old.name) == (new.camera, new.name)


def test_compressed_topics(bag_maker):
    png = cv2.imencode('.png', rgb_of(7)[..., ::-1])[1]
    # A = 10100, B = -1009: 10100 / (3031 + 1009) = 2.5 m
    steps = cv2.imencode('.png', np.full((H, W), 3031, np.uint16))[1].tobytes()
    depth = struct.pack('<iff', 1, 10100.0, -1009.0) + steps
    form = '32FC1; compressedDepth png'
    folder = bag_maker.write(
        [
            (f'{IMAGE}/compressed', bag_maker.compressed(png, 'rgb8; png compressed bgr8')),
            (INFO, bag_maker.info(W, H)),
            ('/depth_registered/image/compressedDepth', bag_maker.compressed(depth, form)),
        ]
    )
    sample = BagFrames(folder)[0]
    np.testing.assert_array_equal(sample.rgb, rgb_of(7))
    assert (sample.depth == 2.5).all()


def test_each_image_goes_with_the_nearest_depth(record):
    # Depth 1 is 5 ms before image 1 and depth 2 is 6 ms after; image 2 has depth 3 at 20 ms.
    frames = BagFrames(record((0, 100, 200), (0, 95, 106, 220)))
    assert [sample.depth[0, 0] for sample in frames] == [
        np.float32(1.0),
        np.float32(1.01),
        np.float32(1.03),
    ]


def test_samples_come_by_stamp_in_whatever_order_they_were_recorded(record):
    frames = BagFrames(record((200, 0, 100), (100, 200, 0)))
    assert [sample.rgb[0, 0, 2] for sample in frames] == [1, 2, 0]
    assert [sample.depth[0, 0] for sample in frames] == [
        np.float32(1.02),
        np.float32(1.0),
        np.float32(1.01),
    ]
    assert frames.name_of(0).startswith('000000-')


def test_images_without_depth_are_counted_and_named(record, caplog):
    frames = BagFrames(record((0, 50, 100, 150), (1, 101)))
    assert len(frames) == 2
    assert frames.unmatched == 2
    assert [name[:6] for name in map(frames.name_of, range(2))] == ['000000', '000002']
    message = f'goes with 2 of the 4 images on {IMAGE}: not '
    assert message in caplog.text
    assert (
        'within 0.02 s but 0.049 to 0.049 s off (,tolerance_s= allows more): '
        '1700000000.050000000, 1700000000.150000000'
    ) in caplog.text


def test_not_all_of_many_images_without_depth_are_named(record, caplog):
    frames = BagFrames(record(range(0, 1300, 100), (0,)))
    assert frames.unmatched == 12
    # From 100 to 1000 ms: the first 10
    assert caplog.text.rstrip().endswith('1700000001.000000000 and 2 more')


def test_the_tolerance_decides(record):
    folder = record((0, 100), (20, 121))
    assert len(BagFrames(folder)) == 1
    frames = BagFrames(folder, tolerance_s=0.021)
    assert len(frames) == 2
    assert frames.unmatched == 0
    with pytest.raises(
        ValueError,
        match=r'no image on /rgb/image_raw with depth on /depth/image within 0.001 s in .*bag: '
        r'the nearest are 0.020 to 0.021 s off, expected stamps of one clock; correct the stamps, '
        r'or to allow that, add ,tolerance_s=0.021 to bag:/.*/bag$',
    ):
        BagFrames(folder, tolerance_s=0.001)
    for tolerance_s in (-0.1, np.nan):
        with pytest.raises(ValueError, match=f'got a tolerance of {tolerance_s} s, expected 0 or'):
            BagFrames(folder, tolerance_s=tolerance_s)


@pytest.mark.parametrize('of', ['images_ms', 'depths_ms'])
def test_stamps_that_are_not_filled_in(record, of):
    with pytest.raises(ValueError, match=r'got 3 messages with the stamp 17\d+ ns on /.*does the'):
        BagFrames(record(**{of: (0, 0, 0)}))


def test_distorted_images_take_k_and_d(record):
    d = [-0.3, 0.1, 0.001, -0.002, 0.0]
    camera = BagFrames(record(info={'d': d}))[0].camera
    assert camera == CameraModel(W, H, 50.0, 52.0, 26.5, 17.5, 'plumb_bob', tuple(d))
    assert {type(value) for value in camera.distortion} == {float}


def test_rectified_images_take_p(record):
    folder = record(image='/rgb/image_rect', info={'d': [-0.3, 0.1, 0.0, 0.0, 0.0]})
    assert BagFrames(folder)[0].camera == CameraModel(W, H, 40.0, 41.0, 25.0, 18.0)


def test_rectified_images_need_no_k(record):
    folder = record(image='/rgb/image_rect', info={'k': [0.0] * 9})
    assert BagFrames(folder)[0].camera == CameraModel(W, H, 40.0, 41.0, 25.0, 18.0)


def test_rectified_images_without_p_are_refused(record):
    folder = record(image='/rgb/image_rect', info={'p': [0.0] * 12})
    message = r'without focal lengths in P for images on /rgb/image_rect, which are .* \(/rgb/came'
    with pytest.raises(ValueError, match=message):
        BagFrames(folder)


def test_an_uncalibrated_camera_is_refused(record):
    message = r'K is all zero, .*calibrate it .* \(/rgb/camera_info at 1700000000.000000000 in .*'
    with pytest.raises(ValueError, match=message):
        BagFrames(record(info={'k': [0.0] * 9}))


def test_a_calibration_of_another_size_is_rescaled(record):
    camera = BagFrames(record(info={'width': 2 * W, 'height': 2 * H}))[0].camera
    # Half of it: 50 / 2, 52 / 2, (26.5 + 0.5) / 2 - 0.5, (17.5 + 0.5) / 2 - 0.5
    assert camera == CameraModel(W, H, 25.0, 26.0, 13.0, 8.5)


def test_a_calibration_of_another_aspect_is_refused(record):
    frames = BagFrames(record(info={'width': W, 'height': 2 * H}))
    message = (
        r'got an image of 53 x 37 pixels and a CameraInfo for 53 x 74, .* \(/rgb/image_raw at'
    )
    with pytest.raises(ValueError, match=message):
        frames[0]


def test_each_image_takes_the_calibration_nearest_in_time(record, bag_maker):
    zoomed = bag_maker.info(W, H, START_NS + 180 * MS, k=[80, 0, 26, 0, 81, 18, 0, 0, 1])
    frames = BagFrames(record(extra=[(INFO, zoomed)]))
    # The other one is of 0 ms: nearer to 0 than 180 is, but not to 100 (80 off) and 200.
    assert [sample.camera.fx for sample in frames] == [50.0, 80.0, 80.0]


def test_depth_in_another_frame_is_refused(record):
    folder = record(depth_frame='depth_camera')
    with pytest.raises(
        ValueError,
        match="got depth in frame 'depth_camera' on /depth/image and images in frame 'camera' on "
        '/rgb/image_raw in .*, expected one frame; record .*aligned_depth_to_color of a RealSense'
        r'\), or where another topic has it, add ,depth=TOPIC to bag:/.*/bag$',
    ):
        BagFrames(folder)


def test_registered_depth_may_name_another_frame(record):
    frames = BagFrames(record(depth='/depth_registered/image', depth_frame='depth_camera'))
    assert len(frames) == 3


def test_depth_that_is_registered_to_other_images_is_refused(record, bag_maker):
    left = [('/left/image', bag_maker.image(rgb_of(9), 'rgb8', START_NS, 'left'))]
    folder = record(
        image='/right/image', depth='/depth/depth_registered', depth_frame='left', extra=left
    )
    with pytest.raises(
        ValueError,
        match="got depth in frame 'left' on /depth/depth_registered and images in frame 'camera' "
        'on /right/image in .*, expected one frame; where that depth is registered to others, add '
        ',image=/left/image to bag:/.*/bag$',
    ):
        BagFrames(folder, image='/right/image')


@pytest.fixture
def record_depth(bag_maker):
    """Write a recording of one image and one depth image."""

    def record_depth(depth, topic):
        return bag_maker.write(
            [
                (IMAGE, bag_maker.image(rgb_of(0), 'rgb8')),
                (INFO, bag_maker.info(W, H)),
                (topic, bag_maker.image(depth, '32FC1')),
            ]
        )

    return record_depth


def test_registered_depth_of_another_size_is_resized(record_depth):
    depth = np.zeros((3 * H, 3 * W), np.float32)
    depth[1::3, 1::3] = np.arange(H * W, dtype=np.float32).reshape(H, W)
    sample = BagFrames(record_depth(depth, '/aligned_depth_to_color/image_raw'))[0]
    # The middle of each 3 x 3 pixels, and nothing of what lies around it.
    expected = np.arange(H * W, dtype=np.float32).reshape(H, W)
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(sample.depth, expected)


@pytest.mark.parametrize(
    ('topic', 'size', 'expected'),
    [
        ('/depth/image', (3 * H, 3 * W), 'its size; record'),
        ('/depth_registered/image', (3 * H, 2 * W), 'its size or aspect; record'),
    ],
)
def test_depth_that_does_not_fit_is_refused(record_depth, topic, size, expected):
    frames = BagFrames(record_depth(np.ones(size, np.float32), topic))
    message = f'got depth of {size[1]} x {size[0]} pixels on {topic} and an image of 53 x 37, '
    with pytest.raises(ValueError, match=f'{message}expected {expected}'):
        frames[0]


def test_topics_are_given_where_several_would_do(record, bag_maker):
    extra = [('/rear/image', bag_maker.image(rgb_of(9), 'bgr8', START_NS))]
    folder = record(extra=extra)
    with pytest.raises(
        ValueError, match=r'got 2 topics .*; add ,image=/rear/image or ,image=/rgb/image_raw to'
    ):
        BagFrames(folder)
    frames = BagFrames(folder, image='/rear/image', depth=DEPTH, camera_info=INFO)
    assert len(frames) == 1
    np.testing.assert_array_equal(frames[0].rgb, rgb_of(9)[..., ::-1])


def test_a_recording_without_calibration_is_refused(record):
    with pytest.raises(ValueError, match=r'no /rgb/camera_info, expected their CameraInfo'):
        BagFrames(record(info=None))


def test_a_damaged_image_is_an_error_that_names_it(bag_maker):
    images = [
        (f'{IMAGE}/compressed', bag_maker.compressed(data, 'jpeg', START_NS + i * 100 * MS))
        for i, data in enumerate((b'none', cv2.imencode('.jpg', rgb_of(1))[1]))
    ]
    depths = [
        (DEPTH, bag_maker.image(depth_of(i), '16UC1', START_NS + i * 100 * MS)) for i in range(2)
    ]
    frames = BagFrames(bag_maker.write([*images, *depths, (INFO, bag_maker.info(W, H))]))
    assert frames[1].rgb.shape == (H, W, 3)
    with pytest.raises(
        ValueError,
        match=r"got 4 bytes of format 'jpeg' .* \(/rgb/image_raw/compressed at 1700000000.0000",
    ):
        frames[0]


@STORAGES
def test_a_pickled_recording_holds_no_image(record, storage):
    frames = BagFrames(record(storage=storage))
    np.testing.assert_array_equal(frames[0].rgb, rgb_of(0))
    pickled = pickle.dumps(frames)
    # 3 images and depths take 3 * 37 * 53 * 5 = 29 kB.
    assert len(pickled) < 3000
    np.testing.assert_array_equal(pickle.loads(pickled)[2].rgb, rgb_of(2))


@STORAGES
@pytest.mark.parametrize('start', ['fork', 'spawn'])
def test_data_loaders_read_it_in_their_own_processes(record, storage, start):
    frames = BagFrames(record(range(0, 1000, 100), range(1, 1001, 100), storage=storage))
    np.testing.assert_array_equal(frames[0].rgb, rgb_of(0))  # opened here, too
    loader = DataLoader(
        frames,
        batch_size=2,
        num_workers=2,
        collate_fn=list,
        multiprocessing_context=start,
    )
    samples = [sample for batch in loader for sample in batch]
    assert len(samples) == 10
    for i, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.rgb, rgb_of(i))
        assert sample.depth[0, 0] == np.float32(1 + 0.01 * i)
