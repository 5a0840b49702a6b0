"""Lens models of ``sensor_msgs/CameraInfo``: their names and how many coefficients they have."""

from __future__ import annotations

import math
from collections.abc import Sequence

# What cv2.projectPoints takes. It reads either model in the same way: rational_polynomial begins
# with the coefficients of plumb_bob.
_OF_OPENCV = (0, 4, 5, 8, 12, 14)

#: How many coefficients each model may have; '' is no distortion.
COEFFICIENT_COUNTS = {
    '': (0,),
    'plumb_bob': _OF_OPENCV,
    'rational_polynomial': _OF_OPENCV,
    'equidistant': (0, 4),
}

# What others call the same lens, coefficients in the same order: kalibr (radtan, equi), COLMAP
# (OPENCV_FISHEYE), OpenCV (fisheye), librealsense (Brown Conrady, Kannala Brandt4).
_OTHER_NAMES = {
    'plumb_bob': ('radtan', 'radial-tangential', 'Brown Conrady'),
    'rational_polynomial': ('rational',),
    'equidistant': (
        'fisheye',
        'equi',
        'OPENCV_FISHEYE',
        'Kannala Brandt',
        'Kannala Brandt4',
        'KB4',
    ),
}


def _plain(name: str) -> str:
    """Return a name without what spellings differ in: ``Brown Conrady`` as ``brownconrady``."""
    return ''.join(filter(str.isalnum, name)).lower()


_MODELS = {
    _plain(name): model for model, others in _OTHER_NAMES.items() for name in (model, *others)
}


def standard_lens(model: str, coefficients: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """Return a lens by the names of ``CameraInfo`` and without needless zeros at the end.

    All zeros are no distortion (``''``), except of a fisheye lens, which has one without them.
    What is not known stays as it is; :func:`check_lens` refuses it.

    :param model: ``distortion_model`` as the message has it.
    :param coefficients: ``D``.
    """
    model = _MODELS.get(_plain(model), model)
    coefficients = tuple(map(float, coefficients))
    n_needed = max((i + 1 for i, c in enumerate(coefficients) if c), default=0)
    if not n_needed:
        return (model if model == 'equidistant' else ''), ()
    counts = COEFFICIENT_COUNTS.get(model, ())
    if len(coefficients) not in counts:
        fitting = (count for count in counts if n_needed <= count <= len(coefficients))
        coefficients = coefficients[: next(fitting, len(coefficients))]
    return model, coefficients


def check_lens(model: str, coefficients: Sequence[float]) -> None:
    """Refuse a lens that is none of :data:`COEFFICIENT_COUNTS`.

    :raises ValueError: for it.
    """
    if model not in COEFFICIENT_COUNTS:
        known = '; '.join(f'{name} ({", ".join(_OTHER_NAMES[name])})' for name in _OTHER_NAMES)
        raise ValueError(
            f'got distortion model {model!r}, expected one of these, other names of the same lens '
            f'in brackets: {known}; correct distortion_model, or rectify the images first '
            '(image_proc)'
        )
    if not model and coefficients:
        raise ValueError(
            f'got {len(coefficients)} coefficients and no distortion model, expected its name; '
            'set distortion_model in the calibration file: plumb_bob, rational_polynomial or '
            'equidistant'
        )
    counts = COEFFICIENT_COUNTS[model]
    if len(coefficients) not in counts:
        *others, last = map(str, counts)
        raise ValueError(
            f'got {len(coefficients)} coefficients for {model!r}, expected {", ".join(others)} or '
            f'{last}; correct D in the calibration file'
        )
    if not all(map(math.isfinite, coefficients)):
        raise ValueError(
            f'got distortion {tuple(coefficients)}, expected finite coefficients; calibrate the '
            'camera anew'
        )
