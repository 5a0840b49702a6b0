"""The recipe of the built-in model: as it stands, and with what cannot be."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip('embreex', reason='only the laboratory needs it: pip install embreex trimesh')
pytest.importorskip('trimesh', reason='only the laboratory needs it: pip install embreex trimesh')

from research.builtin import recipe as recipes

SHIPPED = recipes.SHIPPED


def read(values: Any, folder: Path) -> dict[str, Any]:
    path = folder / 'changed.yaml'
    path.write_text(yaml.safe_dump(values))
    return recipes.read_recipe(path)


def test_the_shipped_recipe() -> None:
    assert recipes.read_recipe(SHIPPED) == yaml.safe_load(SHIPPED.read_text())


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (('seed',), True, r'got recipe.seed=True, expected an integer .*changed.yaml\)'),
        (('depth', 'weight_decay'), float('nan'), 'got recipe.depth.weight_decay=nan, expected'),
        (('depth', 'loss'), 'l1', "got recipe.depth.loss='l1', expected one of silog"),
        (('tower', 'lr'), True, 'got recipe.tower.lr=True, expected a learning rate'),
        (('tower', 'real'), 1.5, 'got recipe.tower.real=1.5, expected a share from 0'),
        (('tower', 'rendered', 'indor'), 0.1, "got 'indor' in .*; did you mean indoor[?]"),
        (('rounds',), [{}], r'got recipe.rounds\[0\] with recipe.depth without lr, steps, valid'),
        (('text', 'steps'), 1.5, 'got recipe.text.steps=1.5, expected an integer'),
        (('tower', 'tower_lr_share'), 2, 'got recipe.tower.tower_lr_share=2, expected a share'),
        (('scenes', 'mix'), [5, 3], r'got recipe.scenes.mix=\[5, 3\], expected a list of 3'),
        (('real_augmentation', 'flip'), 2, 'got recipe.real_augmentation.flip=2, expected a prob'),
        (('model', 'confidence'), 1, 'got recipe.model.confidence=1, expected true or false'),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, place: tuple[Any, ...], value: object, message: str
) -> None:
    values = deepcopy(yaml.safe_load(SHIPPED.read_text()))
    section = values
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    with pytest.raises(ValueError, match=message):
        read(values, tmp_path)


def test_a_file_without_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='got recipe=None, expected a section .*changed.yaml'):
        read(None, tmp_path)
