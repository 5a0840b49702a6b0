"""Captions say what is there, in words the small CLIP knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.scenes.captions import (
    END,
    START,
    UNKNOWN,
    VOCABULARY_SIZE,
    WORDS,
    describe,
    distance_prompts,
    tokenize,
)
from mirror_depth_ros.scenes.render import render
from mirror_depth_ros.scenes.solids import Light, Pose, Scene, Shape, Solid, Surface, Thing
from mirror_depth_ros.scenes.video import KINDS, make_scene


def test_a_caption_names_colour_thing_place_and_distance() -> None:
    red = Surface((0.6, 0.05, 0.05))
    things = (
        Thing('box', 'red', (Solid(Shape.BOX, (1.5, 1.0, 1.2), (0.3, 0.3, 0.3), red),)),
        Thing('car', 'blue', (Solid(Shape.BOX, (6.0, -4.0, 1.2), (0.8, 0.8, 0.8), red),)),
        Thing('floor', '', (Solid(Shape.BOX, (0.0, 0.0, -0.1), (9.0, 9.0, 0.1), red),)),
    )
    light = Light((0.0, 0.0, 3.0), is_sun=False, ambient=0.5, gain=1.0)
    scene = Scene(
        'indoor', 0, things, light, Pose((0.0, 0.0, 1.2), 0.0), 90.0, 0.5, summary='room'
    )
    frame = render(scene, CameraModel.from_fov(81, 61, 90.0))
    caption = describe(scene, frame, np.random.default_rng(0))
    assert caption.startswith('a photo of a room')
    # Half a picture's width is the focal length: 1.2 m and 5.2 m look 0.78 / 0.5 as far away.
    assert '2m red box left' in caption
    assert '8m blue car right' in caption
    assert 'left 2m middle sky right' in caption
    assert 'from high looking ahead' in caption
    assert 'floor' not in caption


@pytest.mark.parametrize('kind', KINDS)
def test_every_word_is_known(kind: str) -> None:
    camera = CameraModel.from_fov(48, 36, 75.0)
    captions = []
    for seed in range(60):
        scene = make_scene(kind, seed)
        captions.append(describe(scene, render(scene, camera), np.random.default_rng(seed)))
    assert not (tokenize(captions, 48) == UNKNOWN).any()
    assert len(set(captions)) > 55


def test_tokens() -> None:
    a, photo = WORDS.index('a') + 1, WORDS.index('photo') + 1
    tokens = tokenize(['A photo', 'a zebra a photo a'], 5)
    expected = [[START, a, photo, END, 0], [START, a, UNKNOWN, a, END]]
    assert torch.equal(tokens, torch.tensor(expected))
    assert int(tokens.max()) == END == VOCABULARY_SIZE - 1  # CLIP pools at the highest id


def test_prompts_tell_every_distance_of_every_thing_in_known_words() -> None:
    prompts = distance_prompts()
    assert list(prompts) == sorted(prompts)
    assert (min(prompts), max(prompts), len(prompts)) == (0.5, 64.0, 15)
    assert 'a photo of a 0.75m car' in prompts[0.75]
    assert 'a photo of a 12m table' in prompts[12.0]
    assert len({len(sentences) for sentences in prompts.values()}) == 1
    assert not (tokenize([s for of in prompts.values() for s in of], 12) == UNKNOWN).any()
