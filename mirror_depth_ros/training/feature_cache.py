"""The frozen CLIP's features, computed once and kept on disk.

The image encoder never changes, so its output for a picture is worked out a single time and
training reads it back: an epoch then costs only the decoder.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from mirror_depth_ros.depth.files import write_bytes
from mirror_depth_ros.model.conv_encoder import FrozenConvEncoder, ImageEncoder
from mirror_depth_ros.model.processor import has_native_bf16
from mirror_depth_ros.training.disk_cache import RowFile, RowWriter, atomic_path
from mirror_depth_ros.training.loading import Draw
from mirror_depth_ros.training.pictures import Picture

_BATCH = 32
# Of a convolutional tower on a CPU: what stays in its cache is convolved three times as fast.
_CPU_BATCH = 4


class EncodedPicture(NamedTuple):
    """What is trained on when the frozen encoder has done its part."""

    #: bf16; of a ViT ``[taps, rows, columns, C]``, one vector for every patch; of a convolutional
    #: tower all taps one after the other, ``[numbers]``, see :func:`split_features`.
    features: Tensor
    #: Metres along Z, float32 ``[1, H, W]``; NaN = no truth, infinity = the sky.
    depth: Tensor
    #: Focal length of what the encoder saw [pixels], float32 ``[]``.
    focal_px: Tensor
    #: As of :class:`.Picture`.
    to_camera: Tensor = torch.eye(2, 3)


class CachedPictures(Dataset[EncodedPicture]):
    """Pictures of one size by their features; depth and focal length are kept beside those."""

    def __init__(self, folder: Path) -> None:
        """Open what :func:`cache_pictures` wrote."""
        self._features = RowFile(folder / 'features.npy')
        self._depth = RowFile(folder / 'depth.npy')
        self._focal_px = np.load(folder / 'focal_px.npy')
        to_camera = folder / 'to_camera.npy'
        self._to_camera = np.load(to_camera) if to_camera.exists() else None  # of older caches

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, index: int | Draw) -> EncodedPicture:
        if isinstance(index, Draw):  # its seed has nothing left to decide
            index = index.number
        encoded = EncodedPicture(
            _as_bf16(self._features[index]),
            torch.from_numpy(self._depth[index].astype(np.float32)),
            torch.tensor(self._focal_px[index]),
        )
        if self._to_camera is None:
            return encoded
        return encoded._replace(to_camera=torch.from_numpy(self._to_camera[index]))


def cache_pictures(
    pictures: Iterable[Picture], count: int, encoder: ImageEncoder, folder: Path
) -> CachedPictures:
    """Encode pictures that all have the same size; a finished cache is opened instead.

    They are opened one after the other and only one batch is ever in memory. The folder's name
    should say which encoder and which pictures made it. Several processes may do it at once, see
    :func:`atomic_path`.

    :param pictures: ``count`` of them; each is opened once, and none where the cache is there.
    :raises OSError: if the disk does not hold it.
    """
    if not (folder / 'focal_px.npy').exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder) as unfinished:
            unfinished.mkdir()
            _encode_pictures(pictures, count, encoder, unfinished)
    return CachedPictures(folder)


def _encode_pictures(
    pictures: Iterable[Picture], count: int, encoder: ImageEncoder, folder: Path
) -> None:
    opened = iter(pictures)
    first = next(opened)
    opened, size = chain([first], opened), first.size
    # Half precision: a step of 6 cm at 100 m, less than any sensor resolves there.
    depth = RowWriter(folder / 'depth.npy', np.float16, (count, 1, *size))
    shape = (count, *_feature_shape(encoder, size))
    features = RowWriter(folder / 'features.npy', np.uint16, shape)
    focal_px, to_camera = np.empty(count, np.float32), np.empty((count, 2, 3), np.float32)
    for start in track(range(0, count, _BATCH), 'encoding'):
        batch = list(islice(opened, _BATCH))
        features.append(_encode(encoder, torch.stack([picture.image for picture in batch])))
        depth.append(torch.stack([picture.depth for picture in batch]).numpy())
        focal_px[start : start + len(batch)] = [float(picture.focal_px) for picture in batch]
        to_camera[start : start + len(batch)] = [picture.to_camera.numpy() for picture in batch]
    features.close()
    depth.close()
    for name, values in (('to_camera', to_camera), ('focal_px', focal_px)):  # the last says: whole
        content = io.BytesIO()
        np.save(content, values)
        write_bytes(folder / f'{name}.npy', content.getvalue())


def _feature_shape(encoder: ImageEncoder, size: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(encoder, FrozenConvEncoder):
        return (sum(math.prod(shape) for shape in encoder.tap_shapes(*size)),)
    rows, columns = (side // encoder.patch_size for side in size)
    return len(encoder.taps), rows, columns, encoder.width


def split_features(features: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Return the taps of a convolutional tower's kept features.

    :param features: ``[B, numbers]``.
    :param shapes: of each tap, see :meth:`FrozenConvEncoder.tap_shapes`.
    :returns: ``[B, *shape]`` for each.
    """
    parts = features.split([math.prod(shape) for shape in shapes], dim=1)
    return [part.unflatten(1, shape) for part, shape in zip(parts, shapes)]


@torch.inference_mode()
def _encode(encoder: ImageEncoder, images: Tensor) -> NDArray[np.uint16]:
    """Return the features of images ``[B, 3, H, W]`` in 0..255, as they are kept."""
    device = encoder.image_mean.device
    is_conv, is_cpu = isinstance(encoder, FrozenConvEncoder), device.type == 'cpu'
    batches = [images]
    if is_conv and is_cpu:
        encoder.to(memory_format=torch.channels_last)
        batches = [*images.contiguous(memory_format=torch.channels_last).split(_CPU_BATCH)]
    with torch.autocast(device.type, torch.bfloat16, enabled=not is_cpu or has_native_bf16()):
        parts = [encoder(batch.to(device) / 255.0) for batch in batches]
    taps = [torch.cat(tap).to(torch.bfloat16) for tap in zip(*parts)]
    if is_conv:
        stacked = torch.cat([tap.flatten(1) for tap in taps], dim=1)
    else:
        shape = (len(images), *_feature_shape(encoder, tuple(images.shape[-2:])))
        stacked = torch.stack(taps, dim=1).reshape(shape)
    return stacked.cpu().view(torch.uint16).numpy()


def _as_bf16(bits: NDArray[np.uint16]) -> Tensor:
    return torch.from_numpy(bits).view(torch.bfloat16)
