"""Variants of the built-in model: each is what its name says, and the table of their figures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('embreex', reason='only the laboratory needs it: pip install embreex trimesh')
pytest.importorskip('trimesh', reason='only the laboratory needs it: pip install embreex trimesh')

from mirror_depth_ros.model.resources import model_directory
from research.builtin.variants import VARIANTS, build_network, recipe_of, sources_of, table

PAGE = Path(__file__).parents[3] / 'docs' / 'results.md'


@pytest.mark.parametrize('name', VARIANTS)
def test_a_variant_can_be_trained_on_the_shipped_clip(name: str) -> None:
    variant = VARIANTS[name]
    recipe = recipe_of(variant, 600, seed=0)
    clip = model_directory() / recipe['model']['clip']
    network = build_network(variant, recipe, clip)
    trained = [n for n, p in network.named_parameters() if p.requires_grad]
    assert bool(trained) == bool(recipe['depth']['steps'])
    assert network.config.input_size == tuple(recipe['model']['input_size'])
    of_tower = [n for n in trained if n.startswith(('image_encoder.', 'text_encoder.'))]
    assert bool(of_tower) == (name == 'fine_tuned')


def write_frame(folder: Path) -> None:
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / 'rgb.png'), np.zeros((24, 32, 3), np.uint8))
    cv2.imwrite(str(folder / 'depth.png'), np.full((24, 32), 2000, np.uint16))
    camera = {'fx': 30, 'fy': 30, 'cx': 16, 'cy': 12, 'width': 32, 'height': 24}
    (folder / 'meta.json').write_text(json.dumps({'camera': camera, 'depth_scale': 0.001}))


def test_what_a_variant_is_trained_on(tmp_path: Path) -> None:
    kinds = ['indoor'] * 4 + ['close'] * 2 + ['outdoor'] * 2
    np.save(tmp_path / 'rgb.npy', np.zeros((8, 24, 32, 3), np.uint8))
    np.save(tmp_path / 'depth.npy', np.ones((8, 24, 32), np.float16))
    facts = {'focal_px': [30.0] * 8, 'hfov_deg': [60.0] * 8, 'kinds': kinds}
    facts |= {'captions': [''] * 8, 'models': [[]] * 8}
    (tmp_path / 'scenes.json').write_text(json.dumps(facts))
    write_frame(tmp_path / 'here' / 'desk' / '0')
    write_frame(tmp_path / 'there' / 'hall' / '0')
    folders = [tmp_path / 'here', tmp_path / 'there']

    def lengths(name: str) -> dict[str, int]:
        variant = VARIANTS[name]
        sources = sources_of(variant, recipe_of(variant, 1, seed=0), tmp_path, folders)
        return {source: len(pictures) for source, (_, pictures, _) in sources.items()}

    everything = {'indoor': 4, 'close': 2, 'outdoor': 2, 'desk': 1, 'hall': 1}
    assert lengths('more_real') == everything
    assert lengths('half') == {**everything, 'indoor': 2, 'close': 1, 'outdoor': 1}
    assert lengths('no_real') == {'indoor': 4, 'close': 2, 'outdoor': 2}
    assert 'close' not in lengths('no_close')


def write_figures(path: Path, abs_rel: float) -> None:
    names = ('abs_rel', 'delta1', 'scaled_abs_rel', 'scaled_delta1')
    values = {'pictures': 1, **dict.fromkeys(names, abs_rel)}
    recordings = {'desk': {**values, 'abs_rel': abs_rel + 0.2}, 'pandaset-002': values}
    sets = {**recordings, **dict.fromkeys(('indoor', 'close', 'outdoor'), values)}
    path.write_text(json.dumps({'trained': 12345, 'sets': sets}))


def test_a_row_is_the_mean_over_seeds(tmp_path: Path) -> None:
    write_figures(tmp_path / 'base_0.json', 0.3)
    write_figures(tmp_path / 'base_1.json', 0.5)
    write_figures(tmp_path / 'no_real_0.json', 0.6)
    _, _, base, no_real = table(tmp_path).splitlines()
    label = VARIANTS['base'].label
    assert base.startswith(f'| {label} | 12,345 | 2 | 0.500 ± 0.100 | 0.400 ± 0.100 | 0.400 ±')
    label = VARIANTS['no_real'].label
    assert no_real.startswith(f'| {label} | 12,345 | 1 | 0.700 | 0.600 | 0.600 |')


def test_the_page_has_the_table_of_its_files() -> None:
    assert table(PAGE.with_suffix('') / 'variants') in PAGE.read_text()
