"""Which furniture models may be used, and who made them."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from research.scenes.attribution import page
from research.scenes.catalogue import is_open, read_catalogues

CATALOGUE = """
id=Tiny
license=%s
name#1=Small table
id#1=table
category#1=Living room
model#1=/table.obj
width#1=120
depth#1=60.5
height#1=75
dropOnTopElevation#1=74
creator#1=Ada
name#2=L\\u00e4mp
id#2=lamp
category#2=Lights
model#2=/lamp.obj
width#2=30
depth#2=30
height#2=45
dropOnTopElevation#2=-1
elevation#2=150
"""


def write_library(folder: Path, licence: str, name: str = 'Tiny') -> None:
    with ZipFile(folder / f'{name}.sh3f', 'w') as archive:
        archive.writestr('PluginFurnitureCatalog.properties', CATALOGUE % licence)


@pytest.mark.parametrize(
    ('licence', 'expected'),
    [
        ('Creative Commons Attribution 3.0 Unported (CC BY 3.0)', True),
        ('Public domain', True),
        ('CC0 1.0 Universal', True),
        ('Creative Commons Attribution-NonCommercial 3.0', False),
        ('Creative Commons Attribution Non-Commercial 3.0', False),
        ('Creative Commons Attribution-Share Alike 3.0', False),
        ('Creative Commons Attribution-ShareAlike 4.0', False),
        ('Creative Commons Attribution No-Derivatives 3.0', False),
        ('GNU General Public License', False),
        ('Free Art License 1.3', False),
        ('', False),
    ],
)
def test_only_open_licences_are_used(licence: str, expected: bool) -> None:
    assert is_open(licence) is expected


def test_sizes_are_metres_and_places_are_told(tmp_path: Path) -> None:
    write_library(tmp_path, 'Public domain')
    write_library(tmp_path, 'GNU General Public License', 'Other')
    lamp, table = read_catalogues(tmp_path)
    assert (table.key, table.word, table.author) == ('Tiny#table', 'small table', 'Ada')
    assert table.size == pytest.approx((1.2, 0.605, 0.75))
    assert table.top == pytest.approx(0.74)
    assert (lamp.name, lamp.top, lamp.elevation) == ('Lämp', None, 1.5)


def test_a_folder_without_libraries_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='install the Debian package sweethome3d-furnit'):
        read_catalogues(tmp_path)


def test_every_author_is_named(tmp_path: Path) -> None:
    write_library(tmp_path, 'Public domain')
    text = page(read_catalogues(tmp_path))
    assert '## Tiny: 2 models\n\nPublic domain\n' in text
    assert '- Ada: 1\n- not named: 1' in text
