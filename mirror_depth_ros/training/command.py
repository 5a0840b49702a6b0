"""One training from a recipe, through Lightning's command line: begun, or gone on with."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn
from safetensors.torch import save

from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.model.clip import load_clip, needs_weights
from mirror_depth_ros.model.resources import recipe_directory
from mirror_depth_ros.training.callbacks import (
    MODEL_FILE,
    AveragedWeights,
    DataWait,
    DeployableModel,
    DepthPictures,
)
from mirror_depth_ros.training.depth_data import DepthData
from mirror_depth_ros.training.mirror_depth_training import MirrorDepthTraining
from mirror_depth_ros.writers import write_bytes

_CHECKPOINT = 'last.ckpt'
_RECIPE = 'recipe.yaml'
_RANDOM_CLIP = 'clip.safetensors'
#: Warnings of Lightning and PyTorch about what is meant to be so, or is their own affair.
_INTENDED = (
    "LightningCLI's args parameter",  # they are part of our command line, which is in sys.argv
    r'Found \d+ module\(s\) in eval mode',  # the frozen CLIP
    r'.*isinstance\(treespec, LeafSpec\)',
    'Grad strides do not match bucket view strides',  # costs one copy of 800,000 numbers
)
#: Options that a training may go on with changed, as no result depends on them, and those of the
#: trainer that it may not: the learning rate's course follows from them.
_FREE = {'model': ('clip_weights',), 'data': ('workers', 'skip_broken', 'val_count')}
_BINDING = ('max_epochs', 'max_steps', 'accumulate_grad_batches', 'gradient_clip_val')


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


class _RecipeLine(LightningCLI):
    """Lightning's command line for our model and data, with what every training here does."""

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        save_every: int,
        callbacks: Sequence[Callback],
    ) -> None:
        self._output = output
        for intended in _INTENDED:
            warnings.filterwarnings('ignore', intended)
        super().__init__(
            MirrorDepthTraining,
            DepthData,
            args=[*arguments, '--trainer.default_root_dir', str(output)],
            run=False,
            save_config_callback=None,  # see _check_unchanged
            seed_everything_default=0,
            trainer_defaults={
                'use_distributed_sampler': False,  # the loader gives each process its share
                'gradient_clip_val': 1.0,
                'enable_model_summary': False,
                'plugins': {'class_path': f'{__name__}.{DurableCheckpoints.__name__}'},
                'logger': {
                    'class_path': 'lightning.pytorch.loggers.TensorBoardLogger',
                    'init_args': {'save_dir': str(output), 'name': 'log', 'version': ''},
                },
                'callbacks': [
                    DeployableModel(),
                    DepthPictures(),
                    AveragedWeights(),
                    DataWait(),
                    RichProgressBar(),
                    *callbacks,
                    ModelCheckpoint(
                        output,
                        save_top_k=0,
                        save_last=True,
                        every_n_train_steps=save_every,
                        enable_version_counter=False,
                    ),
                ],
            },
        )

    def before_instantiate_classes(self) -> None:
        """Compare with how the folder was begun, and see to a CLIP that has no weights."""
        values = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        check_unchanged(values, self._output / _RECIPE)
        network = self.config.model.network
        if self.config.model.init is None and needs_weights(network.clip):
            weights = self.config.model.clip_weights or network.clip_weights
            if weights is None:
                self.config.model.clip_weights = str(_random_clip(network.clip, self._output))


def train(
    arguments: Sequence[str],
    output: Path,
    *,
    save_every: int = 100,
    callbacks: Sequence[Callback] = (),
) -> Path:
    """Train as Lightning's options say; go on where the training of that folder stopped.

    Leaves in ``output``: ``model.safetensors`` for the node, ``last.ckpt`` to go on from,
    ``recipe.yaml`` with every option, and ``log/`` for TensorBoard.

    :param arguments: ``--config FILE``, ``--data.train DATA`` and the like; see
        ``mirror_depth train --help``.
    :param save_every: steps between two checkpoints.
    :param callbacks: what shall happen beside the steps, too.
    :returns: the path of ``model.safetensors``.
    :raises ValueError: for options that do not fit, or that ``output`` was not begun with.
    :raises OSError: if the disk does not hold what is to be written.
    """
    output = output.resolve()
    line = _RecipeLine(arguments, output, save_every, callbacks)
    checkpoint = output / _CHECKPOINT
    resumed = str(checkpoint) if checkpoint.exists() else None
    if resumed is not None:
        rank_zero_info(f'going on from {checkpoint}')
    line.trainer.fit(line.model, line.datamodule, ckpt_path=resumed)
    model = output / MODEL_FILE  # of the validations on the way
    if not model.exists() or checkpoint_facts(model)['steps'] != line.trainer.global_step:
        # It ended between two validations: look at the last weights, too, and save them.
        line.trainer.validate(line.model, line.datamodule, verbose=False)
    _report(model)
    return model


@rank_zero_only
def _report(model: Path) -> None:
    facts = checkpoint_facts(model)
    figures = ', '.join(
        f'{facts["validation"][f"val/{n}"]:.3f} {n}' for n in ('abs_rel', 'delta1')
    )
    print(f'{model}: {facts["steps"]} steps, validation {figures}')


def check_unchanged(values: dict[str, Any], note: Path) -> None:
    """Refuse to go on with a training under other options.

    :param values: all options; those that results depend on are compared.
    :param note: where they are kept; written if it is not there.
    :raises ValueError: for an option with another value.
    """
    if not note.exists():
        _write_recipe(note, values)
        return
    begun = _decisive(yaml.safe_load(note.read_text()))
    for name, value in _decisive(values).items():
        if begun.get(name) != value:
            raise ValueError(
                f'got {name} = {value}, expected {begun.get(name)}, which {note.parent} was begun '
                'with; give another --output, or remove that folder to begin anew'
            )


def _decisive(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a training's outcome depends on, by their names."""
    decisive = {
        f'{section}.{name}': value
        for section, free in _FREE.items()
        for name, value in values[section].items()
        if name not in free
    }
    return decisive | {f'trainer.{name}': values['trainer'].get(name) for name in _BINDING}


@rank_zero_only
def _write_recipe(note: Path, values: dict[str, Any]) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(note, yaml.safe_dump(values, sort_keys=False).encode())


def _random_clip(name: str, folder: Path) -> Path:
    """Return a file of random CLIP weights: without a file, nobody could load the model again."""
    path = folder / _RANDOM_CLIP
    rank_zero_warn(
        f'got no weights for the CLIP {name}: it is random, {path}, which does to try a training '
        'but sees nothing; give --model.clip_weights for one that counts'
    )
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        state = load_clip(name).state_dict()
        # In half precision: what is random anyway need not fill the disk.
        write_bytes(path, save({k: v.half().contiguous() for k, v in state.items()}))
    return path


def recipe_path(recipe: Path) -> Path:
    """Return the file of a recipe, or of one that the package brings along under that name.

    :raises FileNotFoundError: if there is neither.
    """
    shipped = recipe_directory()
    for path in (recipe, shipped / f'{recipe}.yaml'):
        if path.is_file():
            return path
    names = ', '.join(sorted(path.stem for path in shipped.glob('*.yaml')))
    raise FileNotFoundError(f'got recipe {recipe}, expected a YAML file or one of {names}')
