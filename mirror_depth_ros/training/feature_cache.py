"""The frozen CLIP's features, computed once and kept on disk.

The image encoder never changes, so its output for a picture is worked out a single time and
training reads it back: an epoch then costs only the decoder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from mirror_depth_ros.data.rendered_scenes import RenderedScenes
from mirror_depth_ros.model.clip import FrozenImageEncoder

_BATCH = 32


class CachedScenes(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Tapped features, depth and focal length; each scene as it is and mirrored left to right."""

    def __init__(self, scenes: RenderedScenes, features: NDArray[np.uint16]) -> None:
        """Wrap what :func:`cache_features` returned, ``[N, 2, taps, tokens, C]``."""
        self._scenes, self._features = scenes, features

    def __len__(self) -> int:
        return 2 * len(self._scenes)

    @property
    def kinds(self) -> list[str]:
        """``indoor`` or ``outdoor`` for each scene, half as many as there are entries."""
        return self._scenes.kinds

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return features ``[taps, tokens, C]``, depth ``[1, H, W]`` [m], focal [pixels]."""
        scene, flipped = divmod(index, 2)
        features = torch.from_numpy(self._features[scene, flipped].copy()).view(torch.bfloat16)
        depth = self._scenes.depth[scene].astype(np.float32)
        if flipped:
            depth = depth[:, ::-1].copy()
        focal_px = torch.tensor(self._scenes.focal_px[scene])
        return features, torch.from_numpy(depth)[None], focal_px


@torch.inference_mode()
def cache_features(
    scenes: RenderedScenes, encoder: FrozenImageEncoder, path: Path
) -> NDArray[np.uint16]:
    """Encode every picture and its mirror image; a finished cache is opened instead.

    The file's name should say which encoder made it.

    :returns: bf16 bit patterns, memory-mapped, ``[N, 2, taps, tokens, C]``.
    """
    if path.exists():
        return np.load(path, mmap_mode='r')
    height, width = scenes.rgb.shape[1:3]
    tokens = (height // encoder.patch_size) * (width // encoder.patch_size)
    shape = (len(scenes), 2, len(encoder.taps), tokens, encoder.width)
    unfinished = path.with_suffix('.unfinished')
    cache = np.lib.format.open_memmap(unfinished, 'w+', np.uint16, shape)
    for start in track(range(0, len(scenes), _BATCH), 'encoding'):
        rgb = torch.from_numpy(scenes.rgb[start : start + _BATCH].copy()).permute(0, 3, 1, 2)
        images = rgb / 255.0
        for flipped in (0, 1):
            with torch.autocast('cpu', dtype=torch.bfloat16):
                taps = encoder(images.flip(-1) if flipped else images)
            stacked = torch.stack(taps, dim=1).to(torch.bfloat16)  # [B, taps, tokens, C]
            cache[start : start + _BATCH, flipped] = stacked.view(torch.uint16).numpy()
    cache.flush()
    unfinished.rename(path)  # its final name says that it is whole
    return np.load(path, mmap_mode='r')
