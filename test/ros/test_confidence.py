"""What the node says of its confidence, and what doubt does to its depth, over real DDS."""

import threading
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import Image, PointCloud2

from mirror_depth_ros.depth.camera import CameraModel

H, W = 17, 23
CAMERA = CameraModel(W, H, fx=20.0, fy=19.0, cx=11.0, cy=8.0)
NAN, INF = np.nan, np.inf
# Columns of 2, 6 and 30 m, the last beyond range; below row 8, all of it is doubtful.
DEPTH = np.repeat(np.array([[2.0, 6.0, 30.0]], np.float32), [8, 9, 6], axis=1)
DEPTH = np.repeat(DEPTH, H, axis=0)
COLUMNS = (0, 8, 17)
CONFIDENCE = np.full((H, W), 0.75, np.float32)
CONFIDENCE[8:] = 0.25


@pytest.fixture
def make_bench(make_camera_bench):
    def make(confidence=CONFIDENCE, **parameters):
        parameters = {'max_range': 20.0, 'edge_filter': 0.0, 'nav_decimation': 1} | parameters
        bench = make_camera_bench(
            CAMERA, lambda rgb, focal_px: DEPTH, confidence=confidence, **parameters
        )
        bench.wait_active()
        return bench

    return make


def newest_after(bench, messages, **parameters):
    """Set parameters and return the first message of an image that was sent after that."""
    bench.set_parameters(**parameters)
    changed_ns = time.time_ns()
    bench.wait(lambda: messages and stamp_ns(messages[-1]) > changed_ns)
    return messages[-1]


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def metres(image):
    return np.frombuffer(image.data, np.float32).reshape(H, W)


def test_confidence_has_its_images_header_and_is_asked_for_only_if_somebody_wants_it(make_bench):
    bench = make_bench()
    depths = bench.collect('depth/image', Image)
    bench.stream()
    bench.wait(lambda: len(depths) >= 2)
    assert not any(bench.asked)
    confidences = bench.collect('confidence/image', Image)
    bench.wait(lambda: len(confidences) >= 2)
    bench.wait(lambda: confidences[1].header in [depth.header for depth in depths])
    message = confidences[1]
    assert (message.encoding, message.step) == ('32FC1', 4 * W)
    assert message.header.frame_id == 'camera_optical_frame'
    np.testing.assert_array_equal(metres(message), CONFIDENCE)
    np.testing.assert_array_equal(metres(depths[-1])[:, :17], DEPTH[:, :17])  # nothing is cut off


def test_doubtful_depth_is_nan_everywhere_and_clears_nothing(make_bench):
    bench = make_bench()
    received = {name: bench.collect(name, Image) for name in ('depth/image', 'depth/image_raw')}
    received |= {name: bench.collect(name, PointCloud2) for name in ('points', 'nav_points')}
    bench.stream()
    newest = {n: newest_after(bench, m, min_confidence=0.5) for n, m in received.items()}
    depth = metres(newest['depth/image'])
    np.testing.assert_array_equal(depth[7, COLUMNS], np.array([2.0, 6.0, INF], np.float32))
    assert np.isnan(depth[8:]).all()
    millimetres = np.frombuffer(newest['depth/image_raw'].data, np.uint16).reshape(H, W)
    assert millimetres[7, COLUMNS].tolist() == [2000, 6000, 0]
    assert (millimetres[8:] == 0).all()
    points = np.frombuffer(newest['points'].data, np.float32).reshape(H, W, 4)[..., :3]
    assert np.isfinite(points[:8, :17]).all()
    assert np.isnan(points[8:]).all()
    # One point for each pixel above row 8: what is far ends at 4.4 m. Below, nothing is marked,
    # and of 30 m that are doubtful there is no ray, which would clear what may be there.
    rays = np.frombuffer(newest['nav_points'].data, np.float32).reshape(-1, 3)
    assert len(rays) == 8 * W
    is_far = np.linalg.norm(rays, axis=1) > 4.4 - 1e-4
    assert is_far.sum() == 8 * 15
    assert rays[:, 1].max() < 0  # all of them lead up
    # As it was, with the next image.
    depth = metres(newest_after(bench, received['depth/image'], min_confidence=0.0))
    np.testing.assert_array_equal(depth[:, :17], DEPTH[:, :17])
    assert not bench.asked[-1]


def test_points_have_a_field_of_it_where_that_is_wanted(make_bench):
    bench = make_bench(cloud_confidence=True)
    clouds = bench.collect('points', PointCloud2)
    bench.stream()
    bench.wait(lambda: clouds)
    cloud = clouds[0]
    assert [(f.name, f.offset) for f in cloud.fields][-1] == ('confidence', 16)
    assert (cloud.point_step, cloud.row_step) == (20, 20 * W)
    points = np.frombuffer(cloud.data, np.float32).reshape(H, W, 5)
    np.testing.assert_array_equal(points[..., 4], CONFIDENCE)
    np.testing.assert_array_equal(points[:, :17, 2], DEPTH[:, :17])
    assert newest_after(bench, clouds, cloud_confidence=False).point_step == 16
    assert not bench.asked[-1]


def test_a_decimated_cloud_has_the_confidence_of_its_points(make_bench):
    bench = make_bench(cloud_confidence=True, cloud_decimation=3)
    clouds = bench.collect('points', PointCloud2)
    bench.stream()
    bench.wait(lambda: clouds)
    cloud = clouds[0]
    assert (cloud.height, cloud.width, cloud.row_step) == (6, 8, 20 * 8)  # of 17 x 23
    points = np.frombuffer(cloud.data, np.float32).reshape(6, 8, 5)
    np.testing.assert_array_equal(points[..., 4], CONFIDENCE[::3, ::3])
    np.testing.assert_array_equal(points[:, :6, 2], DEPTH[::3, :17:3])


def test_who_comes_while_an_image_is_estimated_gets_the_next_ones(make_camera_bench):
    begun, may_go_on = threading.Event(), threading.Event()

    def estimate(rgb, focal_px):
        begun.set()
        assert may_go_on.wait(60.0)
        return DEPTH

    bench = make_camera_bench(CAMERA, estimate, confidence=CONFIDENCE)
    bench.wait_active()
    depths = bench.collect('depth/image', Image)
    bench.stream()
    assert begun.wait(60.0)
    confidences = bench.collect('confidence/image', Image)
    may_go_on.set()
    bench.wait(lambda: depths and confidences)
    assert bench.asked[:2] == [False, True]
    assert stamp_ns(confidences[0]) > stamp_ns(depths[0])
    assert bench.counts['skipped'] == 0


def test_a_model_without_confidence_has_no_topic_and_says_so_once(make_bench, capfd):
    bench = make_bench(confidence=None, min_confidence=0.5, cloud_confidence=True)
    topics = {publisher.topic_name for publisher in bench.node.publishers}
    assert '/mirror_depth/points' in topics
    assert '/mirror_depth/confidence/image' not in topics
    depths, clouds = bench.collect('depth/image', Image), bench.collect('points', PointCloud2)
    bench.stream()
    bench.wait(lambda: len(depths) >= 3 and len(clouds) >= 3)
    np.testing.assert_array_equal(metres(depths[0])[:, :17], DEPTH[:, :17])
    assert clouds[0].point_step == 16
    log = ''.join(capfd.readouterr())
    assert log.count('the model has no confidence: ~/confidence/image is not published') == 1
    assert log.count('no confidence: min_confidence and cloud_confidence change nothing') == 1


def test_images_unlike_the_training_are_a_warning_in_diagnostics(make_camera_bench):
    bench = make_camera_bench(CAMERA, lambda rgb, focal_px: DEPTH, strangeness=1.5)
    bench.wait_active()
    statuses = []
    bench.user.create_subscription(DiagnosticArray, '/diagnostics', statuses.append, 10)
    bench.collect('depth/image', Image)
    bench.stream()
    warning = 'the images are unlike those that the model was trained on (1.5 times as far'
    bench.wait(lambda: any(s.message.startswith(warning) for a in statuses for s in a.status))
