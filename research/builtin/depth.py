"""The training of mirror and decoder, on rendered pictures and real frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from mirror_depth_ros.data.frames import FrameFolder
from mirror_depth_ros.depth.eval_protocols import named_protocol
from mirror_depth_ros.depth.files import write_bytes
from mirror_depth_ros.depth.metrics import depth_metrics
from mirror_depth_ros.model.clip import Frozen
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.mirror_depth import MirrorDepth
from mirror_depth_ros.training.augmentation import NO_AUGMENTATION, Augmentation
from mirror_depth_ros.training.depth_training import Batch, DepthTraining, warmed_up_average
from mirror_depth_ros.training.loading import ResumableLoader, ValidationPictures
from mirror_depth_ros.training.pictures import Picture
from research.builtin.fast_encoder import FastModule, has_matrix_unit
from research.builtin.mixture import Mixture, RealFrames, Rendered, Source, root_weights

_STREETS = ('outdoor', 'pandaset-002')


class BuiltinTraining(DepthTraining):
    """Encodes by OpenVINO, and validates without and with each image's median known."""

    def __init__(self, model: DepthNetwork, fast: FastModule | None, **options: Any) -> None:
        """Train ``model``; without a fast encoder, PyTorch encodes."""
        super().__init__(model, **options)
        self._fast = [fast]  # in a list, so that it is no part of the state

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Decode in bf16 while training, where the processor multiplies matrices in it."""
        with torch.autocast('cpu', torch.bfloat16, enabled=self.training and has_matrix_unit()):
            return super().predict(batch)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the frozen tower's taps."""
        fast = self._fast[0]
        if fast is None or images.shape[-2:] != self.model.config.input_size:
            return self.model.image_encoder(images)
        return fast(images)

    def validation_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        """Log Abs Rel, plain and with each image scaled to the true median."""
        kind = self.kinds[dataloader_idx]
        scale = (batch.focal_px / self.model.config.reference_focal_px).view(-1, 1, 1, 1)
        depth = self.predict(batch)[0] * scale
        size = batch.depth.shape[-2:]
        depth = torch.nn.functional.interpolate(depth, size, mode='bilinear')
        limit = 80.0 if kind in _STREETS else 10.0
        for prediction, truth in zip(depth, batch.depth):
            maps = prediction[0].numpy(), truth[0].numpy()
            if not ((maps[1] > 1e-3) & (maps[1] < limit)).any():
                continue
            for name, scaled in (('abs_rel', False), ('scaled', True)):
                value = depth_metrics(*maps, max_depth=limit, median_scaling=scaled)['abs_rel']
                self.log(f'{kind}/{name}', value, batch_size=1, add_dataloader_idx=False)


def train_depth(
    model: MirrorDepth,
    recipe: Mapping[str, Any],
    work: Path,
    *,
    rendered: Mapping[str, Path],
    real: Sequence[Path],
    photographs: Path,
    make_training: Callable[..., BuiltinTraining] | None = None,
) -> dict[str, float]:
    """Train in place and return the validation's figures; resumes from ``work``.

    :param rendered: folders of rendered scenes, by split.
    :param real: folders of recordings to train on.
    :param photographs: folder of recordings to validate on.
    :param make_training: takes the model and the options; else the image tower stays frozen.
    """
    options = recipe['depth']
    size = model.config.input_size
    sources = training_sources(recipe, rendered['train'], real, size)
    mixture = Mixture(sources, size, options['steps'] * options['batch_size'])
    loader = ResumableLoader(
        mixture, options['batch_size'], seed=recipe['seed'], workers=options['workers']
    )
    names, loaders = _validation(model, rendered['val'], photographs)
    if make_training is None:
        make_training = partial(BuiltinTraining, fast=FastModule(model.image_encoder, (3, *size)))
    training = make_training(
        model,
        lr=options['lr'],
        weight_decay=options['weight_decay'],
        loss=options['loss'],
        gradient_weight=options['gradient_weight'],
        kinds=names,
    )
    last, report = work / 'last.ckpt', _Report(work)
    trainer = lightning.Trainer(
        max_epochs=1,
        gradient_clip_val=1.0,
        accelerator='cpu',
        logger=CSVLogger(work, name='log'),
        log_every_n_steps=50,
        val_check_interval=options['validate_every'],
        num_sanity_val_steps=0,
        enable_progress_bar=options.get('progress', True),
        callbacks=[
            report,  # before the averaging, which takes the average away when a validation ends
            WeightAveraging(use_buffers=False, avg_fn=warmed_up_average),
            ModelCheckpoint(work, save_last=True, save_top_k=0, every_n_train_steps=250),
        ],
    )
    trainer.fit(training, loader, loaders, ckpt_path=last if last.exists() else None)
    trainer.validate(training, loaders, verbose=False)
    write_bytes(work / 'trained.safetensors', save(trained_weights(model)))
    return report.figures


def trained_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return what is trained of a network, by name; of a tower that learns, its weights too."""
    frozen = tuple(f'{n}.' for n, part in model.named_modules() if isinstance(part, Frozen))
    state = model.state_dict()
    return {k: v.detach().contiguous() for k, v in state.items() if not k.startswith(frozen)}


class _Report(lightning.Callback):
    """Prints every validation on a line, and keeps its weights."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self.figures: dict[str, float] = {}

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Print the figures so far."""
        figures = {k: float(v) for k, v in trainer.callback_metrics.items() if '/' in k}
        self.figures = figures
        line = ' '.join(f'{name}={value:.3f}' for name, value in figures.items())
        print(f'step {trainer.global_step}: {line}', flush=True)
        assert isinstance(pl_module, DepthTraining)
        write_bytes(self._work / 'newest.safetensors', save(trained_weights(pl_module.model)))


def training_sources(
    recipe: Mapping[str, Any], rendered: Path, real: Sequence[Path], size: tuple[int, int]
) -> dict[str, Source]:
    """Return what a :class:`Mixture` mixes: rendered kinds and recordings, by their names.

    :param real: folders of recordings.
    :param size: of the network's input, height and width [pixels].
    """
    options = recipe['depth']
    light = Augmentation(**recipe['rendered_augmentation'])
    sources: dict[str, Source] = {}
    for kind, weight in options['rendered'].items():
        sources[kind] = (weight, Rendered([rendered], kind), light)
    if options['real']:
        varied = Augmentation(**recipe['real_augmentation'])
        pixels = 2 * size[0] * size[1]
        folders = [
            f
            for folder in real
            for f in sorted(folder.iterdir())
            if f.is_dir() and f.name not in recipe.get('left_out', [])
        ]
        frames = {f.name: RealFrames(f, pixels=pixels) for f in folders}
        weights = root_weights({n: len(f) for n, f in frames.items()}, options['real'])
        sources |= {name: (weights[name], f, varied) for name, f in frames.items()}
    return sources


def _validation(
    model: DepthNetwork, rendered: Path, photographs: Path
) -> tuple[tuple[str, ...], list[DataLoader[Any]]]:
    """Return names of sets to validate on, and what loads them: photographs, rendered kinds."""
    names, loaders = [], []
    for folder in sorted(f for f in photographs.iterdir() if f.is_dir()):
        frames = FrameFolder(folder)
        protocol = named_protocol('outdoor' if folder.name in _STREETS else 'indoor')
        names.append(folder.name)
        loaders.append(DataLoader(ValidationPictures(frames, protocol, model)))
    for kind in ('indoor', 'close', 'outdoor'):
        pictures = Rendered([rendered], kind)
        names.append(kind)
        some = Subset(_Fixed(pictures, model.config.input_size), range(min(60, len(pictures))))
        loaders.append(DataLoader(some, 20))
    return tuple(names), loaders


class _Fixed(torch.utils.data.Dataset[Picture]):
    """Pictures at the network's size, as they are."""

    def __init__(self, pictures: Rendered, size: tuple[int, int]) -> None:
        self._pictures, self._size = pictures, size

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Picture:
        return NO_AUGMENTATION(self._pictures[index], self._size)
