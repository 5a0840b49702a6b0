"""What the mirror is good for: the paper's network with one thing changed at a time.

Run ``python -m mirror_depth_ros.training.ablations`` after ``make builtin``: it trains every
variant with the same budget and several seeds on the features that the recipe's work folder holds,
and adds each result to a JSON file as soon as it is there. Interrupted, the same command goes on
with what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn

from mirror_depth_ros.model.clip import FrozenImageEncoder, FrozenTextEncoder
from mirror_depth_ros.model.decoder import parameter_count
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.scenes.video import KINDS
from mirror_depth_ros.training.builtin import pretrain_clip
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
from mirror_depth_ros.writers import write_json

#: Changes to the paper's configuration, by name.
VARIANTS: dict[str, dict[str, Any]] = {
    'the paper': {},
    '16 tokens': {'mirror_tokens': 16},
    '32 tokens': {'mirror_tokens': 32},
    'mean of the outputs': {'condition': 'mirror_mean'},
    'random frozen mirror': {'condition': 'mirror_frozen'},
    'free condition vector': {'condition': 'free'},
    'no condition': {'condition': 'none'},
    'condition at every tap': {'film': 'every'},
    'last tap only': {'last_tap_only': True},
}


@dataclass(frozen=True)
class Budget:
    """What every variant gets."""

    steps: int
    batch_size: int
    lr: float
    loss: str


def main() -> None:
    """Train what is missing and write it down."""
    parser = recipe_parser(
        'Train every variant of the mirror. Those in the JSON file are skipped.',
        config='clip2depth',
    )
    parser.add_argument('--json', type=Path, default=Path('docs/results/ablations.json'))
    parser.add_argument('--steps', type=int, default=800, help='of every training')
    parser.add_argument('--seeds', type=int, default=3, help='trainings of every variant')
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--loss', default='log_l1', help='a loss of training/loss.py')
    arguments = parser.parse_args()
    recipe = Recipe.open(arguments)
    scenes = rendered_scenes(recipe)
    clip = pretrain_clip(recipe, scenes)
    config = MirrorDepthConfig.from_dict({**MirrorDepthConfig().to_dict(), **recipe['model']})
    cached = cached_scenes(recipe, scenes, FrozenImageEncoder(clip, config.taps))
    budget = Budget(arguments.steps, 32, arguments.lr, arguments.loss)
    results = _results(arguments.json)
    for name, seed in missing(results, range(arguments.seeds), budget):
        outcome = train_variant(
            config,
            VARIANTS[name],
            clip,
            cached,
            budget,
            seed,
            scenes=recipe['depth'].get('scenes'),
        )
        results.append({'variant': name, 'seed': seed, **vars(budget), **outcome})
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.json, {'trainings': results})


def _results(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())['trainings'] if path.exists() else []


def missing(
    results: Sequence[dict[str, Any]], seeds: Sequence[int], budget: Budget
) -> Iterator[tuple[str, int]]:
    """Yield variant and seed of every training that is not among the results, seed by seed.

    :raises ValueError: for results of another budget, which cannot be compared.
    """
    for result in results:
        changed = [key for key, value in vars(budget).items() if result[key] != value]
        if changed:
            raise ValueError(
                f'got results of another {", ".join(changed)}, expected {budget}; name another '
                '--json'
            )
    done = {(result['variant'], result['seed']) for result in results}
    for seed in seeds:
        for name in VARIANTS:
            if (name, seed) not in done:
                yield name, seed


def train_variant(
    config: MirrorDepthConfig,
    changes: dict[str, Any],
    clip: nn.Module,
    cached: dict[str, CachedScenes],
    budget: Budget,
    seed: int,
    *,
    scenes: int | None = None,
) -> dict[str, Any]:
    """Train one variant from its seed; returns validation metrics and the parameters trained.

    :param config: the unchanged configuration, whose taps the cached features are of.
    :param changes: what is different, see :data:`VARIANTS`.
    :param scenes: train on the first so many scenes only.
    """
    lightning.seed_everything(seed)
    changes = dict(changes)
    if last_tap_only := changes.pop('last_tap_only', False):
        changes['taps'] = config.taps[-1:]
    config = replace(config, **changes)
    encoder = FrozenImageEncoder(clip, config.taps)
    model = MirrorDepth(config, encoder, FrozenTextEncoder(clip))
    training = DepthTraining(
        model,
        lr=budget.lr,
        weight_decay=0.01,
        kinds=KINDS,
        loss=budget.loss,
        taps=slice(-1, None) if last_tap_only else slice(None),
    )
    train, val = loaders(
        cached,
        batch_size=budget.batch_size,
        samples=budget.steps * budget.batch_size,
        indoor_share=0.5,
        scenes=scenes,
    )
    trainer = lightning.Trainer(
        max_steps=budget.steps,
        precision='bf16-mixed',
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        callbacks=[WeightAveraging(use_buffers=False, avg_fn=warmed_up_average)],
        limit_val_batches=0,
    )
    trainer.fit(training, train)
    validation = lightning.Trainer(logger=False, precision='bf16-mixed')
    metrics: dict[str, float] = {}
    for of_kind in validation.validate(training, val, verbose=False):
        metrics.update(of_kind)
    return {'parameters': parameter_count(model), **metrics}


if __name__ == '__main__':
    main()
