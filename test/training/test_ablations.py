"""Variants of the paper's network, trained alike: what is done, what is missing, what changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mirror_depth_ros.data.rendered_scenes import render_scenes
from mirror_depth_ros.model.clip import FrozenImageEncoder, load_clip
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from mirror_depth_ros.training.ablations import VARIANTS, Budget, missing, train_variant
from mirror_depth_ros.training.feature_cache import CachedScenes, cache_scenes

BUDGET = Budget(steps=2, batch_size=4, lr=1e-3, loss='log_l1')


def test_what_is_missing_comes_seed_by_seed() -> None:
    done = [
        {'variant': name, 'seed': 0, **vars(BUDGET)} for name in VARIANTS if name != 'the paper'
    ]
    first, second, *_ = missing(done, range(2), BUDGET)
    assert (first, second) == (('the paper', 0), ('the paper', 1))
    assert len([*missing([], range(3), BUDGET)]) == 3 * len(VARIANTS)


def test_results_of_another_budget_are_refused() -> None:
    results = [{'variant': 'the paper', 'seed': 0, **vars(BUDGET), 'steps': 7}]
    with pytest.raises(ValueError, match='results of another steps, expected Budget'):
        [*missing(results, range(1), BUDGET)]


@pytest.mark.parametrize(
    'variant', ['the paper', 'random frozen mirror', 'no condition', 'last tap only']
)
def test_a_variant_trains_what_it_says(
    variant: str, tiny_network: dict[str, Any], tmp_path: Path
) -> None:
    config = MirrorDepthConfig(**tiny_network)
    clip = load_clip(config.clip)
    scenes = render_scenes(
        tmp_path / 'scenes', split='val', count=8, height=48, width=64, processes=1
    )
    encoder = FrozenImageEncoder(clip, config.taps)
    cached = CachedScenes(scenes, cache_scenes(scenes, encoder, tmp_path / 'features.npy'))
    outcome = train_variant(
        config, VARIANTS[variant], clip, {'train': cached, 'val': cached}, BUDGET, seed=1
    )
    assert outcome['indoor/abs_rel'] > 0
    assert outcome['outdoor/abs_rel'] > 0
    # 16 wide: mirror 6 x 16, FiLM 2 x (24 x 16 + 16), per tap 32 x 16 + 16, and a block.
    changed = {'the paper': 0, 'random frozen mirror': -96, 'no condition': -96 - 800}
    changed['last tap only'] = -528 - BLOCK
    assert outcome['parameters'] == PARAMETERS + changed[variant]


# A block: attention 3 x 16 x 16 + 48 and 16 x 16 + 16, MLP 2 x 16 x 32 + 48, two norms of 32.
BLOCK = 816 + 272 + 1072 + 64
# Head: 3 x 3 convolution 16 x 16 x 9 + 16, then 16 x 8 x 16 + 8 and 8 x 16 + 1.
PARAMETERS = 96 + 800 + 2 * (528 + BLOCK) + 2320 + 2056 + 129
