import sys
import types

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.depth.image_decoding import decode_compressed
from mirror_depth_ros.ros import decoding
from mirror_depth_ros.ros.decoding import decode_image

H, W = 5, 7  # odd and not square, so that a transposition shows


@pytest.fixture(autouse=True)
def without_cv_bridge(monkeypatch):
    """OpenCV decodes, whatever is installed here."""
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    decoding._load_cv_bridge.cache_clear()
    yield
    decoding._load_cv_bridge.cache_clear()


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)


def real(image):
    """The real message with the fields of one from ``make_image``."""
    return Image(**{**vars(image), 'data': bytes(image.data)})


def test_a_real_message_in_colour(make_image, rgb):
    image = real(make_image(rgb[..., ::-1], 'bgr8', padding=5))
    np.testing.assert_array_equal(decode_image(image), rgb)


@pytest.mark.parametrize('is_bigendian', [False, True])
def test_a_real_message_in_16_bits(make_image, is_bigendian):
    # 65535 / 255 = 257 a step
    values = 257 * np.arange(H * W).reshape(H, W)
    values[-1, -1] = 65535  # all 16 bits are in use
    stored = values.astype('>u2' if is_bigendian else '<u2')
    image = real(make_image(stored, 'mono16', padding=3, is_bigendian=is_bigendian))
    np.testing.assert_array_equal(decode_image(image)[..., 0], values // 257)


def test_a_real_message_in_rgb8_is_not_copied(make_image, rgb):
    image = real(make_image(rgb, 'rgb8', padding=3))
    image.data[0] = 200
    assert np.shares_memory(decode_image(image), np.frombuffer(image.data, np.uint8))
    assert decode_image(image)[0, 0, 0] == 200


def test_a_real_compressed_message(rgb):
    data = cv2.imencode('.png', rgb[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(CompressedImage(data=data)), rgb)


def test_an_empty_real_message_is_refused():
    with pytest.raises(ValueError, match="got encoding '', expected one of rgb8"):
        decode_image(Image())
    with pytest.raises(ValueError, match="got 0 bytes of format '' that are no picture"):
        decode_compressed(CompressedImage())


def fake_cv_bridge(convert):
    """A module ``cv_bridge`` whose conversion is ``convert(message)``."""

    class CvBridge:
        def imgmsg_to_cv2(self, message, desired_encoding):
            assert desired_encoding == 'rgb8'
            return convert(message)

    module = types.ModuleType('cv_bridge')
    module.CvBridge = CvBridge
    return module


def bgr_to_rgb(image):
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)[..., ::-1]


def test_cv_bridge_converts_where_it_works(monkeypatch, make_image, rgb):
    seen = []
    module = fake_cv_bridge(lambda image: seen.append(image) or bgr_to_rgb(image))
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    image = real(make_image(rgb[..., ::-1], 'bgr8'))
    np.testing.assert_array_equal(decode_image(image), rgb)
    assert seen[-1] is image
    assert decoding.decoder_name() == 'cv_bridge'


def numpy_2_breaks_it(image):
    raise AttributeError('_ARRAY_API not found')


def test_opencv_converts_where_cv_bridge_fails(monkeypatch, make_image, rgb):
    monkeypatch.setitem(sys.modules, 'cv_bridge', fake_cv_bridge(numpy_2_breaks_it))
    image = real(make_image(rgb[..., ::-1], 'bgr8'))
    np.testing.assert_array_equal(decode_image(image), rgb)
    assert decoding.decoder_name() == 'OpenCV'


def test_a_frame_that_cv_bridge_cannot_convert_is_a_value_error(monkeypatch, make_image, rgb):
    def only_the_probe(image):
        if image.width == 1:
            return bgr_to_rgb(image)
        raise RuntimeError('CvBridgeError')

    monkeypatch.setitem(sys.modules, 'cv_bridge', fake_cv_bridge(only_the_probe))
    with pytest.raises(ValueError, match=r'cannot be converted to RGB .CvBridgeError.'):
        decode_image(real(make_image(rgb, 'bgr8')))
