"""Samples of any data set as pictures of one size: varied to train on, whole to validate on."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from mirror_depth_ros.data.lazy_sequence import LazySequence
from mirror_depth_ros.data.sample import DepthSample
from mirror_depth_ros.depth.eval_protocols import Protocol
from mirror_depth_ros.depth.metrics import counted_pixels
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.training.augmentation import Augmentation
from mirror_depth_ros.training.feature_cache import CachedPictures, EncodedPicture
from mirror_depth_ros.training.loading import Draw
from mirror_depth_ros.training.pictures import Picture, cut, resize, to_picture


class TrainingPictures(Dataset[Picture]):
    """Samples as pictures of one size, varied as the seed of each draw says."""

    def __init__(
        self,
        samples: LazySequence[DepthSample],
        usable: list[int],
        augmentation: Augmentation,
        size: tuple[int, int],
    ) -> None:
        """Take the ``usable`` samples only, by their numbers."""
        self._samples, self._usable = samples, usable
        self._augmentation = augmentation
        #: Height and width of every picture [pixels].
        self.size = size

    def __len__(self) -> int:
        return len(self._usable)

    def __getitem__(self, draw: Draw) -> Picture:
        picture = to_picture(self._samples[self._usable[draw.number]])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw.seed)
            return self._augmentation(picture, self.size)

    def name_of(self, index: int) -> str:
        """Say which image that is, without opening it."""
        return self._samples.name_of(self._usable[index])


class FixedVariants(LazySequence[Picture]):
    """A number of variants of every picture, always the same ones."""

    def __init__(self, pictures: TrainingPictures, variants: int, *, seed: int) -> None:
        """Vary ``pictures``, image by image."""
        self.pictures, self.variants, self.seed = pictures, variants, seed

    def __len__(self) -> int:
        return len(self.pictures) * self.variants

    def item(self, index: int) -> Picture:
        """Make a variant."""
        seed = np.random.default_rng((self.seed, index)).integers(2**32)
        return self.pictures[Draw(index // self.variants, int(seed))]


class ByNumber(Dataset[EncodedPicture]):
    """What was encoded beforehand: a draw's seed has nothing left to decide."""

    def __init__(self, pictures: CachedPictures) -> None:
        """Take draws in place of numbers."""
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, draw: Draw) -> EncodedPicture:
        return self._pictures[draw.number]


class ValidationPictures(Dataset[Picture]):
    """Images as the estimator would show them to the network; the truth at its own size."""

    def __init__(
        self,
        samples: LazySequence[DepthSample],
        usable: list[int],
        protocol: Protocol,
        network: DepthNetwork,
    ) -> None:
        """Take the ``usable`` samples only, and what of them the protocol counts."""
        self._samples, self._usable = samples, usable
        self._protocol, self._network_size = protocol, network.input_size

    def __len__(self) -> int:
        return len(self._usable)

    def sample(self, index: int) -> DepthSample:
        """Return an image as it is; numbers beyond the last begin anew."""
        return self._samples[self._usable[index % len(self)]]

    def __getitem__(self, index: int) -> Picture:
        sample = self._samples[self._usable[index]]
        whole = to_picture(sample)
        height, width = whole.size
        mask, max_depth = self._protocol.mask(height, width), self._protocol.max_depth
        try:
            counted = counted_pixels(whole.depth[0].numpy(), max_depth=max_depth, mask=mask)
        except ValueError as error:
            raise ValueError(
                f'{sample.name}: {error}, leave the image out, or choose another --data.protocol '
                f'than {self._protocol.name}'
            ) from error
        whole = whole._replace(depth=whole.depth.where(torch.from_numpy(counted), torch.nan))
        seen = cut(whole, self._protocol.input_window(height, width))
        return resize(seen, self._network_size(*seen.size))._replace(depth=seen.depth)
