"""Short English sentences about what a picture shows and how far it is."""

from __future__ import annotations

import numpy as np

from research.scenes.assembly import Scene
from research.scenes.render import Frame

_BACKGROUND = frozenset({'wall', 'floor', 'ceiling', 'skirting', 'ground', 'marking', 'kerb', ''})
# Smaller things are not worth a word [share of the picture].
_SMALLEST_SHARE = 0.006
_PEOPLE = ('female', 'male', 'girl', 'boy')


def describe(scene: Scene, frame: Frame, rng: np.random.Generator) -> str:
    """Return a caption: the place and its largest things, with distances and sides."""
    height, width = frame.thing.shape
    counts = np.bincount(frame.thing.ravel() + 1, minlength=len(scene.things) + 1)[1:]
    phrases: list[str] = []
    for i in np.argsort(-counts):
        if counts[i] < _SMALLEST_SHARE * height * width or len(phrases) == 4:
            break
        name = plain_name(scene.things[i].name)
        if name in _BACKGROUND or any(f' {name}' in phrase for phrase in phrases):
            continue
        seen = frame.thing == i
        distance = float(np.median(frame.depth[seen]))
        column = float(np.nonzero(seen)[1].mean()) / width
        phrases.append(_phrase(name, distance, column, rng))
    rng.shuffle(phrases)
    start = rng.choice(['a photo of', 'a picture of', 'a view of'], p=(0.7, 0.2, 0.1))
    place = f'{start} {article(scene.place)}'
    if not phrases:
        middle = float(np.median(frame.depth))
        return f'{place}, {_distance(middle)} deep' if np.isfinite(middle) else f'{place} and sky'
    return f'{place} with {", ".join(phrases)}'


def plain_name(name: str) -> str:
    """Return the word for a thing: people are persons, whatever the catalogue calls them."""
    words = name.split()
    if words and words[-1] in _PEOPLE:
        return 'sitting person' if 'sitting' in words else 'person'
    return name


def article(noun: str) -> str:
    """Put *a* or *an* before a noun."""
    return f'an {noun}' if noun[:1] in 'aeiou' else f'a {noun}'


def _phrase(name: str, distance: float, column: float, rng: np.random.Generator) -> str:
    side = 'on the left' if column < 0.35 else 'on the right' if column > 0.65 else 'in the middle'
    if rng.random() < 0.3:
        far = (
            'very near'
            if distance < 0.7
            else 'near'
            if distance < 2
            else 'far away'
            if distance > 12
            else ''
        )
    else:
        far = f'{_distance(distance)} away'
    words = [article(name), far, side if rng.random() < 0.6 else '']
    return ' '.join(word for word in words if word)


def _distance(metres: float) -> str:
    if metres < 1:
        return f'{round(metres * 10) * 10} cm'
    if metres < 4:
        return f'{round(metres * 2) / 2:g} m'
    return f'{round(metres)} m'
