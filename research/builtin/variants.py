"""Variants of the built-in model, each with one thing changed, at one small equal budget.

``python -m research.builtin.variants --help``. All stand on the CLIP as it is before its tower
learns depth, and start from random weights. One that has its file of figures is passed over, so
that the same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import lightning
import numpy as np
import open_clip
import torch
import typer
from lightning.pytorch.callbacks import WeightAveraging
from safetensors.torch import save
from torch import nn

from mirror_depth_ros.depth.files import write_bytes, write_json
from mirror_depth_ros.inference.engines.selection import EngineMaker
from mirror_depth_ros.inference.estimator import DepthEstimator
from mirror_depth_ros.model.clip_loading import LOCAL_FOLDER
from mirror_depth_ros.model.depth_network import DepthNetwork
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from mirror_depth_ros.model.resources import model_directory
from mirror_depth_ros.training.depth_training import warmed_up_average
from mirror_depth_ros.training.loading import ResumableLoader
from research.builtin.depth import BuiltinTraining, training_sources
from research.builtin.evaluate import mean_of_recordings, measure_sets
from research.builtin.fast_encoder import FastModule
from research.builtin.mixture import FirstPart, Mixture, Source
from research.builtin.recipe import read_recipe
from research.builtin.tower_tuning import TowerTuning, learning_network
from research.builtin.variant_networks import (
    DepthClip,
    ImageConditioned,
    LearnedPrompts,
    LinearProbe,
    MeanMap,
    with_mirror,
    without_condition,
)
from research.pages.markdown import markdown_table
from research.scenes.rendered_scenes import KINDS

_STEPS = 600
_COMMON = Path(__file__).with_name('variants.yaml')


#: What the recipe leaves before the image tower learns depth.
LOCKED_CLIP = Path('build/builtin/locked_clip')


def _depth_clip(config: MirrorDepthConfig, clip: nn.Module) -> DepthClip:
    words = json.loads((model_directory() / config.clip / 'vocabulary.json').read_text())['words']
    return DepthClip(config, clip, words)


@dataclass(frozen=True)
class Variant:
    """What differs from the recipe."""

    #: As the table calls it.
    label: str
    #: Entries of :class:`MirrorDepthConfig`.
    model: Mapping[str, Any] = field(default_factory=dict)
    #: Entries of the recipe's first round.
    depth: Mapping[str, Any] = field(default_factory=dict)
    #: Makes the network from a configuration and a CLIP.
    network: Callable[[MirrorDepthConfig, nn.Module], DepthNetwork] = with_mirror
    training: type[BuiltinTraining] = BuiltinTraining
    #: Whether the further real frames join those of the recipe.
    more_real: bool = False
    #: Share of the rendered pictures that are used.
    rendered_share: float = 1.0


#: Variants by the names of their files, those of most interest first.
VARIANTS = {
    'base': Variant('the recipe: a constant mirror'),
    'image_condition': Variant(
        'condition from the image: its CLIP embedding beside the mirror',
        network=ImageConditioned,
        model={'mirror_tokens': 31},
    ),
    'no_condition': Variant('no condition', network=without_condition),
    'no_real': Variant('no real frames', depth={'real': 0.0}),
    'more_real': Variant('real frames of more places', more_real=True),
    'no_close': Variant(
        'no rendered close range', depth={'rendered': {'indoor': 0.44, 'outdoor': 0.33}}
    ),
    'no_gradient': Variant('no gradient loss', depth={'gradient_weight': 0.0}),
    'half': Variant('half the rendered pictures', rendered_share=0.5),
    'larger_input': Variant(
        'input of 256 x 320', model={'input_size': [256, 320], 'reference_focal_px': 258.0}
    ),
    'wider': Variant('decoder of width 240', model={'width': 240}),
    'fine_tuned': Variant(
        'image tower fine-tuned', network=learning_network, training=TowerTuning
    ),
    'learned_prompts': Variant('learned prompts and bins (Auty et al.)', network=LearnedPrompts),
    'linear': Variant('linear probe of the same taps', network=LinearProbe),
    'mean': Variant('mean depth map', network=MeanMap, depth={'lr': 0.02}),
    'depthclip': Variant('DepthCLIP, zero-shot', network=_depth_clip, depth={'steps': 0}),
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help='Variants, all by default.')] = None,
    *,
    real: Annotated[Path, typer.Option(help='Recordings to train on.')],
    more_real: Annotated[Path, typer.Option(help='Further ones, for the variant with them.')],
    photographs: Annotated[Path, typer.Option(help='Recordings to measure on.')],
    scenes: Annotated[Path, typer.Option(help='Rendered scenes.')] = Path('build/scenes'),
    clip: Annotated[Path, typer.Option(help='Folder of the CLIP.')] = LOCKED_CLIP,
    seed: Annotated[int, typer.Option(help='Of weights and pictures.')] = 0,
    steps: Annotated[int, typer.Option(help='Of the batch of the recipe, each.')] = _STEPS,
    work: Annotated[Path, typer.Option(help='Where weights go.')] = Path('build/variants'),
    output: Annotated[Path, typer.Option(help='Where figures go.')] = Path(
        'docs/results/variants'
    ),
) -> None:
    """Train and measure variants, one after the other, and print the table of all so far."""
    cv2.setNumThreads(torch.get_num_threads())
    work.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    for name in names or VARIANTS:
        variant, path = VARIANTS[name], output / f'{name}_{seed}.json'
        if path.exists():
            continue
        recipe = recipe_of(variant, steps, seed)
        lightning.seed_everything(seed)
        network = build_network(variant, recipe, clip)
        folders = [real, more_real] if variant.more_real else [real]
        started = time.monotonic()
        if recipe['depth']['steps']:
            sources = sources_of(variant, recipe, scenes / 'train', folders)
            train(variant, network, recipe, sources, work / f'{path.stem}.safetensors')
        minutes = (time.monotonic() - started) / 60
        # Now: a training may have the tower learn as well.
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        engines = EngineMaker(backend='torch', precision='fp32', device='cpu')
        estimator = DepthEstimator(network.eval(), engines)
        figures = measure_sets(estimator, photographs, scenes / 'val')
        facts = {
            'seed': seed,
            'steps': recipe['depth']['steps'],
            'trained': trained,
            'minutes': round(minutes, 1),
        }
        write_json(path, {**facts, 'sets': figures})
        print(f'{path.stem}: {mean_of_recordings(figures)}', flush=True)
    print(table(output))


def recipe_of(variant: Variant, steps: int, seed: int) -> dict[str, Any]:
    """Return the recipe that all have in common, of so many steps, with a variant's changes."""
    recipe = read_recipe(_COMMON)
    depth = {**recipe['depth'], **recipe['rounds'][0], 'steps': steps, **variant.depth}
    model = {**MirrorDepthConfig().to_dict(), **recipe['model'], **variant.model}
    return {**recipe, 'seed': seed, 'depth': depth, 'model': model}


def build_network(variant: Variant, recipe: Mapping[str, Any], clip_folder: Path) -> DepthNetwork:
    """Return a variant's network on the CLIP in a folder, to be trained."""
    config = MirrorDepthConfig.from_dict(recipe['model'])
    clip = open_clip.create_model(f'{LOCAL_FOLDER}{clip_folder}')
    return variant.network(config, clip.eval()).train()


def sources_of(
    variant: Variant, recipe: Mapping[str, Any], rendered: Path, real: list[Path]
) -> dict[str, Source]:
    """Return what a variant is trained on, by name."""
    size = tuple(recipe['model']['input_size'])
    sources: dict[str, Source] = {}
    for name, (weight, pictures, light) in training_sources(recipe, rendered, real, size).items():
        if name in KINDS:
            count = round(variant.rendered_share * len(pictures))
            pictures = FirstPart(pictures, count)  # whole scenes: they stand one by one
        sources[name] = (weight, pictures, light)
    return sources


def train(
    variant: Variant,
    network: DepthNetwork,
    recipe: Mapping[str, Any],
    sources: Mapping[str, Source],
    weights: Path,
) -> None:
    """Train a network in place; ``weights`` is the file for what it learned."""
    options, size = recipe['depth'], network.config.input_size
    draws = options['steps'] * options['batch_size']
    mixture = Mixture(sources, size, draws)
    loader = ResumableLoader(mixture, options['batch_size'], seed=recipe['seed'])
    is_frozen = variant.training is not TowerTuning
    fast = FastModule(network.image_encoder, (3, *size)) if is_frozen else None
    training = variant.training(
        network,
        fast,
        lr=options['lr'],
        weight_decay=options['weight_decay'],
        loss=options['loss'],
        gradient_weight=options['gradient_weight'],
    )
    network.to(memory_format=torch.channels_last)
    trainer = lightning.Trainer(
        max_epochs=1,
        gradient_clip_val=1.0,
        accelerator='cpu',
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[
            _Progress(),
            WeightAveraging(use_buffers=False, avg_fn=warmed_up_average),
        ],
    )
    trainer.fit(training, loader)
    learned = {k: v.contiguous() for k, v in training.state_dict().items()}
    write_bytes(weights, save(learned))


class _Progress(lightning.Callback):
    """Prints the loss now and then."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *args: Any
    ) -> None:
        """Print a line every 50 steps."""
        if trainer.global_step % 50 == 0:
            print(f'step {trainer.global_step}: {float(outputs["loss"]):.4f}', flush=True)


def table(folder: Path) -> str:
    """Return the variants whose figures are in a folder, as Markdown; Abs Rel throughout.

    Of several seeds it is their mean, with the greatest distance of one from it.
    """
    rows = []
    for name, variant in VARIANTS.items():
        results = [
            json.loads(path.read_text())
            for path in sorted(folder.glob(f'{name}_*.json'))
            if path.stem.removeprefix(f'{name}_').isdecimal()
        ]
        if results:
            figures = np.array([_figures(result['sets']) for result in results])  # [seeds, F]
            means = figures.mean(axis=0)
            spreads = np.abs(figures - means).max(axis=0)
            cells = [
                f'{m:.3f} ± {s:.3f}' if len(results) > 1 else f'{m:.3f}'
                for m, s in zip(means, spreads)
            ]
            trained = f'{results[0]["trained"]:,}'
            rows.append([variant.label, trained, str(len(results)), *cells])
    header = [
        *('', 'trained numbers', 'seeds', 'photographs', 'median scaled'),
        *('the street', 'median scaled'),
        *(f'rendered: {kind}' for kind in ('rooms', 'close range', 'streets')),
    ]
    return markdown_table(header, rows)


def _figures(sets: Mapping[str, Mapping[str, float]]) -> list[float]:
    """Return a row of the table."""
    recordings, street = mean_of_recordings(sets), sets['pandaset-002']
    return [
        *(recordings['abs_rel'], recordings['scaled_abs_rel']),
        *(street['abs_rel'], street['scaled_abs_rel']),
        *(sets[kind]['abs_rel'] for kind in KINDS),
    ]


if __name__ == '__main__':
    typer.run(main)
