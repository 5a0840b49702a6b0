"""What happens beside the steps of a training: averages, files, pictures, a look at the clock."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger

from mirror_depth_ros.depth.files import write_bytes
from mirror_depth_ros.depth.preview import comparison
from mirror_depth_ros.model.checkpoint import save_checkpoint
from mirror_depth_ros.training.depth_training import MirrorDepthTraining, warmed_up_average
from mirror_depth_ros.training.pictures import resize, to_picture

#: In a training's folder: what it goes on from, and what the node loads.
CHECKPOINT_FILE = 'last.ckpt'
MODEL_FILE = 'model.safetensors'
_PICTURES = 4
_PICTURE_HEIGHT = 240


class AveragedWeights(WeightAveraging):
    """Validates and saves the moving average of the weights (EMA) in place of the last ones."""

    def __init__(self) -> None:
        """Average as every training here does; no buffers, which hold infinities."""
        super().__init__(use_buffers=False, avg_fn=warmed_up_average)


class DeployableModel(lightning.Callback):
    """Writes ``model.safetensors``, which the node loads, after every validation.

    The file is that of the last validation, not of the best: choosing by what is validated on
    would make its figures better than what other images will see.

    It must stand before the averaging among the callbacks: that takes the average of the weights
    away again when a validation ends.
    """

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save the weights that were just validated, with their metrics."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, MirrorDepthTraining)
        metrics = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith('val/')
        }
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        facts = {'data': data.names[0], 'steps': trainer.global_step, 'validation': metrics}
        was_training = pl_module.model.training
        save_checkpoint(
            pl_module.model.eval(),
            Path(trainer.default_root_dir) / MODEL_FILE,
            facts=facts,
            familiarity=pl_module.familiarity(),
        )
        pl_module.model.train(was_training)


class DepthPictures(lightning.Callback):
    """Shows image, truth, prediction and error of a few images in TensorBoard.

    Before the averaging among the callbacks, as :class:`DeployableModel`.
    """

    @torch.inference_mode()
    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Predict and draw the same images every time."""
        if trainer.sanity_checking or not isinstance(trainer.logger, TensorBoardLogger):
            return
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, MirrorDepthTraining)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        for number in range(_PICTURES):
            sample = data.val_sample(number)
            picture = to_picture(sample, needs_depth=False)
            size = pl_module.model.input_size(*picture.size)
            seen = resize(picture, size)
            with trainer.precision_plugin.forward_context():
                depth = pl_module.model(
                    seen.image[None].to(pl_module.device) / 255.0,
                    seen.focal_px[None].to(pl_module.device),
                )
            depth = torch.nn.functional.interpolate(depth.float(), picture.size, mode='bilinear')
            drawn = comparison(
                sample.rgb,
                depth[0, 0].cpu().numpy(),
                sample.depth,
                max_depth=data.protocol.max_depth,
                height=_PICTURE_HEIGHT,
            )
            trainer.logger.experiment.add_image(
                f'val/{number}', drawn, trainer.global_step, dataformats='HWC'
            )


class DataWait(lightning.Callback):
    """Logs which fraction of its time a training waits for data, as ``data_wait``.

    More than a fifth asks for more ``--data.workers``, or for cached features.
    """

    def __init__(self) -> None:
        self._since_s = self._waited_before_s = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, *args: Any) -> None:
        """Begin anew: what lies between two epochs is no step."""
        self._since_s = 0.0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        *args: Any,
    ) -> None:
        """Log it since the epoch's first step, which also waits for processes to start."""
        waited_s = getattr(trainer.train_dataloader, 'waited_s', 0.0)
        now_s = time.perf_counter()
        if not self._since_s:
            self._since_s, self._waited_before_s = now_s, waited_s
            return
        fraction = (waited_s - self._waited_before_s) / (now_s - self._since_s)
        pl_module.log('data_wait', fraction)


class DurableCheckpoints(TorchCheckpointIO):
    """Checkpoints that a killed process or a power cut leaves whole: the old one or the new."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write, put on the disk, and only then give it its name.

        :raises OSError: naming the file and the reason, such as a full disk.
        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())


class LastCheckpoint(ModelCheckpoint):
    """``last.ckpt`` every so many steps, and at the end: what is finished stays so."""

    def __init__(self, folder: Path, save_every: int) -> None:
        """Write into ``folder``, after every ``save_every`` steps."""
        super().__init__(
            folder,
            save_top_k=0,
            save_last=True,
            every_n_train_steps=save_every,
            enable_version_counter=False,
        )
        self._path = folder / CHECKPOINT_FILE

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save the end, wherever it is."""
        trainer.save_checkpoint(self._path)
