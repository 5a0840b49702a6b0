"""Trained weights and their configuration in one safetensors file. No pickle is ever read."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mirror_depth_ros.depth.files import write_bytes
from mirror_depth_ros.model.clip import FrozenTextEncoder
from mirror_depth_ros.model.clip_loading import LOCAL_FOLDER, load_clip
from mirror_depth_ros.model.conv_encoder import make_image_encoder
from mirror_depth_ros.model.familiarity import Familiarity
from mirror_depth_ros.model.mirror_depth import MirrorDepth, MirrorDepthConfig
from mirror_depth_ros.model.resources import BUILTIN_CLIP, BUILTIN_MODEL, model_directory
from mirror_depth_ros.validation import ByName, Integer, Number, PlainData

# What the names of its weights begin with.
_FAMILIARITY = 'familiarity.'
_FORMAT = 'mirror_depth_ros.checkpoint.v1'
# Of configurations, what files of version 0.1.0 may lack, as it is without; and what they say of
# choices that are gone since, as it is now.
_ADDED = {'confidence': False}
_SETTLED = {
    'condition': 'mirror',
    'tap_order': 'deepest_first',
    'block': 'post_norm_relu',
    'refinements': 0,
}
# Of the facts, what is looked at again; the others need only be plain.
_FACTS = ByName(
    {'steps': Integer(0, 2**53), 'validation': ByName({}, others=Number(-1e12, 1e12))},
    others=PlainData(),
)


def save_checkpoint(
    model: MirrorDepth,
    path: str | os.PathLike[str],
    *,
    facts: Mapping[str, Any] | None = None,
    familiarity: Familiarity | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write mirror, FiLM, decoder and the folded condition; never a half-written file.

    :param model: the trainable (unfolded) network.
    :param familiarity: what tells pictures unlike those it was trained on; None: the network's.
    :param facts: what a reader should know, such as data and metrics; plain JSON values.
    :param dtype: how the weights are stored.
    :raises ValueError: for a folded network, or facts that are not plain or not finite.
    :raises OSError: if the file cannot be written.
    """
    if model.is_folded:
        raise ValueError('got a folded network, expected one with its mirror; save before fold()')
    _FACTS('facts', facts or {})
    with torch.no_grad():
        scale, shift = model.condition()
    tensors = {'film_scale': scale, 'film_shift': shift}
    for part in ('mirror', 'film', 'decoder'):
        for name, tensor in getattr(model, part).state_dict().items():
            tensors[f'{part}.{name}'] = tensor
    familiarity = familiarity or model.familiarity
    if familiarity is not None:
        tensors |= {f'{_FAMILIARITY}{n}': t for n, t in familiarity.state_dict().items()}
    metadata = {
        'format': _FORMAT,
        'config': json.dumps(model.config.to_dict()),
        'clip_fingerprint': model.image_encoder.fingerprint(),
        'facts': json.dumps(dict(facts or {})),
    }
    # The condition stays in fp32, as all else is multiplied by it, and so does what whitens.
    exact = ('film_', _FAMILIARITY)
    stored = {
        name: tensor.detach()
        .cpu()
        .contiguous()
        .to(torch.float32 if name.startswith(exact) else dtype)
        for name, tensor in tensors.items()
    }
    write_bytes(path, save(stored, metadata))


def load_checkpoint(
    source: str | os.PathLike[str], *, clip_weights: str | None = None, folded: bool = True
) -> MirrorDepth:
    """Load a network.

    :param source: ``builtin`` or the path of a checkpoint.
    :param clip_weights: where this machine has the CLIP weights (tag or file), if elsewhere than
        where the checkpoint was trained; None for a CLIP that brings its own.
    :param folded: without mirror and text encoder, for inference; False to train on.
    :raises FileNotFoundError: if there is no such file.
    :raises ValueError: if the file is damaged, foreign, or made with another CLIP, or for
        ``clip_weights`` that cannot take effect.
    """
    path = checkpoint_path(source)
    config, metadata, tensors = _read(path)
    clip = _load_clip(path, config, metadata, clip_weights)
    image_encoder = make_image_encoder(clip, config.taps)
    model = MirrorDepth(config, image_encoder, None if folded else FrozenTextEncoder(clip))
    del clip
    condition = ('film_scale', 'film_shift') if folded else ('mirror.', 'film.')
    wanted = (*condition, 'decoder.', _FAMILIARITY)
    if any(name.startswith(_FAMILIARITY) for name in tensors):  # what was made before has none
        model.familiarity = Familiarity(image_encoder.deepest_channels)
    expected = [name for name in model.state_dict() if name.startswith(wanted)]
    used = {name: tensor for name, tensor in tensors.items() if name.startswith(wanted)}
    load_weights(model, used, expected, path)
    return model.eval()


def checkpoint_path(source: str | os.PathLike[str]) -> Path:
    """Return the file that a model's name or path stands for.

    :raises FileNotFoundError: if there is none.
    """
    if str(source) == BUILTIN_MODEL:
        return model_directory() / f'{source}.safetensors'
    path = Path(source).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'got model {str(source)!r}, expected {BUILTIN_MODEL} or the path of a '
            ' .safetensors checkpoint'
        )
    return path


def checkpoint_facts(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what was written down with a checkpoint: data, metrics and the like."""
    _, metadata, _ = _read(checkpoint_path(source))
    return json.loads(metadata['facts'])


def load_weights(
    model: nn.Module, tensors: Mapping[str, Tensor], expected: Collection[str], path: Path
) -> None:
    """Give a model exactly the weights that are expected of its file.

    :raises ValueError: for missing, unknown, misshapen or not finite weights.
    """
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    if missing or unknown:
        raise ValueError(
            f'got {path} lacking {missing or "nothing"}, with unknown {unknown or "nothing"}, '
            'expected the weights its configuration names; save it again'
        )
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise ValueError(f'got NaN or infinity in {broken} of {path}, expected finite weights')
    try:
        model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ValueError(
            f'got weights in {path} that do not fit its configuration: {error}'
        ) from error


def read_weights(path: Path, file_format: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and, in fp32, the tensors of a safetensors file.

    :param file_format: what the metadata must name as its ``format``.
    :raises ValueError: for a damaged file or another format.
    """
    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f'got {path}, which is damaged or no safetensors file ({error}); expected a '
            'checkpoint saved by this package'
        ) from error
    if metadata.get('format') != file_format:
        raise ValueError(
            f'got {path} of format {metadata.get("format")!r}, expected {file_format!r}, as this '
            'package saves it'
        )
    return metadata, tensors


def _read(path: Path) -> tuple[MirrorDepthConfig, dict[str, str], dict[str, Tensor]]:
    metadata, tensors = read_weights(path, _FORMAT)
    try:
        config, facts = (json.loads(metadata[name]) for name in ('config', 'facts'))
        metadata['clip_fingerprint']
        if not (isinstance(config, dict) and isinstance(facts, dict)):
            raise TypeError('expected JSON objects')
    except (KeyError, TypeError, RecursionError, ValueError) as error:
        raise ValueError(f'got {path} with broken metadata ({error!r}); save it again') from error
    try:
        _FACTS('facts', facts)
        return MirrorDepthConfig.from_dict(_up_to_date(config)), metadata, tensors
    except ValueError as error:
        raise ValueError(f'{error} (in the metadata of {path})') from error


def _up_to_date(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration of any version so far as this one would write it."""
    for name, value in _SETTLED.items():
        if config.get(name, value) != value:
            raise ValueError(
                f'got {name}={config[name]!r}, expected {value!r}, all that there is since '
                'version 0.1.0, which made the file; use that version, or train anew'
            )
    return _ADDED | {name: value for name, value in config.items() if name not in _SETTLED}


def _load_clip(
    path: Path, config: MirrorDepthConfig, metadata: Mapping[str, str], weights: str | None
) -> nn.Module:
    """Return the CLIP that a checkpoint was trained with, and no other."""
    if weights and (config.clip == BUILTIN_CLIP or config.clip.startswith(LOCAL_FOLDER)):
        raise ValueError(
            f'got clip_weights {weights!r} for {path.name}, expected none, as its CLIP '
            f'{config.clip} brings its own; leave them out'
        )
    clip = load_clip(config.clip, weights or config.clip_weights)
    fingerprint = make_image_encoder(clip, config.taps).fingerprint()
    if fingerprint != metadata['clip_fingerprint']:
        raise ValueError(
            f'got CLIP {config.clip} with weights {fingerprint}, expected '
            f'{metadata["clip_fingerprint"]}, which {path.name} was trained with; pass the same '
            'weights as clip_weights'
        )
    return clip
