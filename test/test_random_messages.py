"""Random messages: the decoder refuses them by a ``ValueError``, or makes a picture of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mirror_depth_ros.depth.image_decoding import ENCODINGS, decode_compressed, decode_image

# Hypothesis draws a seed for so many at a time: a draw for each field would take minutes.
N_EACH = 50

EDGES = (0, 1, 2, 255, 640, 65_535, 2**31 - 1, 2**31, 2**32 - 1)
OTHER_ENCODINGS = ('32FC1', '8UC3', 'RGB8', '', 'é\0')


def random_size(random: Random) -> int:
    return random.choice(EDGES) if random.random() < 0.4 else random.randrange(40)


def random_image(random: Random) -> SimpleNamespace:
    """Return an Image that is wild in all fields, or a valid one of which some are."""
    if random.random() < 0.5:
        return SimpleNamespace(
            encoding=random.choice(ENCODINGS + OTHER_ENCODINGS),
            is_bigendian=random.randrange(256),
            width=random_size(random),
            height=random_size(random),
            step=random_size(random),
            data=random.randbytes(random.randrange(2000)),
        )
    width, height = 2 * random.randint(1, 8), 2 * random.randint(1, 8)
    step = 4 * width + random.randrange(4)  # enough for any encoding
    image = SimpleNamespace(
        encoding=random.choice(ENCODINGS),
        is_bigendian=random.randrange(2),
        width=width,
        height=height,
        step=step,
        data=random.randbytes(step * height * 3 // 2),
    )
    for name in random.sample(
        ('width', 'height', 'step', 'encoding', 'data'), random.randrange(3)
    ):
        changes = {'encoding': random.choice(OTHER_ENCODINGS), 'data': image.data[:-37]}
        setattr(image, name, changes.get(name, random_size(random)))
    return image


def pictures() -> list[bytes]:
    """Return small pictures in the formats that cameras send, and in others."""
    rgb = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    suffixes = ('.jpg', '.png', '.bmp', '.webp', '.tiff', '.ppm')
    grey = cv2.imencode('.png', rgb[..., 0].astype(np.uint16) * 257)[1].tobytes()
    return [*(cv2.imencode(suffix, rgb)[1].tobytes() for suffix in suffixes), grey]


def random_compressed(random: Random) -> SimpleNamespace:
    """Return a CompressedImage of random data, or of a picture that is changed or cut."""
    form = random.choice(('jpeg', 'png', 'rgb8; jpeg compressed bgr8', ''))
    if random.random() < 0.2:
        return SimpleNamespace(format=form, data=random.randbytes(random.randrange(300)))
    data = bytearray(random.choice(PICTURES))
    for _ in range(random.randrange(4)):
        data[random.randrange(len(data))] = random.randrange(256)
    if random.random() < 0.5:
        data = data[: random.randrange(len(data))]
    return SimpleNamespace(format=form, data=bytes(data))


PICTURES = pictures()


def decodes(decode: Callable[[Any], Any], message: SimpleNamespace) -> bool:
    """Return whether a message was decoded, and not refused; anything else raises."""
    reason = None
    try:
        picture = decode(message)
    except ValueError as error:
        reason = str(error)
    if reason is not None:
        assert reason.startswith('got ')
        assert 'expected' in reason
        return False
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    if hasattr(message, 'width'):
        assert picture.shape[:2] == (message.height, message.width)
    assert picture.size
    int(picture.sum())  # reads every pixel, also where the picture is a view of the message
    return True


@pytest.mark.parametrize(
    ('what', 'make', 'decode', 'n_messages'),
    [
        (
            'Image: wild in all fields, or valid but for up to two',
            random_image,
            decode_image,
            17_000,
        ),
        (
            'CompressedImage: random data, or a picture in which bytes are changed or missing',
            random_compressed,
            decode_compressed,
            3_000,
        ),
    ],
    ids=['raw', 'compressed'],
)
def test_random_messages(
    what: str,
    make: Callable[[Random], SimpleNamespace],
    decode: Callable[[Any], Any],
    n_messages: int,
    report_row: Callable[..., None],
) -> None:
    decoded: list[bool] = []

    @settings(
        max_examples=n_messages // N_EACH,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=True))
    def try_some(random: Random) -> None:
        decoded.extend(decodes(decode, make(random)) for _ in range(N_EACH))

    try_some()
    assert len(decoded) >= n_messages
    assert 0.1 < sum(decoded) / len(decoded) < 0.9  # both ends of the decoder were reached
    outcome = 'an [H, W, 3] picture, or a ValueError that says what was expected'
    figures = f'{sum(decoded):,} gave a picture'
    report_row('messages', what, outcome, tried=n_messages, figures=figures)
