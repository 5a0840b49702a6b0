"""From ImageNet weights, rendered scenes and real frames to the files in ``resource/models``.

``python -m research.builtin.train --help``. Each stage leaves its result in the work folder and is
passed over when that is there; a training that was killed goes on with the same command.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import lightning
import open_clip
import torch
import typer
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mirror_depth_ros.depth.files import write_bytes, write_json
from mirror_depth_ros.model.clip_loading import LOCAL_FOLDER
from mirror_depth_ros.model.familiarity import Familiarity, pool
from mirror_depth_ros.model.mirror_depth import MirrorDepth
from mirror_depth_ros.training.loading import Draw
from research.builtin.depth import train_depth, training_sources
from research.builtin.fast_encoder import FastModule
from research.builtin.image_tower import (
    build_clip,
    centre_embeddings,
    half_precision,
    model_config,
)
from research.builtin.mixture import Mixture, Source
from research.builtin.publish import build_model, network_config, publish
from research.builtin.recipe import SHIPPED, read_recipe
from research.builtin.text_tuning import ClassTexts, text_report, tune_text
from research.builtin.tower_tuning import TowerTuning, learning_network, with_tower
from research.builtin.vocabulary import Vocabulary
from research.scenes.rendered_scenes import RenderedScenes

_WEIGHTS = 'open_clip_model.safetensors'
# Of a stage, in its folder.
_LEARNED, _FIGURES = 'trained.safetensors', 'figures.json'
_ENCODED_AT_ONCE = 50
_FAMILIAR_DRAWS = 3000
_MOST_CAPTIONS = 4000


def main(
    real: Annotated[Path, typer.Option(help='Folder of recordings to train on.')],
    photographs: Annotated[
        Path, typer.Option(help='Folder of recordings to validate on; none is trained on.')
    ],
    config: Annotated[Path, typer.Option(help='The recipe.')] = SHIPPED,
    work: Annotated[Path, typer.Option(help='Folder of stages.')] = Path('build/builtin'),
    scenes: Annotated[Path, typer.Option(help='Rendered scenes.')] = Path('build/scenes'),
    output: Annotated[Path | None, typer.Option(help='Where the final files go.')] = None,
) -> None:
    """Train the built-in CLIP's text tower, its image tower, then mirror and decoder on both."""
    recipe = read_recipe(config)
    rendered = {split: scenes / split for split in ('train', 'val')}
    lightning.seed_everything(recipe['seed'])
    locked, work = work / 'locked_clip', work / recipe['name']
    if not (locked / _WEIGHTS).exists():
        make_clip(recipe, rendered, locked)
    data: dict[str, Any] = {'rendered': rendered, 'real': [real], 'photographs': photographs}
    folder, clip_folder = work / 'tower', work / 'clip'
    learned = tune_tower(recipe, locked, folder, data) if 'tower' in recipe else {}
    if not (clip_folder / _WEIGHTS).exists():
        shutil.copytree(locked, clip_folder, dirs_exist_ok=True)
        weights = with_tower(load_file(locked / _WEIGHTS), learned)
        write_bytes(clip_folder / _WEIGHTS, save(weights))
    model = build_model(recipe, clip_folder)
    model.load_state_dict(learned, strict=False)  # its mirror and decoder
    for number, changes in enumerate(recipe['rounds'], 1):
        folder = work / f'round_{number}'
        train_round(model, recipe, number, changes, folder, data)
    if output is not None:
        last = [recipe.get('tower', {}), *recipe['rounds']][-1]
        options = {**recipe, 'depth': {**recipe['depth'], **last}}
        sources = training_sources(options, rendered['train'], [real], model.config.input_size)
        familiarity = measure_familiarity(model.image_encoder, sources, model.config.input_size)
        figures = json.loads((folder / _FIGURES).read_text())
        path = publish(
            recipe, clip_folder, folder / _LEARNED, figures, output, familiarity=familiarity
        )
        print(f'written to {path}')


def train_round(
    model: MirrorDepth,
    recipe: dict[str, Any],
    number: int,
    changes: dict[str, Any],
    folder: Path,
    data: dict[str, Any],
) -> None:
    """Train mirror and decoder on the frozen CLIP, in place, or take what that once came to."""
    if not (folder / _LEARNED).exists():
        folder.mkdir(parents=True, exist_ok=True)
        seed = recipe['seed'] + number - 1
        options = {**recipe, 'seed': seed, 'depth': {**recipe['depth'], **changes}}
        write_json(folder / _FIGURES, train_depth(model, options, folder, **data))
    model.load_state_dict(load_file(folder / _LEARNED), strict=False)


def measure_familiarity(
    encoder: nn.Module, sources: Mapping[str, Source], size: tuple[int, int]
) -> Familiarity | None:
    """Return what tells pictures that are unlike those of the training, of some of its draws."""
    fast = FastModule(encoder, (3, *size))
    mixture = Mixture(sources, size, _FAMILIAR_DRAWS)
    pooled = []
    for start in range(0, _FAMILIAR_DRAWS, _ENCODED_AT_ONCE):
        draws = range(start, start + _ENCODED_AT_ONCE)
        images = torch.stack([mixture[Draw(i, i)].image for i in draws])
        pooled.append(pool(fast(images / 255.0)[-1]))
    return Familiarity.fit(torch.cat(pooled))


def tune_tower(
    recipe: dict[str, Any], locked: Path, folder: Path, data: dict[str, Any]
) -> dict[str, Tensor]:
    """Let the image tower learn depth; return its weights and those of mirror and decoder."""
    if not (folder / _LEARNED).exists():
        folder.mkdir(parents=True, exist_ok=True)
        clip = open_clip.create_model(f'{LOCAL_FOLDER}{locked}').eval()
        options = dict(recipe['tower'])
        of_tower = {name: options.pop(name) for name in ('tower_lr_share', 'keep_weight')}
        figures = train_depth(
            learning_network(network_config(recipe), clip),
            {**recipe, 'depth': {**recipe['depth'], **options}},
            folder,
            **data,
            make_training=partial(TowerTuning, **of_tower),
        )
        write_json(folder / _FIGURES, figures)
    return load_file(folder / _LEARNED)


def make_clip(recipe: dict[str, Any], rendered: dict[str, Path], folder: Path) -> None:
    """Tune the text tower to the locked image tower and write both as an open_clip folder."""
    scenes = {split: RenderedScenes.load(path) for split, path in rendered.items()}
    classes = ClassTexts.of_imagenet()
    captions = scenes['train'].captions[:_MOST_CAPTIONS]
    vocabulary = Vocabulary.of_texts([*classes.all_texts(), *captions, *classes.all_texts()])
    clip, prototypes = build_clip(len(vocabulary))
    raw = embed(clip, scenes['train'], len(captions))
    centre_embeddings(clip, raw)
    unit = {
        'train': nn.functional.normalize(raw - raw.mean(dim=0), dim=-1),
        'val': nn.functional.normalize(embed(clip, scenes['val'], 256), dim=-1),
    }
    tune_text(clip, vocabulary, classes, prototypes, captions, unit['train'], **recipe['text'])
    report = text_report(
        clip, vocabulary, classes, prototypes, scenes['val'].captions, unit['val']
    )
    print(report)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / 'open_clip_config.json', model_config(len(vocabulary)))
    write_json(folder / 'vocabulary.json', {'words': vocabulary.words})
    write_json(folder.parent / 'clip_report.json', report)
    # Rounded once, here: everything after is trained on the very weights that are shipped.
    write_bytes(folder / _WEIGHTS, save(half_precision(clip)))


def embed(clip: open_clip.CLIP, scenes: RenderedScenes, count: int) -> Tensor:
    """Return the image tower's embeddings of the first pictures, ``[N, D]``."""
    fast = FastModule(clip.visual, (3, *scenes.rgb.shape[1:3]))
    embeddings = []
    for start in range(0, min(count, len(scenes)), _ENCODED_AT_ONCE):
        rgb = torch.from_numpy(scenes.rgb[start : min(start + _ENCODED_AT_ONCE, count)].copy())
        embeddings += fast((rgb.permute(0, 3, 1, 2) / 255.0 - 0.5) / 0.5)
    return torch.cat(embeddings)


if __name__ == '__main__':
    typer.run(main)
