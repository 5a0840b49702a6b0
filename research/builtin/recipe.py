"""What the recipe of the built-in model says, checked before hours are spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from mirror_depth_ros.training.augmentation import Augmentation
from mirror_depth_ros.training.depth_training import OPTION_RULES
from mirror_depth_ros.validation import ByName, Flag, Integer, Number, Several, Text
from research.scenes.rendered_scenes import KINDS

#: The built-in model's.
SHIPPED = Path(__file__).with_name('builtin.yaml')
_COUNT = Integer(1, 10**9)
_SHARE = Number(0, 1, 'a share')
_TRAINING = {
    **OPTION_RULES,
    **dict.fromkeys(('batch_size', 'steps', 'validate_every'), _COUNT),
    'workers': Integer(0, 1024),
    'progress': Flag(),
    'rendered': ByName(dict.fromkeys(KINDS, _SHARE)),
    'real': _SHARE,
}
_OF_TOWER = {'tower_lr_share': _SHARE, 'keep_weight': Number(0, 1000)}
_RECIPE = ByName(
    {
        'name': Text(),
        'seed': Integer(0, 2**31),
        'scenes': ByName(
            {
                **dict.fromkeys(('train', 'val'), _COUNT),
                **dict.fromkeys(('height', 'width'), Integer(1, 4096)),
                'mix': Several(Integer(0, 1000), len(KINDS)),
            }
        ),
        'text': ByName(
            {
                'steps': _COUNT,
                'batch_size': _COUNT,
                'lr': OPTION_RULES['lr'],
                'seed': Integer(0, 2**31),
            },
            required=('steps',),
        ),
        # Without it, the image tower stays as it is.
        'tower': ByName({**_TRAINING, **_OF_TOWER}),
        'rendered_augmentation': ByName(Augmentation.RULES),
        'real_augmentation': ByName(Augmentation.RULES),
        'left_out': Several(Text(), 0, 1000),
        'depth': ByName(_TRAINING),
        'rounds': Several(ByName(_TRAINING), 0, 100),
        'model': ByName(MirrorDepthConfig.RULES),
    },
    required=(
        'name',
        'seed',
        'text',
        'rendered_augmentation',
        'real_augmentation',
        'depth',
        'rounds',
        'model',
    ),
)
# What a round and the section that all of them share must say together.
_NEEDED = tuple(name for name in _TRAINING if name != 'progress')


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe.

    :raises ValueError: for unknown or missing entries, or values that cannot be what they are for.
    """
    recipe = yaml.safe_load(path.read_text())
    try:
        _RECIPE('recipe', recipe)
        stages = {f'rounds[{i}]': changes for i, changes in enumerate(recipe['rounds'])}
        if 'tower' in recipe:
            stages['tower'] = recipe['tower']
        if not stages:
            raise ValueError('got neither recipe.tower nor recipe.rounds, expected one of them')
        whole = ByName({**_TRAINING, **_OF_TOWER}, required=_NEEDED)
        for name, changes in stages.items():
            whole(f'recipe.{name} with recipe.depth', {**recipe['depth'], **changes})
    except ValueError as error:
        raise ValueError(f'{error} (in {path})') from None
    return recipe
