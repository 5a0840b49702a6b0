"""What a command line says of a recipe, and which recipes a work folder takes."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirror_depth_ros.model.resources import BUILTIN_MODELS
from mirror_depth_ros.training.recipe import Recipe, check_unchanged, recipe_parser

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('config', ['builtin', 'clip2depth'])
def test_a_command_line_that_names_nothing(config: str) -> None:
    parser = recipe_parser('Train.', config=config)
    arguments = parser.parse_args([])
    assert (ROOT / arguments.config).samefile(ROOT / 'config' / 'builtin' / f'{config}.yaml')
    assert arguments.work == Path('build/builtin')
    assert recipe_parser('Train.').parse_args([]).config.stem == 'builtin'
    text = ' '.join(parser.format_help().split())
    assert 'Train.' in text
    assert f'the recipe (default: config/builtin/{config}.yaml)' in text
    assert 'folder of intermediate files (default: build/builtin)' in text


def test_a_recipe_is_opened_as_the_command_line_names_it(recipe: Recipe, tmp_path: Path) -> None:
    config = tmp_path / 'small.yaml'
    config.write_text(yaml.safe_dump(recipe.values))
    command = ['--config', str(config), '--work', str(recipe.work)]
    opened = Recipe.open(recipe_parser('Train.').parse_args(command))
    assert opened == recipe
    assert opened['scenes'] == {'train': 16, 'val': 8, 'height': 48, 'width': 64}
    assert opened.folder == tmp_path / 'work' / 'builtin'


@pytest.mark.parametrize('name', BUILTIN_MODELS)
def test_shipped_recipes_open(name: str) -> None:
    path = ROOT / 'config' / 'builtin' / f'{name}.yaml'
    recipe = Recipe.open(recipe_parser('Train.').parse_args(['--config', str(path)]))
    assert recipe['name'] == path.stem
    for stage in recipe['stages']:
        assert recipe[stage]['epochs'] >= 1


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'seed': True}, r'got recipe.seed=True, expected an integer .* \(in .*small.yaml\)'),
        ({'clip': {'lr': float('nan')}}, 'got recipe.clip.lr=nan, expected a learning rate'),
        ({'scenes': {'mirrored': {'flop': 1}}}, "got 'flop' in recipe.scenes.mirrored, .*flip[?]"),
        ({'stages': ['depth', 'wider']}, "got 'tuning' in recipe, expected only"),
        ({'stages': [3]}, r'got recipe\.?stages\[0\]=3, expected text'),
        ({'model': {'width': 32.0}}, 'got recipe.model.width=32.0, expected an integer'),
        ({'tuning': {'loss': 'l1'}}, "got recipe.tuning.loss='l1', expected one of silog"),
    ],
)
def test_a_recipe_with_what_cannot_be_is_refused(
    recipe: Recipe, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    for section, value in values.items():
        if isinstance(value, dict):
            recipe.values[section] |= value
        else:
            recipe.values[section] = value
    config = tmp_path / 'small.yaml'
    config.write_text(yaml.safe_dump(recipe.values))
    with pytest.raises(ValueError, match=message):
        Recipe.open(recipe_parser('Train.').parse_args(['--config', str(config)]))


def test_a_recipe_that_is_no_recipe(tmp_path: Path) -> None:
    config = tmp_path / 'empty.yaml'
    config.write_text('')
    with pytest.raises(ValueError, match=r'got recipe=None, expected a section .*empty.yaml'):
        Recipe.open(recipe_parser('Train.').parse_args(['--config', str(config)]))
    config.write_text('name: small')
    with pytest.raises(ValueError, match='got recipe without seed, scenes, clip, stages, model'):
        Recipe.open(recipe_parser('Train.').parse_args(['--config', str(config)]))


def changed(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """The recipe with other values in some sections."""
    return Recipe({**deepcopy(recipe.values), **changes}, recipe.work)


def test_a_work_folder_goes_on_with_its_recipe(recipe: Recipe) -> None:
    check_unchanged(recipe)
    check_unchanged(changed(recipe, {}))


@pytest.mark.parametrize(
    ('changes', 'folder', 'sections'),
    [
        ({'scenes': {'train': 12}}, 'work', 'scenes'),
        ({'clip': {'epochs': 2}, 'seed': 1}, 'work', 'seed, clip'),
        ({'depth': {'loss': 'log_l1'}}, 'work/builtin', 'depth'),
        ({'longer': {'epochs': 5}}, 'work/builtin', 'longer'),
    ],
)
def test_a_work_folder_refuses_another_recipe(
    recipe: Recipe, tmp_path: Path, changes: dict[str, Any], folder: str, sections: str
) -> None:
    check_unchanged(recipe)
    message = (
        f'got a recipe for {tmp_path / folder}, which was begun with other {sections}; give '
        'another --work, or remove what depends on that and recipe.json'
    )
    for _ in range(2):  # a refusal leaves no trace
        with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
            check_unchanged(changed(recipe, changes))
    check_unchanged(recipe)


def test_recipes_of_one_work_folder_share_scenes_and_clip_alone(recipe: Recipe) -> None:
    check_unchanged(recipe)
    check_unchanged(changed(recipe, {'name': 'other', 'depth': {'loss': 'log_l1'}}))
    with pytest.raises(ValueError, match=r'work, which was begun with other scenes;'):
        check_unchanged(changed(recipe, {'name': 'third', 'scenes': {'train': 12}}))
