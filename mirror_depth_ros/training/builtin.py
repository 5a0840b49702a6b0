"""The recipe of the built-in models, from nothing to the weights in ``resource/models``.

Run with ``make builtin``. Stages: render scenes, pre-train the small CLIP on their captions,
encode every picture with it once, train mirror and decoder in rounds, evaluate on unseen scenes,
save. Each stage leaves a file in the work folder and is skipped when that file is there, so the
same command resumes. Recipes that share a work folder share scenes, CLIP and features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import open_clip
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import load_file, save
from torch import nn
from torch.utils.data import DataLoader, Subset

from mirror_depth_ros.data.rendered_scenes import RenderedScenes
from mirror_depth_ros.model.checkpoint import checkpoint_facts, save_checkpoint
from mirror_depth_ros.model.clip import FrozenImageEncoder, FrozenTextEncoder
from mirror_depth_ros.model.clip_folder import LOCAL_FOLDER
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.model.resources import BUILTIN_CLIP, model_directory
from mirror_depth_ros.scenes.video import KINDS
from mirror_depth_ros.training.clip_pretraining import (
    BatchesOfOneKind,
    CaptionedScenes,
    ClipPretraining,
)
from mirror_depth_ros.training.depth_training import DepthTraining, MirrorHistory
from mirror_depth_ros.training.recipe import (
    Recipe,
    cached_scenes,
    check_unchanged,
    loaders,
    recipe_parser,
    rendered_scenes,
)
from mirror_depth_ros.training.schedule import warmed_up_average
from mirror_depth_ros.writers import write_bytes

_RECALL_AMONG = 256
_PRECISION: Any = 'bf16-mixed'


def main() -> None:
    """Follow the recipe named on the command line."""
    parser = recipe_parser('Train the built-in model. Interrupted, the same command goes on.')
    parser.add_argument(
        '--output', type=Path, default=model_directory(), help='folder of the weights'
    )
    arguments = parser.parse_args()
    train_builtin(Recipe.open(arguments), arguments.output)


def train_builtin(recipe: Recipe, output: Path) -> None:
    """Run all stages and write CLIP and model to ``output``.

    :raises ValueError: if the work folder was begun with another recipe.
    """
    check_unchanged(recipe)
    (output / BUILTIN_CLIP).mkdir(parents=True, exist_ok=True)  # first: not after hours
    lightning.seed_everything(recipe['seed'])
    scenes = rendered_scenes(recipe)
    clip = pretrain_clip(recipe, scenes)
    model, metrics = train_depth(recipe, scenes, clip)
    facts = {'data': 'procedural scenes', 'recipe': recipe.values, 'validation': metrics}
    target = output / f'{recipe["name"]}.safetensors'
    print(closeness(metrics, target))
    write_bytes(output / BUILTIN_CLIP / 'open_clip_model.safetensors', save(_half(clip)))
    save_checkpoint(model, target, facts=facts, dtype=torch.float16)
    print(f'written to {target}')


def closeness(metrics: dict[str, float], shipped: Path) -> str:
    """Return every metric in words, beside that of the file which is there already."""
    there = checkpoint_facts(shipped)['validation'] if shipped.exists() else {}
    lines = [f'{"validation":20} {"now":>8} {"before":>8}']
    for name, value in metrics.items():
        before = f'{there[name]:8.4f}' if name in there else f'{"none":>8}'
        lines.append(f'{name:20} {value:8.4f} {before}')
    return '\n'.join(lines)


def pretrain_clip(recipe: Recipe, scenes: dict[str, RenderedScenes]) -> nn.Module:
    """Train the small CLIP on pictures and captions, or load it when that is done."""
    options = recipe['clip']
    finished = recipe.work / 'clip.safetensors'
    clip = open_clip.create_model(
        f'{LOCAL_FOLDER}{model_directory() / BUILTIN_CLIP}',
        load_weights=False,
        force_patch_dropout=options['patch_dropout'],
    )
    if not finished.exists():
        training = ClipPretraining(clip, lr=options['lr'], weight_decay=options['weight_decay'])
        pairs = {name: CaptionedScenes(s, clip.context_length) for name, s in scenes.items()}
        # Recall is among as many unseen pairs as the batch below holds.
        val = Subset(pairs['val'], range(_RECALL_AMONG))
        _fit(
            recipe.work / 'clip',
            options['epochs'],
            training,
            DataLoader(
                pairs['train'],
                batch_sampler=BatchesOfOneKind(
                    scenes['train'].kinds[: options.get('scenes')], options['batch_size']
                ),
                num_workers=1,
            ),
            DataLoader(val, 64),
        )
        # Rounded once, here: everything after is trained on the very weights that are shipped.
        write_bytes(finished, save(_half(clip)))
    clip.load_state_dict({k: v.float() for k, v in load_file(finished).items()})
    return clip.eval()


def train_depth(
    recipe: Recipe, scenes: dict[str, RenderedScenes], clip: nn.Module
) -> tuple[MirrorDepth, dict[str, float]]:
    """Train mirror and decoder on the frozen CLIP's features; returns validation metrics too."""
    # What the recipe leaves out keeps its default.
    config = MirrorDepthConfig.from_dict({**MirrorDepthConfig().to_dict(), **recipe['model']})
    encoder = FrozenImageEncoder(clip, config.taps)
    model = MirrorDepth(config, encoder, FrozenTextEncoder(clip))
    cached = cached_scenes(recipe, scenes, encoder)
    metrics: dict[str, float] = {}
    for stage in recipe['stages']:
        options = recipe[stage]
        finished = recipe.folder / f'{stage}.safetensors'
        training = DepthTraining(
            model,
            lr=options['lr'],
            weight_decay=options['weight_decay'],
            kinds=KINDS,
            loss=options['loss'],
        )
        train, val = loaders(
            cached,
            batch_size=options['batch_size'],
            samples=options['samples'],
            indoor_share=options['indoor_share'],
            scenes=options.get('scenes'),
        )
        if not finished.exists():
            _fit(
                recipe.folder / stage,
                options['epochs'],
                training,
                train,
                val,
                callbacks=[
                    # No buffers: the text encoder's mask holds infinities.
                    WeightAveraging(use_buffers=False, avg_fn=warmed_up_average),
                    MirrorHistory(recipe.folder / stage),
                ],
            )
            write_bytes(finished, save(_trained(model)))
        model.load_state_dict(load_file(finished), strict=False)
    trainer = lightning.Trainer(logger=False, precision=_PRECISION)
    for of_kind in trainer.validate(training, val, verbose=False):
        metrics.update(of_kind)
    return model, metrics


def _fit(
    checkpoints: Path,
    epochs: int,
    training: lightning.LightningModule,
    train: DataLoader[Any],
    val: DataLoader[Any] | list[DataLoader[Any]],
    callbacks: Sequence[lightning.Callback] = (),
) -> None:
    """Fit with a progress bar, TensorBoard and checkpoints; resumes from the last one."""
    last = checkpoints / 'last.ckpt'
    trainer = lightning.Trainer(
        max_epochs=epochs,
        precision=_PRECISION,
        gradient_clip_val=1.0,
        accelerator='auto',
        logger=TensorBoardLogger(checkpoints.parent, name=f'{checkpoints.name}_log'),
        log_every_n_steps=20,
        callbacks=[
            ModelCheckpoint(checkpoints, save_last=True, every_n_train_steps=100),
            *callbacks,
        ],
    )
    trainer.fit(training, train, val, ckpt_path=last if last.exists() else None)


def _trained(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return what is trained of a network, by name."""
    return {k: p.detach().contiguous() for k, p in model.named_parameters() if p.requires_grad}


def _half(module: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.detach().to(torch.float16).contiguous() for k, v in module.state_dict().items()}


if __name__ == '__main__':
    main()
