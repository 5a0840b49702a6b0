"""Training of mirror and decoder, on pictures or on the frozen CLIP's features of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal

import lightning
import torch
from torch import Tensor, nn

from mirror_depth_ros.depth.metrics import METRIC_NAMES, depth_metrics
from mirror_depth_ros.model.checkpoint import load_checkpoint
from mirror_depth_ros.model.clip import Frozen
from mirror_depth_ros.model.confidence import laplace_scale
from mirror_depth_ros.model.conv_encoder import FrozenConvEncoder
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.familiarity import Familiarity, pool
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training.cpu_layout import suit_cpu
from mirror_depth_ros.training.feature_cache import EncodedPicture, split_features
from mirror_depth_ros.training.lessons import Lesson
from mirror_depth_ros.training.loss import LOSSES, gradient_loss, laplace_loss, range_loss
from mirror_depth_ros.training.photometric import motion_loss
from mirror_depth_ros.training.pictures import Picture
from mirror_depth_ros.validation import Choice, Number, Rule, check

Batch = Picture | EncodedPicture

# Where less than this share of a picture's depth is known, it is a lidar's.
_SPARSE = 0.2
# Enough for a Gaussian over a few hundred numbers; they are part of every checkpoint.
_POOLED_PICTURES = 4000

#: What the options of every training must be.
OPTION_RULES: Mapping[str, Rule] = {
    'loss': Choice(tuple(LOSSES)),
    'lr': Number(0, 10, 'a learning rate', above=True),
    'weight_decay': Number(0, 10),
    'gradient_weight': Number(0, 1000),
}


class DepthTraining(lightning.LightningModule):
    """A loss on canonical depth; the sky, at infinity, counts as the farthest the model knows.

    What is frozen is no part of its checkpoints: it is there already, and much larger than what is
    trained.
    """

    def __init__(
        self,
        model: DepthNetwork,
        *,
        lr: float,
        weight_decay: float,
        kinds: tuple[str, ...] = ('val',),
        loss: str = 'silog',
        taps: slice = slice(None),
        gradient_weight: float = 0.0,
        max_depth: float = 80.0,
    ) -> None:
        """Train ``model``.

        :param kinds: a name for each validation data loader.
        :param loss: a name in :data:`~mirror_depth_ros.training.loss.LOSSES`.
        :param taps: which of the cached taps the model takes.
        :param gradient_weight: of :func:`~mirror_depth_ros.training.loss.gradient_loss` beside it.
        :param max_depth: where depths cease to count in validation [m].
        :raises ValueError: for options outside :data:`OPTION_RULES`.
        """
        super().__init__()
        options = {'loss': loss, 'lr': lr, 'weight_decay': weight_decay}
        check({**options, 'gradient_weight': gradient_weight}, OPTION_RULES)
        self.model, self.kinds, self.loss = model, kinds, LOSSES[loss]
        self.lr, self.weight_decay, self.taps = lr, weight_decay, taps
        self.gradient_weight = gradient_weight
        self.max_depth = max_depth
        # What the last pictures of the training hold, ``[C]`` each; see pool.
        self._pooled = deque[Tensor](maxlen=_POOLED_PICTURES)
        self.register_state_dict_post_hook(_leave_out_frozen)
        self.register_load_state_dict_post_hook(_expect_nothing_frozen)

    def setup(self, stage: str) -> None:
        """Make what learns faster, where a CPU does it; before processes share its gradients."""
        if self.trainer.strategy.root_device.type == 'cpu':
            suit_cpu(self.model)

    def canonical(self, batch: Batch) -> Tensor:
        """Return the depth that is predicted for the reference focal length, ``[B, 1, h, w]``."""
        return self.predict(batch)[0]

    def predict(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return :meth:`canonical` and, of networks that say it, how far off it may be."""
        return self.model.predict(*self.taps_of(batch))

    def taps_of(self, batch: Batch) -> tuple[list[Tensor], tuple[int, int]]:
        """Return what the frozen tower says of a batch, and its size in patches."""
        encoder = self.model.image_encoder
        if not isinstance(batch, EncodedPicture):
            size = batch.image.shape[-2:]
            taps = self.encode(batch.image / 255.0)
        else:
            features = batch.features
            if not torch.is_autocast_enabled(features.device.type):
                features = features.float()  # they are kept in bf16
            size = batch.depth.shape[-2:]
            if isinstance(encoder, FrozenConvEncoder):
                taps = split_features(features, encoder.tap_shapes(*size))
            else:
                taps = list(features[:, self.taps].flatten(2, 3).unbind(dim=1))
        if self.training:
            self._pooled.extend(pool(taps[-1].detach()).half().cpu())
        rows, columns = (side // encoder.patch_size for side in size)
        return taps, (rows, columns)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the frozen tower's taps of images ``[B, 3, H, W]`` in 0..1."""
        return self.model.image_encoder(images)

    def familiarity(self) -> Familiarity | None:
        """Return what tells pictures that are unlike those of this training."""
        if not self._pooled:  # it went on at its end
            return self.model.familiarity
        pooled = torch.stack(list(self._pooled)).float()
        return Familiarity.fit(pooled, self.model.familiarity)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what tells familiar pictures."""
        if self._pooled:
            checkpoint['pooled'] = torch.stack(list(self._pooled))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up again."""
        self._pooled.extend(checkpoint.get('pooled', []))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss of one batch."""
        loss = self.depth_loss(*self.predict(batch), batch)
        self.log('loss', loss, prog_bar=True)
        return loss

    def depth_loss(
        self,
        canonical: Tensor,
        log_scale: Tensor | None,
        batch: Batch,
        *,
        may_be_empty: bool = False,
    ) -> Tensor:
        """Return how far off a prediction is where the batch has true depth.

        :param canonical: as :meth:`predict` returns it, with ``log_scale``.
        :param may_be_empty: give 0 where it has none, in place of an error.
        """
        config = self.model.config
        truth = batch.depth * (config.reference_focal_px / batch.focal_px).view(-1, 1, 1, 1)
        truth = truth.clamp(max=config.max_depth)
        valid = truth > config.min_depth
        loss = self.loss(canonical, truth, valid, may_be_empty=may_be_empty)
        if self.gradient_weight:
            loss = loss + self.gradient_weight * gradient_loss(canonical, truth, valid)
        if log_scale is not None:
            scale = laplace_scale(log_scale)
            loss = loss + laplace_loss(canonical, scale, truth, valid, may_be_empty=may_be_empty)
        return loss

    def validation_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> None:
        """Log the field's metrics by kind, every image counting the same.

        The truth may be larger than what the network sees: the prediction is brought to its size.
        """
        scale = (batch.focal_px / self.model.config.reference_focal_px).view(-1, 1, 1, 1)
        depth = self.canonical(batch) * scale
        if depth.shape != batch.depth.shape:
            # As the estimator does it; see there for what the focal length refers to.
            depth = nn.functional.interpolate(depth, batch.depth.shape[-2:], mode='bilinear')
        for prediction, truth in zip(depth.cpu(), batch.depth.cpu(), strict=True):
            metrics = depth_metrics(
                prediction[0].float().numpy(), truth[0].numpy(), max_depth=self.max_depth
            )
            for name in METRIC_NAMES:
                self.log_validation(
                    f'{self.kinds[dataloader_idx]}/{name}',
                    metrics[name],
                    is_shown=name == 'abs_rel',
                )

    def log_validation(self, name: str, value: float, *, is_shown: bool) -> None:
        """Log a figure of one image to validate on.

        :param is_shown: in the progress bar.
        """
        self.log(
            name,
            value,
            prog_bar=is_shown,
            # No integer: the mean of processes' counts would be rounded down.
            batch_size=1.0,
            add_dataloader_idx=False,
            sync_dist=True,
        )

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay."""
        return adamw_warmup_cosine(
            self.model.parameters(),
            lr=self.lr,
            weight_decay=self.weight_decay,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )


class MirrorDepthTraining(DepthTraining):
    """Mirror and decoder of a network on a frozen CLIP, from the start or from a checkpoint.

    They learn from true depth, from the camera's motion and from range sensors.
    """

    model: MirrorDepth

    def __init__(
        self,
        network: MirrorDepthConfig = MirrorDepthConfig(),  # noqa: B008 - it is frozen
        init: str | None = None,
        clip_weights: str | None = None,
        loss: Literal['silog', 'log_l1', 'relative'] = 'silog',
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        keep_shape: float = 0.0,
    ) -> None:
        """Build the network.

        Args:
            network: The network to train from the start.
            init: Go on from this model instead, builtin or the path of a checkpoint;
                its network is taken, and what is said about one above is not.
            clip_weights: Where this machine has the CLIP weights, a tag of open_clip or a file, if
                elsewhere than the network or the checkpoint says.
            loss: What is minimised, of the logarithm of depth.
            lr: Highest learning rate, after the warm-up.
            weight_decay: Of AdamW; biases and norms are spared.
            keep_shape: Where little of a picture's depth is known, as by a lidar, hold its shape
                to that of the model that the training goes on from, with this weight.
        """
        # First: a CLIP takes long to load.
        check(
            {'loss': loss, 'lr': lr, 'weight_decay': weight_decay, 'keep_shape': keep_shape},
            {**OPTION_RULES, 'keep_shape': Number(0, 1000)},
            prefix='model.',
        )
        if init is None:
            if clip_weights is not None:
                network = replace(network, clip_weights=clip_weights)
            model = MirrorDepth.from_config(network)
        else:
            model = load_checkpoint(init, clip_weights=clip_weights, folded=False)
        super().__init__(model.train(), lr=lr, weight_decay=weight_decay, loss=loss)
        self._keep_shape = keep_shape
        # In a list, so that it is no part of the state.
        self._before = [_frozen_copy(model)] if keep_shape and init is not None else []

    def training_step(self, batch: Batch | Lesson, index: int) -> Tensor:
        """Return the loss of one batch."""
        lesson = batch if isinstance(batch, Lesson) else None
        seen = batch.seen if isinstance(batch, Lesson) else batch
        taps = self.taps_of(seen)
        canonical, log_scale = self.model.predict(*taps)
        loss = self.depth_loss(canonical, log_scale, seen, may_be_empty=lesson is not None)
        others = {} if lesson is None else self._lesson_losses(canonical, lesson)
        if self._before:
            others['shape'] = self._keep_shape * self._shape_loss(canonical, taps, seen)
        for name, part in others.items():
            self.log(f'{name}_loss', part)
            loss = loss + part
        self.log('loss', loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch | Lesson, index: int, dataloader_idx: int = 0) -> None:
        """Log the field's metrics or, without true depth, motion's loss as ``photometric``."""
        if not isinstance(batch, Lesson):
            super().validation_step(batch, index, dataloader_idx)
            return
        losses = self._lesson_losses(self.canonical(batch.seen), batch)
        name, loss = f'{self.kinds[dataloader_idx]}/photometric', losses['photometric'].item()
        self.log_validation(name, loss, is_shown=True)

    def _shape_loss(
        self, canonical: Tensor, taps: tuple[list[Tensor], tuple[int, int]], seen: Batch
    ) -> Tensor:
        """Return how much sparsely known pictures' shape differs from what it was at first."""
        is_open = seen.depth.isnan()
        known = (~is_open).float().mean(dim=(1, 2, 3), keepdim=True)
        is_open &= (known > 0) & (known < _SPARSE)
        before = canonical.detach()
        if is_open.any():  # elsewhere it costs two thirds of a step, and says nothing
            with torch.no_grad():
                before = self._before[0].to(canonical.device).predict(*taps)[0]
        return gradient_loss(canonical, before, is_open)

    def _lesson_losses(self, canonical: Tensor, batch: Lesson) -> dict[str, Tensor]:
        """Return what motion and range sensors say, by name, of a prediction ``[B, 1, h, w]``."""
        scale = batch.seen.focal_px / self.model.config.reference_focal_px
        losses: dict[str, Tensor] = {}
        with torch.autocast(canonical.device.type, enabled=False):
            depth = canonical.float() * scale.view(-1, 1, 1, 1)
            if batch.views.pictures.shape[1] > 1:
                losses['photometric'] = motion_loss(depth, batch.rays, batch.views)
            if batch.cones.shape[1]:
                losses['range'] = range_loss(depth, batch.rays, batch.cones, batch.seen.focal_px)
        return losses


def _frozen_copy(model: MirrorDepth) -> MirrorDepth:
    """Return what a model is now, sharing its frozen towers."""
    towers: list[Any] = [part for part in model.modules() if isinstance(part, Frozen)]
    copied = deepcopy(model, {id(tower): tower for tower in towers}).eval().requires_grad_(False)
    copied.decoder.to(memory_format=torch.channels_last)
    return copied


def _frozen_parts(module: nn.Module) -> list[str]:
    """Return the names of a training's frozen modules, as its state would call what they hold."""
    return [f'{name}.' for name, part in module.named_modules() if isinstance(part, Frozen)]


def _leave_out_frozen(
    module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: dict[str, Any]
) -> None:
    frozen = tuple(prefix + part for part in _frozen_parts(module))
    for name in [name for name in state if name.startswith(frozen)]:
        del state[name]


def _expect_nothing_frozen(module: nn.Module, incompatible: Any) -> None:
    """Do not miss what :func:`_leave_out_frozen` left out."""
    frozen = _frozen_parts(module)
    missing = [n for n in incompatible.missing_keys if not any(part in n for part in frozen)]
    incompatible.missing_keys[:] = missing


def adamw_warmup_cosine(
    parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float, total_steps: int
) -> dict[str, Any]:
    """Return AdamW with 5 % linear warm-up and cosine decay, as Lightning wants it.

    Weight decay spares biases, norms and other vectors.
    """
    trained = [p for p in parameters if p.requires_grad]
    groups = [
        {'params': [p for p in trained if p.ndim >= 2], 'weight_decay': weight_decay},
        {'params': [p for p in trained if p.ndim < 2], 'weight_decay': 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=total_steps, pct_start=0.05, cycle_momentum=False
    )
    return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': schedule, 'interval': 'step'}}


def warmed_up_average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
    """Return the next exponential moving average of a weight, as ``AveragedModel`` wants it.

    The average reaches back over a tenth of the steps so far, at most over a thousand: it forgets
    the random start, and is worth looking at from the first hundred steps on.
    """
    decay = min(0.999, (1.0 + float(updates)) / (10.0 + float(updates)))
    return torch.lerp(current, averaged, decay)
