"""How much of its time a training waits for data on this machine.

``python -m research.costs.loading --help``.

A share above a fifth asks for more ``--workers``, or for ``--features cached``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import yaml
from numpy.typing import NDArray

from mirror_depth_ros.depth.files import write_json
from mirror_depth_ros.inference.threads import let_idle_threads_sleep
from mirror_depth_ros.model.resources import recipe_directory, recipe_path
from mirror_depth_ros.training.command import train

_HEIGHT, _WIDTH, _FOCAL_PX = 480, 640, 518.8579  # as NYU Depth v2
_FEW = 3  # steps that are slower than others: memory is fetched, kernels are chosen
#: A Kinect's depth has steps of so much times its square [1/mm] (Khoshelham and Elberink, 2012).
_STEP_PER_MM = 2.85e-6


class StepClock(lightning.Callback):
    """Measures the steps of a training once the first are over."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, float]] = []
        self._in_advance = 0

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any, **kwargs: Any) -> None:
        """Note the time, and how long was waited until then."""
        loader: Any = trainer.train_dataloader
        # What is loaded before the first step is over makes those that follow look fast.
        self._in_advance = loader.num_workers * (loader.prefetch_factor or 0)
        self._marks.append((time.perf_counter(), loader.waited_s))

    def figures(self) -> dict[str, float]:
        """Return steps per second and the share of the time that was waited, ``data_wait``.

        :raises ValueError: if no step is left to measure.
        """
        first = max(_FEW, self._in_advance)
        if len(self._marks) < first + 2:
            raise ValueError(
                f'got {len(self._marks)} steps, of which the first {first + 1} are not measured, '
                'expected more; raise --steps or lower --workers'
            )
        (began_s, waited_s), (ended_s, waited_until_s) = self._marks[first], self._marks[-1]
        measured = len(self._marks) - 1 - first
        return {
            'measured_steps': measured,
            'steps_per_s': round(measured / (ended_s - began_s), 3),
            'data_wait': round((waited_until_s - waited_s) / (ended_s - began_s), 4),
        }


def make_nyu_folder(folder: Path, *, pictures: int, listed: int | None = None) -> None:
    """Make a data set in NYU's format and size, that takes as long to read as the real one.

    :param pictures: how many there are to train on; to test on there is one.
    :param listed: how many lines the training list has; the pictures come in turn.
    """
    random = np.random.default_rng(0)
    for split, below, count, lines in (
        ('train', 'sync', pictures, listed or pictures),
        ('test', 'official_splits/test', 1, 1),
    ):
        room = folder / below / 'den_1'
        room.mkdir(parents=True)
        for number in range(count):
            for name, image in (
                (f'rgb_{number:05d}.jpg', _photograph(random)),
                (f'sync_depth_{number:05d}.png', _kinect_depth(random)),
            ):
                (room / name).write_bytes(cv2.imencode(Path(name).suffix, image)[1].tobytes())
        numbers = [f'{line % count:05d}' for line in range(lines)]
        (folder / f'nyudepthv2_{split}_files_with_gt.txt').write_text(
            ''.join(
                f'/den_1/rgb_{number}.jpg /den_1/sync_depth_{number}.png {_FOCAL_PX}\n'
                for number in numbers
            )
        )


def _photograph(random: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture of some 100 kB as JPEG, as the data set's own, ``[H, W, 3]``."""
    blobs = ((160, 0.5), (40, 0.25), (12, 0.15), (4, 0.1))
    light = sum(share * _clouds(random, cell, 3) for cell, share in blobs)
    grain = random.normal(0.0, 0.01, (_HEIGHT, _WIDTH, 3))
    return (np.clip(light + grain, 0, 1) * 255).astype(np.uint8)


def _kinect_depth(random: np.random.Generator) -> NDArray[np.uint16]:
    """Return depth from 1 m to 7 m in a Kinect's steps, some without truth, ``[H, W]`` [mm]."""
    smooth = (1000 + 5000 * _clouds(random, 160, 1) + 300 * _clouds(random, 20, 1))[..., 0]
    step = _STEP_PER_MM * smooth**2
    depth = (np.round(smooth / step) * step).clip(0, 10000).astype(np.uint16)
    depth[_clouds(random, 30, 1)[..., 0] < 0.15] = 0  # holes
    return depth


def _clouds(random: np.random.Generator, cell: int, channels: int) -> NDArray[np.float32]:
    """Return smooth noise of about 0 to 1, ``[H, W, channels]``, with blobs of ``cell`` pixels."""
    cells = random.random((_HEIGHT // cell + 2, _WIDTH // cell + 2, channels)).astype(np.float32)
    clouds = cv2.resize(cells, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
    return clouds.reshape(_HEIGHT, _WIDTH, channels)


def measure(options: argparse.Namespace, more: list[str], folder: Path) -> dict[str, object]:
    """Train for some steps.

    :param more: options of ``mirror_depth train``, which follow those of the benchmark.
    :param folder: where everything goes.
    :returns: the figures, and under which conditions they came about.
    """
    recipe = recipe_path(Path(options.config))
    section = yaml.safe_load(recipe.read_text())
    chosen = {'batch_size': 16, 'workers': 2, 'features': 'computed', **section['data']}
    for name in ('batch_size', 'workers', 'features'):
        given = getattr(options, name)
        chosen[name] = chosen[name] if given is None else given
    data = options.data
    if data is None:
        # One epoch for all steps: between two, processes start anew, which a long epoch hides.
        is_cached = chosen['features'] == 'cached'
        listed = None if is_cached else (options.steps + 1) * chosen['batch_size']
        make_nyu_folder(folder / 'nyu', pictures=options.pictures, listed=listed)
        data = f'nyu:{folder / "nyu"}'
    arguments = [f'--config={recipe}', f'--data.train={data}']
    arguments += [f'--data.{n}={chosen[n]}' for n in ('batch_size', 'workers', 'features')]
    arguments += [f'--trainer.max_steps={options.steps}', '--trainer.max_epochs=-1']
    arguments += ['--trainer.limit_val_batches=1', f'--trainer.val_check_interval={options.steps}']
    arguments += ['--trainer.check_val_every_n_epoch=null', '--trainer.num_sanity_val_steps=0']
    if not section['model'].get('init'):
        arguments += ['--model.network.clip_weights=null']  # random ones take as long
    clock = StepClock()
    load = os.getloadavg()[0]
    train([*arguments, *more], folder / 'run', save_every=10 * options.steps, callbacks=[clock])
    figures = clock.figures()
    return {
        'recipe': recipe.stem,
        **{name: chosen[name] for name in ('features', 'batch_size', 'workers')},
        'options': more,
        **figures,
        'images_per_s': round(figures['steps_per_s'] * chosen['batch_size'], 2),
        'peak_memory_mb': round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        'cores': os.cpu_count(),
        'load_before': round(load, 2),
    }


def main() -> None:
    """Print JSON, and write it where that is wanted."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n')[0],
        epilog='Other options are those of a recipe, such as --model.init builtin.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = ', '.join(sorted(path.stem for path in recipe_directory().glob('*.yaml')))
    parser.add_argument('--config', default='nyu', help=f'the recipe: a file, or one of {names}')
    parser.add_argument('--data', help='train on this; by default pictures are made')
    parser.add_argument('--pictures', type=int, default=64, help='how many are made')
    parser.add_argument('--steps', type=int, default=40, help='how many steps are trained')
    parser.add_argument('--batch-size', type=int, help="in place of the recipe's")
    parser.add_argument('--workers', type=int, help="in place of the recipe's")
    parser.add_argument('--features', choices=('computed', 'cached'), help='likewise')
    parser.add_argument('--json', type=Path, help='write the figures to this file, too')
    options, more = parser.parse_known_args()
    let_idle_threads_sleep()
    with tempfile.TemporaryDirectory(prefix='mirror_depth_loading_') as folder:
        found = measure(options, more, Path(folder))
    print(json.dumps(found, indent=2))
    if options.json is not None:
        write_json(options.json, found)


if __name__ == '__main__':
    main()
