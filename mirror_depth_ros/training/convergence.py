"""What an unconverged mirror does: mirrors kept on the way of a training, in the final decoder.

Run ``python -m mirror_depth_ros.training.convergence`` after the model was trained. Everything
but the mirror is final. Where depth changes, the mirror was still learning about what is there;
that is counted by what the pixels show, and drawn.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file

from mirror_depth_ros.camera import CameraModel
from mirror_depth_ros.metrics import depth_metrics
from mirror_depth_ros.model.checkpoint import load_checkpoint
from mirror_depth_ros.model.mirror_depth import MirrorDepth
from mirror_depth_ros.preview import colorize_depth, colorize_relative_error, side_by_side
from mirror_depth_ros.protocols import PROTOCOLS
from mirror_depth_ros.scenes.labels import LABELS, label_map
from mirror_depth_ros.scenes.render import RenderedFrame, render
from mirror_depth_ros.scenes.video import KINDS, SPLITS, make_scene
from mirror_depth_ros.training.depth_training import MirrorHistory
from mirror_depth_ros.writers import write_json, write_rgb_png

# Classes of fewer pixels in all tell nothing.
_FEWEST_PIXELS = 2000
_PICTURE_HEIGHT = 192


@dataclass(frozen=True)
class LabelledPicture:
    """A rendered picture with its classes."""

    kind: str
    frame: RenderedFrame
    #: Index into ``LABELS``, ``[H, W]``.
    labels: NDArray[np.uint8]


def main() -> None:
    """Write figures and pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n')[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--model', default='clip2depth', help='builtin, clip2depth, or the path of a checkpoint'
    )
    parser.add_argument(
        '--mirrors',
        type=Path,
        default=Path('build/builtin/clip2depth/depth'),
        help='folder in which its training kept mirrors',
    )
    parser.add_argument('--count', type=int, default=100, help='validation scenes of each kind')
    parser.add_argument('--json', type=Path, default=Path('docs/results/convergence.json'))
    parser.add_argument('--pictures', type=Path, default=None, help='folder for pictures')
    arguments = parser.parse_args()
    model = load_checkpoint(arguments.model, folded=False)
    assert isinstance(model, MirrorDepth)
    pictures = [
        _picture(kind, seed, model.config.input_size)
        for kind in KINDS
        for seed in track(SPLITS['val'][: arguments.count], f'rendering {kind}')
    ]
    depths: dict[Any, list[NDArray[np.float32]]] = {
        share: predict(with_mirror(model, arguments.mirrors, share), pictures)
        for share in MirrorHistory.SHARES
    }
    depths['final'] = predict(load_checkpoint(arguments.model, folded=False), pictures)
    write_json(arguments.json, {'model': arguments.model, **compare(depths, pictures)})
    if arguments.pictures:
        _draw(depths, pictures, arguments.pictures)


def with_mirror(model: MirrorDepth, folder: Path, share: float) -> MirrorDepth:
    """Put the mirror that was kept after a share of the training into the model, in place.

    :raises FileNotFoundError: if there is none.
    """
    path = folder / MirrorHistory.file_name(share)
    if not path.is_file():
        raise FileNotFoundError(
            f'got no {path}, expected the mirror kept there by the training; run make builtin'
        )
    with torch.no_grad():
        model.mirror.embeddings.copy_(load_file(path)['mirror'])
    return model


@torch.inference_mode()
def predict(model: MirrorDepth, pictures: Sequence[LabelledPicture]) -> list[NDArray[np.float32]]:
    """Return metric depth of every picture at its own size, ``[H, W]``."""
    depths = []
    for picture in pictures:
        image = torch.from_numpy(picture.frame.rgb).permute(2, 0, 1)[None] / 255.0
        focal = torch.tensor([picture.frame.camera.focal_px])
        depths.append(model(image, focal)[0, 0].numpy())
    return depths


def compare(
    depths: dict[Any, list[NDArray[np.float32]]], pictures: Sequence[LabelledPicture]
) -> dict[str, Any]:
    """Return Abs Rel by kind for each mirror, and how much depth differs from the final by class.

    :param depths: predictions by share of the training, and under ``final``.
    :returns: ``abs_rel`` and ``change`` (mean ``|ln d - ln d_final|``), by share, then kind or
        class.
    """
    abs_rel: dict[str, dict[str, float]] = {}
    change: dict[str, dict[str, float]] = {}
    for share, predictions in depths.items():
        scores = defaultdict(list)
        sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for picture, prediction, final in zip(pictures, predictions, depths['final'], strict=True):
            cap = PROTOCOLS[picture.kind].max_depth
            metrics = depth_metrics(prediction, picture.frame.depth, max_depth=cap)
            scores[picture.kind].append(metrics['abs_rel'])
            difference = np.abs(np.log(prediction / final))
            for label in np.unique(picture.labels):
                there = picture.labels == label
                sums[label][0] += float(difference[there].sum())
                sums[label][1] += float(there.sum())
        abs_rel[str(share)] = {kind: float(np.mean(values)) for kind, values in scores.items()}
        change[str(share)] = {
            LABELS[label]: total / pixels
            for label, (total, pixels) in sorted(sums.items())
            if pixels >= _FEWEST_PIXELS
        }
    return {'abs_rel': abs_rel, 'change': change}


def _picture(kind: str, seed: int, size: tuple[int, int]) -> LabelledPicture:
    scene = make_scene(kind, seed)
    frame = render(scene, CameraModel.from_fov(size[1], size[0], scene.hfov_deg))
    return LabelledPicture(kind, frame, label_map(scene, frame))


def _draw(
    depths: dict[Any, list[NDArray[np.float32]]],
    pictures: Sequence[LabelledPicture],
    folder: Path,
) -> None:
    """Draw the change of every picture with a person in it, for each mirror."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        if (picture.labels == LABELS.index('person')).mean() < 0.02:
            continue
        final, cap = depths['final'][i], PROTOCOLS[picture.kind].max_depth
        panels = [
            ('image', picture.frame.rgb),
            ('final depth', colorize_depth(final, min_depth=0.03 * cap, max_depth=cap)),
        ]
        for share in MirrorHistory.SHARES[:-1]:
            change = np.abs(np.log(depths[share][i] / final))
            label = f'change, mirror at {100 * share:.0f} %: 0..{change.max():.2f}'
            panels.append((label, colorize_relative_error(change, largest=float(change.max()))))
        name = f'{picture.kind}_{i:03d}.png'
        write_rgb_png(folder / name, side_by_side(panels, height=_PICTURE_HEIGHT))


if __name__ == '__main__':
    main()
