"""The catalogues of Sweet Home 3D's furniture libraries: names, true sizes, places, licences."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Where Debian's package `sweethome3d-furniture` puts its libraries.
FURNITURE_FOLDER = Path('/usr/share/sweethome3d/furniture')
_PROPERTIES = 'PluginFurnitureCatalog.properties'
# Libraries of other licences (Free Art, GPL) are left out, whatever else is installed.
_OPEN_LICENCES = ('creative commons attribution', 'creative commons 3.0', 'public domain', 'cc0')
# However they are written: with hyphens, spaces or neither.
_RESTRICTED = ('sharealike', 'noncommercial', 'noderiv')
# One model in so many is never trained on.
_HELD_OUT_ONE_IN = 10


@dataclass(frozen=True)
class Entry:
    """A model as its catalogue describes it."""

    #: Unique in all libraries, as in ``Scopia#bed1``.
    key: str
    name: str
    category: str
    library: Path
    #: Path of the OBJ file inside the library.
    model: str
    #: Width, depth, height [m].
    size: tuple[float, float, float]
    #: Height of the surface that carries things [m]; None where nothing is put on it.
    top: float | None
    #: Height above the floor at which it hangs [m].
    elevation: float
    #: Turns the file's coordinates upright, ``[3, 3]``, row by row.
    rotation: tuple[float, ...] | None
    author: str
    licence: str

    @property
    def word(self) -> str:
        """The name as captions say it."""
        return self.name.lower()

    @property
    def held_out(self) -> bool:
        """Whether the model is kept from training, for the test of unseen models."""
        return zlib.crc32(self.key.encode()) % _HELD_OUT_ONE_IN == 0

    def rotation_matrix(self) -> NDArray[np.float64]:
        """Return the turn of the file's coordinates, ``[3, 3]``."""
        return np.eye(3) if self.rotation is None else np.reshape(self.rotation, (3, 3))


def read_catalogues(folder: Path = FURNITURE_FOLDER) -> list[Entry]:
    """Return every model of open licence in the libraries of a folder, sorted by key.

    :raises FileNotFoundError: if the folder holds no ``*.sh3f``.
    """
    libraries = sorted(folder.glob('*.sh3f'))
    if not libraries:
        raise FileNotFoundError(
            f'got {folder} without *.sh3f, expected libraries of Sweet Home 3D models; '
            'install the Debian package sweethome3d-furniture'
        )
    entries = [entry for library in libraries for entry in _read_catalogue(library)]
    return sorted(entries, key=lambda entry: entry.key)


def _read_catalogue(library: Path) -> list[Entry]:
    with zipfile.ZipFile(library) as archive:
        text = archive.read(_PROPERTIES).decode('latin-1')
    head = dict(re.findall(r'^(\w+)=(.*)$', text, re.MULTILINE))
    licence = head.get('license', '').strip()
    if not is_open(licence):
        return []
    models: dict[int, dict[str, str]] = defaultdict(dict)
    for name, number, value in re.findall(r'^(\w+)#(\d+)=(.*)$', text, re.MULTILINE):
        models[int(number)][name] = value.strip()
    return [_entry(library, values, licence) for values in models.values()]


def is_open(licence: str) -> bool:
    """Tell whether a licence lets a network be trained and given away: CC BY, CC0 and the like."""
    words, letters = licence.lower(), re.sub('[^a-z]', '', licence.lower())
    is_restricted = any(name in letters for name in _RESTRICTED)
    return any(name in words for name in _OPEN_LICENCES) and not is_restricted


def _entry(library: Path, values: dict[str, str], licence: str) -> Entry:
    width, depth, height = (float(values[name]) / 100 for name in ('width', 'depth', 'height'))
    top = float(values.get('dropOnTopElevation', height * 100)) / 100
    rotation = values.get('modelRotation')
    return Entry(
        key=f'{library.stem}#{values["id"].split("#")[-1]}',
        name=values['name'].encode('latin-1', 'backslashreplace').decode('unicode_escape'),
        category=values['category'],
        library=library,
        model=values['model'].lstrip('/'),
        size=(width, depth, height),
        top=None if top < 0 else top,
        elevation=float(values.get('elevation', 0)) / 100,
        rotation=tuple(float(word) for word in rotation.split()) if rotation else None,
        author=values.get('creator', ''),
        licence=licence,
    )
