"""Fits what the mirror is measured against, on the same scenes and the same frozen features.

Run ``python -m mirror_depth_ros.training.baselines`` after ``make builtin``. Baselines get the
losses that the recipe gives mirror and decoder. One whose file is there, on the same CLIP, is
skipped, so the same command resumes.
"""

from __future__ import annotations

import json
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from rich.progress import track
from torch.utils.data import DataLoader, Subset

from mirror_depth_ros.model.baselines.baseline import Baseline
from mirror_depth_ros.model.baselines.unprompted import LinearProbe, MeanDepth
from mirror_depth_ros.model.baselines.weights import (
    FITTED,
    baseline_directory,
    is_fitted,
    save_baseline,
)
from mirror_depth_ros.model.clip import FrozenImageEncoder
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from mirror_depth_ros.scenes.video import KINDS
from mirror_depth_ros.training.builtin import pretrain_clip
from mirror_depth_ros.training.closed_form import least_squares, mean_log_depth
from mirror_depth_ros.training.depth_training import DepthTraining
from mirror_depth_ros.training.feature_cache import CachedScenes
from mirror_depth_ros.training.recipe import (
    Recipe,
    cached_scenes,
    loaders,
    recipe_parser,
    rendered_scenes,
)
from mirror_depth_ros.training.schedule import warmed_up_average

_SOLVED_PICTURES = 4000
# Times the recipe's learning rate. Words bear more than a decoder: 7 beat 1, Abs Rel 0.40 to 0.42
# in rooms after 1,600 steps.
_RATE = {'learned_prompts': 7.0}


def main() -> None:
    """Fit what is missing."""
    parser = recipe_parser('Fit the baselines. Those whose file is there are skipped.')
    parser.add_argument(
        '--output', type=Path, default=baseline_directory(), help='folder of the weights'
    )
    parser.add_argument('--steps', type=int, default=4000, help='of every training')
    arguments = parser.parse_args()
    metrics = fit_baselines(Recipe.open(arguments), arguments.output, steps=arguments.steps)
    print(json.dumps(metrics, indent=2))


def fit_baselines(recipe: Recipe, output: Path, *, steps: int) -> dict[str, dict[str, float]]:
    """Fit every baseline that ``output`` lacks on this CLIP; returns their validation metrics.

    :param steps: of every training; they are shared between the recipe's stages as its own are.
    :raises FileNotFoundError: if the work folder holds no finished CLIP.
    :raises ValueError: if the recipe's taps do not end at CLIP's last block.
    """
    if not (recipe.work / 'clip.safetensors').is_file():
        raise FileNotFoundError(
            f'got work folder {recipe.work} without clip.safetensors, expected the CLIP that the '
            'baselines are to look through; run make builtin first, or give its --work'
        )
    scenes = rendered_scenes(recipe)
    clip = pretrain_clip(recipe, scenes)
    config = MirrorDepthConfig.from_dict({**MirrorDepthConfig().to_dict(), **recipe['model']})
    cached = cached_scenes(recipe, scenes, FrozenImageEncoder(clip, config.taps))
    metrics: dict[str, dict[str, float]] = {}
    for name, kind in FITTED.items():
        lightning.seed_everything(recipe['seed'])
        baseline: Baseline = kind(config, clip)
        if is_fitted(name, baseline, output):
            continue
        if isinstance(baseline, MeanDepth):
            depth = mean_log_depth(scenes['train'], baseline.config, baseline.MAP_SIZE)
            baseline.log_depth.copy_(depth)
        else:
            if isinstance(baseline, LinearProbe):
                _solve(baseline, cached['train'])
            _train(baseline, recipe, cached, steps, _RATE.get(name, 1.0))
        # Rounded to what is saved, before it is measured.
        baseline.load_state_dict(
            {k: v.half().float() for k, v in baseline.fitted().items()}, strict=False
        )
        metrics[name] = _validate(baseline, recipe, cached)
        facts = {'data': 'procedural scenes', 'steps': steps, 'validation': metrics[name]}
        output.mkdir(parents=True, exist_ok=True)
        save_baseline(name, baseline, output, facts=facts)
    return metrics


def _solve(baseline: LinearProbe, train: CachedScenes) -> None:
    """Start a linear probe from the map of least squares over some thousand pictures."""
    # An odd step: upright and mirrored pictures of both kinds of scene take turns.
    some = Subset(train, range(0, len(train), max(1, len(train) // _SOLVED_PICTURES) | 1))
    batches = track(DataLoader(some, 32, num_workers=1), 'solving')
    weight, bias = least_squares(batches, baseline.config, baseline.image_encoder.patch_size)
    with torch.no_grad():
        baseline.linear.weight.copy_(weight)
        baseline.linear.bias.copy_(bias)


def _train(
    baseline: Baseline,
    recipe: Recipe,
    cached: dict[str, CachedScenes],
    steps: int,
    rate: float,
) -> None:
    """Train through the recipe's stages, with its losses and ``rate`` times its learning rates."""
    recipe_taps = recipe['model']['taps']
    if baseline.config.taps[-1] != recipe_taps[-1]:
        raise ValueError(
            f'got taps {recipe_taps}, expected them to end at block {baseline.config.taps[-1]}, '
            'the last, as only its output lies in the joint image-text space; change the recipe'
        )
    pictures = {s: recipe[s]['samples'] * recipe[s]['epochs'] for s in recipe['stages']}
    for stage in recipe['stages']:
        options = recipe[stage]
        share = max(1, round(steps * pictures[stage] / sum(pictures.values())))
        train, _ = loaders(
            cached,
            batch_size=options['batch_size'],
            samples=share * options['batch_size'],
            indoor_share=options['indoor_share'],
            scenes=options.get('scenes'),
        )
        trainer = lightning.Trainer(
            max_steps=share,
            gradient_clip_val=1.0,
            logger=False,
            enable_checkpointing=False,
            limit_val_batches=0,
            # No buffers: the text encoder's mask holds infinities.
            callbacks=[WeightAveraging(use_buffers=False, avg_fn=warmed_up_average)],
        )
        trainer.fit(_training(baseline, recipe, stage, rate), train)


def _validate(
    baseline: Baseline, recipe: Recipe, cached: dict[str, CachedScenes]
) -> dict[str, float]:
    """Return metrics by kind of scene."""
    training = _training(baseline, recipe, recipe['stages'][-1])
    _, val = loaders(cached, batch_size=1, samples=1, indoor_share=0.5)
    trainer = lightning.Trainer(logger=False)
    metrics: dict[str, float] = {}
    for of_kind in trainer.validate(training, val, verbose=False):
        metrics.update(of_kind)
    return metrics


def _training(baseline: Baseline, recipe: Recipe, stage: str, rate: float = 1.0) -> DepthTraining:
    return DepthTraining(
        baseline,
        lr=rate * recipe[stage]['lr'],
        weight_decay=recipe[stage]['weight_decay'],
        kinds=KINDS,
        loss=recipe[stage]['loss'],
    )


if __name__ == '__main__':
    main()
