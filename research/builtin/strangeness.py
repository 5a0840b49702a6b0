"""Whether a model knows which pictures are unlike those of its training.

``python -m research.builtin.strangeness --help``. Of the built-in model, how strange the pictures
of every set are, and whether those of the recordings are less strange than the same ones disturbed
(AUROC); of one that was adapted to a recording, whether its held-out images are less strange than
those of all other recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_auroc

from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.inference.estimator import DepthEstimator
from research.builtin.evaluate import frames, rendered
from research.scenes.rendered_scenes import KINDS

#: Pictures that no camera of a robot should show, made of those that it does.
DISTURBED: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    'upside down': lambda rgb: np.ascontiguousarray(rgb[::-1]),
    'negative': lambda rgb: 255 - rgb,
    'a tenth of the light': lambda rgb: rgb // 10,
    'blurred': lambda rgb: cv2.GaussianBlur(rgb, (0, 0), rgb.shape[1] / 40).astype(np.uint8),
}
#: Of a recording's images, what part it was adapted to; the others are held out.
ADAPTED_TO = 0.6


def main(
    photographs: Annotated[Path, typer.Option(help='Folder of recordings, of frames each.')],
    scenes: Annotated[Path | None, typer.Option(help='Rendered scenes, unseen ones.')] = None,
    adapted: Annotated[
        Path | None, typer.Option(help='Folder of trainings, each of the name of its recording.')
    ] = None,
    model: Annotated[str, typer.Option(help='builtin, or a checkpoint.')] = 'builtin',
    json_file: Annotated[Path | None, typer.Option('--json', help='Where figures go.')] = None,
) -> None:
    """Measure strangeness, set by set and model by model."""
    folders = [folder for folder in sorted(photographs.iterdir()) if folder.is_dir()]
    sets: dict[str, Any] = {folder.name: frames(folder) for folder in folders}
    if scenes is not None:
        sets |= {kind: rendered(scenes, kind) for kind in KINDS}
    figures: dict[str, Any] = {'builtin': {n: spread(of(model, i)) for n, i in sets.items()}}
    seen = [item for folder in folders for item in frames(folder)]
    like = of(model, seen)
    for name, change in DISTURBED.items():
        unlike = of(model, ((change(rgb), truth, focal) for rgb, truth, focal in seen))
        figures.setdefault('disturbed', {})[name] = separation(like, unlike)
    for path in sorted(adapted.glob('*/model.safetensors')) if adapted is not None else []:
        found = {folder.name: of(str(path), frames(folder)) for folder in folders}
        own = found.pop(path.parent.name)
        figures.setdefault('adapted', {})[path.parent.name] = separation(
            own[round(ADAPTED_TO * len(own)) :], np.concatenate(list(found.values()))
        )
    print(figures)
    if json_file is not None:
        write_json(json_file, figures)


def of(
    model: str, items: Iterable[tuple[NDArray[np.uint8], Any, float]]
) -> NDArray[np.floating[Any]]:
    """Return the strangeness of pictures."""
    estimator = DepthEstimator.load(model, backend='torch', precision='fp32')
    found = [estimator.estimate_batch([rgb], [focal])[0].strangeness for rgb, _, focal in items]
    if None in found:
        raise ValueError(f'got {model} without strangeness, expected a model that knows it')
    return np.array(found, float)


def spread(strangeness: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Return the median, and the fraction that is above the limit."""
    return {
        'pictures': len(strangeness),
        'median': float(np.median(strangeness)),
        'above_limit': float((strangeness > 1).mean()),
    }


def separation(
    like: Sequence[float] | NDArray[np.floating[Any]],
    unlike: Sequence[float] | NDArray[np.floating[Any]],
) -> dict[str, float]:
    """Return how well strangeness tells two sets of pictures apart, and what is warned of."""
    values = torch.tensor(np.concatenate([like, unlike]))
    labels = torch.tensor([0] * len(like) + [1] * len(unlike))
    return {
        'like': len(like),
        'unlike': len(unlike),
        'auroc': float(binary_auroc(values / values.max(), labels)),  # which takes 0 to 1
        'like_above_limit': float(np.mean(np.asarray(like) > 1)),
        'unlike_above_limit': float(np.mean(np.asarray(unlike) > 1)),
    }


if __name__ == '__main__':
    typer.run(main)
