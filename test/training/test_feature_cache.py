"""Features that are kept on disk: the same as computed ones, and whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mirror_depth_ros.data.sample import LazySequence
from mirror_depth_ros.model.clip import FrozenImageEncoder
from mirror_depth_ros.model.clip_loading import load_clip
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.training import feature_cache
from mirror_depth_ros.training.depth_training import DepthTraining
from mirror_depth_ros.training.feature_cache import (
    EncodedPicture,
    cache_pictures,
)
from mirror_depth_ros.training.pictures import Picture


class Album(LazySequence[Picture]):
    """Pictures of noise, 48 x 64 pixels, that remember which were opened."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.opened: list[int] = []

    def __len__(self) -> int:
        return self._count

    def item(self, index: int) -> Picture:
        self.opened.append(index)
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 48, 64), generator=generator, dtype=torch.uint8)
        depth = 1 + 9 * torch.rand(1, 48, 64, generator=generator)
        depth[0, 0, 0], depth[0, 0, 1] = torch.nan, torch.inf
        to_camera = torch.tensor([[1.0, 0, index], [0, 2, 3]])
        return Picture(image, depth, torch.tensor(50.0 + index), to_camera)


@pytest.fixture(scope='module')
def encoder(tiny_clip: str) -> FrozenImageEncoder:
    return FrozenImageEncoder(load_clip(tiny_clip), (0, 2))


def test_a_cached_picture_is_what_it_was(
    encoder: FrozenImageEncoder, tiny_clip: str, device: str, tmp_path: Path
) -> None:
    album = Album(35)  # more than one batch of 32
    there = FrozenImageEncoder(load_clip(tiny_clip), (0, 2)).to(device)
    cached = cache_pictures(album, 35, there, tmp_path / 'features')
    assert len(cached) == 35
    picture, encoded = Album(35)[33], cached[33]
    with torch.inference_mode():
        taps = encoder(picture.image[None] / 255.0)
    computed = torch.stack(taps, dim=1).reshape(2, 3, 4, 32)
    assert encoded.features.dtype == torch.bfloat16
    # Eight bits of mantissa in every operation, about a hundredth of values around 1.
    torch.testing.assert_close(encoded.features.float(), computed, rtol=0.05, atol=0.05)
    # Half precision: 11 bits, within 2^-11 of each depth; what is no depth stays so.
    torch.testing.assert_close(encoded.depth, picture.depth, rtol=2**-11, atol=0, equal_nan=True)
    assert encoded.focal_px == picture.focal_px == 83.0
    assert encoded.to_camera.tolist() == [[1, 0, 33], [0, 2, 3]]
    (tmp_path / 'features' / 'to_camera.npy').unlink()  # as of a cache of 0.1.0
    older = cache_pictures(Album(0), 35, encoder, tmp_path / 'features')[33]
    assert older.focal_px == 83.0


def test_a_cpu_without_bf16_does_not_emulate_it(
    encoder: FrozenImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, 'has_native_bf16', lambda: False)
    cached = cache_pictures(Album(1), 1, encoder, tmp_path)
    with torch.inference_mode():
        computed = torch.stack(encoder(Album(1)[0].image[None] / 255.0), dim=1)
    # Rounded once, in the end: 8 bits of mantissa.
    kept = cached[0].features.float()
    torch.testing.assert_close(kept, computed.reshape(kept.shape), rtol=2**-8, atol=1e-6)


def test_the_same_depth_from_features_and_from_pictures(
    encoder: FrozenImageEncoder, tiny_network: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(4)
    network = MirrorDepth.from_config(MirrorDepthConfig(**tiny_network, output='log'))
    training = DepthTraining(network.eval(), lr=1e-3, weight_decay=0.0)
    cached = cache_pictures(Album(2), 2, encoder, tmp_path)
    batch = EncodedPicture(*map(torch.stack, zip(*[cached[i] for i in range(2)])))
    pictures = Picture(*map(torch.stack, zip(*Album(2)[:])))
    with torch.inference_mode():
        from_features, computed = training.canonical(batch), training.canonical(pictures)
    assert from_features.shape == computed.shape == (2, 1, 48, 64)
    assert computed.std() > 0.1  # no constant, which anything would agree with
    # The features were worked out and kept in bf16, the rest is fp32.
    torch.testing.assert_close(from_features, computed, rtol=0.02, atol=0)


def test_a_finished_cache_is_opened(encoder: FrozenImageEncoder, tmp_path: Path) -> None:
    cache_pictures(Album(3), 3, encoder, tmp_path)
    again = Album(3)
    assert len(cache_pictures(again, 3, encoder, tmp_path)) == 3
    assert again.opened == []


def test_an_unfinished_cache_is_made_anew(encoder: FrozenImageEncoder, tmp_path: Path) -> None:
    class Torn(Album):
        def item(self, index: int) -> Picture:
            if index == 33:
                raise KeyboardInterrupt
            return super().item(index)

    with pytest.raises(KeyboardInterrupt):
        cache_pictures(Torn(34), 34, encoder, tmp_path)
    album = Album(34)
    cached = cache_pictures(album, 34, encoder, tmp_path)
    assert album.opened == [*range(34)]
    assert cached[33].features.abs().sum() > 0


def test_a_full_disk_is_an_error_before_anything_is_encoded(
    encoder: FrozenImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'posix_fallocate', full)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=1.5e-6 * 1e9))
    monkeypatch.setattr(FrozenImageEncoder, 'forward', None)
    with pytest.raises(
        OSError,
        match=r'got No space left on device for .*\.\w+, where 1.5e-06 GB are free, expected '
        # 3 pictures' depths of 48 * 64, 2 bytes each
        r'1.84e-05 GB; make room, or choose a folder on another disk',
    ):
        cache_pictures(Album(3), 3, encoder, tmp_path / 'features')
    assert list(tmp_path.iterdir()) == []


def test_the_system_refuses_space(
    encoder: FrozenImageEncoder,
    files_up_to: Callable[[int], AbstractContextManager[None]],
    tmp_path: Path,
) -> None:
    with files_up_to(5000), pytest.raises(OSError, match='got File too large for '):
        cache_pictures(Album(3), 3, encoder, tmp_path / 'features')
    assert list(tmp_path.iterdir()) == []
    assert len(cache_pictures(Album(3), 3, encoder, tmp_path / 'features')) == 3


def test_space_is_taken_beforehand(
    encoder: FrozenImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    encode: Callable[..., Any] = encoder.forward

    def look(images: torch.Tensor) -> Any:
        (place,) = tmp_path.glob('made.unfinished-*/made')
        files = [place / name for name in ('features.npy', 'depth.npy')]
        # Blocks of 512 bytes: as many as the file has, none of them a hole.
        taken.extend(512 * file.stat().st_blocks - file.stat().st_size for file in files)
        return encode(images)

    monkeypatch.setattr(encoder, 'forward', look)
    cache_pictures(Album(3), 3, encoder, tmp_path / 'made')
    assert min(taken) >= 0


def test_pictures_that_another_process_encodes_meanwhile(
    encoder: FrozenImageEncoder, tmp_path: Path
) -> None:
    # Of two processes, see test_disk_cache; here a quicker one begins and ends amid the slower.
    folder = tmp_path / 'features' / 'name'
    kept: list[torch.Tensor] = []

    class Slow(Album):
        def item(self, index: int) -> Picture:
            if index == 1:
                quicker = cache_pictures(Album(3), 3, encoder, folder)
                kept.extend(quicker[i].features for i in range(3))
            return super().item(index)

    cached = cache_pictures(Slow(3), 3, encoder, folder)
    assert list(folder.parent.iterdir()) == [folder]
    assert {file.name for file in folder.iterdir()} == {
        'features.npy',
        'depth.npy',
        'focal_px.npy',
        'to_camera.npy',
    }
    assert kept[2].abs().sum() > 0
    for i, features in enumerate(kept):
        assert torch.equal(features, cached[i].features)
