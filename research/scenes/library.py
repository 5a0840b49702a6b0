"""Which models serve for what: tables, chairs, what stands at walls, what lies on tables."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from research.scenes.catalogue import FURNITURE_FOLDER, Entry, read_catalogues
from research.scenes.mesh import Mesh
from research.scenes.models import CACHE, TooLargeError, load_model

_SEAT = r'chair|armchair|stool|\bseat|puff|ottoman|piano bench'
_SOFA = r'sofa|couch|futon|bench$|bank$'
_TABLE = r'table$|table |desk|island|workbench|tablecloth'
_NO_TABLE = r'chair|lamp|bedside|tennis|football|pool|changing|dressing|extension|children'
_WALL = (
    r'bookcase|shelves|shelving|cabinet|cupboard|wardrobe|drawers|dresser|\bchest\b|tv stand'
    r'|fridge'
    r'|refrigerator|oven|stove|washing|dryer|vanity|piano|fireplace|contemporary living|filing'
    r'|locker|water cooler|furnace|dressing table|changing table|cooler|sideboard|clothes rack'
)
_BED = r'\bbed\b|crib|bunk|mezzanine|day bed'
_VEHICLE = r'ford|sedan|beetle|seat leon|peugeot|renault|suv|chevrolet|smart|van$'
_LARGE_VEHICLE = r'truck|bus|van$'
_CYCLE = r'bike|bicycle|scooter|yamaha|motorbike'
_TREE = r'acacia|bamboo$|ficus$|pine|coconut|beech|cypress|maple|poplar|palm|peach'
_HEDGE = r'hedge|bush'
_STREET_LAMP = r'lamppost|park light|street l'
_STREET_THING = (
    r'bench|trashcan|hydrant|mailbox|flower ?box|plant box|cone|railing|fence|rock|bank'
)
_GARDEN = (
    r'swing|hut|seesaw|fountain|tent|football goal|trampoline|sandpit|deck|wheelbarrow|lantern'
    r'|snowman|rowboat|barnum|hammock|rattan|cafe|umbrella|dog house|relax|pool lounge|parque|game'
)
_FLOOR_THING = (
    r'plant|ficus|cactus|yucca|bag|suitcase|briefcase|box|crate|barrel|dustbin|trash|ball|basket'
    r'|backpack|extinguisher|slippers|sneakers|shoes|bootie|heater|radiator|fan|speaker|trunk|guitar'
    r'|broom|ladder|cone|bin$|vase|lamp$|stroller|tricycle|toy|teddy|rocking|doll house|umbrella'
    r'|pallet|wood logs|clothes horse|wheelchair|treadmill|indoor bike|punching|screen$'
    r'|white board'
    r'|shovel|mower|puff|christmas'
)
_FLAT_CLOTHES = r'dress|jacket|skirt|trousers|short|suit$|hanging|shadow|glove|sock'
_RUG = r'rug|carpet|bathmat|doormat|tatami|mattress|sleeping'
_ON_WALL = r'frame|clock|socket|switch|plug|intercom|thermometer|dart|flat tv|coathanger|sign'


@dataclass(frozen=True)
class Library:
    """The models that may be used in a split, by what they serve for."""

    entries: tuple[Entry, ...]
    cache: Path = CACHE
    #: How much more likely unseen models are taken, in validation and test.
    held_out_weight: float = 1.0

    @classmethod
    def for_split(
        cls, split: str, folder: Path = FURNITURE_FOLDER, cache: Path = CACHE
    ) -> Library:
        """Return the models of a split: training never sees those held out."""
        entries = read_catalogues(folder)
        if split == 'train':
            entries = [entry for entry in entries if not entry.held_out]
            return cls(tuple(entries), cache)
        return cls(tuple(entries), cache, held_out_weight=8.0)

    def role(self, role: str) -> list[Entry]:
        """Return the models that serve for something, such as ``table`` or ``small``."""
        return list(_serving(self.entries, role))

    def named(self, pattern: str) -> list[Entry]:
        """Return the models whose names match."""
        return [entry for entry in self.entries if re.search(pattern, entry.word)]

    def pick(
        self, entries: Iterable[Entry], rng: np.random.Generator, *, most: int = 10**9
    ) -> tuple[Entry, Mesh] | None:
        """Return one of the models, at random, with its mesh; None if none can be had.

        :param most: triangles it may have.
        """
        entries = list(entries)
        for _ in range(6):
            if not entries:
                return None
            weights = np.array([self.held_out_weight if e.held_out else 1.0 for e in entries])
            entry = entries[int(rng.choice(len(entries), p=weights / weights.sum()))]
            try:
                mesh = load_model(entry, self.cache)
            except TooLargeError:
                entries.remove(entry)
                continue
            if len(mesh.faces) <= most:
                return entry, mesh
            entries.remove(entry)
        return None


@functools.lru_cache(maxsize=256)
def _serving(entries: tuple[Entry, ...], role: str) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if _ROLES[role](entry))


def _has(pattern: str, entry: Entry) -> bool:
    return re.search(pattern, entry.word) is not None


def _is_small(entry: Entry) -> bool:
    """Tell whether one finds it on a table."""
    return (
        max(entry.size) < 0.6
        and max(entry.size) > 0.05
        and entry.elevation == 0
        and entry.category not in ('Characters', 'Vehicles', 'Doors and windows', 'Exterior')
        and not _has(_SEAT + '|' + _RUG + '|' + _FLAT_CLOTHES + '|cabinet|radiator|dustbin', entry)
    )


def _is_table(entry: Entry) -> bool:
    return (
        _has(_TABLE, entry)
        and not _has(_NO_TABLE, entry)
        and 0.38 < entry.size[2] < 1.2
        and entry.size[0] > 0.5
        and entry.category != 'Exterior'
    )


_ROLES = {
    'seat': lambda e: (
        _has(_SEAT, e)
        and e.category not in ('Characters', 'Exterior', 'Vehicles')
        and not _has('wheelchair|sofa', e)
    ),
    'sofa': lambda e: _has(_SOFA, e) and e.category not in ('Exterior', 'Miscellaneous'),
    'table': _is_table,
    'wall': lambda e: (
        _has(_WALL, e) and e.elevation == 0 and e.size[2] > 0.4 and e.category != 'Exterior'
    ),
    'bed': lambda e: _has(_BED, e) and e.size[0] > 0.5 and e.size[1] > 0.8,
    'small': _is_small,
    'floor': lambda e: (
        _has(_FLOOR_THING, e)
        and e.elevation == 0
        and 0.1 < max(e.size) < 2.1
        and e.category not in ('Exterior', 'Characters', 'Vehicles', 'Doors and windows')
        and not _has(_FLAT_CLOTHES, e)
    ),
    'rug': lambda e: _has(_RUG, e) and e.size[2] < 0.1,
    'on_wall': lambda e: (
        (_has(_ON_WALL, e) or (0.2 < e.elevation < 2.3))
        and e.size[1] < 0.5
        and e.category not in ('Lights', 'Exterior', 'Doors and windows')
    ),
    'lamp': lambda e: e.category == 'Lights' and e.elevation > 1.6 and e.size[1] > 0.15,
    'standing': lambda e: (
        e.category == 'Characters' and e.size[2] > 1.4 and not _has('sit|horse|lying', e)
    ),
    'sitting': lambda e: e.category == 'Characters' and _has('sit', e),
    'animal': lambda e: e.category == 'Characters' and _has('dog|cat|rabbit|chicken', e),
    'door': lambda e: (
        e.category == 'Doors and windows' and _has(r'\bdoor$|with panes|elevator', e)
    ),
    'window': lambda e: (
        e.category == 'Doors and windows' and _has('window|french', e) and e.size[0] > 0.5
    ),
    'car': lambda e: e.category == 'Vehicles' and _has(_VEHICLE, e) and e.size[1] > 2,
    'large_vehicle': lambda e: e.category == 'Vehicles' and _has(_LARGE_VEHICLE, e),
    'cycle': lambda e: _has(_CYCLE, e) and e.category == 'Vehicles' and e.size[1] > 1.1,
    'tree': lambda e: e.category == 'Exterior' and _has(_TREE, e) and e.size[2] > 3,
    'hedge': lambda e: e.category == 'Exterior' and _has(_HEDGE, e),
    'street_lamp': lambda e: _has(_STREET_LAMP, e) and e.size[2] > 2,
    'street_thing': lambda e: (
        _has(_STREET_THING, e)
        and e.category in ('Exterior', 'Miscellaneous')
        and 0.3 < max(e.size) < 3.5
    ),
    'garden': lambda e: e.category == 'Exterior' and _has(_GARDEN, e) and e.size[0] < 6,
}
