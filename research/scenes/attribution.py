"""Who made the models of the scenes: ``python -m research.scenes.attribution`` writes the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from research.scenes.catalogue import Entry, read_catalogues

_HEAD = """# The models of the scenes

The scenes that the built-in model learned from show these 3-D models of Sweet Home 3D's furniture
libraries (Debian's package `sweethome3d-furniture`, <https://www.sweethome3d.com>). They were
scaled, turned, placed, in part painted anew and rendered; none of them is part of this package.
Models of other licences than CC BY and CC0 are not used.
"""


def page(entries: Sequence[Entry]) -> str:
    """Return every author by library, with the licence and the number of models, as Markdown."""
    parts = [_HEAD]
    for library in sorted({entry.library.stem for entry in entries}):
        own = [entry for entry in entries if entry.library.stem == library]
        licences = ', '.join(sorted({entry.licence for entry in own}))
        authors = Counter(entry.author or 'not named' for entry in own)
        parts.append(f'## {library}: {len(own)} models\n\n{licences}\n')
        parts += [f'- {author}: {count}' for author, count in sorted(authors.items())]
        parts.append('')
    return '\n'.join(parts)


if __name__ == '__main__':
    Path(__file__).with_name('ATTRIBUTION.md').write_text(page(read_catalogues()))
