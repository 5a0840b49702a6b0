"""What a picture shows, in words, and those words as token ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mirror_depth_ros.scenes.palette import COLOURS
from mirror_depth_ros.scenes.render import RenderedFrame
from mirror_depth_ros.scenes.solids import Scene

#: A thing is ``near`` below the first and ``far`` beyond the second distance [m].
_NEAR_FAR = {'indoor': (1.8, 3.5), 'outdoor': (8.0, 25.0)}
_BACKGROUND = frozenset({'floor', 'ceiling', 'skirting', 'road', 'grass', 'pavement'})
# Smaller things are not worth a word [share of the picture].
_SMALLEST_SHARE = 0.004
_MOST_THINGS = 5

#: Every word a caption can hold.
WORDS = (
    *('a', 'photo', 'of', 'with', 'walls', 'room', 'road', 'small', 'medium', 'large', 'wide'),
    *('narrow', 'buildings', 'trees', 'fields', 'near', 'far', 'left', 'right', 'middle', 'from'),
    *('low', 'high', 'looking', 'up', 'down', 'ahead', 'empty'),
    *COLOURS,
    *('wall', 'table', 'chair', 'sofa', 'shelf', 'cabinet', 'box', 'lamp', 'plant', 'person'),
    *('window', 'door', 'picture', 'car', 'van', 'tree', 'pole', 'sign', 'building'),
)
#: Token ids: 0 pads, then the words, then unknown, start and end. CLIP pools at the highest id.
UNKNOWN, START, END = len(WORDS) + 1, len(WORDS) + 2, len(WORDS) + 3
VOCABULARY_SIZE = END + 1


def describe(scene: Scene, frame: RenderedFrame, rng: np.random.Generator) -> str:
    """Return a caption: the place, the view, and what is there, its colour and where.

    Things are named in random order, the largest in the picture most surely.
    """
    pitch, height = scene.pose.pitch, scene.pose.position[2]
    view = 'up' if pitch > 0.08 else 'down' if pitch < -0.15 else 'ahead'
    phrases = [f'from {"low" if height < 1.0 else "high"} looking {view}']
    phrases += _visible_things(scene, frame)[:_MOST_THINGS]
    rng.shuffle(phrases)
    return ' '.join(['a photo of a', scene.summary, *phrases])


def _visible_things(scene: Scene, frame: RenderedFrame) -> list[str]:
    """Return a phrase for everything that can be named, the largest first."""
    near, far = _NEAR_FAR[scene.kind]
    height, width = frame.things.shape
    counts = np.bincount(frame.things.ravel() + 1, minlength=len(scene.things) + 1)[1:]
    phrases = []
    for i in np.argsort(-counts):
        thing = scene.things[i]
        if counts[i] < _SMALLEST_SHARE * height * width:
            break
        if thing.name in _BACKGROUND:
            continue
        where = frame.things == i
        distance = float(np.median(frame.depth[where]))
        column = float(np.mean(np.nonzero(where)[1])) / width
        words = [
            'near' if distance < near else 'far' if distance > far else '',
            thing.colour,
            thing.name,
            'left' if column < 0.35 else 'right' if column > 0.65 else 'middle',
        ]
        phrases.append(' '.join(word for word in words if word))
    return phrases


def tokenize(captions: Sequence[str], context_length: int) -> Tensor:
    """Return token ids, int64 ``[N, context_length]``; longer captions are cut before the end."""
    ids = {word: i + 1 for i, word in enumerate(WORDS)}
    tokens = torch.zeros(len(captions), context_length, dtype=torch.int64)
    for row, caption in zip(tokens, captions, strict=True):
        words = [ids.get(word, UNKNOWN) for word in caption.lower().split()]
        line = torch.tensor([START, *words[: context_length - 2], END])
        row[: len(line)] = line
    return tokens
