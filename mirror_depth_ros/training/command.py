"""One training from a recipe, through Lightning's command line: begun, or gone on with."""

from __future__ import annotations

import errno
import logging
import threading
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from safetensors.torch import save

from mirror_depth_ros.depth.files import write_bytes
from mirror_depth_ros.model.checkpoint import checkpoint_facts
from mirror_depth_ros.model.clip_loading import load_clip, needs_weights
from mirror_depth_ros.model.processor import has_native_bf16
from mirror_depth_ros.training.callbacks import (
    CHECKPOINT_FILE,
    MODEL_FILE,
    AveragedWeights,
    DataWait,
    DeployableModel,
    DepthPictures,
    DurableCheckpoints,
    LastCheckpoint,
)
from mirror_depth_ros.training.depth_data import DepthData
from mirror_depth_ros.training.depth_training import MirrorDepthTraining
from mirror_depth_ros.validation import Integer, Number, OrNone, check

#: Of a training, in its folder: all its options.
RECIPE_FILE = 'recipe.yaml'
#: Warnings of Lightning and PyTorch about what is meant to be so, or is their own affair.
_INTENDED = (
    "LightningCLI's args parameter",  # they are part of our command line, which is in sys.argv
    r'Found \d+ module\(s\) in eval mode',  # the frozen CLIP
    r'.*isinstance\(treespec, LeafSpec\)',
    'Grad strides do not match bucket view strides',  # costs one copy of 800,000 numbers
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Options that a training may go on with changed, as no result depends on them, and those of the
#: trainer that it may not: the learning rate's course follows from them.
_FREE = {'model': ('clip_weights',), 'data': ('workers', 'skip_broken', 'val_count')}
_BINDING = ('max_epochs', 'max_steps', 'accumulate_grad_batches', 'gradient_clip_val')
# Of the trainer, what Lightning takes as it comes, to end a training after hours or to spoil it.
_TRAINER_RULES = {
    'accumulate_grad_batches': Integer(1, 10**9),
    'check_val_every_n_epoch': OrNone(Integer(1, 10**9)),
    'gradient_clip_val': OrNone(Number(0, 10**9)),
    'log_every_n_steps': OrNone(Integer(0, 10**9)),
}


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
        for talkative in ('lightning.pytorch', 'lightning.fabric'):
            logging.getLogger(talkative).setLevel(logging.WARNING)
        super().__init__(
            MirrorDepthTraining,
            DepthData,
            args=[*arguments, '--trainer.default_root_dir', str(output)],
            run=False,
            save_config_callback=None,  # see check_unchanged
            seed_everything_default=0,
            parser_kwargs={'exit_on_error': False},  # one line says more than the whole usage
            auto_configure_optimizers=False,  # the model's own
            trainer_defaults={
                'use_distributed_sampler': False,  # the loader gives each process its part
                'gradient_clip_val': 1.0,
                'enable_model_summary': False,
                'plugins': {
                    'class_path': f'{DurableCheckpoints.__module__}.{DurableCheckpoints.__name__}'
                },
                'logger': {
                    'class_path': 'lightning.pytorch.loggers.TensorBoardLogger',
                    'init_args': {
                        'save_dir': str(output),
                        'name': 'log',
                        'version': '',
                        'default_hp_metric': False,
                    },
                },
                'callbacks': [
                    DeployableModel(),
                    DepthPictures(),
                    AveragedWeights(),
                    DataWait(),
                    RichProgressBar(),
                    *callbacks,
                    LastCheckpoint(output, save_every),
                ],
            },
        )

    def before_instantiate_classes(self) -> None:
        """Compare with how the folder was begun, and see to a CLIP that has no weights.

        :raises ValueError: for trainer options that Lightning would take and choke on later.
        """
        check(vars(self.config.trainer), _TRAINER_RULES, prefix='trainer.')
        interval = self.config.trainer.val_check_interval
        if isinstance(interval, (int, float)):  # text and time spans are Lightning's to judge
            Number(0, 10**9, above=True)('trainer.val_check_interval', interval)
        values = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        note = self._output / RECIPE_FILE
        if note.exists() and (self._output / CHECKPOINT_FILE).exists():
            check_unchanged(values, note)
        else:  # whatever kept an earlier attempt from its first checkpoint may be mended
            _write_recipe(note, values)
        self.config.trainer.precision = _native_precision(self.config.trainer)
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
    checkpoint = output / CHECKPOINT_FILE
    resumed = str(checkpoint) if checkpoint.exists() else None
    with _in_one_line(output):
        line = _RecipeLine(arguments, output, save_every, callbacks)
        if resumed is not None:
            rank_zero_only(print)(f'going on from {resumed}', flush=True)
        line.trainer.fit(line.model, line.datamodule, ckpt_path=resumed)
        model = output / MODEL_FILE  # of the validations on the way
        is_last = model.exists() and checkpoint_facts(model)['steps'] == line.trainer.global_step
        if not line.trainer.strategy.broadcast(is_last):  # or processes might disagree
            # It ended between two validations: look at the last weights, too, and save them.
            line.trainer.validate(line.model, line.datamodule, verbose=False)
    if torch.distributed.is_initialized():
        # Lightning does it for NCCL only: Gloo's threads, left running, may abort the process.
        torch.distributed.destroy_process_group()
    _report(model)
    return model


@contextmanager
def _in_one_line(output: Path) -> Iterator[None]:
    """Say what was wrong without the usage of 200 options, or another process's traceback."""
    excepthook = threading.excepthook
    threading.excepthook = partial(_report_thread, excepthook)
    try:
        yield
    except (ArgumentError, MisconfigurationException) as error:
        raise ValueError(f'{error}; --print_config shows all options and their meaning') from error
    except (OSError, ValueError) as error:
        if 'in DataLoader worker process' in str(error):
            message = str(error).rpartition(f'\n{type(error).__name__}: ')[2]
            raise type(error)(message.strip()) from error
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            raise OSError(
                f'could not write into {output}: {error.strerror}; make room there'
            ) from error
        raise
    finally:
        threading.excepthook = excepthook


def _report_thread(
    report: Callable[[threading.ExceptHookArgs], Any], what: threading.ExceptHookArgs
) -> None:
    """Report an error of another thread, unless it is raised in the main one, too."""
    if not type(what.thread).__module__.startswith('tensorboard.'):
        report(what)


@rank_zero_only
def _report(model: Path) -> None:
    facts = checkpoint_facts(model)
    validation = {name.removeprefix('val/'): v for name, v in facts['validation'].items()}
    shown = [name for name in ('abs_rel', 'delta1', 'photometric') if name in validation]
    figures = ', '.join(f'{validation[name]:.3f} {name}' for name in shown)
    print(f'{model}: {facts["steps"]} steps, validation {figures}')


def check_unchanged(values: dict[str, Any], note: Path) -> None:
    """Refuse to go on with a training under other options.

    :param values: all options; those that results depend on are compared.
    :param note: where those that the training was begun with are kept.
    :raises ValueError: for an option with another value.
    """
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
        section: {name: value for name, value in values[section].items() if name not in free}
        for section, free in _FREE.items()
    }
    decisive['trainer'] = {name: values['trainer'].get(name) for name in _BINDING}
    return _flat(decisive)


def _flat(values: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Return the options of all sections, ``section.name``, in one."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = _flat(value, f'{prefix}{name}.') if isinstance(value, dict) else None
        flat |= inner or {f'{prefix}{name}': value}
    return flat


def _native_precision(trainer: Any) -> Any:
    """Return the precision asked for, but on a CPU without bf16 single precision in its place.

    Emulated, a training takes many times as long, for the same result.

    :param trainer: Lightning's options.
    """
    has_other = torch.cuda.is_available() or torch.backends.mps.is_available()
    is_cpu = trainer.accelerator == 'cpu' or (trainer.accelerator == 'auto' and not has_other)
    if trainer.precision == 'bf16-mixed' and is_cpu and not has_native_bf16():
        rank_zero_only(print)('this CPU has no bf16 of its own: training in fp32', flush=True)
        return '32-true'
    return trainer.precision


@rank_zero_only
def _write_recipe(note: Path, values: dict[str, Any]) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(note, yaml.safe_dump(values, sort_keys=False).encode())


def _random_clip(name: str, folder: Path) -> Path:
    """Return a file of random CLIP weights: without a file, nobody could load the model again."""
    path = folder / f'random_{name}.safetensors'
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
