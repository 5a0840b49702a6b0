"""What a picture shows, in words, and those words as token ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mirror_depth_ros.scenes.palette import COLOURS
from mirror_depth_ros.scenes.render import RenderedFrame
from mirror_depth_ros.scenes.solids import Scene

#: Distances that captions name [m]; a distance is called by the nearest of them in ratio.
_LADDER = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
_DISTANCE_WORDS = tuple(f'{metres:g}m' for metres in _LADDER)
# Captions tell distances as a lens of this focal length would show them [picture widths]: only
# that can be seen in a picture whose lens is not known.
_REFERENCE_FOCAL = 0.78
_BACKGROUND = frozenset({'wall', 'floor', 'ceiling', 'skirting', 'road', 'grass', 'pavement'})
# Smaller things are not worth a word [share of the picture].
_SMALLEST_SHARE = 0.004
_MOST_THINGS = 5

_THINGS = (
    *('table', 'desk', 'chair', 'sofa', 'bed', 'shelf', 'cabinet', 'box', 'lamp', 'plant', 'rug'),
    *('person', 'window', 'door', 'picture', 'car', 'van', 'cyclist', 'tree', 'hedge', 'pole'),
    *('sign', 'building'),
)
#: Every word a caption can hold.
WORDS = (
    *('a', 'photo', 'of', 'with', 'walls', 'room', 'road', 'small', 'medium', 'large', 'wide'),
    *('narrow', 'buildings', 'trees', 'fields', 'left', 'right', 'middle', 'from'),
    *('low', 'high', 'looking', 'up', 'down', 'ahead', 'empty', 'sky'),
    *_DISTANCE_WORDS,
    *COLOURS,
    *_THINGS,
)
#: Token ids: 0 pads, then the words, then unknown, start and end. CLIP pools at the highest id.
UNKNOWN, START, END = len(WORDS) + 1, len(WORDS) + 2, len(WORDS) + 3
VOCABULARY_SIZE = END + 1


def describe(scene: Scene, frame: RenderedFrame, rng: np.random.Generator) -> str:
    """Return a caption: the place, the view, how far it reaches, and what is there.

    Things are told with distance, colour and side, in random order, the largest in the picture
    most surely.
    """
    pitch, height = scene.pose.pitch, scene.pose.position[2]
    view = 'up' if pitch > 0.08 else 'down' if pitch < -0.15 else 'ahead'
    phrases = [f'from {"low" if height < 1.0 else "high"} looking {view}', _reach(frame)]
    phrases += _largest_things(scene, frame)
    rng.shuffle(phrases)
    return ' '.join(['a photo of a', scene.summary, *phrases])


def _reach(frame: RenderedFrame) -> str:
    """Return how far one sees to the left, ahead and to the right: ``left 2m middle 6m ...``."""
    height, width = frame.depth.shape
    band = frame.depth[height // 3 : 2 * height // 3]
    words = []
    for i, side in enumerate(('left', 'middle', 'right')):
        distance = float(np.median(band[:, i * width // 3 : (i + 1) * width // 3]))
        words += [side, _distance_word(distance, frame)]
    return ' '.join(words)


def _distance_word(distance: float, frame: RenderedFrame) -> str:
    if not np.isfinite(distance):
        return 'sky'
    shown = distance * _REFERENCE_FOCAL * frame.camera.width / frame.camera.focal_px
    return _DISTANCE_WORDS[int(np.argmin(np.abs(np.log(_LADDER) - np.log(shown))))]


def _largest_things(scene: Scene, frame: RenderedFrame) -> list[str]:
    """Return a phrase for each of the largest things that can be named."""
    height, width = frame.things.shape
    columns = np.arange(width)
    counts = np.bincount(frame.things.ravel() + 1, minlength=len(scene.things) + 1)[1:]
    phrases: list[str] = []
    for i in np.argsort(-counts):
        thing = scene.things[i]
        if counts[i] < _SMALLEST_SHARE * height * width or len(phrases) == _MOST_THINGS:
            break
        if thing.name in _BACKGROUND:
            continue
        where = frame.things == i
        distance = float(np.median(frame.depth[where]))
        column = float(where.sum(axis=0) @ columns / counts[i]) / width
        side = 'left' if column < 0.35 else 'right' if column > 0.65 else 'middle'
        words = [_distance_word(distance, frame), thing.colour, thing.name, side]
        phrases.append(' '.join(word for word in words if word))
    return phrases


def distance_prompts() -> dict[float, list[str]]:
    """Return a sentence about every thing at every distance that captions name, by metres.

    The metres are, as in captions, those at which the reference lens would show the thing.
    """
    return {
        metres: [f'a photo of a {word} {thing}' for thing in _THINGS]
        for metres, word in zip(_LADDER, _DISTANCE_WORDS, strict=True)
    }


def tokenize(captions: Sequence[str], context_length: int) -> Tensor:
    """Return token ids, int64 ``[N, context_length]``; longer captions are cut before the end."""
    ids = {word: i + 1 for i, word in enumerate(WORDS)}
    tokens = torch.zeros(len(captions), context_length, dtype=torch.int64)
    for row, caption in zip(tokens, captions, strict=True):
        words = [ids.get(word, UNKNOWN) for word in caption.lower().split()]
        line = torch.tensor([START, *words[: context_length - 2], END])
        row[: len(line)] = line
    return tokens
