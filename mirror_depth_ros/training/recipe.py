"""A recipe, and the data it names: scenes, their frozen features, batches of both kinds."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch.utils.data import DataLoader, Subset, WeightedRandomSampler

from mirror_depth_ros.data.rendered_scenes import RenderedScenes, render_scenes
from mirror_depth_ros.model.clip import FrozenImageEncoder
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from mirror_depth_ros.scenes.video import KINDS
from mirror_depth_ros.training.augmentation import Augmentation
from mirror_depth_ros.training.depth_training import OPTION_RULES
from mirror_depth_ros.training.feature_cache import CachedScenes, cache_scenes
from mirror_depth_ros.validation import ByName, Integer, Number, Rule, Several, Text
from mirror_depth_ros.writers import write_json

_COUNT = Integer(1, 10**9)
_ROUND = ByName(
    {
        **{name: OPTION_RULES[name] for name in ('loss', 'lr', 'weight_decay')},
        **dict.fromkeys(('scenes', 'samples', 'epochs', 'batch_size'), _COUNT),
        'indoor_share': Number(0, 1, 'a share'),
    },
    required=(
        'loss',
        'lr',
        'weight_decay',
        'samples',
        'epochs',
        'batch_size',
        'indoor_share',
    ),
)
# What every recipe says; its rounds of training have sections of their own, as ``stages`` has it.
_SECTIONS: dict[str, Rule] = {
    'name': Text(),
    'seed': Integer(0, 2**32 - 1),
    'scenes': ByName(
        {
            **dict.fromkeys(('train', 'val'), _COUNT),
            **dict.fromkeys(('height', 'width'), Integer(1, 4096)),
            'mirrored': ByName(Augmentation.RULES),
        },
        required=('train', 'val', 'height', 'width'),
    ),
    'clip': ByName(
        {
            **{name: OPTION_RULES[name] for name in ('lr', 'weight_decay')},
            **dict.fromkeys(('scenes', 'epochs', 'batch_size'), _COUNT),
            'patch_dropout': Number(0, 0.99, 'a share'),
        },
        required=('epochs', 'batch_size', 'lr', 'weight_decay', 'patch_dropout'),
    ),
    'stages': Several(Text(), 1, 100),
    'model': ByName(MirrorDepthConfig.RULES),
}
# Sections that recipes in one work folder have in common.
_SHARED = ('seed', 'scenes', 'clip')


@dataclass(frozen=True)
class Recipe:
    """What the YAML file says, and where intermediate files go."""

    #: The sections of the recipe.
    values: dict[str, Any]
    #: Folder of intermediate files.
    work: Path

    @classmethod
    def open(cls, arguments: argparse.Namespace) -> Recipe:
        """Read the recipe that a command line of :func:`recipe_parser` names.

        :raises ValueError: for a value that cannot be what it is for.
        """
        values = yaml.safe_load(arguments.config.read_text())
        try:
            check_recipe(values)
        except ValueError as error:
            raise ValueError(f'{error} (in {arguments.config})') from None
        return cls(values, arguments.work)

    @property
    def folder(self) -> Path:
        """Where files of this recipe's own model go."""
        return self.work / self['name']

    def __getitem__(self, section: str) -> Any:
        return self.values[section]


def check_recipe(values: Any) -> None:
    """Check all that a recipe says, before hours are spent on it.

    :raises ValueError: for unknown or missing sections and entries, or values that cannot be what
        they are for.
    """
    rules = dict(_SECTIONS)
    if isinstance(values, dict) and 'stages' in values:
        _SECTIONS['stages']('recipe.stages', values['stages'])
        rules |= dict.fromkeys(values['stages'], _ROUND)
    ByName(rules, required=tuple(rules))('recipe', values)


def recipe_parser(description: str, *, config: str = 'builtin') -> argparse.ArgumentParser:
    """Return a command line that names a recipe and a work folder, for :meth:`Recipe.open`.

    :param config: the recipe of ``config/builtin`` to follow when none is named.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        '--config', type=Path, default=Path(f'config/builtin/{config}.yaml'), help='the recipe'
    )
    parser.add_argument(
        '--work', type=Path, default=Path('build/builtin'), help='folder of intermediate files'
    )
    return parser


def check_unchanged(recipe: Recipe) -> None:
    """Refuse to mix stages of two recipes; what a finished stage was made with must be true.

    :raises ValueError: if the work folder was begun with another recipe.
    """
    for folder, is_shared in ((recipe.work, True), (recipe.folder, False)):
        values = {k: v for k, v in recipe.values.items() if (k in _SHARED) == is_shared}
        note = folder / 'recipe.json'
        if not note.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_json(note, values)
            continue
        begun = json.loads(note.read_text())
        changed = [name for name, value in values.items() if begun.get(name) != value]
        if changed:
            raise ValueError(
                f'got a recipe for {folder}, which was begun with other {", ".join(changed)}; '
                'give another --work, or remove what depends on that and recipe.json'
            )


def rendered_scenes(recipe: Recipe) -> dict[str, RenderedScenes]:
    """Render the scenes to train and validate on, or open them when that is done."""
    size = {name: recipe['scenes'][name] for name in ('height', 'width')}
    return {
        split: render_scenes(
            recipe.work / f'{split}_scenes', split=split, count=recipe['scenes'][split], **size
        )
        for split in ('train', 'val')
    }


def cached_scenes(
    recipe: Recipe, scenes: dict[str, RenderedScenes], encoder: FrozenImageEncoder
) -> dict[str, CachedScenes]:
    """Encode every picture with the frozen CLIP, or open its features when that is done."""
    maker = '_'.join([encoder.fingerprint(), *map(str, encoder.taps)])
    light = Augmentation(**recipe['scenes'].get('mirrored', {}))
    return {
        name: CachedScenes(
            s, cache_scenes(s, encoder, recipe.work / f'{name}_{maker}.npy', mirrored=light)
        )
        for name, s in scenes.items()
    }


def loaders(
    cached: dict[str, CachedScenes],
    *,
    batch_size: int,
    samples: int,
    indoor_share: float,
    scenes: int | None = None,
) -> tuple[DataLoader[Any], list[DataLoader[Any]]]:
    """Return batches to train on, and those to validate on by kind of scene.

    :param samples: how many pictures to draw for an epoch, upright and mirrored alike.
    :param indoor_share: how many of those are rooms; the rest are roads.
    :param scenes: train on the first so many scenes only.
    """
    kinds = cached['train'].kinds[:scenes]
    weight = {'indoor': indoor_share / kinds.count('indoor')}
    weight['outdoor'] = (1.0 - indoor_share) / kinds.count('outdoor')
    sampler = WeightedRandomSampler([weight[kind] for kind in kinds for _ in range(2)], samples)
    train = DataLoader(cached['train'], batch_size, sampler=sampler, drop_last=True, num_workers=1)
    # Entry 2 i is scene i upright, 2 i + 1 its mirror image; the latter only trains.
    upright = {
        kind: [2 * i for i, k in enumerate(cached['val'].kinds) if k == kind] for kind in KINDS
    }
    return train, [DataLoader(Subset(cached['val'], upright[kind]), 50) for kind in KINDS]
