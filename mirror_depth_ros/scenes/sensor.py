"""A plain camera's sensor: exposure, white balance, blur, noise, eight bits, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def expose(radiance: Tensor, *, camera_seed: int, noise_seed: int) -> NDArray[np.uint8]:
    """Turn linear light ``[H, W, 3]`` into an 8-bit photograph with this camera's faults.

    Auto-exposure aims the mean at mid-grey and misses by up to a third of a stop or so; each
    colour channel is off by a few per cent; blur and noise are those of a cheap camera, and half
    of the cameras send JPEG.

    :param camera_seed: decides the camera's faults; the same for all frames of a video.
    :param noise_seed: decides the noise of this one frame.
    """
    camera = np.random.default_rng(camera_seed)
    picture = np.ascontiguousarray(radiance.numpy(), np.float32)
    mean = max(float(picture.mean()), 1e-3)
    gain = np.clip(0.25 / mean, 0.5, 2.5) * camera.uniform(0.75, 1.3)
    balance = camera.uniform(0.92, 1.08, 3)
    picture *= (gain * balance).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (3, 3), camera.uniform(0.2, 0.9))
    picture = np.sqrt(picture.clip(0.0, 1.0))  # gamma 2, close to sRGB's curve
    noise = np.random.default_rng(noise_seed).standard_normal(picture.shape, np.float32)
    picture += noise * np.float32(camera.uniform(0.0, 0.02))
    photograph = (picture * 255.0 + 0.5).clip(0.0, 255.0).astype(np.uint8)
    if camera.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(camera.integers(35, 96))]
        photograph = cv2.imdecode(cv2.imencode('.jpg', photograph, quality)[1], cv2.IMREAD_COLOR)
    return photograph
