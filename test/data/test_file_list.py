"""File lists, and the errors that name their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror_depth_ros.data.file_list import check_split, first_file, read_file_list


def test_lines_become_frames(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_text('/den/rgb_1.jpg /den/sync_1.png 518.8579\n\nb/2.png None 721.5377\r\n')
    first, second = read_file_list(path)
    assert (first.rgb, first.depth) == ('den/rgb_1.jpg', 'den/sync_1.png')
    assert first.focal_px == 518.8579
    assert first.origin == f'{path}, line 1'
    assert (second.rgb, second.depth, second.focal_px) == ('b/2.png', None, 721.5377)
    assert second.origin == f'{path}, line 3'


def test_a_byte_order_mark_is_no_part_of_a_path(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    path.write_bytes(b'\xef\xbb\xbfden/rgb_1.jpg None 518.8579\r\nb.jpg None 5\r\n')
    assert [frame.rgb for frame in read_file_list(path)] == ['den/rgb_1.jpg', 'b.jpg']


@pytest.mark.parametrize(
    'line', ['a.png b.png', 'a b c 5.0', 'a b five', 'a b 0', 'a b -3.5', 'a b nan', 'a b inf']
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / 'list.txt'
    path.write_text(f'a b 5.0\n{line}\n')
    with pytest.raises(
        ValueError, match=f"got '{line}' in .*list.txt, line 2, expected \"rgb dep"
    ):
        read_file_list(path)


def test_lists_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    with pytest.raises(FileNotFoundError, match='got .*list.txt, expected a file list; check'):
        read_file_list(path)
    path.write_text(' \n\n')
    with pytest.raises(ValueError, match='got no lines in .*list.txt, expected "rgb depth focal"'):
        read_file_list(path)
    path.write_bytes(b'\x89PNG\xff')
    with pytest.raises(ValueError, match='got .*list.txt, expected lines of text: '):
        read_file_list(path)


def test_the_first_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').write_text('')
    (tmp_path / 'c').write_text('')
    candidates = [tmp_path / name for name in ('none', 'a', 'b', 'c')]
    assert first_file(iter(candidates), 'line 3') == tmp_path / 'b'
    with pytest.raises(FileNotFoundError, match=r'got no file .*none or .*a for line 3, expected'):
        first_file(candidates[:2], 'line 3')


def test_unknown_splits_are_refused() -> None:
    check_split('train')
    with pytest.raises(ValueError, match="got split 'val', expected one of train, test"):
        check_split('val')
