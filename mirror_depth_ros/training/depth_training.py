"""Training of mirror and decoder on the frozen CLIP's features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
from safetensors.torch import save
from torch import Tensor

from mirror_depth_ros.metrics import METRIC_NAMES, depth_metrics
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.training.loss import LOSSES
from mirror_depth_ros.training.schedule import adamw_warmup_cosine
from mirror_depth_ros.writers import write_bytes

_Batch = tuple[Tensor, Tensor, Tensor]


class DepthTraining(lightning.LightningModule):
    """A loss on canonical depth; the sky counts as the farthest depth the model knows."""

    def __init__(
        self,
        model: DepthNetwork,
        *,
        grid: tuple[int, int],
        lr: float,
        weight_decay: float,
        kinds: tuple[str, ...],
        loss: str = 'silog',
        taps: slice = slice(None),
    ) -> None:
        """Train ``model`` on features of ``grid`` patches.

        :param kinds: a name for each validation data loader.
        :param loss: a name in :data:`~mirror_depth_ros.training.loss.LOSSES`.
        :param taps: which of the cached taps the model takes.
        """
        super().__init__()
        self.model, self.kinds, self.loss = model, kinds, LOSSES[loss]
        self.grid, self.lr, self.weight_decay, self.taps = grid, lr, weight_decay, taps

    def training_step(self, batch: _Batch, index: int) -> Tensor:
        """Return the loss of one batch."""
        features, depth, focal_px = batch
        config = self.model.config
        canonical = self.model.decode(list(features[:, self.taps].unbind(dim=1)), self.grid)
        truth = depth * (config.reference_focal_px / focal_px).view(-1, 1, 1, 1)
        truth = truth.clamp(max=config.max_depth)
        loss = self.loss(canonical, truth, truth > config.min_depth)
        self.log('loss', loss, prog_bar=True)
        return loss

    def validation_step(self, batch: _Batch, index: int, dataloader_idx: int = 0) -> None:
        """Log the field's metrics by kind of scene, every image counting the same."""
        features, depth, focal_px = batch
        canonical = self.model.decode(list(features[:, self.taps].unbind(dim=1)), self.grid)
        scale = (focal_px / self.model.config.reference_focal_px).view(-1, 1, 1, 1)
        for prediction, truth in zip(canonical * scale, depth, strict=True):
            metrics = depth_metrics(prediction[0].numpy(), truth[0].numpy(), max_depth=80.0)
            for name in METRIC_NAMES:
                self.log(
                    f'{self.kinds[dataloader_idx]}/{name}',
                    metrics[name],
                    prog_bar=name == 'abs_rel',
                    batch_size=1,
                    add_dataloader_idx=False,
                )

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine decay."""
        return adamw_warmup_cosine(
            self.model.parameters(),
            lr=self.lr,
            weight_decay=self.weight_decay,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )


class MirrorHistory(lightning.Callback):
    """Keeps the mirror as it was on the way, to see what an unconverged one does."""

    #: Shares of the training after which the mirror is kept.
    SHARES = (0.01, 0.1, 0.3, 1.0)

    def __init__(self, folder: Path) -> None:
        """Write ``mirror_001.safetensors`` and so on, by per cent, into ``folder``."""
        self._folder = folder

    @staticmethod
    def file_name(share: float) -> str:
        """Return the name of the file for the mirror after a share of the training."""
        return f'mirror_{round(100 * share):03d}.safetensors'

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keep the mirror when one of the shares is reached."""
        total = int(trainer.estimated_stepping_batches)
        for share in self.SHARES:
            if trainer.global_step == max(1, round(share * total)):
                mirror = pl_module.model.mirror().detach().float().contiguous()
                self._folder.mkdir(parents=True, exist_ok=True)
                write_bytes(self._folder / self.file_name(share), save({'mirror': mirror}))
