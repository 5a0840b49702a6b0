from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.depth.grey_levels import GreyLevels

H, W = 135, 147


def ramp(low, high):
    """A picture of all values from low to high, in the rows' order."""
    return np.linspace(low, high, H * W).round().astype(np.uint16).reshape(H, W)


@pytest.mark.parametrize(
    ('bits', 'value', 'expected'),
    [
        # 255 / (2**bits - 1) a step: 500 * 255 / 1023 = 124.6, 2000 * 255 / 4095 = 124.5 (up),
        # 8000 * 255 / 16383 = 124.5 (up), 32768 / 257 = 127.5 (up)
        (8, 200, 200),
        (10, 500, 125),
        (12, 2000, 125),
        (14, 8000, 125),
        (16, 32768, 128),
    ],
)
def test_white_is_the_largest_value_of_the_bits_in_use(bits, value, expected):
    picture = ramp(0, 2**bits - 1)
    picture[2, 3] = value
    levels = GreyLevels()
    converted = levels.convert(picture)
    assert converted.dtype == np.uint8
    assert (converted[0, 0], converted[-1, -1], converted[2, 3]) == (0, 255, expected)
    assert levels.description == f'{bits} of 16 bits'


def test_brightness_does_not_jump_from_picture_to_picture():
    levels = GreyLevels()
    levels.convert(ramp(0, 4095))
    dark = levels.convert(ramp(0, 400))
    assert dark.max() == 25  # 400 * 255 / 4095 = 24.9
    assert levels.description == '12 of 16 bits'
    levels.convert(ramp(0, 16000))
    assert levels.convert(ramp(0, 400)).max() == 6  # 400 * 255 / 16383 = 6.2


@pytest.mark.parametrize(
    ('low', 'high', 'bits'),
    [
        (29_000, 31_500, 16),  # hundredths of a kelvin
        (7600, 8400, 14),  # raw values of a 14-bit thermal camera
    ],
)
def test_a_thermal_range_is_stretched(low, high, bits):
    levels = GreyLevels()
    picture = ramp(low, high)
    picture[5, 6], picture[7, 8] = 0, 2**bits - 1  # dead pixels
    converted = levels.convert(picture)
    assert levels.description == f'a narrow range within {bits} of 16 bits, stretched'
    assert converted[0, 0] == 0
    assert converted[-1, -1] == 255
    assert abs(int(converted[H // 2, W // 2]) - 128) <= 4
    assert (converted[5, 6], converted[7, 8]) == (0, 255)
    # A colder or warmer scene is not stretched anew.
    part = levels.convert(ramp(low, (low + high) // 2))
    assert abs(int(part[-1, -1]) - 128) <= 4


@pytest.mark.parametrize(
    'picture',
    [
        np.full((H, W), 600, np.uint16),  # one value
        ramp(60, 70),  # noise above the black level of a covered camera
        ramp(500, 3000),  # a hazy scene
    ],
)
def test_pictures_of_ordinary_cameras_are_not_stretched(picture):
    levels = GreyLevels()
    levels.convert(picture)
    assert 'stretched' not in levels.description


def test_a_bright_wall_is_no_thermal_range_once_the_camera_has_seen_more():
    levels = GreyLevels()
    levels.convert(ramp(100, 4000))
    wall = levels.convert(ramp(3000, 3100))
    assert wall.min() == 187  # 3000 * 255 / 4095 = 186.8
    assert levels.description == '12 of 16 bits'


def test_colours_of_16_bits_share_their_levels():
    picture = np.zeros((H, W, 3), np.uint16)
    picture[..., 0], picture[..., 1] = 4095, 819
    converted = GreyLevels().convert(picture)
    assert converted.shape == (H, W, 3)
    assert converted[3, 4].tolist() == [255, 51, 0]  # 819 * 255 / 4095 = 51
