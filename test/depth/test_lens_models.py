from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from mirror_depth_ros.depth.camera import CameraModel
from mirror_depth_ros.depth.lens_models import check_lens, standard_lens

K1 = (-0.3, 0.1, 0.001, -0.002)
FISHEYE = (0.1, -0.02, 0.003, -0.001)


@pytest.mark.parametrize(
    ('model', 'd', 'expected'),
    [
        ('plumb_bob', K1, K1),
        ('plumb_bob', (*K1, 0.0), (*K1, 0.0)),
        ('plumb_bob', (*K1, 0.02, 0.0), (*K1, 0.02)),
        ('plumb_bob', (*K1, 0.02, *[0.0] * 3), (*K1, 0.02, *[0.0] * 3)),
        ('plumb_bob', (*K1, *[0.0] * 7), K1),
        ('plumb_bob', (*K1, *[0.0] * 20), K1),
        ('rational_polynomial', (*K1, 0.02), (*K1, 0.02)),
        ('rational_polynomial', (*K1, 0.02, 0.1, 0.0), None),
        ('equidistant', (*FISHEYE, 0.0), FISHEYE),
        ('equidistant', (*FISHEYE, *[0.0] * 10), FISHEYE),
        ('equidistant', (0.1, *[0.0] * 4), (0.1, 0.0, 0.0, 0.0)),
        ('equidistant', (*FISHEYE, 0.1), None),
        ('plumb_bob', (0.1, 0.2, 0.0), None),
    ],
)
def test_zeros_at_the_end_are_left_out_where_they_are_too_many(model, d, expected):
    assert standard_lens(model, d) == (model, d if expected is None else expected)


@pytest.mark.parametrize('n', [0, 1, 3, 4, 5, 8, 14, 30])
def test_only_a_fisheye_lens_is_one_without_coefficients(n):
    for model in ('', 'plumb_bob', 'radtan', 'no such model'):
        assert standard_lens(model, [0.0] * n) == ('', ())
    assert standard_lens('fisheye', [0.0] * n) == ('equidistant', ())


@pytest.mark.parametrize(
    ('name', 'model'),
    [
        ('radtan', 'plumb_bob'),
        ('Brown Conrady', 'plumb_bob'),
        ('Brown_Conrady', 'plumb_bob'),
        ('radial-tangential', 'plumb_bob'),
        ('PLUMB_BOB', 'plumb_bob'),
        ('plumb bob', 'plumb_bob'),
        ('RationalPolynomial', 'rational_polynomial'),
        ('fisheye', 'equidistant'),
        ('Fisheye', 'equidistant'),
        ('equi', 'equidistant'),
        ('Kannala_Brandt4', 'equidistant'),
        ('kannala-brandt', 'equidistant'),
        ('OPENCV_FISHEYE', 'equidistant'),
    ],
)
def test_other_names_of_a_lens_are_known(name, model):
    assert standard_lens(name, FISHEYE) == (model, FISHEYE)


# The inverse and the modified one of librealsense are other lenses than Brown and Conrady's.
@pytest.mark.parametrize(
    'name', ['Inverse Brown Conrady', 'Modified Brown Conrady', 'ftheta', 'double_sphere']
)
def test_a_lens_that_is_not_known_is_refused_with_the_names_that_are(name):
    assert standard_lens(name, FISHEYE) == (name, FISHEYE)
    error = (
        f'got distortion model {name!r}, expected one of these, other names of the same lens in '
        'brackets: plumb_bob (radtan, radial-tangential, Brown Conrady); rational_polynomial ('
    )
    with pytest.raises(ValueError, match=re.escape(error)):
        check_lens(name, FISHEYE)


@pytest.mark.parametrize(
    ('model', 'd', 'error'),
    [
        ('', K1, 'got 4 coefficients and no distortion model, expected its name; set distortion_'),
        (
            'plumb_bob',
            (*K1, 0.1, 0.2),
            "got 6 coefficients for 'plumb_bob', expected 0, 4, 5, 8, 12 or 14; correct D in",
        ),
        ('equidistant', (*FISHEYE, 0.1), "got 5 coefficients for 'equidistant', expected 0 or 4;"),
        ('equidistant', (float('nan'), 0, 0, 0), 'expected finite coefficients; calibrate'),
    ],
)
def test_impossible_lenses_are_refused(model, d, error):
    with pytest.raises(ValueError, match=re.escape(error)):
        check_lens(model, d)


@pytest.mark.parametrize('n', [4, 5, 8, 12, 14])
@pytest.mark.parametrize('model', ['plumb_bob', 'rational_polynomial'])
def test_as_many_coefficients_as_opencv_takes(model, n):
    d = (-0.1, 0.02, 0.001, -0.002, 0.01, 0.02, -0.01, 0.003, 1e-3, -1e-3, 2e-3, 1e-3, 0.01, -0.02)
    camera = CameraModel(101, 75, 80.0, 100.0, 48.0, 39.0, model, d[:n])
    point = np.array([[0.3, -0.2, 2.0]])
    expected, _ = cv2.projectPoints(
        point, np.zeros(3), np.zeros(3), camera.matrix, np.array(d[:n])
    )
    np.testing.assert_allclose(camera.project(point), expected.reshape(1, 2))
    u, v = np.rint(expected.ravel()).astype(int)
    ray = camera.rays[v, u]
    np.testing.assert_allclose(camera.project([[*ray, 1.0]]), [[u, v]], atol=0.1)
