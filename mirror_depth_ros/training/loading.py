"""Samples of any data set as pictures of one size: varied to train on, whole to validate on.

To train on, they come in batches of an order that a training can go on with after it was killed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from mirror_depth_ros.data.sample import DepthSample, LazySequence
from mirror_depth_ros.depth.eval_protocols import Protocol
from mirror_depth_ros.depth.metrics import counted_pixels
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.training.augmentation import Augmentation
from mirror_depth_ros.training.pictures import Picture, crop, resize, to_picture


class Draw(NamedTuple):
    """What a sampler asks a data set for."""

    #: Number of the sample.
    number: int
    #: Decides all that is random about it; every draw of a training has its own. 32 bits, as
    #: torch's generator on a CPU looks at no more of them.
    seed: int


class TrainingPictures(Dataset[Picture]):
    """Samples as pictures of one size, varied as the seed of each draw says."""

    def __init__(
        self,
        samples: LazySequence[DepthSample],
        augmentation: Augmentation,
        size: tuple[int, int],
        *,
        needs_depth: bool = True,
    ) -> None:
        self._samples, self._augmentation = samples, augmentation
        self._needs_depth = needs_depth
        #: Height and width of every picture [pixels].
        self.size = size

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, draw: Draw) -> Picture:
        picture = to_picture(self._samples[draw.number], needs_depth=self._needs_depth)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw.seed)
            return self._augmentation(picture, self.size)

    def variants(self, count: int, *, seed: int) -> Iterator[Picture]:
        """Yield ``count`` variants of every picture, always the same ones."""
        for index in range(len(self) * count):
            draw_seed = np.random.default_rng((seed, index)).integers(2**32)
            yield self[Draw(index // count, int(draw_seed))]


class ValidationPictures(Dataset[Picture]):
    """Images as the estimator would show them to the network; the truth at its own size."""

    def __init__(
        self,
        samples: LazySequence[DepthSample],
        protocol: Protocol,
        network: DepthNetwork,
    ) -> None:
        self._samples, self._protocol = samples, protocol
        self._network_size = network.input_size

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Picture:
        sample = self._samples[index]
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
        seen = crop(whole, self._protocol.input_window(height, width))
        return resize(seen, self._network_size(*seen.size))._replace(depth=seen.depth)


class ResumableLoader(DataLoader[Any]):
    """A data loader whose batches follow from the seed and from how many were taken before.

    Every epoch is another order of the whole data set; what does not fill a batch is left out of
    it. Of several processes each takes its share of every batch, so that ``world`` processes with
    batches of ``batch_size`` see what one sees with batches of ``world`` times that.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        """Load batches of ``batch_size`` of a data set that takes a :class:`Draw` as its index.

        :param rank: number of this process, of ``world``.
        :raises ValueError: if the data set does not fill one batch.
        """
        count: int = len(dataset)  # type: ignore[arg-type]
        if count < batch_size * world:
            raise ValueError(
                f'got {count} images to train on, expected at least {batch_size * world} to fill '
                'one batch; lower --data.batch_size or give more'
            )
        #: How long batches were waited for, since there is this loader [s].
        self.waited_s = 0.0
        self._order = _SeededSampler(count, batch_size, seed=seed, rank=rank, world=world)
        super().__init__(
            dataset,
            batch_sampler=self._order,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=False,  # they hold the next epoch's draws otherwise
            worker_init_fn=_compute_alone,
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the rest of the epoch that was begun."""
        batches = super().__iter__()
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.waited_s += time.perf_counter() - asked
            if batch is None:
                return
            self._order.taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of which size were taken so far."""
        return {'taken': self._order.taken, 'at_once': self._order.at_once}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where a loader of the same data was.

        :raises ValueError: if that one gave all processes together more or fewer images at once.
        """
        if state['at_once'] != self._order.at_once:
            raise ValueError(
                f'got {self._order.at_once} images a step on all devices together, expected '
                f'{state["at_once"]}, with which the training was begun; give as many '
                '--trainer.devices and --trainer.num_nodes as then, or another --output'
            )
        self._order.taken = state['taken']


def _compute_alone(worker: int) -> None:
    """Let a worker be one thread: there are as many workers as are wanted."""
    cv2.setNumThreads(0)


class _SeededSampler(Sampler[list[Draw]]):
    """Batches of draws, from the one after those that were taken to the end of its epoch."""

    def __init__(self, count: int, batch_size: int, *, seed: int, rank: int, world: int) -> None:
        self.taken = 0
        #: Images in the batches of all processes.
        self.at_once = batch_size * world
        self._count, self._seed, self._rank, self._world = count, seed, rank, world

    def __len__(self) -> int:
        return self._count // self.at_once

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, first = divmod(self.taken, len(self))
        random = np.random.default_rng((self._seed, epoch))
        order = random.permutation(self._count).tolist()
        seeds = random.integers(2**32, size=self._count).tolist()
        draws = [Draw(*pair) for pair in zip(order, seeds)]
        for batch in range(first, len(self)):
            at_once = draws[batch * self.at_once : (batch + 1) * self.at_once]
            yield at_once[self._rank :: self._world]
