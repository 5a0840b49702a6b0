"""What each protocol sees and counts, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mirror_depth_ros.depth.eval_protocols import (
    PROTOCOLS,
    Protocol,
    Shares,
    Window,
    named_protocol,
)


def edges(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return first row, row after the last, first column, column after the last."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    assert mask[top:bottom, left:right].all()
    assert mask.sum() == (bottom - top) * (right - left)
    return int(top), int(bottom), int(left), int(right)


def test_caps_and_names() -> None:
    caps = {name: protocol.max_depth for name, protocol in PROTOCOLS.items()}
    assert caps == {
        'indoor': 10.0,
        'outdoor': 80.0,
        'nyu': 10.0,
        'kitti_garg_full': 80.0,
        'kitti_garg_cropped': 80.0,
        'kitti_eigen_full': 80.0,
        'kitti_eigen_cropped': 80.0,
    }
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())


@pytest.mark.parametrize('name', ['indoor', 'outdoor'])
def test_without_a_crop_everything_is_seen_and_counts(name: str) -> None:
    assert PROTOCOLS[name].input_window(5, 7) == (0, 0, 5, 7)
    assert PROTOCOLS[name].mask(5, 7).shape == (5, 7)
    assert PROTOCOLS[name].mask(5, 7).all()


def test_nyu_counts_the_eigen_crop_of_all_that_is_seen() -> None:
    assert PROTOCOLS['nyu'].input_window(480, 640) == (0, 0, 480, 640)
    assert edges(PROTOCOLS['nyu'].mask(480, 640)) == (45, 471, 41, 601)


@pytest.mark.parametrize('size', [(479, 640), (640, 480)])
def test_nyu_has_one_size(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match='expected 480 x 640, for which alone the protocol nyu'):
        PROTOCOLS['nyu'].mask(*size)


# Image size, then: KITTI's window of 352 x 1216 begins at row H - 352 and column (W - 1216) // 2.
@pytest.mark.parametrize(
    ('height', 'width', 'top', 'left'),
    [(375, 1242, 23, 13), (370, 1226, 18, 5), (376, 1241, 24, 12), (352, 1216, 0, 0)],
)
@pytest.mark.parametrize('name', [name for name in PROTOCOLS if name.startswith('kitti')])
def test_all_kitti_protocols_show_the_network_the_benchmark_window(
    name: str, height: int, width: int, top: int, left: int
) -> None:
    assert PROTOCOLS[name].input_window(height, width) == (top, left, 352, 1216)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        # .40810811 * 375 = 153.04, .99189189 * 375 = 371.96,
        # .03594771 * 1242 = 44.65, .96405229 * 1242 = 1197.35
        ('kitti_garg_full', (153, 371, 44, 1197)),
        # .40810811 * 352 = 143.65, .99189189 * 352 = 349.15,
        # .03594771 * 1216 = 43.71, .96405229 * 1216 = 1172.29; the window begins at 23, 13
        ('kitti_garg_cropped', (23 + 143, 23 + 349, 13 + 43, 13 + 1172)),
        # .3324324 * 375 = 124.66, .91351351 * 375 = 342.57
        ('kitti_eigen_full', (124, 342, 44, 1197)),
        # .3324324 * 352 = 117.02, .91351351 * 352 = 321.56
        ('kitti_eigen_cropped', (23 + 117, 23 + 321, 13 + 43, 13 + 1172)),
    ],
)
def test_kitti_crops_by_hand(name: str, expected: tuple[int, int, int, int]) -> None:
    mask = PROTOCOLS[name].mask(375, 1242)
    assert mask.shape == (375, 1242)
    assert edges(mask) == expected


@pytest.mark.parametrize('crop', ['garg', 'eigen'])
def test_of_the_window_alone_both_readings_are_the_same(crop: str) -> None:
    full, cropped = (PROTOCOLS[f'kitti_{crop}_{reading}'] for reading in ('full', 'cropped'))
    np.testing.assert_array_equal(full.mask(352, 1216), cropped.mask(352, 1216))


@pytest.mark.parametrize('size', [(351, 1242), (375, 1215)])
def test_kitti_images_hold_the_window(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match='expected at least 352 x 1216, which the protocol kitti'):
        PROTOCOLS['kitti_garg_full'].input_window(*size)


# All sizes that the raw drives have: nothing counts that the network does not see.
@pytest.mark.parametrize(
    'size', [(375, 1242), (370, 1224), (374, 1238), (370, 1226), (376, 1241), (352, 1216)]
)
@pytest.mark.parametrize('name', [name for name in PROTOCOLS if name.startswith('kitti')])
def test_what_counts_is_seen(name: str, size: tuple[int, int]) -> None:
    unseen = np.ones(size, bool)
    unseen[PROTOCOLS[name].input_window(*size).slices] = False
    mask = PROTOCOLS[name].mask(*size)
    assert mask.any()
    assert not (mask & unseen).any()


def test_to_count_what_is_not_seen_is_refused() -> None:
    # .03594771 * 2001 = 71.9, but the window begins at (2001 - 1216) // 2 = 392
    with pytest.raises(
        ValueError, match=r'kitti_garg_full counts Window\(top=153, left=71, .*left=392'
    ):
        PROTOCOLS['kitti_garg_full'].mask(375, 2001)
    assert edges(PROTOCOLS['kitti_garg_cropped'].mask(375, 2001))[2] == 392 + 43


def test_a_crop_of_the_input_may_be_all_of_it() -> None:
    protocol = Protocol('made', 10.0, input_size=(3, 5), crops_input=True)
    assert edges(protocol.mask(5, 9)) == (2, 5, 2, 7)


def test_a_part_of_a_window() -> None:
    # .25 * 4 = 1, 1 * 4 = 4; .2 * 7 = 1.4, .8 * 7 = 5.6; the window begins at 1, 2
    part = Shares(0.25, 1.0, 0.2, 0.8).of(Window(1, 2, 4, 7))
    assert part == Window(2, 3, 3, 4)
    assert part.slices == (slice(2, 5), slice(3, 7))


def test_by_name_and_with_another_cap() -> None:
    assert named_protocol('nyu') is PROTOCOLS['nyu']
    nearer = named_protocol('kitti_garg_full', max_depth=50.0)
    assert nearer.max_depth == 50.0
    assert nearer.name == 'kitti_garg_full'
    assert PROTOCOLS['kitti_garg_full'].max_depth == 80.0
    with pytest.raises(ValueError, match="got protocol 'eigen', expected one of indoor, outdoor"):
        named_protocol('eigen')
