"""``mirror_depth train``: a recipe and data to a model that the node loads."""

from __future__ import annotations

from pathlib import Path

import typer


def train(
    context: typer.Context,
    config: Path = typer.Option(
        ...,
        metavar='FILE',
        help='The recipe: a YAML file, or nyu, kitti or bag for those of this package.',
    ),
    data: str | None = typer.Option(
        None,
        metavar='DATA',
        help='What to train on: nyu:FOLDER, nyu:FILE.mat, kitti:FOLDER, bag:FOLDER, '
        'frames:FOLDER, or a part of one, such as bag:FOLDER[:50%]. Of a recording with several '
        'cameras: bag:FOLDER,image=TOPIC, likewise depth, camera_info, lidar, range, floor, '
        'motion, frame_id, odom_frame, odometry and tolerance_s.',
    ),
    val: str | None = typer.Option(
        None,
        metavar='DATA',
        help='What to validate on; by default the test split of NYU and KITTI, and the last fifth '
        'of a recording, which is then not trained on.',
    ),
    init: str | None = typer.Option(
        None,
        metavar='MODEL',
        help='Go on from builtin or a checkpoint, rather than from the start.',
    ),
    output: Path | None = typer.Option(
        None,
        metavar='DIR',
        help="Where everything goes; runs/ and the recipe's name by default. A training that "
        'stopped there goes on.',
    ),
    save_every: int = typer.Option(100, min=1, help='Steps between two checkpoints.'),
) -> None:
    """Train mirror and decoder on NYU Depth v2, KITTI or a robot's own recording.

    A recording without depth images teaches it by a lidar, by range sensors and by the camera's
    motion, where odometry or TF has that.

    Leaves `model.safetensors` in the output folder, for `mirror_depth evaluate --model` and for
    the node's parameter `model`. Stopped at any moment, the same command goes on from the last
    checkpoint. Watch it with `tensorboard --logdir runs`.

    Every option of a recipe can also be given here, after its section: `--data.batch_size 8`,
    `--model.lr 1e-4`, `--trainer.max_epochs 10`, `--trainer.devices 4`, `--trainer.num_nodes 2`.
    `--print_config` shows all of them with their meaning, and ends.

    For example:

    - `mirror_depth train --config bag --data bag:my_recording --init builtin`

    - `mirror_depth train --config nyu --data nyu:nyu_depth_v2/ --trainer.devices 2`

    - `mirror_depth evaluate --data 'bag:my_recording[80%:]' --model runs/bag/model.safetensors`
    """
    from mirror_depth_ros.model.resources import recipe_path
    from mirror_depth_ros.training.command import train as train_model

    recipe = recipe_path(config)
    given = {'data.train': data, 'data.val': val, 'model.init': init}
    options = [f'--{name}={value}' for name, value in given.items() if value is not None]
    folder = output or Path('runs') / recipe.stem
    train_model([f'--config={recipe}', *options, *context.args], folder, save_every=save_every)
