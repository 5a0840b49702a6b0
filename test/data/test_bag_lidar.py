"""Recordings of a camera and a lidar, as rosbags wrote them, against pixels worked out by hand."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from mirror_depth_ros.data.bag import BagFrames
from mirror_depth_ros.data.specification import open_data

H, W = 37, 53
START_NS = 1_700_000_000 * 10**9
MS = 10**6
IMAGE, INFO, SCAN = '/camera/image_raw', '/camera/camera_info', '/scan'
# Axes of REP-103: the optical frame's z is the body's x, its x is -y, its y is -z.
OPTICAL = (-0.5, 0.5, -0.5, 0.5)


@pytest.fixture
def record(bag_maker):
    """Write a recording of a robot: the camera is 0.1 m before the lidar and 0.2 m above it."""

    def record(*messages, images_ms=(0, 100, 200), camera=OPTICAL, info=None, name='bag'):
        mounted = (
            bag_maker.transform('base_link', 'laser', xyz=(0.1, 0, 0.3)),
            bag_maker.transform('base_link', 'camera', xyz=(0.2, 0, 0.5), quaternion=camera),
        )
        rgb = np.zeros((H, W, 3), np.uint8)
        return bag_maker.write(
            [
                *(('/tf_static', transform) for transform in mounted),
                (INFO, bag_maker.info(W, H, START_NS, **(info or {}))),
                *((IMAGE, bag_maker.image(rgb, 'rgb8', START_NS + t * MS)) for t in images_ms),
                *messages,
            ],
            name=name,
        )

    return record


@pytest.fixture
def scan(bag_maker):
    """Make a scan of one beam ahead, and what else is given, so many milliseconds on."""

    def scan(metres, at_ms=0, **fields):
        message = bag_maker.scan(np.atleast_1d(metres), START_NS + round(at_ms * MS), **fields)
        return (SCAN, message)

    return scan


def known(depth):
    return {(int(r), int(c)): float(depth[r, c]) for r, c in zip(*np.nonzero(~np.isnan(depth)))}


def test_a_scan_is_depth_where_the_camera_sees_it(record, scan):
    # 2.1 m before the lidar is 2 m before the camera, and 0.2 m below: at 50 * 0 + 26.5 and
    # 52 * 0.2 / 2 + 17.5 = 22.7. The beam 0.1 rad to the left: 2.1 sin 0.1 = 0.20965 to the left,
    # 2.1 cos 0.1 - 0.1 = 1.98951 ahead: 26.5 - 50 * 0.10538 = 21.23, 52 * 0.10053 + 17.5 = 22.73.
    frames = BagFrames(record(*(scan([2.1, 2.1, 2.1], t, angle_min=0.0) for t in (1, 101, 201))))
    assert len(frames) == 3
    assert frames.unmatched == 0
    assert frames.topics.depth == ''
    assert frames.topics.lidars == (SCAN,)
    assert frames.is_of_lidar
    depth = known(frames[0].depth)
    assert depth[23, 27] == pytest.approx(2.0)
    assert depth[23, 21] == pytest.approx(2.1 * np.cos(0.1) - 0.1)
    assert len(depth) == 3
    assert frames[0].depth.dtype == np.float32
    assert frames[1].name == '000001-1700000000.100000000'


def test_each_image_goes_with_the_scan_nearest_in_time(record, scan):
    folder = record(scan(2.1, 40), scan(3.1, 130), scan(4.1, 151))
    frames = BagFrames(folder)
    # 100 is 30 from 130; 200 is 49 from 151; 0 is 40 from 40.
    assert [float(np.nanmax(sample.depth)) for sample in frames] == pytest.approx([2, 3, 4])
    with pytest.raises(ValueError, match=r'with depth on /scan within 0.02 s in .*0.030 to 0.049'):
        BagFrames(folder, tolerance_s=0.02)


def test_images_without_a_scan_are_left_out(record, scan, caplog):
    frames = BagFrames(record(scan(2.1, 0), scan(3.1, 100)))
    assert (len(frames), frames.unmatched) == (2, 1)
    assert 'with 1 of the 3 images on /camera/image_raw: not within 0.05 s but 0.1' in caplog.text


def test_images_in_which_no_point_is_seen_are_left_out(record, scan, caplog):
    # An infinite range is no point, and one of 0.05 m is behind the camera.
    frames = BagFrames(record(scan(2.1, 0), scan(np.inf, 100), scan(0.05, 200)))
    assert (len(frames), frames.unmatched) == (1, 2)
    assert 'no point on /scan in ' in caplog.text
    assert 'is in view of 2 of 3 images' in caplog.text


def test_a_camera_that_is_not_in_its_optical_frame_is_an_error(record, scan):
    # Axes of the body: what is 2 m ahead along x would be 2 m to the right, at depth -0.2.
    with pytest.raises(
        ValueError,
        match=r"no point of /scan \(frame 'laser'\) in any image on /camera/image_raw \(frame "
        r"'camera'\) .*at \(2.00, 0.00, -0.20\) m in the camera's frame, which must be the "
        r'optical one: .*, or add ,frame_id=FRAME to bag:/.*; the tree:\n  base_link\n    '
        r'camera \(static\)\n    laser \(static\)$',
    ):
        BagFrames(record(scan(2.1), camera=(0, 0, 0, 1)))


def test_the_optical_frame_can_be_named(record, scan, bag_maker):
    optical = bag_maker.transform('camera', 'camera_optical', quaternion=OPTICAL)
    folder = record(scan(2.1), ('/tf_static', optical), camera=(0, 0, 0, 1))
    frames = BagFrames(folder, frame_id='camera_optical')
    assert known(frames[0].depth) == {(23, 27): pytest.approx(2.0)}
    assert frames.describe()[3] == ('transform', 'laser -> camera_optical, static')


def test_frames_that_no_transform_joins_are_an_error(record, bag_maker):
    lone = (SCAN, bag_maker.scan([2.0], START_NS, 'lidar_link'))
    with pytest.raises(
        ValueError,
        match=r"got frame 'lidar_link', which no transform names, .*; the tree:\n  base_link\n"
        r"(?s:.*)\n\(frame 'lidar_link', for images on /camera/image_raw, in "
        r"frame 'camera', in /.*bag\)$",
    ):
        BagFrames(record(lone))


@pytest.fixture
def driving(bag_maker):
    """Odometry of a robot that drives ahead, 1 m/s, from START on: by TF, every 50 ms."""
    return [
        ('/tf', bag_maker.transform('odom', 'base_link', START_NS + t * MS, xyz=(t / 1000, 0, 0)))
        for t in range(0, 301, 50)
    ]


def test_motion_between_a_scan_and_its_image_is_accounted_for(record, scan, driving):
    # Seen 2.1 m before the lidar at 60 ms, which at 100 ms is 40 mm nearer.
    folder = record(scan(2.1, 60), *driving, images_ms=[100])
    assert np.nanmax(BagFrames(folder)[0].depth) == pytest.approx(1.96)
    # In the frame of the robot, it is not.
    frames = BagFrames(folder, odom_frame='base_link')
    assert np.nanmax(frames[0].depth) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="got frame 'map', which no transform names"):
        BagFrames(folder, odom_frame='map')


def test_odometry_does_in_place_of_tf(record, scan, bag_maker):
    odometry = [
        ('/odom', bag_maker.odometry(START_NS + t * MS, xyz=(t / 1000, 0, 0)))
        for t in range(0, 301, 100)
    ]
    frames = BagFrames(record(scan(2.1, 60), *odometry, images_ms=[100]))
    assert np.nanmax(frames[0].depth) == pytest.approx(1.96)


def test_each_point_is_moved_from_its_own_time(record, scan, driving):
    # Beams at 50, 90, 130 and 170 ms, image at 110 ms: the middle of the turn. All look ahead.
    ranges, times = [2.1, 3.1, 4.1, 5.1], np.array([50, 90, 130, 170])
    message = scan(ranges, 50, angle_increment=0.05, time_increment=0.04)
    frames = BagFrames(record(message, *driving, images_ms=[110]))
    angles = 0.05 * np.arange(4)
    ahead = np.array(ranges) * np.cos(angles) - 0.1 - (110 - times) / 1000
    found = sorted(known(frames[0].depth).values())
    assert found == pytest.approx(sorted(ahead), abs=1e-6)


def test_a_robot_that_turns(record, bag_maker):
    # A quarter turn to the left in 100 ms, about the base. What was seen at its beginning 2 m to
    # the left of the lidar, at base (0.1, 2, 0.3), is at base (2, -0.1, 0.3) at its end: 1.8 m
    # before the camera, 0.1 to the right and 0.2 below: 26.5 + 50 / 18, 17.5 + 52 / 9.
    c = 0.5**0.5
    poses = [(0, (0, 0, 0, 1)), (100, (0, 0, c, c))]
    turning = [
        ('/tf', bag_maker.transform('odom', 'base_link', START_NS + t * MS, quaternion=q))
        for t, q in poses
    ]
    left = (SCAN, bag_maker.scan([2.0], START_NS, angle_min=np.pi / 2))
    frames = BagFrames(record(left, *turning, images_ms=[100]), tolerance_s=0.1)
    assert known(frames[0].depth) == {(23, 29): pytest.approx(1.8)}


def test_images_outside_of_what_tf_knows_are_left_out(record, scan, driving, caplog):
    folder = record(scan(2.1, 0), scan(2.1, 400), *driving, images_ms=(0, 400))
    frames = BagFrames(folder)
    assert (len(frames), frames.unmatched) == (1, 1)
    assert 'no transform from /scan in ' in caplog.text
    assert 'for 1 of 2 images; the first: got the time 1700000000.400000000 s' in caplog.text
    with pytest.raises(
        ValueError, match=r'is the transform to /scan known .*, add ,odom_frame=camera to bag:'
    ):
        BagFrames(record(scan(2.1, 400), *driving, images_ms=[400], name='late'))


XYZ = [('x', 'f4'), ('y', 'f4'), ('z', 'f4')]


def test_a_cloud_with_the_time_of_each_point(record, driving, bag_maker, make_cloud):
    # 2.1 m before the lidar at 50 ms, and 3.1 m, 0.5 m to the left and 0.1 below the camera, at
    # 150 ms; image at 100 ms: at 1.95 m, and at 3.05 m, 26.5 - 50 * 0.5 / 3.05, 17.5 + 5.2 / 3.05.
    records = np.array([(2.1, 0, 0, 0), (3.1, 0.5, 0.1, 100 * MS)], [*XYZ, ('t', 'u4')])
    cloud = bag_maker.cloud(make_cloud(records), START_NS + 50 * MS)
    frames = BagFrames(record(('/points', cloud), *driving, images_ms=[100]))
    # 17.5 + 52 * 0.2 / 1.95 = 22.8
    assert known(frames[0].depth) == {
        (23, 27): pytest.approx(1.95),
        (19, 18): pytest.approx(3.05),
    }


def test_a_cloud_in_the_frame_of_the_camera_needs_no_transform(bag_maker, make_cloud):
    cloud = bag_maker.cloud(make_cloud(np.array([(0.2, 0.1, 2.0)], XYZ)), START_NS, 'camera')
    rgb = bag_maker.image(np.zeros((H, W, 3), np.uint8), 'rgb8', START_NS)
    info = bag_maker.info(W, H, START_NS)
    frames = BagFrames(bag_maker.write([(IMAGE, rgb), (INFO, info), ('/points', cloud)]))
    # 26.5 + 50 * 0.1 = 31.5, 17.5 + 52 * 0.05 = 20.1
    assert known(frames[0].depth) == {(20, 32): 2.0}


def test_the_lidar_is_chosen_where_there_are_several(record, scan, bag_maker, make_cloud):
    cloud = bag_maker.cloud(make_cloud(np.array([(3.1, 0, 0)], XYZ)), START_NS)
    folder = record(scan(2.1), ('/points', cloud))
    with pytest.raises(
        ValueError, match=r'that may be the lidar, .* ,lidar=/points or ,lidar=/sc'
    ):
        BagFrames(folder)
    data = open_data(f'bag:{folder},lidar=/points')
    assert np.nanmax(data.samples[0].depth) == pytest.approx(3.0)
    assert data.protocol == 'outdoor'
    # 0.2 m below the camera: 17.5 + 52 * 0.2 / 3 = 20.97
    both = BagFrames(folder, lidar='/scan+/points')
    assert known(both[0].depth) == {(23, 27): pytest.approx(2.0), (21, 27): pytest.approx(3.0)}
    with pytest.raises(ValueError, match=f'got lidar {INFO}, which is sensor_msgs/msg/CameraInfo'):
        BagFrames(folder, lidar=INFO)


def test_depth_images_are_taken_in_place_of_a_lidar_or_with_it(record, scan, bag_maker):
    depth = bag_maker.image(np.full((H, W), 1500, np.uint16), '16UC1', START_NS)
    folder = record(scan(2.1), ('/depth', depth))
    frames = BagFrames(folder)
    assert (frames[0].depth == 1.5).all()
    assert frames.describe() == [
        ('images', IMAGE),
        ('calibration', INFO),
        ('depth', '/depth'),
        ('with depth', '1 of 3 images'),
    ]
    assert len(known(BagFrames(folder, lidar=SCAN)[0].depth)) == 1
    both = BagFrames(folder, depth='/depth', lidar=SCAN)
    assert (both[0].depth == 1.5).all()
    # 2.0 m by the lidar and 1.5 m by the camera: a systematic difference.
    agreement = 'median 1.33, 1.33 to 1.33 for 80 % of 1 pixels'
    assert both.describe()[-1] == ('/scan / /depth', agreement)
    with pytest.raises(
        ValueError, match=r'got odom_frame for the depth images on /depth in .*/bag'
    ):
        BagFrames(folder, odom_frame='odom')


def test_damaged_depth_is_no_reason_not_to_describe(record, scan, bag_maker):
    whole, cut = (
        bag_maker.image(np.full((H, W), 1500, np.uint16), '16UC1', START_NS + t * MS)
        for t in (0, 100)
    )
    cut.data = cut.data[:100]
    folder = record(scan(2.1), scan(2.1, 100), scan(2.1, 200), ('/depth', whole), ('/depth', cut))
    frames = BagFrames(folder, depth='/depth', lidar=SCAN)
    # Of the third alone: the other two are looked at together with the damaged one.
    assert frames.describe()[-1] == ('pixels with depth', '0.051 %')
    with pytest.raises(ValueError, match='got lidar /scan\\+/scan, expected each topic once'):
        BagFrames(folder, lidar='/scan+/scan')


def test_scans_without_any_point_are_an_error(record, scan):
    with pytest.raises(ValueError, match='got no point on /scan in .* that is finite and within'):
        BagFrames(record(scan(np.inf), scan(np.nan, 100)))


def test_depth_that_is_not_registered_leads_to_the_lidar(record, scan, bag_maker):
    depth = bag_maker.image(np.full((H, W), 1500, np.uint16), '16UC1', START_NS, 'laser')
    with pytest.raises(
        ValueError, match=r'expected one frame; .*, or to take the lidar, add ,lidar=/scan'
    ):
        BagFrames(record(scan(2.1), ('/depth', depth)))


def test_what_is_used_is_described(record, scan, driving):
    # One pixel of 37 x 53 = 1961: 0.051 %
    frames_folder = record(scan(2.1), scan(2.1, 100), *driving)
    frames = BagFrames(frames_folder)
    assert frames.describe() == [
        ('images', IMAGE),
        ('calibration', INFO),
        ('lidar', '/scan (LaserScan) in laser'),
        ('transform', 'laser -> camera, static'),
        ('motion between them', 'from odom -> camera'),
        ('with lidar', '2 of 3 images'),
        ('pixels with depth', '0.051 %'),
    ]
    with_motion = BagFrames(frames_folder, motion=True).describe()
    assert with_motion[6:] == [
        ('motion', 'from odom -> camera'),
        ('with pose', '3 of 3 images'),
        ('pixels with depth', '0.051 %'),
        # 0.1 m further on, 2 m ahead would be 1.9 m.
        ('motion / depth', 'median 0.95, 0.95 to 0.95 for 80 % of 1 pixels'),
    ]
    standing = BagFrames(record(scan(2.1), name='standing'))
    none = 'not accounted for: no transform from a frame that stands, such as odom'
    assert standing.describe()[4] == ('motion between them', none)


def test_the_floor_under_the_beams_is_depth(record, scan, bag_maker):
    # The camera is 0.5 m above base_link: in row 31, 13.5 below its centre, 0.5 * 52 / 13.5.
    folder = record(scan(np.full(11, 2.4), angle_min=-0.48))
    frames = BagFrames(folder, floor='base_link')
    depth = known(frames[0].depth)
    floor = {place: z for place, z in depth.items() if place[0] > 22}
    assert floor[31, 24] == pytest.approx(26 / 13.5)
    # No more of it than the scan has, as the loss counts each pixel.
    assert 5 < len(floor) <= len(depth) - len(floor)
    # A beam hits 0.048 m to the left and 0.2 m below: 26.5 - 50 * 0.021, 17.5 + 52 * 0.087.
    assert depth[22, 25] == pytest.approx(2.4 * np.cos(0.02) - 0.1)
    assert frames.describe()[5] == ('floor', 'under its beams, where base_link is')
    assert set(known(BagFrames(folder)[0].depth)) == set(depth) - set(floor)
    whole = open_data(f'bag:{folder},floor=base_link').samples[0].depth
    np.testing.assert_array_equal(whole, frames[0].depth)


def test_images_at_whose_time_the_floor_is_unknown_are_left_out(record, scan, bag_maker, caplog):
    ranges = np.full(11, 2.4)
    feet = [('/tf', bag_maker.transform('base_link', 'foot', START_NS + t * MS)) for t in (0, 110)]
    folder = record(*(scan(ranges, t, angle_min=-0.48) for t in (0, 100, 200)), *feet)
    frames = BagFrames(folder, floor='foot')
    assert len(frames) == 2
    assert 'is known for 1 of 3 images' in caplog.text
    assert known(frames[1].depth)[31, 24] == pytest.approx(26 / 13.5)


def test_a_floor_that_cannot_be_is_an_error(record, scan, bag_maker, make_cloud):
    folder = record(scan(np.full(11, 2.4), angle_min=-0.5))
    with pytest.raises(ValueError, match=r"got frame 'foot', which no transform names"):
        BagFrames(folder, floor='foot')
    # The lidar's own plane.
    with pytest.raises(ValueError, match=r'0.20 m and the lidar 0.00 m above the floor'):
        BagFrames(folder, floor='laser')[0]
    point = np.array([(2.0, 0.0, 0.0)], [('x', 'f4'), ('y', 'f4'), ('z', 'f4')])
    cloud = ('/points', bag_maker.cloud(make_cloud(point), START_NS))
    with pytest.raises(
        ValueError,
        match=r'got floor=base_link for /.*cloud without a lidar of one beam, expected it with '
        r'one \(sensor_msgs/msg/LaserScan\); leave it out, or add ,lidar=TOPIC to bag:/.*cloud$',
    ):
        BagFrames(record(cloud, name='cloud'), floor='base_link')


def test_a_damaged_image_is_no_reason_not_to_describe(record, scan, bag_maker):
    images = [
        ('/jpeg/compressed', bag_maker.compressed(data, 'jpeg', START_NS + i * 100 * MS))
        for i, data in enumerate((b'none', cv2.imencode('.jpg', np.zeros((H, W, 3)))[1]))
    ]
    info = ('/jpeg/camera_info', bag_maker.info(W, H, START_NS))
    folder = record(scan(2.1), scan(2.1, 100), *images, info)
    frames = BagFrames(folder, image='/jpeg/compressed')
    assert frames.describe()[-1] == ('pixels with depth', '0.051 %')
    with pytest.raises(ValueError, match='expected'):
        frames[0]


def test_a_lens_is_part_of_the_projection(record, scan):
    # 0.4 rad to the left of 2.1 m: 0.81778 to the left, 1.83423 ahead, 0.2 below. x = -0.44584,
    # y = 0.10904, r^2 = 0.21066, factor 1 - 0.2 r^2 = 0.95787: 26.5 - 21.353, 17.5 + 5.431.
    folder = record(scan(2.1, angle_min=0.4), info={'d': [-0.2, 0.0, 0.0, 0.0, 0.0]})
    assert list(known(BagFrames(folder)[0].depth)) == [(23, 5)]


def test_a_damaged_cloud_is_an_error_that_names_it(record, bag_maker, make_cloud):
    layout = make_cloud(np.array([(3.1, 0, 0)], XYZ))
    layout.data = layout.data[:-1]
    with pytest.raises(ValueError, match=r'got 11 bytes .* \(/points at 1700000000.000000000 in'):
        BagFrames(record(('/points', bag_maker.cloud(layout, START_NS))))


def test_it_may_be_used_in_other_processes(record, scan, driving):
    frames = BagFrames(record(scan(2.1), *driving))
    again = pickle.loads(pickle.dumps(frames))
    np.testing.assert_array_equal(again[0].depth, frames[0].depth)
