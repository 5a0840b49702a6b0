"""What lies in other files already, taken out of a file and put back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mirror_depth_ros.inference.engines.shared_bytes import put_back, take_out

LONG = np.arange(1000, dtype=np.float16)  # 2000 bytes
OTHER = np.arange(1500, 0, -1, dtype=np.float32)  # 6000 bytes
SHORT = np.arange(9, dtype=np.float16)
FILES = ['a.safetensors', 'below/b.safetensors']


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'below').mkdir()
    save_file({'long': LONG, 'again': LONG, 'short': SHORT}, tmp_path / FILES[0])
    save_file({'other': OTHER}, tmp_path / FILES[1])
    return tmp_path


def test_what_is_taken_out_comes_back(folder: Path) -> None:
    data = b'\nhead' + OTHER.tobytes() + b'{middle}\n' + LONG.tobytes() + SHORT.tobytes()
    shortened = take_out(data, folder, FILES)
    assert put_back(shortened, folder) == data
    head, rest = shortened.split(b'\n', 1)
    assert rest == b'\nhead{middle}\n' + SHORT.tobytes()
    assert b'[5, "below/b.safetensors", "other"]' in head


def test_a_file_without_known_tensors_is_kept_whole(folder: Path) -> None:
    assert take_out(b'nothing', folder, FILES).endswith(b'\nnothing')
    assert put_back(take_out(b'nothing', folder, FILES), folder) == b'nothing'


@pytest.mark.parametrize('file', FILES)
def test_other_tensors_are_refused(folder: Path, file: str) -> None:
    shortened = take_out(OTHER.tobytes() + LONG.tobytes(), folder, FILES)
    save_file({'long': LONG + 1, 'again': LONG + 1, 'other': OTHER + 1}, folder / file)
    with pytest.raises(ValueError, match='add up to another sum.*, expected its own'):
        put_back(shortened, folder)
    (folder / file).unlink()
    with pytest.raises(ValueError, match=f'No such file.*{file}'):
        put_back(shortened, folder)
