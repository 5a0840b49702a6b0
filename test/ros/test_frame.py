"""What becomes of a model's depth before it is published."""

from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mirror_depth_ros.depth.nav_points import nav_points
from mirror_depth_ros.ros import frame_worker
from mirror_depth_ros.ros.depth_node import warm_up
from mirror_depth_ros.ros.frame_worker import timed
from mirror_depth_ros.ros.outputs import Frame
from mirror_depth_ros.ros.parameters import DepthParameters

NAN, INF = np.nan, np.inf


def publishable(estimated, parameters, confidence=None):
    """Return depth marked as in REP-117, and as the parameters say."""
    frame = Frame(None, parameters, confidence=confidence)
    frame.filter(estimated)
    return frame.ranged, frame.depth


def test_each_image_of_a_batch_has_the_time_of_the_batch(monkeypatch):
    clock = SimpleNamespace(perf_counter=iter([1.0, 1.5, 5.0, 7.0]).__next__)
    monkeypatch.setattr(frame_worker, 'time', clock)
    first, second = Frame(None, DepthParameters()), Frame(None, DepthParameters())
    with timed('decode', first):
        pass
    with timed('estimate', first, second):  # from 1.5 to 5 s, the images of others had their turn
        pass
    assert first.durations == {'decode': 0.5, 'estimate': 2.0}
    assert second.durations == {'estimate': 2.0}


def test_an_image_knows_in_which_stage_it_failed():
    frame = Frame(None, DepthParameters())
    with timed('decode', frame):
        assert frame.stage == 'decode'
    with pytest.raises(ZeroDivisionError), timed('estimate', frame):
        raise ZeroDivisionError
    assert frame.stage == 'estimate'
    assert list(frame.durations) == ['decode']


def test_depth_is_scaled_before_its_range_is_judged():
    parameters = DepthParameters(depth_scale=2.0, min_range=1.0, max_range=8.0, edge_filter=0.0)
    estimated = np.array([[0.4, 0.5, 3.0, 4.0, 4.1]], np.float32)
    before = estimated.copy()
    depth, _ = publishable(estimated, parameters)
    np.testing.assert_array_equal(depth, np.array([[-INF, 1.0, 6.0, 8.0, INF]], np.float32))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(estimated, before)


def test_a_camera_without_a_name_is_called_camera_in_frames():
    header = Header(stamp=Time(sec=3), frame_id='body')
    frame = Frame(Image(header=header), DepthParameters(frame_id='{camera}_lens'))
    assert frame.header == Header(stamp=Time(sec=3), frame_id='camera_lens')
    assert frame.message.header.frame_id == 'body'


@pytest.mark.parametrize(('device', 'n_images'), [('cpu', 0), ('cuda', 1), ('cuda:1', 1)])
def test_a_gpu_is_warm_before_the_first_image(device, n_images):
    seen = []

    def estimate(rgb, focal_px):
        seen.append((rgb.shape, rgb.dtype, focal_px))

    warm_up(SimpleNamespace(device=device, estimate=estimate))
    assert seen == [((480, 640, 3), np.uint8, 640.0)] * n_images


def stairs():
    """A near thing and a far one with a blurred edge between them, [17, 23]."""
    depth = np.full((17, 23), 2.0, np.float32)
    depth[:, 12:] = 6.0
    depth[:, 11] = 3.0  # 50 % from either
    return depth


def test_what_flies_between_surfaces_becomes_nan():
    filtered, _ = publishable(stairs(), DepthParameters())
    expected = stairs()
    expected[:, 11] = NAN
    np.testing.assert_array_equal(filtered, expected)
    np.testing.assert_array_equal(
        publishable(stairs(), DepthParameters(edge_filter=0.0))[0], stairs()
    )


@pytest.mark.parametrize('out_of_range', ['inf', 'nan', 'clamp'])
def test_doubtful_pixels_are_nan_in_both_however_far_is_marked(out_of_range):
    parameters = DepthParameters(
        min_confidence=0.5, max_range=5.0, edge_filter=0.0, out_of_range=out_of_range
    )
    confidence = np.full((17, 23), 0.5, np.float32)  # just sure enough
    confidence[:4] = 0.49
    for depth in publishable(stairs(), parameters, confidence):
        np.testing.assert_array_equal(np.isnan(depth[:4]), True)
        np.testing.assert_array_equal(depth[4:, :11], 2.0)
    assert not np.isnan(publishable(stairs(), parameters)[0]).any()  # nobody knows of doubt


@pytest.mark.parametrize('far', [6.0, 100.0])
def test_filtered_here_points_are_those_of_the_array_function(far):
    """``nav_points`` filters by itself, at the same strength, where nobody did before."""
    depth = stairs()
    depth[depth == 6.0] = far
    marked = np.where(depth > 80.0, np.float32(INF), depth)
    rays = np.zeros((17, 23, 2), np.float32)
    np.testing.assert_array_equal(
        nav_points(publishable(depth, DepthParameters())[0], rays, edge_filter=0.0),
        nav_points(marked, rays),
    )
