"""Weights that were trained with QuickGELU belong into a model that computes it.

OpenAI's CLIP, and some after it, were trained with ``x sigmoid(1.702 x)`` in place of GELU. Their
weights fit a model with either in every shape; with the wrong one every feature is a little wrong,
and nothing else tells. (GELU and its approximation: Hendrycks and Gimpel, arXiv 1606.08415.)
"""

from __future__ import annotations

from pathlib import Path

import open_clip
from safetensors import SafetensorError, safe_open

#: Entries among the tensors of OpenAI's own files that are no weights.
OPENAI_ENTRIES = frozenset({'input_resolution', 'context_length', 'vocab_size'})

_SUFFIX = '-quickgelu'


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
