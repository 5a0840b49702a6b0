import sys
import types

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from mirror_depth_ros.depth.image_decoding import decode_image
from mirror_depth_ros.ros.messages import load_cv_bridge

H, W = 5, 7  # odd and not square, so that a transposition shows


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
    np.testing.assert_array_equal(decode_image(CompressedImage(data=data)), rgb)


def test_an_empty_real_message_is_refused():
    with pytest.raises(ValueError, match="got encoding '', expected one of rgb8"):
        decode_image(Image())
    with pytest.raises(ValueError, match="got 0 bytes of format '' that are no picture"):
        decode_image(CompressedImage())


@pytest.fixture
def install_bridge(monkeypatch):
    """Return what makes a function ``convert(message)`` that of the installed cv_bridge."""

    def install(convert):
        class CvBridge:
            def imgmsg_to_cv2(self, message, desired_encoding):
                assert desired_encoding == 'rgb8'
                return convert(message)

        module = types.ModuleType('cv_bridge')
        module.CvBridge = CvBridge
        monkeypatch.setitem(sys.modules, 'cv_bridge', module)

    load_cv_bridge.cache_clear()
    yield install
    load_cv_bridge.cache_clear()


def rgb16(make_image, rgb):
    return real(make_image(257 * rgb.astype(np.uint16), 'rgb16'))


def test_cv_bridge_converts_what_opencv_alone_does_not(install_bridge, make_image, rgb):
    seen = []
    install_bridge(lambda image: seen.append(image) or rgb)
    image = rgb16(make_image, rgb)
    np.testing.assert_array_equal(decode_image(image, load_bridge=load_cv_bridge), rgb)
    assert seen == [image]
    decode_image(real(make_image(rgb, 'bgr8')), load_bridge=load_cv_bridge)
    assert len(seen) == 1


def test_without_cv_bridge_such_an_image_is_refused(monkeypatch, make_image, rgb):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    load_cv_bridge.cache_clear()
    with pytest.raises(ValueError, match="got encoding 'rgb16', expected one of rgb8"):
        decode_image(rgb16(make_image, rgb), load_bridge=load_cv_bridge)
    load_cv_bridge.cache_clear()


def test_what_cv_bridge_cannot_convert_is_a_value_error(install_bridge, make_image, rgb):
    def numpy_2_breaks_it(_):
        raise AttributeError('_ARRAY_API not found')

    install_bridge(numpy_2_breaks_it)
    message = r"got encoding 'rgb16' .cv_bridge: _ARRAY_API not found., expected one of rgb8"
    with pytest.raises(ValueError, match=message):
        decode_image(rgb16(make_image, rgb), load_bridge=load_cv_bridge)
