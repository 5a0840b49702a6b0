"""Pictures of depth for people: fixed-range colours, error maps, labelled panels.

A preview is never depth: nothing measures on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

# Share of its brightness that the far colour keeps where depth lies beyond the range.
_BEYOND_RANGE_BRIGHTNESS = 0.45
# An error of this size and above has the strongest colour (|p - g| / g).
_MAX_RELATIVE_ERROR = 0.5
# Of depth that is half, and twice, the truth.
_TOO_NEAR, _TOO_FAR = (30, 70, 200), (200, 40, 30)
_LABEL_HEIGHT_PX = 26
_TITLE_HEIGHT_PX = 36
_TITLE_COLOUR = (32, 48, 80)
# Where colours begin, as a fraction of where they end: 0.3 m of 10 m, 2.4 m of 80 m.
_NEAREST_COLOUR = 0.03
# Below this share of valid pixels a truth is a lidar's: its points are drawn thicker.
_SPARSE = 0.2
# What compressed_image_transport takes by default; less makes blocks of smooth colours.
_JPEG_QUALITY = 95


def colorize_depth(
    depth: NDArray[np.floating], *, max_depth: float = 10.0, min_depth: float | None = None
) -> NDArray[np.uint8]:
    """Return a colour picture of depth: near is red, far is blue, the same in every image.

    The scale is logarithmic, so that a tenth more distance is the same step everywhere.

    :param depth: metres along Z, ``[H, W]``; +Inf and what lies beyond ``max_depth`` becomes dark
        blue, NaN and -Inf (no measurement, too close) black.
    :param max_depth: where the colours end [m].
    :param min_depth: where they begin [m]; None: at 3 % of ``max_depth``.
    :returns: RGB uint8 ``[H, W, 3]``.
    :raises ValueError: for a range that is empty or not positive.
    """
    if min_depth is None:
        min_depth = _NEAREST_COLOUR * max_depth
    if not 0 < min_depth < max_depth:
        raise ValueError(
            f'got a range of {min_depth} to {max_depth} m, expected 0 < min_depth < max_depth'
        )
    with np.errstate(invalid='ignore', divide='ignore'):
        nearness = 1 - np.log(depth / min_depth) / np.log(max_depth / min_depth)
    # Depth of 0 or less has no logarithm: it is nearer than everything else.
    nearness = np.where(depth > min_depth, nearness, 1.0)
    picture = _turbo(nearness)
    beyond = depth > max_depth
    picture[beyond] = (picture[beyond] * _BEYOND_RANGE_BRIGHTNESS).astype(np.uint8)
    picture[np.isnan(depth) | np.isneginf(depth)] = 0
    return picture


def compress_picture(rgb: NDArray[np.uint8]) -> bytes:
    """Return an RGB uint8 ``[H, W, 3]`` picture as JPEG."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def colorize_error(
    prediction: NDArray[np.floating], truth: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """Return a picture of the relative error |p - g| / g: blue is 0, red 0.5 and more.

    :param prediction: metres along Z, ``[H, W]``.
    :param truth: the same; black where it is not finite and positive.
    :returns: RGB uint8 ``[H, W, 3]``.
    :raises ValueError: if the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f'got a prediction of shape {prediction.shape}, expected {truth.shape} as the truth '
            'has; resize the prediction first'
        )
    has_truth = np.isfinite(truth) & (truth > 0)
    error = np.abs(prediction - np.where(has_truth, truth, 1.0)) / np.where(has_truth, truth, 1.0)
    error = np.nan_to_num(error, nan=np.inf)  # no prediction is the worst one
    return colorize_relative_error(np.where(has_truth, error, np.nan))


def colorize_relative_error(
    error: NDArray[np.floating], *, largest: float = _MAX_RELATIVE_ERROR
) -> NDArray[np.uint8]:
    """Return a picture of relative errors: blue is 0, red ``largest`` and more.

    :param error: 0 or more, ``[H, W]``; NaN, nothing to compare, becomes black.
    :param largest: the error with the strongest colour.
    :returns: RGB uint8 ``[H, W, 3]``.
    """
    picture = _turbo(error / largest)
    picture[np.isnan(error)] = 0
    return picture


def colorize_bias(log_ratio: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a picture of ln(p / g): white is right, blue half the truth, red twice or more.

    :param log_ratio: ``[H, W]``; NaN, nothing to compare, becomes black.
    :returns: RGB uint8 ``[H, W, 3]``.
    """
    strength = (log_ratio / np.log(2.0)).clip(-1, 1)[..., None]  # [H, W, 1]
    colour = np.where(strength > 0, np.array(_TOO_FAR), np.array(_TOO_NEAR))
    picture = 255 + np.abs(strength) * (colour - 255.0)
    return np.where(np.isnan(log_ratio)[..., None], 0, np.nan_to_num(picture)).astype(np.uint8)


def side_by_side(
    panels: Sequence[tuple[str, NDArray[np.uint8]]], *, height: int | None = None, gap: int = 4
) -> NDArray[np.uint8]:
    """Return labelled pictures in one row, all of one height.

    :param panels: label and RGB uint8 ``[H, W, 3]`` of each.
    :param height: of the pictures [pixels]; the first one's by default.
    :param gap: columns between pictures [pixels].
    :returns: RGB uint8 ``[height + 26, W', 3]``.
    :raises ValueError: without a panel, or for one that is not RGB uint8.
    """
    if not panels:
        raise ValueError('got no panels, expected at least one')
    for label, rgb in panels:
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(
                f'got {rgb.dtype} {rgb.shape} for panel {label!r}, expected uint8 [H, W, 3]'
            )
    height = height or panels[0][1].shape[0]
    columns: list[NDArray[np.uint8]] = []
    for label, rgb in panels:
        if columns:
            columns.append(np.full((height + _LABEL_HEIGHT_PX, gap, 3), 255, np.uint8))
        columns.append(_labelled(label, rgb, height))
    return np.concatenate(columns, axis=1)


def titled_rows(
    sections: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], *, gap: int = 4
) -> NDArray[np.uint8]:
    """Return pictures below each other, sections of them below their titles.

    :param sections: title and RGB uint8 pictures ``[H, W, 3]`` of each.
    :param gap: rows between pictures [pixels].
    :returns: RGB uint8 ``[H', W', 3]``, as wide as the widest picture.
    :raises ValueError: without any picture.
    """
    pictures = [picture for _, rows in sections for picture in rows]
    if not pictures:
        raise ValueError('got no pictures, expected at least one')
    width = max(picture.shape[1] for picture in pictures)
    parts = []
    for title, rows in sections:
        strip = np.full((_TITLE_HEIGHT_PX, width, 3), _TITLE_COLOUR, np.uint8)
        white = (255, 255, 255)
        cv2.putText(strip, title, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, white, 1, cv2.LINE_AA)
        parts.append(strip)
        parts += [np.pad(row, ((0, gap), (0, width - row.shape[1]), (0, 0))) for row in rows]
    return np.concatenate(parts)


def comparison(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.floating],
    truth: NDArray[np.floating] | None,
    *,
    max_depth: float,
    height: int,
) -> NDArray[np.uint8]:
    """Return image, truth, prediction and relative error in one row; without truth, two of them.

    The points of a sparse truth lie over the image, darkened: they are where they should be if
    their edges are the image's.

    :param rgb: the image, uint8 ``[H, W, 3]``.
    :param depth: predicted metres along Z, ``[H, W]``.
    :param truth: true metres along Z, ``[H, W]``, not finite where unknown.
    :param max_depth: where the colours end [m].
    :param height: of the pictures [pixels].
    """
    panels = [('image', rgb), ('prediction', colorize_depth(depth, max_depth=max_depth))]
    if truth is not None:
        shown, error = colorize_depth(truth, max_depth=max_depth), colorize_error(depth, truth)
        if np.isfinite(truth).mean() < _SPARSE:
            thick = _thicken(truth)
            shown = colorize_depth(thick, max_depth=max_depth)
            shown = np.where(np.isfinite(thick)[..., None], shown, rgb // 3)
            error = np.asarray(cv2.dilate(error, _brush(truth.shape[1])), np.uint8)
        panels.insert(1, ('truth', shown))
        panels.append(('relative error 0..0.5', error))
    return side_by_side(panels, height=height)


def _thicken(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """Let every measured pixel cover its neighbourhood, the nearest on top."""
    known = np.where(np.isnan(depth), np.inf, depth)
    # By default OpenCV's border is finite, and so would be the picture's edge.
    thick = cv2.erode(known, _brush(depth.shape[1]), borderType=cv2.BORDER_REPLICATE)
    return np.where(np.isfinite(thick), thick, np.nan).astype(np.float32)


def _brush(width: int) -> NDArray[np.uint8]:
    size = 2 * (width // 320) + 1
    return np.ones((size, size), np.uint8)


def _labelled(label: str, rgb: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """Return a picture of the given height below its label, cut where it is too long."""
    width = max(1, round(rgb.shape[1] * height / rgb.shape[0]))
    strip = np.full((_LABEL_HEIGHT_PX, width, 3), 255, np.uint8)
    cv2.putText(strip, label, (5, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    if rgb.shape[:2] != (height, width):
        shrinks = height < rgb.shape[0]
        rgb = np.asarray(
            cv2.resize(
                rgb,
                (width, height),
                interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST,
            ),
            np.uint8,
        )
    return np.concatenate([strip, rgb], axis=0)


def _turbo(value: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the turbo colours of values in 0..1, RGB uint8 ``[H, W, 3]``."""
    # The map's two ends are dark and would look like missing depth.
    index = np.round(16 + 223 * np.nan_to_num(value).clip(0, 1)).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(index, cv2.COLORMAP_TURBO)[..., ::-1].copy(), np.uint8)
