"""Baselines by name, and the files of what was fitted of them. No pickle is ever read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from mirror_depth_ros.depth.files import write_bytes
from mirror_depth_ros.model.checkpoint import load_clip_of, load_weights, read_weights
from mirror_depth_ros.model.mirror_depth import MirrorDepthConfig
from mirror_depth_ros.model.resources import model_directory
from mirror_depth_ros.validation import ByName
from research.baselines.baseline import Baseline, BaselineConfig
from research.baselines.prompted import DepthClip, DistancePrompts, LearnedPrompts
from research.baselines.unprompted import LinearProbe, MeanDepth

#: Baselines that are fitted to data.
FITTED = {'mean': MeanDepth, 'linear': LinearProbe, 'learned_prompts': LearnedPrompts}
#: All baselines.
BASELINES = ('mean', 'linear', 'depthclip', 'learned_prompts')

# A baseline's configuration is a part of the model's.
_CONFIG = ByName(
    {f.name: MirrorDepthConfig.RULES[f.name] for f in fields(BaselineConfig)},
    required=[f.name for f in fields(BaselineConfig)],
)
_FORMAT = 'mirror_depth_ros.baseline.v1'
_FIT = 'python -m mirror_depth_ros.training.baselines --work build/builtin'


def baseline_directory() -> Path:
    """Return the folder of the built-in model's baselines; it may be missing."""
    return model_directory() / 'baselines'


def baseline_path(name: str, folder: Path) -> Path:
    """Return the file of a baseline's weights."""
    return folder / f'{name}.safetensors'


def save_baseline(
    name: str, baseline: Baseline, folder: Path, *, facts: Mapping[str, Any] | None = None
) -> None:
    """Write what was fitted, as float16; never a half-written file.

    :param facts: what a reader should know, such as data and metrics; plain JSON values.
    :raises OSError: if the file cannot be written.
    """
    metadata = {
        'format': _FORMAT,
        'baseline': name,
        'config': json.dumps(baseline.config.to_dict()),
        'clip_fingerprint': baseline.clip_fingerprint(),
        'facts': json.dumps(dict(facts or {})),
    }
    stored = {k: v.detach().half().cpu().contiguous() for k, v in baseline.fitted().items()}
    write_bytes(baseline_path(name, folder), save(stored, metadata))


def is_fitted(name: str, baseline: Baseline, folder: Path) -> bool:
    """Tell whether the folder holds a file of this baseline on the same CLIP."""
    path = baseline_path(name, folder)
    if not path.is_file():
        return False
    metadata, _ = read_weights(path, _FORMAT)
    return metadata.get('clip_fingerprint') == baseline.clip_fingerprint()


def load_baseline(
    name: str,
    model: str | Path = 'builtin',
    *,
    prompts: DistancePrompts,
    folder: Path | None = None,
    clip_weights: str | None = None,
) -> Baseline:
    """Load a baseline to compare a model with, on that model's CLIP and in its units.

    :param name: one of :data:`BASELINES`.
    :param model: ``builtin`` or the path of a checkpoint.
    :param prompts: the sentences that ``depthclip`` asks.
    :param folder: where the fitted weights are; those of the built-in model by default.
    :param clip_weights: where this machine has the CLIP weights (tag or file), if elsewhere than
        where the model was trained.
    :raises FileNotFoundError: if there is no such model, or the baseline was not fitted.
    :raises ValueError: for an unknown name, or a file that is damaged, foreign, or fitted to
        another CLIP or other units than the model's.
    """
    if name not in BASELINES:
        raise ValueError(f'got baseline {name!r}, expected one of {", ".join(BASELINES)}')
    if name not in FITTED:
        config, clip = load_clip_of(model, clip_weights=clip_weights)
        return DepthClip(config, clip, prompts).eval()
    path = baseline_path(name, folder or baseline_directory())
    if not path.is_file():  # said before a large CLIP is loaded
        raise FileNotFoundError(
            f'got no weights of the baseline {name}, expected {path}; fit it with: {_FIT}'
        )
    config, clip = load_clip_of(model, clip_weights=clip_weights)
    return _load_fitted(name, path, config, clip)


def _load_fitted(name: str, path: Path, config: MirrorDepthConfig, clip: nn.Module) -> Baseline:
    metadata, tensors = read_weights(path, _FORMAT)
    baseline: Baseline = FITTED[name](config, clip)
    if metadata.get('baseline') != name:
        raise ValueError(
            f'got {path} of the baseline {metadata.get("baseline")!r}, expected {name!r}; '
            f'fit it again with: {_FIT}'
        )
    if metadata.get('clip_fingerprint') != baseline.clip_fingerprint():
        raise ValueError(
            f'got {path} fitted to CLIP weights {metadata.get("clip_fingerprint")}, expected '
            f'{baseline.clip_fingerprint()}, those of {config.clip}; fit it again with: {_FIT}'
        )
    try:
        fitted_to = json.loads(metadata['config'])
    except (KeyError, RecursionError, ValueError) as error:
        raise ValueError(f'got {path} with broken metadata ({error!r}); save it again') from error
    _CONFIG(f'the configuration of {path}', fitted_to)
    # The name does not matter: the same CLIP may lie in a folder or in the package.
    wanted = {k: v for k, v in baseline.config.to_dict().items() if k != 'clip'}
    if {k: v for k, v in fitted_to.items() if k != 'clip'} != wanted:
        raise ValueError(
            f'got {path} fitted as {fitted_to}, expected {wanted}, as the model is; '
            f'fit it again with: {_FIT}'
        )
    load_weights(baseline, tensors, [*baseline.fitted()], path)
    return baseline.eval()
