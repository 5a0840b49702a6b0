"""What the built-in model is trained on: pictures of several sources, in set proportions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.training.augmentation import Augmentation
from mirror_depth_ros.training.loading import Draw
from mirror_depth_ros.training.pictures import Picture, resize, to_picture
from research.scenes.rendered_scenes import RenderedScenes

#: Weight, pictures and augmentation of a source of pictures.
Source = tuple[float, Sequence[Picture], Augmentation]


class Rendered(Sequence[Picture]):
    """Rendered pictures of one kind."""

    def __init__(self, folders: Sequence[Path], kind: str) -> None:
        """Open what was rendered."""
        self._sets = [RenderedScenes.load(folder) for folder in folders]
        self._places = [
            (scenes, i)
            for scenes in self._sets
            for i, of_kind in enumerate(scenes.kinds)
            if of_kind == kind
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]
        scenes, i = self._places[index]
        image = torch.from_numpy(scenes.rgb[i].copy()).permute(2, 0, 1)
        depth = torch.from_numpy(scenes.depth[i].astype(np.float32))[None]
        return Picture(image, depth, torch.tensor(float(scenes.focal_px[i])))


class FirstPart(Sequence[Picture]):
    """The first so many of some pictures."""

    def __init__(self, pictures: Sequence[Picture], count: int) -> None:
        self._pictures, self._count = pictures, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]
        return self._pictures[index]


class RealFrames(Sequence[Picture]):
    """Frames of a recording, kept at about the size that they are trained at."""

    def __init__(self, folder: Path, *, pixels: int) -> None:
        """Read all of them; there are few.

        :param pixels: how many each keeps.
        """
        self._pictures = []
        for sample in FrameFolder(folder):
            picture = to_picture(sample)
            scale = min(1.0, math.sqrt(pixels / math.prod(picture.size)))
            height, width = (round(scale * side) for side in picture.size)
            self._pictures.append(resize(picture, (height, width)))

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]
        return self._pictures[index]


class Mixture(Dataset[Picture]):
    """So many draws: each takes a source by its weight, one of its pictures, and varies it."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        size: tuple[int, int],
        draws: int,
    ) -> None:
        """Mix sources of pictures, each with its weight and its augmentation."""
        self._sources = [source for source in sources.values() if len(source[1])]
        weights = np.array([weight for weight, _, _ in self._sources])
        self._shares = weights / weights.sum()
        self._size, self._draws = size, draws

    def __len__(self) -> int:
        return self._draws

    def __getitem__(self, draw: Draw) -> Picture:
        random = np.random.default_rng(draw.seed)
        _, pictures, augmentation = self._sources[random.choice(len(self._shares), p=self._shares)]
        picture = pictures[int(random.integers(len(pictures)))]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw.seed)
            return augmentation(picture, self._size)


def root_weights(sizes: Mapping[str, int], share: float) -> dict[str, float]:
    """Return each source's weight, by the root of its size; ``share`` in all."""
    roots = {name: math.sqrt(size) for name, size in sizes.items()}
    return {name: share * root / sum(roots.values()) for name, root in roots.items()}
