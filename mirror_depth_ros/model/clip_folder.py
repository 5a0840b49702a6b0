"""A CLIP in a folder, as open_clip has it: its weights, and what its configuration may say."""

from __future__ import annotations

import json
from pathlib import Path

from mirror_depth_ros.validation import ByName, Integer, Number, OrNone, PlainData, Several

#: Prefix of an open_clip model name that stands for a folder on disk.
LOCAL_FOLDER = 'local-dir:'

_CONFIG_FILE = 'open_clip_config.json'
# Which file open_clip prefers where a folder has several.
_FOLDER_ORDER = (
    'open_clip_model.safetensors',
    'open_clip_pytorch_model.safetensors',
    'model.safetensors',
)
# What decides the sizes of both towers; open_clip takes some of it for each stage or side. The
# limits are far beyond any use: a damaged file must not ask for all memory of the machine.
_TOWER = ByName(
    {
        **{
            name: OrNone(Several(Integer(1, most), 1, 16, alone=True))
            for name, most in {
                **dict.fromkeys(('image_size', 'patch_size'), 8192),
                **dict.fromkeys(('width', 'head_width', 'heads'), 65_536),
                **dict.fromkeys(('layers', 'context_length'), 100_000),
                'vocab_size': 10_000_000,
            }.items()
        },
        'mlp_ratio': Number(0, 64, above=True),
    },
    others=PlainData(),
)
_CONFIG = ByName(
    {
        'model_cfg': ByName(
            {'embed_dim': Integer(1, 65_536), 'vision_cfg': _TOWER, 'text_cfg': _TOWER},
            required=('embed_dim', 'vision_cfg', 'text_cfg'),
            others=PlainData(),
        )
    },
    required=('model_cfg',),
    others=PlainData(),
)


def weights_in(folder: Path) -> Path:
    """Return the weights that open_clip takes of a folder.

    :raises FileNotFoundError: for a folder without configuration or weights.
    :raises ValueError: for a folder with a pickle in it, or a configuration that cannot be one.
    """
    files = {file.name: file for file in sorted(folder.glob('*.safetensors'))}
    if not (folder / _CONFIG_FILE).is_file() or not files:
        raise FileNotFoundError(
            f'got CLIP folder {folder}, expected {_CONFIG_FILE} and a .safetensors file in it'
        )
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in ('.bin', '.pth', '.pt'))
    if pickles:
        raise ValueError(
            f'got CLIP folder {folder} with {", ".join(pickles)}, expected .safetensors weights '
            'alone, as no pickle is read here and open_clip might prefer one; move it elsewhere'
        )
    _check_config(folder / _CONFIG_FILE)
    first = next((name for name in _FOLDER_ORDER if name in files), min(files))
    return files[first]


def _check_config(path: Path) -> None:
    """Check what decides a CLIP's sizes; the rest is open_clip's to know."""
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'got {path}, expected JSON: {error}') from error
    try:
        _CONFIG('config', config)
    except ValueError as error:
        raise ValueError(f'{error} (in {path})') from None
