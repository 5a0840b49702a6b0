"""What a training sees: any data set, varied to train on and whole to validate on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.progress import track
from torch.utils.data import DataLoader, Dataset, Subset

from mirror_depth_ros.data.sample import DepthSample, LazySequence, Selection
from mirror_depth_ros.data.specification import DataSet, open_data
from mirror_depth_ros.depth.eval_protocols import named_protocol
from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.training.augmentation import NO_AUGMENTATION, Augmentation
from mirror_depth_ros.training.feature_cache import CachedPictures, cache_pictures
from mirror_depth_ros.training.frame_views import FrameViews, keep_views
from mirror_depth_ros.training.lessons import Lessons, baselines
from mirror_depth_ros.training.loading import (
    ResumableLoader,
    TrainingPictures,
    ValidationPictures,
)
from mirror_depth_ros.training.motion import choose_sources, median_depth
from mirror_depth_ros.validation import Integer, OrNone, check

Samples = LazySequence[DepthSample]

#: Kinds of data that come with images to train on and others to validate on.
_WITH_SPLITS = ('nyu', 'kitti')
#: Of a recording that comes without, the last part is validated on: none of its neighbours is
#: among what was trained on.
_TRAIN_PART, _VAL_PART = '[:80%]', '[80%:]'

# The types stand in the signature, and the recipe is held to them when it is read.
_OPTION_RULES = {
    'batch_size': Integer(1, 100_000),
    'variants': Integer(1, 100_000),
    'workers': Integer(0, 1024),
    'val_count': OrNone(Integer(1, 10**9)),
    'seed': Integer(0, 2**32 - 1),
}


class DepthData(lightning.LightningDataModule):
    """Images with true depth, from any source that ``mirror_depth evaluate`` knows.

    Beside it or in its place, what range sensors measured, and the poses of a camera that moves.
    """

    def __init__(
        self,
        train: str,
        val: str | None = None,
        protocol: str | None = None,
        batch_size: int = 16,
        augmentation: Augmentation = NO_AUGMENTATION,
        features: Literal['computed', 'cached'] = 'computed',
        variants: int = 8,
        workers: int = 2,
        val_count: int | None = None,
        skip_broken: bool = False,
        seed: int = 0,
    ) -> None:
        """Name the data and how it is shown.

        Args:
            train: Data to train on, such as nyu:FOLDER, kitti:FOLDER, bag:FOLDER or frames:FOLDER,
                or a part of it, frames:FOLDER[:50%]; bag:FOLDER,image=TOPIC,depth=TOPIC where a
                recording has several cameras, and bag:FOLDER,lidar=TOPIC where it has several
                lidars, of which lidar=TOPIC+TOPIC takes two.
            val: Data to validate on. By default the test split of NYU and KITTI, or the last fifth
                of a recording, which is then not trained on.
            protocol: What counts in validation, a protocol of mirror_depth evaluate; by default
                what is usual for the data.
            batch_size: Images of a step, on each device.
            augmentation: How images are varied.
            features: Run the frozen CLIP in every step (computed), or once, on a number of
                variants of each image, and keep the outcome on disk (cached).
            variants: How many variants of each image are kept when features are cached.
            workers: Processes that read and vary images.
            val_count: Validate on so many images only, evenly chosen.
            skip_broken: Pass over images that cannot be opened, and list them in broken.json.
            seed: Of the order of images and their variation.
        """
        super().__init__()
        self._options = {'skip_broken': skip_broken, 'workers': workers, 'seed': seed}
        sizes = {'batch_size': batch_size, 'variants': variants, 'val_count': val_count}
        check({**self._options, **sizes}, _OPTION_RULES, prefix='data.')
        self._augmentation, self._variants = augmentation, variants
        self._is_cached = features == 'cached'
        self._batch_size, self._val_count = batch_size, val_count
        self.names = _name_data(train, val)
        self.train_set = open_data(self.names[0], split='train', needs_depth=False)
        self.val_set = open_data(self.names[1], split='test', needs_depth=False)
        self.protocol = named_protocol(protocol or self.val_set.protocol)
        self._train_data: Dataset[Any] | None = None
        self._loader: ResumableLoader | None = None
        self._loader_state: dict[str, int] = {}
        self._val_data: ValidationPictures | Lessons | None = None
        self._val_samples: Samples = self.val_set.samples

    def setup(self, stage: str) -> None:
        """Open what is trained and validated on; encode it where features are cached.

        :raises OSError: or ValueError, naming the file, for an image that cannot be opened, when
            those are not to be skipped.
        """
        if self._val_data is not None:
            return
        trainer = self.trainer
        assert trainer is not None  # a trainer calls this
        network: DepthNetwork = trainer.lightning_module.model
        folder = Path(trainer.default_root_dir)
        _print_sources(self.train_set)
        train, val = self._usable(folder)
        size = network.config.input_size
        val_data = self._to_validate_on(val, network, folder)
        frames = [*range(len(train))]
        known: FrameViews | None = None
        sources: dict[int, tuple[int, int]] = {}
        if self.train_set.has_hints:
            known, sources = self._known(train, network, folder, self.names[0])
            frames = [i for i in frames if i in sources or train.has_depth(i) or known.cones[i]]
            train = Selection(train, frames)
        pictures = TrainingPictures(train, self._augmentation, size, needs_depth=known is None)
        self._train_data = pictures
        if self._is_cached:
            encoder = network.image_encoder.to(trainer.strategy.root_device)
            name = _fingerprint(
                self.names[0],  # two cameras of a recording share the names of their images
                *(encoder.fingerprint(), encoder.taps, pictures.size, self._augmentation),
                *(self._variants, self._options['seed']),
                *map(train.name_of, range(len(train))),
                *map(train.has_depth, range(len(train))),
            )

            def cache() -> CachedPictures:
                variants = pictures.variants(self._variants, seed=self._options['seed'])
                count = len(pictures) * self._variants
                return cache_pictures(variants, count, encoder, folder / 'features' / name)

            self._once('features', cache)
            self._train_data = cache()
        if known is not None:
            self._train_data = Lessons(self._train_data, known, sources, frames)
        self._val_data, self._val_samples = val_data, val
        trainer.lightning_module.max_depth = self.protocol.max_depth
        devices = f'{trainer.world_size} x {trainer.strategy.root_device.type}'
        rank_zero_only(print)(
            f'training on {len(pictures)} images of {self.names[0]}, validating on '
            f'{len(self._val_data)} of {self.names[1]}; {devices}',
            flush=True,
        )

    def _to_validate_on(
        self, samples: Samples, network: DepthNetwork, folder: Path
    ) -> ValidationPictures | Lessons:
        """Return images with their true depth; where none has any, with what motion shows of it.

        :raises ValueError: for images of which nothing but a range sensor's measurement is known.
        """
        numbers = [i for i in range(len(samples)) if samples.has_depth(i)]
        if numbers:
            pictures = ValidationPictures(Selection(samples, numbers), self.protocol, network)
            pictures[0]  # depth in another unit should not cost the encoding of everything
            return pictures
        known, sources = self._known(samples, network, folder, self.names[1])
        if not sources:
            raise ValueError(
                f'got {self.names[1]} to validate on, with neither depth nor motion, expected one '
                'of them; give --val, or let ~/calibrate_scale take the scale from a range sensor'
            )
        frames, size = [*sources], network.config.input_size
        whole = TrainingPictures(
            Selection(samples, frames), NO_AUGMENTATION, size, needs_depth=False
        )
        return Lessons(whole, known, sources, frames)

    def _known(
        self, samples: Samples, network: DepthNetwork, folder: Path, name: str
    ) -> tuple[FrameViews, dict[int, tuple[int, int]]]:
        """Return what is known of frames beside depth, and which of them show the same.

        :raises ValueError: if there is no depth and the camera does not move.
        """
        size, names = network.config.input_size, map(samples.name_of, range(len(samples)))
        # Poses and calibrations may be corrected meanwhile: those of the ends tell.
        ends = [
            (end.camera, str(end.pose), end.cones)
            for end in (samples[0], samples[len(samples) - 1])
        ]
        views = folder / 'views' / _fingerprint(name, size, *names, *ends)
        self._once('views', lambda: keep_views(samples, size, views))
        known = keep_views(samples, size, views)
        count, n_cones = len(samples), sum(map(bool, known.cones))
        say = rank_zero_only(partial(print, flush=True))
        if n_cones:
            say(f'{name}: learning from range sensors, {n_cones} of {count} images')
        is_enough = bool(n_cones) or any(map(samples.has_depth, range(count)))
        if is_enough and len({*known.track.sequences}) == count:  # no pose is known
            return known, {}
        try:
            sources = choose_sources(known.track, median_depth(network, samples))
        except ValueError as error:
            if not is_enough:
                raise
            say(f'{name}: not learning from motion: {error}')
            return known, {}
        nearest, farthest = np.percentile(baselines(known, sources), (0, 100))
        say(
            f'{name}: learning from motion, {len(sources)} of {count} images beside others '
            f'{nearest:.2g} to {farthest:.2g} m away'
        )
        return known, sources

    def train_dataloader(self) -> ResumableLoader:
        """Return batches that go on where a killed training was."""
        assert self._train_data is not None  # setup() was called
        assert self.trainer is not None
        self._loader = ResumableLoader(
            self._train_data,
            self._batch_size,
            seed=self._options['seed'],
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            workers=self._options['workers'],
            pin_memory=torch.cuda.is_available(),
        )
        if self._loader_state:
            self._loader.load_state_dict(self._loader_state)
        return self._loader

    def state_dict(self) -> dict[str, int]:
        """Return where in the data the training is."""
        return self._loader.state_dict() if self._loader is not None else {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Begin there. Lightning would tell the loader itself, but only after it has begun."""
        self._loader_state = state_dict

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the images to validate on, one by one, this process's part of them.

        :raises ValueError: if there is not one for each process.
        """
        assert self._val_data is not None  # setup() was called
        assert self.trainer is not None
        count = len(self._val_data)
        wanted = min(count, self._val_count or count)
        if wanted < self.trainer.world_size:
            raise ValueError(
                f'got {wanted} images to validate on, expected at least '
                f'{self.trainer.world_size}, one for each device; give more, or fewer '
                '--trainer.devices'
            )
        chosen = [i * count // wanted for i in range(wanted)]
        part = chosen[self.trainer.global_rank :: self.trainer.world_size]
        return DataLoader(
            Subset(self._val_data, part), 1, num_workers=min(1, self._options['workers'])
        )

    def val_sample(self, number: int) -> DepthSample:
        """Return an image to look at, from 0 up, as often as there are."""
        count = len(self._val_samples)
        return self._val_samples[number * max(1, count // 4) % count]

    def _once(self, name: str, make: Callable[[], object]) -> None:
        """Let one process make what all will read; on disks of their own, one of each machine.

        :param make: does nothing where that is there already.
        """
        trainer = self.trainer
        assert trainer is not None  # setup() has seen to it
        for is_maker in (trainer.global_rank == 0, trainer.local_rank == 0):
            if is_maker:
                make()
            trainer.strategy.barrier(name)

    def _usable(self, folder: Path) -> list[Samples]:
        """Return the samples to train and to validate on that can be opened.

        Opening all of a large data set takes minutes: what was found is kept and read again.

        :raises ValueError: if nothing of a split can be opened.
        """
        sets = {'train': self.train_set.samples, 'val': self.val_set.samples}
        if not self._options['skip_broken']:
            return [*sets.values()]
        note, names = folder / 'broken.json', dict(zip(sets, self.names))

        def look_through() -> None:
            if not _is_about(note, names):
                found = {split: _broken(samples, split) for split, samples in sets.items()}
                write_json(note, {'data': names, **found})

        self._once('broken', look_through)
        broken = json.loads(note.read_text())
        usable: list[Samples] = []
        for split, samples in sets.items():
            left_out = {entry['number'] for entry in broken[split]}
            numbers = [i for i in range(len(samples)) if i not in left_out]
            rank_zero_only(print)(
                f'{len(left_out)} images of {split} cannot be opened, see {note}', flush=True
            )
            if not numbers:
                raise ValueError(
                    f'got {len(left_out)} images of {names[split]} and none that can be opened, '
                    f'expected at least one; the first says: {broken[split][0]["error"]}'
                )
            usable.append(Selection(samples, numbers))
        return usable


@rank_zero_only
def _print_sources(data: DataSet) -> None:
    """Say what is used of a recording."""
    for what, where in data.describe():
        print(f'{what:>20}  {where}', flush=True)


def _name_data(train: str, val: str | None) -> tuple[str, str]:
    """Return what to train and what to validate on, in full."""
    if val is not None:
        return train, val
    is_part = train.endswith(']')
    if train.startswith(tuple(f'{kind}:' for kind in _WITH_SPLITS)):
        return train, train.rpartition('[')[0] if is_part else train
    if is_part:
        raise ValueError(
            f'got {train} to train on and nothing to validate on, expected another part of it, '
            'such as [80%:]; give --val'
        )
    return train + _TRAIN_PART, train + _VAL_PART


def _is_about(note: Path, names: dict[str, str]) -> bool:
    """Say whether a list of broken images is there, and of these data sets."""
    return note.exists() and json.loads(note.read_text())['data'] == names


def _broken(samples: Samples, split: str) -> list[dict[str, Any]]:
    """Open every sample; return those that cannot be."""
    found = []
    for number in track(range(len(samples)), f'looking through {split}'):
        try:
            samples[number]
        except (OSError, ValueError) as error:
            entry = {'number': number, 'name': samples.name_of(number), 'error': str(error)}
            found.append(entry)
    return found


def _fingerprint(*parts: object) -> str:
    """Return a name for features by all that they depend on."""
    return hashlib.sha256('\n'.join(map(str, parts)).encode()).hexdigest()[:16]
