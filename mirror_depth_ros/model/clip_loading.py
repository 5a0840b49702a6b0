"""An open_clip model by its name, with weights that belong to it: a tag, a file or a folder.

Weights that were trained with QuickGELU belong into a model that computes it. OpenAI's CLIP, and
some after it, were trained with ``x sigmoid(1.702 x)`` in place of GELU. Their weights fit a model
with either in every shape; with the wrong one every feature is a little wrong, and nothing else
tells. (GELU and its approximation: Hendrycks and Gimpel, arXiv 1606.08415.)
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import open_clip
from safetensors import SafetensorError, safe_open
from torch import nn

from mirror_depth_ros.model.resources import BUILTIN_CLIP, model_directory
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
# All that a configuration can say of a CLIP in OpenAI's own layout.
_OPENAI_CONFIG = ('embed_dim', 'vision_cfg', 'text_cfg', 'quick_gelu')
#: Entries among the tensors of OpenAI's own files that are no weights.
OPENAI_ENTRIES = frozenset({'input_resolution', 'context_length', 'vocab_size'})

_SUFFIX = '-quickgelu'


def load_clip(name: str, weights: str | None = None) -> nn.Module:
    """Build an open_clip model.

    :param name: an open_clip model name, ``local-dir:FOLDER`` with ``open_clip_config.json`` and
        weights in it, or :data:`BUILTIN_CLIP` for the package's own.
    :param weights: an open_clip tag (needs network or a cache), a local file, or None for random
        weights; a folder and the package's own CLIP bring their weights along.
    :raises ValueError: for an unknown name or tag, weights that do not fit, or weights that were
        trained with QuickGELU for a model that computes GELU, and the reverse. Tags tell, and
        OpenAI's own files do by their entries; of other files nobody can know, and they are taken.
        A tag whose weights cannot be fetched is one, too.
        A folder with a pickle in it is one as well, and one whose configuration makes no CLIP.
    :raises FileNotFoundError: for a folder or weights file that does not exist.
    """
    if name == BUILTIN_CLIP:
        name = f'{LOCAL_FOLDER}{model_directory() / name}'
    file: Path | None = None
    if name.startswith(LOCAL_FOLDER):
        file, weights = weights_in(Path(name.removeprefix(LOCAL_FOLDER))), None
    elif name not in open_clip.list_models():
        raise ValueError(
            f'got CLIP {name!r}, expected an open_clip model name such as ViT-B-16-quickgelu; '
            'open_clip.list_models() lists them'
        )
    elif weights is not None:
        weights = os.path.expanduser(weights)
        file = _file_or_tag(name, weights)
    try:
        if file is not None and is_openai_file(file):
            check_openai_file(name, file)
            return _load_openai_file(name, file)
        return open_clip.create_model(name, pretrained=weights)
    # Missing, unexpected or misshapen weights; what a folder's configuration says beside sizes.
    except (RuntimeError, AssertionError, AttributeError, TypeError, KeyError) as error:
        if file is None and weights is not None:
            raise ValueError(
                f'got CLIP weights {weights!r} for {name}, which cannot be loaded ({error}), '
                'expected network or a cache of them; give a .safetensors file as clip_weights'
            ) from error
        raise ValueError(
            f'got CLIP weights that do not fit {name} ({file or weights}): {error}; give '
            'the weights that belong to the model'
        ) from error


def needs_weights(name: str) -> bool:
    """Say whether a CLIP of that name is random unless weights are named, too."""
    return name != BUILTIN_CLIP and not name.startswith(LOCAL_FOLDER)


def _file_or_tag(name: str, weights: str) -> Path | None:
    """Return the file that weights are, or None for a tag of the model."""
    if Path(weights).is_file():
        if not weights.endswith('.safetensors'):
            raise ValueError(
                f'got CLIP weights {weights!r}, expected a .safetensors file, as no pickle is '
                'read here; convert it with safetensors.torch.save_file'
            )
        return Path(weights)
    check_tag(name, weights)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if weights not in tags:
        raise FileNotFoundError(
            f'got CLIP weights {weights!r}, expected an existing file or a tag of {tags}; say as '
            'clip_weights where this machine has them'
        )
    return None


def _load_openai_file(name: str, path: Path) -> nn.Module:
    """Load OpenAI's weights without the entries that are none.

    open_clip drops those of TorchScript archives only, and refuses a safetensors file for them.
    """
    config = open_clip.get_model_config(name)
    clip = open_clip.CLIP(**{part: config[part] for part in _OPENAI_CONFIG})
    missing, unexpected = open_clip.load_checkpoint(clip, str(path), strict=False)
    unknown = sorted(set(unexpected) - OPENAI_ENTRIES)
    if missing or unknown:
        raise RuntimeError(f'{path} lacks {missing or "nothing"} and has unknown {unknown}')
    return clip


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


def check_tag(name: str, tag: str) -> None:
    """Raise where weights that open_clip knows were trained with the other GELU than a model's.

    From version 3 on, open_clip never adapts the model to a tag, not even to ``openai``; it warns
    and goes on. For names that end in ``-quickgelu`` it lists only tags that were trained so; any
    other is looked up by the plain name here, to give the reason rather than a list.

    :param name: an open_clip model name.
    :raises ValueError: for such weights; a tag that open_clip does not know says nothing.
    """
    twin = _twin(name)
    known = open_clip.get_pretrained_cfg(name, tag)
    if not known and twin is not None:
        known = open_clip.get_pretrained_cfg(twin, tag)
    if not known:
        return
    is_quick, wants_quick = _is_quick(name), bool(known.get('quick_gelu', False))
    # A QuickGELU model without a plain twin (roberta-ViT-B-32) was itself trained for its tags:
    # there it is open_clip's table that lacks the entry.
    if is_quick == wants_quick or (is_quick and twin is None):
        return
    raise ValueError(
        f'got CLIP weights {tag!r}, trained with {_gelu(wants_quick)}, for {name}, which computes '
        f'{_gelu(is_quick)}, expected both alike, as all features would be wrong; {_remedy(name)}'
    )


def check_openai_file(name: str, path: Path) -> None:
    """Raise where a model does not compute the QuickGELU that OpenAI's own files need.

    :param name: an open_clip model name or ``local-dir:FOLDER``.
    :param path: a file of which :func:`is_openai_file` holds.
    :raises ValueError: for a model that computes GELU.
    """
    if not _is_quick(name):
        raise ValueError(
            f"got OpenAI's CLIP weights {path}, trained with QuickGELU, for {name}, which "
            f'computes GELU, expected both alike, as all features would be wrong; {_remedy(name)}'
        )


def is_openai_file(path: Path) -> bool:
    """Tell whether a file is one of OpenAI's own; only its header is read.

    :raises ValueError: for a damaged file.
    """
    try:
        with safe_open(path, framework='pt') as file:
            return OPENAI_ENTRIES.issubset(file.keys())
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f'got CLIP weights {path}, which are damaged or no safetensors file ({error}), '
            'expected a whole one; copy or convert it again'
        ) from error


def _is_quick(name: str) -> bool:
    return bool(open_clip.get_model_config(name).get('quick_gelu', False))


def _gelu(is_quick: bool) -> str:
    return 'QuickGELU' if is_quick else 'GELU'


def _twin(name: str) -> str | None:
    """Return the name of the same model with the other GELU, if open_clip has one."""
    twin = name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else name + _SUFFIX
    return twin if twin in open_clip.list_models() else None


def _remedy(name: str) -> str:
    twin = _twin(name)
    if twin is not None:
        return f'use {twin}'
    return 'use a local-dir:FOLDER whose open_clip_config.json has "quick_gelu": true in model_cfg'
