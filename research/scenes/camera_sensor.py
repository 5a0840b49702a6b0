"""From light to the 8-bit picture of a plain camera, with a plain camera's faults."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from research.scenes.cast import F32


def photograph(
    radiance: F32, rng: np.random.Generator, *, noise_rng: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """Turn linear light ``[H, W, 3]`` into a photograph, RGB uint8.

    Exposure aims at the median and the bright tenth and misses; colour is balanced only in part;
    the lens shades corners and blurs; there is noise, and most cameras send JPEG.

    :param rng: draws the camera.
    :param noise_rng: draws the noise, where a camera takes several pictures; ``rng`` by default.
    """
    picture = np.nan_to_num(radiance, posinf=8.0).clip(0, 50)
    grey = picture.mean(axis=2)
    anchor = 0.5 * np.median(grey) / 0.2 + 0.5 * np.percentile(grey, 92) / 0.62
    picture = picture * np.float32(rng.lognormal(0, 0.33) / max(float(anchor), 1e-4))
    mean = picture.reshape(-1, 3).mean(axis=0)
    towards_grey = (mean.mean() / np.maximum(mean, 1e-4)) ** rng.uniform(0.3, 0.9)
    picture *= (towards_grey * rng.lognormal(0, 0.05, 3)).clip(0.4, 2.5).astype(np.float32)
    picture = _lens(picture, rng)
    picture = _curve(picture, rng)
    noise = (noise_rng or rng).standard_normal(picture.shape, np.float32)
    if rng.random() < 0.4:  # a cheap sensor's noise after its own smoothing
        noise = cv2.GaussianBlur(noise, (3, 3), 0.7) * 1.6
    strength = rng.uniform(0.0, 0.022) * (1.3 - picture)
    picture += noise * strength.astype(np.float32)
    image = (picture * 255 + 0.5).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.75:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 97))]
        image = cv2.imdecode(cv2.imencode('.jpg', image, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)


def _lens(picture: F32, rng: np.random.Generator) -> F32:
    """Shade the corners, blur a little, sometimes as if moved, and let bright parts glow."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    corner = 1 - rng.uniform(0, 0.45) * ((x**2 + y**2) / 2) ** 1.5
    picture = picture * corner[:, :, None].astype(np.float32)
    if rng.random() < 0.5:
        glow = cv2.GaussianBlur(np.clip(picture, 0, 4), (0, 0), width / 30)
        picture = picture + np.float32(rng.uniform(0, 0.12)) * glow
    sigma = rng.uniform(0.2, 0.9) if rng.random() < 0.92 else rng.uniform(0.9, 1.7)
    picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    if rng.random() < 0.08:
        length, angle = rng.uniform(2, 9), rng.uniform(0, np.pi)
        kernel = np.zeros((11, 11), np.float32)
        way = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        start, end = (tuple(round(5 + s * w) for w in way) for s in (-1, 1))
        cv2.line(kernel, start, end, 1.0)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    return np.asarray(picture, np.float32)


def _curve(picture: F32, rng: np.random.Generator) -> F32:
    """Apply sRGB's gamma, a shoulder for highlights, contrast and saturation."""
    shoulder = rng.uniform(0.7, 0.95)
    over = np.maximum(picture - shoulder, 0)
    picture = np.minimum(picture, shoulder) + (1 - shoulder) * (1 - np.exp(-over / (1 - shoulder)))
    picture = picture.clip(0, 1) ** np.float32(1 / 2.2)
    contrast = rng.uniform(-0.15, 0.45)
    curved = picture * picture * (3 - 2 * picture)
    picture = picture * (1 - contrast) + curved * contrast
    grey = picture.mean(axis=2, keepdims=True)
    saturation = rng.uniform(0.6, 1.3) if rng.random() > 0.03 else 0.0
    return np.asarray((grey + (picture - grey) * saturation).clip(0, 1), np.float32)
