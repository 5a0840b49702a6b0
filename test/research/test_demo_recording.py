import json

import cv2
import numpy as np
import pytest

from research.demo_recording import copy_frame, shrink


def test_shrinks_wide_frames_and_keeps_the_nearest_depth():
    # 1296 pixels are three times 432; two times 648 would be more than 640.
    rgb = np.zeros((6, 1296, 3), np.uint8)
    rgb[:3, :3] = 90
    units = np.zeros((6, 1296), np.uint16)
    units[1, 2], units[2, 0] = 700, 500  # both in the first block of 3 x 3
    camera = {'fx': 900.0, 'fy': 903.0, 'cx': 647.5, 'cy': 2.5, 'width': 1296, 'height': 6}
    small, depth, own = shrink(rgb, units, camera)
    assert small.shape == (2, 432, 3)
    assert (small[0, 0] == 90).all()
    assert (small[0, 1] == 0).all()
    assert depth.dtype == np.uint16
    assert np.argwhere(depth).tolist() == [[0, 0]]
    assert depth[0, 0] == 500
    # The middle stays the middle: (1296 - 1) / 2 -> (432 - 1) / 2.
    assert own == {
        'fx': 300.0,
        'fy': 301.0,
        'cx': pytest.approx(215.5),
        'cy': pytest.approx(0.5),
        'width': 432,
        'height': 2,
    }


def test_refuses_a_size_that_would_shift_pixels():
    rgb, units = np.zeros((5, 1296, 3), np.uint8), np.zeros((5, 1296), np.uint16)
    with pytest.raises(
        ValueError, match='got a frame of 1296 x 5 pixels, expected multiples of 3'
    ):
        shrink(rgb, units, {})


def test_copies_a_frame_with_its_origin(tmp_path):
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.mkdir()
    units = np.arange(15, dtype=np.uint16).reshape(3, 5)
    cv2.imwrite(str(source / 'rgb.png'), np.full((3, 5, 3), 120, np.uint8))
    cv2.imwrite(str(source / 'depth.png'), units)
    camera = {'fx': 4.0, 'fy': 4.0, 'cx': 2.0, 'cy': 1.0, 'width': 5, 'height': 3}
    facts = {
        'depth_scale': 0.001,
        'domain': 'indoor',
        'original_dataset': 'a desk',
        'source_repo': 'github.com/somebody/desk',
        'source_path': 'desk.png',
        'licence': 'MIT',
    }
    meta = {'camera': camera, 'rgb': 'rgb.png', 'depth': 'depth.png', **facts, 'stats': {}}
    (source / 'meta.json').write_text(json.dumps(meta))
    copy_frame(source, target)
    assert json.loads((target / 'meta.json').read_text()) == {'camera': camera, **facts}
    copied = cv2.imread(str(target / 'depth.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(copied, units)
    assert abs(int(cv2.imread(str(target / 'rgb.jpg'))[1, 2, 0]) - 120) <= 2
