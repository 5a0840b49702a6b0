"""Every fault that a camera, a machine or a file can have; after each, a good image gives depth.

One node works through all of them, on real DDS and with a real, if small, model.
"""

import os
import signal
import threading
import time
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
import rclpy
import torch
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from mirror_depth_ros.cli.ros_environment import free_domain
from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.ros.camera_info import info_from_camera
from mirror_depth_ros.ros.depth_node import DepthNode
from mirror_depth_ros.ros.messages import image_message

H, W = 47, 69
CAMERA = CameraModel(W, H, fx=60.0, fy=62.0, cx=34.0, cy=23.0)
PICTURE = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
PATIENCE_S = 60.0
# How often each fault is tried.
TRIED = 5


def wait(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.002)


class Bench:
    """A depth node, and another that is its camera and the user of its depth."""

    def __init__(self, context, load_estimator, *, transport='raw'):
        self.node = DepthNode(
            load_estimator=load_estimator,
            context=context,
            parameter_overrides=[
                Parameter('image_transport', value=transport),
                Parameter('edge_filter', value=0.0),  # which finds edges in noise, and marks them
            ],
        )
        self.user = Node('user', context=context)
        is_raw = transport == 'raw'
        self.images = self.user.create_publisher(
            Image if is_raw else CompressedImage, 'image' if is_raw else 'image/compressed', 5
        )
        self.infos = self.user.create_publisher(CameraInfo, 'camera_info', 5)
        self.depths, self.statuses = [], []
        self.user.create_subscription(Image, 'mirror_depth/depth/image', self.depths.append, 10)
        self.user.create_subscription(DiagnosticArray, '/diagnostics', self.statuses.append, 10)
        self.executor = SingleThreadedExecutor(context=context)
        for node in (self.node, self.user):
            self.executor.add_node(node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()
        wait(lambda: self.node.state == 'active')
        for publisher in (self.images, self.infos):
            wait(lambda publisher=publisher: publisher.get_subscription_count() == 1)
        topic = '/mirror_depth/depth/image'
        (output,) = (p for p in self.node.publishers if p.topic_name == topic)
        wait(lambda: output.get_subscription_count() == 1)
        self.clock_ns = 10**9

    def close(self):
        self.executor.shutdown()
        self.thread.join(PATIENCE_S)
        self.node.destroy_node()
        self.user.destroy_node()

    @property
    def counts(self):
        return self.node.cameras[0].measurements.summarise().counts

    @property
    def reason(self):
        return self.node.cameras[0].measurements.summarise().skip_reason

    def header(self):
        """Return a header with a stamp of its own."""
        self.clock_ns += 10**8 + 1
        return Header(stamp=stamp(self.clock_ns), frame_id='optical')

    def send_info(self, info):
        """Publish a calibration and wait until the node has it."""
        self.infos.publish(info)
        known = self.node.cameras[0].calibrations._recent
        wait(lambda: known and known[-1].header.stamp == info.header.stamp)

    def depth_of(self, image, *, info=None):
        """Send an image, its calibration first, and return the depth that comes of it."""
        self.send_info(info or info_from_camera(CAMERA, image.header))
        n_before = len(self.depths)
        self.images.publish(image)

        def of_image():  # an image that was on its way before may have its depth first
            return [d for d in self.depths[n_before:] if d.header == image.header]

        wait(of_image)
        (message,) = of_image()
        return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)

    def refused(self, image, *, info=None):
        """Send an image of which no depth comes, and return the reason that the node gives."""
        self.send_info(info or info_from_camera(CAMERA, image.header))
        n_before, n_depths = self.counts['skipped'], len(self.depths)
        self.images.publish(image)
        wait(lambda: self.counts['skipped'] == n_before + 1)
        assert len(self.depths) == n_depths
        return self.reason

    def check_works(self):
        """Check that a good image gives depth."""
        image = self.good()
        depth = self.depth_of(image)
        assert depth.shape == (H, W)
        assert (depth > 0).all()
        return depth

    def good(self, **fields):
        """Return a good image, but for the fields given."""
        header = self.header()
        if isinstance(self.images.msg_type(), CompressedImage):
            data = cv2.imencode('.png', PICTURE)[1].tobytes()
            return changed(CompressedImage(header=header, format='png', data=data), fields)
        return changed(image_message(header, 'rgb8', PICTURE), fields)


def stamp(nanoseconds):
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def changed(message, fields):
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.fixture(scope='module')
def context():
    """A context on a domain of its own, for the nodes of this file and its child processes."""
    with pytest.MonkeyPatch.context() as patch:
        domain = free_domain()
        patch.setenv('ROS_DOMAIN_ID', str(domain))
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain)
        yield context
        rclpy.shutdown(context=context)


@pytest.fixture(scope='module')
def bench(context, tiny_model):
    bench = Bench(context, lambda *_, **__: DepthEstimator.load(tiny_model, device='cpu'))
    yield bench
    bench.close()


@pytest.fixture(scope='module')
def compressed_bench(context, tiny_model, bench):
    """The same for compressed images, in a namespace of the context's own."""
    other = rclpy.Context()
    rclpy.init(context=other, domain_id=free_domain())
    bench = Bench(
        other,
        lambda *_, **__: DepthEstimator.load(tiny_model, device='cpu'),
        transport='compressed',
    )
    yield bench
    bench.close()
    rclpy.shutdown(context=other)


# Images that are refused


@dataclass(frozen=True)
class Refused:
    """A fault for which an image is skipped."""

    what: str
    #: What the reason begins with.
    reason: str
    #: Fields of the image that are wrong, and of the CameraInfo.
    image: dict = field(default_factory=dict)
    info: dict = field(default_factory=dict)


def intrinsics(fx=60.0, fy=62.0, cx=34.0, cy=23.0):
    return [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]


NAN, INF = float('nan'), float('inf')
REFUSED = (
    Refused('unknown encoding', "got encoding 'rgb9'", {'encoding': 'rgb9'}),
    Refused('no encoding', "got encoding ''", {'encoding': ''}),
    Refused('a depth image', "got encoding '32FC1'", {'encoding': '32FC1'}),
    Refused('data cut short', 'got 9728 bytes of data', {'data': bytes(H * W * 3 - 1)}),
    Refused('no data', 'got 0 bytes of data', {'data': b''}),
    Refused('no size', 'got an image of 0 x 0 pixels', {'width': 0, 'height': 0}),
    Refused('no rows', 'got an image of 69 x 0 pixels', {'height': 0}),
    Refused('no columns', 'got an image of 0 x 47 pixels', {'width': 0}),
    Refused('step shorter than a row', 'got a step of 206 bytes', {'step': 3 * W - 1}),
    Refused('no step', 'got a step of 0 bytes', {'step': 0}),
    Refused('width larger than a row', 'got a step of 207 bytes', {'width': 2 * W}),
    Refused('height larger than the data', 'got 9729 bytes of data', {'height': H + 1}),
    Refused(
        'the largest size that a message can say',
        'got a step of 4294967295 bytes',
        {'width': 2**32 - 1, 'height': 2**32 - 1, 'step': 2**32 - 1},
    ),
    Refused('odd size in nv12', 'got 69 x 47 pixels in nv12', {'encoding': 'nv12'}),
    Refused('odd width in yuv422', 'got 69 x 47 pixels in yuv422', {'encoding': 'yuv422'}),
    Refused("an aspect that is not the CameraInfo's", 'got an image of 69 x 20', {'height': 20}),
    Refused('uncalibrated camera', 'got a CameraInfo whose K', info={'k': [0.0] * 9}),
    Refused('focal length NaN', 'got focal lengths fx=nan', info={'k': intrinsics(fx=NAN)}),
    Refused('focal length infinite', 'got focal lengths fx=inf', info={'k': intrinsics(fx=INF)}),
    Refused('focal length negative', 'got focal lengths fx=-60', info={'k': intrinsics(fx=-60.0)}),
    Refused('focal length 0', 'got focal lengths fx=60.0, fy=0', info={'k': intrinsics(fy=0.0)}),
    Refused('principal point NaN', 'got a principal point', info={'k': intrinsics(cx=NAN)}),
    Refused(
        'unknown lens model',
        "got distortion model 'kannala'",
        info={'distortion_model': 'kannala', 'd': [0.1] * 4},
    ),
    Refused('coefficients missing', 'got 3 coefficients', info={'d': [0.1] * 3}),
    Refused('coefficients NaN', 'got distortion (nan', info={'d': [NAN, 0.0, 0.0, 0.0, 0.0]}),
    Refused('CameraInfo without size', 'got an image of 0 x 0', info={'width': 0, 'height': 0}),
    Refused(
        'region of interest outside',
        'got a region of interest',
        info={'roi': RegionOfInterest(x_offset=60, width=20, height=10)},
    ),
    Refused('binning beyond the image', 'got an image of 0 x', info={'binning_x': 100}),
)


@pytest.mark.parametrize('fault', REFUSED, ids=lambda fault: fault.what.replace(' ', '_'))
def test_a_fault_of_one_image_is_refused_by_its_reason(bench, report_row, fault):
    for _ in range(TRIED):
        image = bench.good(**fault.image)
        info = changed(info_from_camera(CAMERA, image.header), fault.info)
        assert bench.refused(image, info=info).startswith(fault.reason)
        bench.check_works()
    report_row('faults', fault.what, f'skipped: {fault.reason} ...', tried=TRIED)


# Images that are unusual, but right


def as_little_endian(bench):
    grey = PICTURE[..., 0].astype('<u2') * 257
    return bench.good(encoding='mono16', step=2 * W, data=grey.tobytes())


def as_big_endian(bench):
    grey = PICTURE[..., 0].astype('>u2') * 257
    return bench.good(encoding='mono16', step=2 * W, data=grey.tobytes(), is_bigendian=1)


def padded(bench):
    rows = np.pad(PICTURE.reshape(H, -1), ((0, 0), (0, 5)), constant_values=200)
    return bench.good(step=3 * W + 5, data=rows.tobytes())


def too_long(bench):
    return bench.good(data=PICTURE.tobytes() + bytes(1000))


def big_endian_bytes(bench):
    return bench.good(is_bigendian=1)


@pytest.mark.parametrize(
    ('what', 'make', 'like'),
    [
        ('16 bits in big-endian order', as_big_endian, as_little_endian),
        ('rows padded by 5 bytes', padded, Bench.good),
        ('more data than rows', too_long, Bench.good),
        ('8 bits said to be big-endian', big_endian_bytes, Bench.good),
    ],
)
def test_an_unusual_layout_gives_the_same_depth(bench, report_row, what, make, like):
    for _ in range(TRIED):
        expected = bench.depth_of(like(bench))
        np.testing.assert_allclose(bench.depth_of(make(bench)), expected, rtol=1e-2)
    report_row('faults', what, 'the same depth as in the usual layout', tried=TRIED)


def sized(bench, height, width):
    """Return an image of any size, and its calibration."""
    image = Image(header=bench.header(), height=height, width=width, encoding='mono8', step=width)
    picture = np.random.default_rng(1).integers(0, 256, height * width, np.uint8)
    image.data.frombytes(picture.tobytes())
    camera = CameraModel.from_fov(width, height, 60.0)
    return image, info_from_camera(camera, image.header)


@pytest.mark.parametrize(
    ('height', 'width', 'tried'), [(1, 1, TRIED), (1, 4001, TRIED), (8192, 8192, 1)]
)
def test_any_size_gives_depth(bench, report_row, height, width, tried):
    for _ in range(tried):
        image, info = sized(bench, height, width)
        depth = bench.depth_of(image, info=info)
        assert depth.shape == (height, width)
        assert (depth > 0).all()
        bench.check_works()
    report_row('faults', f'an image of {width} x {height}', 'depth of that size', tried=tried)


def test_the_size_changes_from_image_to_image(bench, report_row):
    for turn in range(TRIED):
        height, width = 40 + 7 * turn, 90 - 3 * turn
        image, info = sized(bench, height, width)
        assert bench.depth_of(image, info=info).shape == (height, width)
    # The camera driver resizes, its CameraInfo stays as it was.
    double = info_from_camera(CAMERA.resized(2 * W, 2 * H), bench.header())
    for _ in range(TRIED):
        image = bench.good()
        double.header = image.header
        expected = bench.depth_of(bench.good())
        np.testing.assert_allclose(bench.depth_of(image, info=double), expected, rtol=1e-2)
    report_row('faults', 'the size changes mid-stream', 'depth of each size', tried=2 * TRIED)


@pytest.mark.parametrize(
    ('what', 'step_ns'),
    [('stamps of 0', None), ('the same stamp again', 0), ('stamps backwards', -(10**9))],
)
def test_stamps_that_do_not_rise(bench, report_row, what, step_ns):
    at_ns = 10**15
    for _ in range(TRIED):
        image = bench.good()
        image.header.stamp = Time() if step_ns is None else stamp(at_ns)
        at_ns += step_ns or 0
        assert (bench.depth_of(image) > 0).all()  # of that very stamp
    bench.check_works()
    report_row('faults', what, 'depth with the stamp of its image', tried=TRIED)


# Calibrations


def test_a_huge_focal_length(bench, report_row):
    """A mountain through a telescope is far away, and says so."""
    for focal_px in np.geomspace(1e6, 1e30, TRIED):
        image = bench.good()
        camera = replace(CAMERA, fx=float(focal_px), fy=float(focal_px))
        depth = bench.depth_of(image, info=info_from_camera(camera, image.header))
        assert (depth == np.inf).all()  # REP-117: beyond range
        bench.check_works()
    what = 'a focal length of 1e6 to 1e30 pixels'
    report_row('faults', what, '+Inf: beyond max_range (REP-117)', tried=TRIED)


def test_the_calibration_changes(bench, report_row):
    expected = bench.check_works()
    for turn in range(TRIED):
        zoom = 1.0 + turn / 10
        camera = replace(CAMERA, fx=60.0 * zoom, fy=62.0 * zoom)
        image = bench.good()
        depth = bench.depth_of(image, info=info_from_camera(camera, image.header))
        np.testing.assert_allclose(depth, zoom * expected, rtol=1e-2)
    what = 'CameraInfo changes from image to image'
    report_row('faults', what, 'depth by the CameraInfo of its own stamp', tried=TRIED)


def test_the_calibration_comes_late(ros_context, tiny_model, report_row):
    bench = Bench(ros_context, lambda *_, **__: DepthEstimator.load(tiny_model, device='cpu'))
    try:
        for _ in range(TRIED):
            n_before = bench.counts['ignored']
            bench.images.publish(bench.good())
            wait(lambda n_before=n_before: bench.counts['ignored'] == n_before + 1)
        bench.check_works()
    finally:
        bench.close()
    outcome = 'images before it are left; then depth'
    report_row('faults', 'CameraInfo comes after the first images', outcome, tried=TRIED)


# Compressed images


def jpeg(quality=90):
    return cv2.imencode('.jpg', PICTURE, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def png():
    return cv2.imencode('.png', PICTURE)[1].tobytes()


def png_of_any_size(width, height):
    """Return a PNG whose header names another size."""
    import struct
    import zlib

    data = png()
    header = b'IHDR' + struct.pack('>II', width, height) + data[24:29]
    return data[:12] + header + struct.pack('>I', zlib.crc32(header)) + data[33:]


COMPRESSED = {
    'no compressed data': lambda share: b'',
    'a JPEG cut anywhere': lambda share: jpeg()[: int(share * len(jpeg()))],
    'a PNG cut anywhere': lambda share: png()[: int(share * len(png()))],
    'a PNG that claims 100,000 x 100,000 pixels': lambda share: png_of_any_size(10**5, 10**5),
    'data that is no picture': lambda share: os.urandom(1000),
    'compressed depth': lambda share: b'\0' * 12 + png(),
}


@pytest.mark.parametrize('what', COMPRESSED)
def test_a_compressed_image_that_is_damaged(compressed_bench, report_row, what):
    bench = compressed_bench
    for turn in range(TRIED):
        data = COMPRESSED[what](turn / TRIED)
        reason = bench.refused(bench.good(data=data))
        assert reason.startswith(f'got {len(data)} bytes of format'), reason
    bench.check_works()
    report_row('faults', what, 'skipped: got ... bytes of format ...', tried=TRIED)


def test_a_jpeg_with_changed_bytes(compressed_bench, report_row):
    """JPEG has no checksum: what a damaged one shows nobody can know, but its size is right."""
    bench, random = compressed_bench, np.random.default_rng(2)
    n_depths = 0
    for _ in range(TRIED):
        data = np.frombuffer(jpeg(), np.uint8).copy()
        at = random.integers(len(data) // 2, len(data) - 2, 5)
        data[at] = random.integers(0, 255, 5)
        image = bench.good(data=data.tobytes(), format='jpeg')
        bench.send_info(info_from_camera(CAMERA, image.header))
        before = bench.counts
        bench.images.publish(image)
        wait(lambda before=before: _n_done(bench.counts) > _n_done(before))
        n_depths += bench.counts['processed'] - before['processed']
    assert all((d.height, d.width) == (H, W) for d in bench.depths)
    bench.check_works()
    outcome = 'depth of that size, of what the decoder makes of it, or skipped'
    figures = f'{n_depths} gave depth'
    report_row('faults', 'a JPEG with 5 bytes changed', outcome, tried=TRIED, figures=figures)


def _n_done(counts):
    return counts['processed'] + counts['skipped']


# Inference


def test_out_of_memory_the_node_goes_on_with_a_smaller_input(
    ros_context, tiny_model, report_row, capfd
):
    estimators = []

    def load(*_, **__):
        """Load a model for whose whole input there is no memory, at first."""
        estimator = DepthEstimator.load(tiny_model, device='cpu', degrade_on_oom=True)
        predict = estimator._predict
        estimator.patches_allowed = 6  # of 12

        def predict_if_small(names, images, focal_px, size):
            rows, columns = (n // 16 for n in size)
            if rows * columns > estimator.patches_allowed:
                torch.empty(2**60, dtype=torch.uint8)  # PyTorch's own error
            return predict(names, images, focal_px, size)

        estimator._predict = predict_if_small
        estimators.append(estimator)
        return estimator

    bench = Bench(ros_context, load)
    warned = 'the model ran out of memory on cpu and sees images at 48 x 32 pixels now'

    def is_on_diagnostics():
        return any(s.message.startswith(warned) for m in bench.statuses for s in m.status)

    try:
        assert not is_on_diagnostics()
        for _ in range(TRIED):
            bench.check_works()  # the very first image as well
        wait(is_on_diagnostics)
        estimators[0].patches_allowed = 0
        for _ in range(TRIED):
            assert 'got too little memory on cpu' in bench.refused(bench.good())
        estimators[0].patches_allowed = 6
        bench.check_works()
    finally:
        bench.close()
    log = ''.join(capfd.readouterr())
    assert warned in log
    outcome = 'depth of the same image from half the patches; said in log and on /diagnostics'
    report_row('faults', 'out of memory', outcome, tried=TRIED)
    outcome = 'skipped: got too little memory ...'
    report_row('faults', 'out of memory again', outcome, tried=TRIED)


def test_the_model_fails(ros_context, report_row):
    class Fragile:
        device, precision, backend, notice = 'cpu', 'fp32', 'torch', ''
        has_confidence = False
        fails = False

        def estimate_batch(self, *batch, **_):
            return [(depth, None, None) for depth in map(self.estimate, *batch)]

        def estimate(self, rgb, focal_px):
            if self.fails:
                raise RuntimeError('CUDA error: device-side assert triggered')
            return np.ones(rgb.shape[:2], np.float32)

    estimator = Fragile()
    bench = Bench(ros_context, lambda *_, **__: estimator)
    try:
        for _ in range(TRIED):
            estimator.fails = True
            assert bench.refused(bench.good()).startswith('RuntimeError: CUDA error')
            estimator.fails = False
            bench.check_works()
    finally:
        bench.close()
    report_row('faults', 'the model raises', 'skipped: RuntimeError: ...', tried=TRIED)


# The camera's process


CAMERA_PROCESS = """
    import sys
    import numpy as np
    import rclpy
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import Header
    from mirror_depth_ros.depth.camera import CameraModel
    from mirror_depth_ros.ros.camera_info import info_from_camera
    from mirror_depth_ros.ros.messages import image_message
    rclpy.init()
    node = rclpy.create_node('camera')
    images = node.create_publisher(Image, 'image', 5)
    infos = node.create_publisher(CameraInfo, 'camera_info', 5)
    def send():
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id=sys.argv[1])
        infos.publish(info_from_camera(CameraModel.from_fov(69, 47, 60.0), header))
        images.publish(image_message(header, 'rgb8', np.full((47, 69, 3), 90, np.uint8)))
    node.create_timer(0.02, send)
    rclpy.spin(node)
"""


def test_the_camera_dies_and_returns(bench, run_program, report_row):
    n_lives = 3
    for life in range(n_lives):
        camera = run_program(CAMERA_PROCESS, f'life_{life}')
        wait(
            lambda life=life: (
                [d.header.frame_id for d in bench.depths[-5:]] == [f'life_{life}'] * 5
            )
        )
        camera.send_signal(signal.SIGKILL)
        camera.wait()
    bench.check_works()
    what = 'the camera is killed (SIGKILL) and started again'
    report_row('faults', what, 'depth each time', tried=n_lives)
